"""The API's names: stable, one function each, with plain types and a description. What they return is tested in a
running app (tests/browser/test_api_client.py)."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from types import SimpleNamespace
from typing import Any

import pytest

import app
from minillm.store.store import Store

WAITING = {"score", "overlap", "plan", "generate", "stop"}
STARTING = {
    "start_inspect",
    "start_score",
    "start_prune",
    "start_evaluate",
    "start_export",
    "start_recover",
    "start_generate",
    "start_filmstrip",
    "start_fidelity",
    "start_allocate",
    "start_sparsify",
    "start_sweep",
    "start_masks",
    "start_domains",
}
OTHERS = {
    "begin",
    "start_best",
    "open_sample",
    "upload_text",
    "compare",
    "vote",
    "generations",
    "generations_csv",
    "generations_markdown",
    "describe_run",
    "run_as_python",
    "run_as_commands",
    "save_report",
    "save_export",
    "save_sweep",
    "save_all",
    "set_storage_bound",
    "drop_weights",
    "delete_run",
}


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    built = app.build(Store(tmp_path_factory.mktemp("home")), SimpleNamespace(problem=""), False)  # type: ignore[arg-type]
    info = built.get_api_info()
    assert info is not None and not info["unnamed_endpoints"]
    return {name.removeprefix("/"): found for name, found in info["named_endpoints"].items()}


def test_every_public_event_has_a_name_of_its_own_that_stays(endpoints: dict[str, Any]) -> None:
    assert set(endpoints) == WAITING | STARTING | {f"{name}_again" for name in STARTING} | OTHERS


def test_what_waits_takes_plain_values_and_is_described(endpoints: dict[str, Any]) -> None:
    for name in WAITING:
        assert len(endpoints[name]["description"]) > 30
        kinds = {given["parameter_name"]: given["python_type"]["type"] for given in endpoints[name]["parameters"]}
        assert set(kinds.values()) <= {"str", "int", "float", "bool", "list[str]"}, kinds
    assert [given["parameter_name"] for given in endpoints["score"]["parameters"]][:3] == ["criteria", "model", "text"]
