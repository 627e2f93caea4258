"""Models from the hub: a server of our own speaks its protocol, so that nothing leaves this machine."""

import hashlib
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

import pytest
import tiny
import torch
from huggingface_hub import constants

from minillm.errors import BadInput, OutOfReach, UnsupportedModel
from minillm.events import finish
from minillm.models import hub
from minillm.models.load import load_model, load_model_events, plan_from_config

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A hub with the folders below `root` as its models ("owner/name"), and a list of the files it was asked for."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.refuses = root, [], {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET

            def log_message(self, *given: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path.split("?")[0]).strip("/")
        if path.startswith("api/models/"):
            owner, name = path.removeprefix("api/models/").split("/")[:2]
            return self.list_files(request, self.root / owner / name, f"{owner}/{name}")
        owner, name, _, _, *rest = path.split("/")
        file = self.root / owner / name / "/".join(rest)
        if not file.is_file():
            return self.refuse(request, 404, "EntryNotFound")
        if request.command == "GET":
            self.asked.append("/".join(rest))
        body = file.read_bytes()
        request.send_response(200)
        request.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        request.send_header("X-Repo-Commit", COMMIT)
        self.send(request, body)

    def list_files(self, request: BaseHTTPRequestHandler, folder: Path, name: str) -> None:
        if name in self.refuses:
            return self.refuse(request, *self.refuses[name])
        if not folder.is_dir():
            return self.refuse(request, 404, "RepoNotFound")
        files = [{"rfilename": f.relative_to(folder).as_posix()} for f in sorted(folder.rglob("*")) if f.is_file()]
        request.send_response(200)
        self.send(request, json.dumps({"id": name, "sha": COMMIT, "siblings": files}).encode())

    def refuse(self, request: BaseHTTPRequestHandler, status: int, code: str) -> None:
        request.send_response(status)
        request.send_header("X-Error-Code", code)
        self.send(request, b"")

    def send(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that answers, and an empty cache."""
    there = Hub(tmp_path / "hub")
    Thread(target=there.server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", there.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{there.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield there
    there.server.shutdown()
    there.server.server_close()


def test_fetched_once_then_read_from_the_cache(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.saved(served.root / "owner" / "small")
    (folder / "pytorch_model.bin").write_bytes(b"never to be fetched")
    (folder / "README.md").write_text("nor this")
    stages = [event.stage for event in load_model_events("owner/small", device="cpu")]
    assert stages[0] == "ask the hub" and {"fetch", "load"} < set(stages)
    assert "model.safetensors" in served.asked and "tokenizer.json" in served.asked
    assert "pytorch_model.bin" not in served.asked and "README.md" not in served.asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    lm = load_model("owner/small", device="cpu")
    assert torch.equal(lm.model.lm_head.weight, tiny.llama().lm_head.weight)
    assert lm.source == "owner/small" and lm.provenance == {"hub": "owner/small", "revision": COMMIT}
    assert lm.tokenizer is not None


def test_shards(served: Hub) -> None:
    tiny.llama().save_pretrained(served.root / "owner" / "big", max_shard_size="100KB")
    place = finish(hub.hub_folder_events("owner/big"))
    assert len([f for f in served.asked if f.endswith(".safetensors")]) > 1
    assert (place / hub.INDEX).is_file()


def test_weights_stay_where_they_are_until_the_config_fits(served: Hub) -> None:
    folder = tiny.saved(served.root / "owner" / "other")
    (folder / "config.json").write_text('{"model_type": "mamba"}')
    with pytest.raises(UnsupportedModel, match="mamba"):
        load_model("owner/other")
    assert "model.safetensors" not in served.asked


def test_config_alone_is_enough_for_a_plan(served: Hub) -> None:
    tiny.saved(served.root / "owner" / "small")
    plan = plan_from_config("owner/small", ratio=0)
    assert plan.parameters == tiny.llama().num_parameters()
    assert "model.safetensors" not in served.asked


@pytest.mark.parametrize(("file", "expected"), [("pytorch_model.bin", "pickle"), ("model.gguf", "GGUF file yourself")])
def test_weights_of_another_format(file: str, expected: str, served: Hub) -> None:
    folder = tiny.saved(served.root / "owner" / "old")
    (folder / "model.safetensors").rename(folder / file)
    with pytest.raises(UnsupportedModel, match=expected):
        load_model("owner/old")
    assert file not in served.asked


def test_what_the_hub_refuses(served: Hub) -> None:
    served.refuses["owner/gated"] = (403, "GatedRepo")
    with pytest.raises(BadInput, match="accept its terms"):
        load_model("owner/gated")
    with pytest.raises(BadInput, match="no model “owner/absent”"):
        load_model("owner/absent")
    (served.root / "owner" / "empty").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"no config\.json"):
        load_model("owner/empty")


def test_out_of_reach_names_the_embedded_model(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    served.refuses["owner/broken"] = (503, "")
    with pytest.raises(OutOfReach, match="smollm2-135m needs no hub"):
        load_model("owner/broken")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OutOfReach, match="smollm2-135m needs no hub"):
        load_model("owner/small")


def test_what_is_no_hub_name() -> None:
    with pytest.raises(BadInput, match="owner/name"):
        finish(hub.hub_folder_events("../etc"))
