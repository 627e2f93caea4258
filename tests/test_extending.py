"""Every example of docs/extending.md is real: a quotation stands in its file, and one more of each kind works."""

import ast
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import gradio as gr
import made_scores
import numpy as np
import pytest
import tiny
import torch
from made_docs import ROOT, blocks, text
from made_pages import context

import minillm
from minillm.criteria import CRITERIA
from minillm.evaluation import task_rows
from minillm.evaluation.tasks import accuracy
from minillm.events import finish
from minillm.plan.methods import METHODS
from minillm.recipes import requests, tasks
from minillm.store.store import Store
from minillm.worker import kinds
from minillm.worker.pool import Pool

CODE = {
    piece.splitlines()[0].removeprefix("# "): piece for piece in blocks(text("extending")) if piece.startswith("# ")
}
"""{what the first line of an example says, such as `in minillm/…/x.py`: the example}."""

NEW = [name for name in CODE if " " not in name]
QUOTED = [name for name in CODE if name.startswith("as in ")]


def dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """made(path): the example as that new module, for the test alone."""

    def make(path: str) -> ModuleType:
        name = dotted(path)
        spec = spec_from_loader(name, None)
        assert spec is not None
        module = module_from_spec(spec)
        module.__package__ = name.rpartition(".")[0]
        exec(CODE[path], module.__dict__)
        monkeypatch.setitem(sys.modules, name, module)
        return module

    return make


def added(path: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of that file with the example at its end, for the test alone."""
    module = import_module(dotted(path))
    before = set(vars(module))
    exec(CODE[f"in {path}"], module.__dict__)
    for name in set(vars(module)) - before:
        value = vars(module).pop(name)
        monkeypatch.setattr(module, name, value, raising=False)
    return module


def test_each_example_says_where_it_goes() -> None:
    assert len(CODE) == 11 and len(NEW) == 4 and len(QUOTED) == 3
    assert all((ROOT / name.split()[-1]).exists() != (name in NEW) for name in CODE)


@pytest.mark.parametrize("name", QUOTED)
def test_a_quotation_stands_in_its_file(name: str) -> None:
    whole = ast.parse((ROOT / name.removeprefix("as in ")).read_text(encoding="utf-8"))
    there = {ast.dump(node) for node in ast.walk(whole) if isinstance(node, ast.stmt)}
    for node in ast.walk(ast.parse(CODE[name])):
        assert not isinstance(node, ast.stmt) or ast.dump(node) in there, ast.unparse(node)


def test_one_more_criterion(made, monkeypatch: pytest.MonkeyPatch) -> None:
    ria = made("minillm/criteria/ria.py").RIA
    monkeypatch.setitem(CRITERIA, ria.name, ria)
    lm, tokens = minillm.wrap(tiny.llama()), tiny.tokens(4, 16)
    scores = minillm.score(lm, "ria", tokens, gradient_samples=2)
    seen = []
    down = lm.model.model.layers[1].mlp.down_proj
    with torch.no_grad():
        hook = down.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        lm.model(tokens)
        hook.remove()
    norm, size = seen[0].flatten(0, 1).norm(dim=0), down.weight.detach().abs()
    alone = ((size / size.sum(0) + size / size.sum(1, keepdim=True)) * norm.sqrt()).sum(0)
    assert (scores.channels[1] >= alone.numpy() * (1 - 1e-4)).all()
    assert (np.abs(scores.channels[1] / alone.numpy() - 1) < 1e-4).any()
    plan = minillm.make_plan(scores, 0.2)
    assert minillm.prune(lm, plan).parameters == plan.parameters


def test_one_more_allocation(made, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = made_scores.scores(made_scores.shape())
    made("minillm/plan/deeper.py")
    monkeypatch.setitem(METHODS, "deeper", None)
    added("minillm/plan/methods.py", monkeypatch)
    allocation = METHODS["deeper"].decide(scores, 0.3)
    plan = minillm.make_plan(scores, 0.3, allocation=allocation)
    cut = plan.table().channels_cut[list(allocation.shares)]
    assert abs(plan.ratio - 0.3) < 0.01 and cut.is_monotonic_increasing and cut.iloc[-1] > cut.iloc[0]


def test_one_more_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, table in (("recipes/tasks", tasks.BENCHMARKS), ("evaluation/task_rows", task_rows.HUB_FORM)):
        monkeypatch.setitem(table, "rte", None)
        added(f"minillm/{path}.py", monkeypatch)
    row = {"sentence1": "A star shines.", "sentence2": "Something shines.", "label": 0}
    (tmp_path / "rte").mkdir()
    (tmp_path / "rte" / "dev.jsonl").write_text(json.dumps(row) + "\n")
    lm = minillm.wrap(tiny.llama(max_position_embeddings=2048), tiny.tokenizer())
    found = accuracy(lm, "rte", data=str(tmp_path))
    assert found.items == 1 and found.acc in (0, 1)


def test_one_more_kind_of_job_and_its_page(made, store: Store, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    request = added("minillm/recipes/ask_answers.py", monkeypatch).ZerosRequest
    monkeypatch.setattr(requests, "ZerosRequest", request, raising=False)
    monkeypatch.setitem(requests.REQUESTS, "zeros", request)
    monkeypatch.setitem(kinds.KINDS, "zeros", made("minillm/worker/zeros.py").zeros)
    page = made("pages/zeros.py")
    with gr.Blocks() as app:
        ctx = context(store)
        object.__setattr__(ctx, "app", app)
        page.build(ctx)
    begin = next(f.fn for f in app.fns.values() if f.api_name == "start_zeros")
    job = begin(run_id)
    assert store.job(job).kind == "zeros"
    finish(kinds.execute_events(store, run_id, request(), Pool(10**9)))
    assert store.results(run_id, "zeros")[-1].data == {"original": 0}
