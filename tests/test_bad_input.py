"""Bad input on every page: one sentence that says what to do, nothing lost, nothing begun, no word of a traceback."""

import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import made_scores
import pytest

from minillm.recipes.recipe import RunRecipe
from minillm.store.records import ORIGINAL, Variant
from minillm.store.store import Store
from pages import compare, experiments, generate, model, prune, runs
from pages.score import form
from pages.shell.frame import Context, Shell
from pages.shell.handlers import guarded

LONGEST = 400
"""Characters: more is not read."""

SCORE: dict[str, Any] = {
    "criteria": ["wanda"],
    "text": "python-docs",
    "samples": 4,
    "length": 16,
    "gradient_samples": 2,
    "seed": 0,
    "reduction": "max",
    "noise": "gaussian",
    "estimator": "divide",
    "directions": 1,
    "minibatch": 0,
    "epsilon": 1e-3,
}
MODEL = {"model": "smollm2-135m", "dtype": "auto", "device": "auto"}
PRUNE: dict[str, Any] = {
    "criterion": "wanda",
    "channels_from": "",
    "ratio": 0.2,
    "blocks": "",
    "allocation": "uniform",
    "compensate": "",
    "evaluate_text": "python-docs",
    "evaluate_tokens": 256,
    "evaluate_length": 128,
}
MEASURE = {name: PRUNE[name] for name in ("evaluate_text", "evaluate_tokens", "evaluate_length")}
RECOVER: dict[str, Any] = {
    "variant": "pruned-1",
    "loss": "distill",
    "text": "python-docs",
    "steps": 2,
    "batch": 2,
    "length": 32,
    "learning_rate": 1e-3,
    "rank": 8,
    "alpha": 16,
    "evaluate_every": 1,
    "seed": 0,
}
WRITE: dict[str, Any] = {
    "prompts": ["Why?"],
    "own": "",
    "variants": ["original"],
    "others": [],
    "max_new_tokens": 8,
    "temperature": 0,
    "top_p": 1,
    "seed": 0,
    "chat": True,
    "blind": False,
}

SWEEP = "title: Tried\nmodels: smollm2-135m\ncriteria: wanda\nratios: 0.2\n"

BAD: list[tuple[str, dict[str, Any]]] = [
    ("model", {"model": ""}),
    ("model", {"model": "smollm2-135n"}),
    ("model", {"model": "/no/such/folder"}),
    ("model", {"model": "a/b/c"}),
    ("model", {"dtype": "int4"}),
    ("model", {"device": "toaster"}),
    ("score", {"criteria": []}),
    ("score", {"criteria": ["wandb"]}),
    ("score", {"text": ""}),
    ("score", {"text": "python-doc"}),
    ("score", {"text": "file:/no/such/file.txt"}),
    ("score", {"text": "file:/etc/passwd"}),
    ("score", {"text": "hub:../escape"}),
    ("score", {"samples": 0}),
    ("score", {"samples": 2.5}),
    ("score", {"samples": None}),
    ("score", {"length": 1}),
    ("score", {"gradient_samples": 0}),
    ("score", {"seed": -1}),
    ("score", {"directions": 0}),
    ("score", {"minibatch": -1}),
    ("score", {"epsilon": 0}),
    ("score", {"epsilon": None}),
    ("score", {"noise": "loud"}),
    ("prune", {"criterion": ""}),
    ("prune", {"criterion": "wandb"}),
    ("prune", {"channels_from": "nobody"}),
    ("prune", {"ratio": 0.95}),
    ("prune", {"ratio": -0.1}),
    ("prune", {"ratio": None}),
    ("prune", {"blocks": "three"}),
    ("prune", {"blocks": "2-99"}),
    ("prune", {"compensate": "prayer"}),
    ("prune", {"allocation": "by lot"}),
    ("prune", {"evaluate_text": "wikitext3"}),
    ("prune", {"evaluate_tokens": 1}),
    ("prune", {"evaluate_length": 0}),
    ("measure", {"evaluate_text": ""}),
    ("measure", {"evaluate_length": 1}),
    ("recover", {"variant": ""}),
    ("recover", {"variant": "pruned-9"}),
    ("recover", {"steps": 0}),
    ("recover", {"learning_rate": "fast"}),
    ("recover", {"loss": "prayer"}),
    ("recover", {"text": "python-doc"}),
    ("write", {"prompts": [], "own": " "}),
    ("write", {"variants": []}),
    ("write", {"variants": ["pruned-9"]}),
    ("write", {"others": ["nothing/original"]}),
    ("write", {"others": ["a", "b", "c", "d"]}),
    ("write", {"max_new_tokens": 0}),
    ("write", {"temperature": -1}),
    ("write", {"own": "x" * 20_001}),
    ("overlap", {"reference": "nobody"}),
    ("overlap", {"others": []}),
    ("overlap", {"ratio": 0.95}),
    ("overlap", {"blocks": "9-99"}),
    ("describe", {"title": " "}),
    ("describe", {"tags": [""]}),
    ("describe", {"tags": ["x" * 41]}),
    ("describe", {"note": "x" * 2001}),
    ("bound", {"gigabytes": 0}),
    ("bound", {"gigabytes": None}),
    ("upload", {"file": "notes.exe"}),
    ("sweep", {"text": ""}),
    ("sweep", {"text": "title: [unclosed"}),
    ("sweep", {"text": "just words"}),
    ("sweep", {"text": SWEEP.replace("ratios", "ratio")}),
    ("sweep", {"text": SWEEP.replace("wanda", "wandb")}),
    ("sweep", {"text": SWEEP.replace("smollm2-135m", "smollm2-135n")}),
    ("sweep", {"text": SWEEP + "layers: 9-3"}),
    ("sweep", {"text": SWEEP + "layers: 40-50"}),
    ("sweep", {"text": SWEEP + "seeds: 3-1"}),
    ("sweep", {"text": SWEEP + "recoveries: []"}),
    ("sweep", {"text": SWEEP + "evaluations: [{perplexity: {text: wikitext3}}]"}),
    ("sweep", {"text": SWEEP + "evaluations: [{tasks: {tasks: [boolq], data: /etc}}]"}),
    ("sweep", {"text": SWEEP + "data: 3"}),
    ("sweep", {"form": "nowhere"}),
    ("save-sweep", {"kind": "md"}),
]
"""(what is done, which of its values are wrong); every other value is fine."""


@pytest.fixture
def run_id(store: Store) -> str:
    """A run with scores under two criteria and a pruned variant."""
    made = store.create_run(RunRecipe(samples=4, length=16), "Mine")
    for name in ("wanda", "llm-pruner"):
        store.save_scores(made, made_scores.scores(made_scores.shape(), name), name)
    store.add_variant(made, Variant("pruned-1", "pruned", ORIGINAL, {}, {}))
    return made


def actions(store: Store, run_id: str) -> dict[str, tuple[Callable, dict[str, Any]]]:
    """{what can be done on the pages: (the handler, values it is glad to take)}."""
    ctx = Context(store, SimpleNamespace(problem=""), SimpleNamespace(memory=0), SimpleNamespace(), ())  # type: ignore[arg-type]
    compared = {"reference": "wanda", "others": ["llm-pruner"], "of": "pruned", "ratio": 0.2, "blocks": ""}
    return {
        "model": (partial(model.begin, ctx, run_id), MODEL),
        "score": (partial(form.begin, ctx, run_id), SCORE),
        "prune": (partial(prune.begin_prune, store, run_id), PRUNE),
        "measure": (partial(prune.begin_evaluate, store, run_id), MEASURE),
        "recover": (partial(prune.begin_recover, store, run_id), RECOVER),
        "write": (partial(generate.begin, store, run_id), WRITE),
        "overlap": (partial(compare._csv(ctx), run_id), compared),
        "describe": (partial(runs.describe_run, store, run_id), {"title": "Yours", "tags": ["one"], "note": "why"}),
        "sweep": (partial(experiments.begin, store, False, run_id), {"text": SWEEP, "form": "", "folder": ""}),
        "save-sweep": (partial(experiments.save_sweep, store, run_id), {"kind": "csv"}),
        "bound": (partial(runs.set_bound, store), {"gigabytes": 5}),
        "upload": (partial(form.kept_upload, store), {"file": __file__.replace(".py", ".txt")}),
    }


def everything(store: Store) -> tuple:
    """What must not change."""
    found = [(run, store.jobs(run.id), store.variants(run.id), store.score_labels(run.id)) for run in store.runs()]
    return found, sorted(Path(store.folder).rglob("uploads/*"))


@pytest.mark.parametrize(
    ("what", "wrong"), BAD, ids=[f"{what}-{next(iter(wrong))}-{n}" for n, (what, wrong) in enumerate(BAD)]
)
def test_bad_input_is_one_sentence_and_nothing_is_lost(store: Store, run_id: str, what: str, wrong: dict) -> None:
    handler, fine = actions(store, run_id)[what]
    before = everything(store)
    with pytest.raises(gr.Error) as shown:
        guarded(handler)(**{**fine, **wrong})
    said = str(shown.value.message)
    assert "Something went wrong" not in said and "Traceback" not in said
    assert len(said) <= LONGEST and not said[0].islower() and re.search(r"[.?)]$", said)
    assert everything(store) == before


@pytest.mark.parametrize(
    "what", ["model", "score", "prune", "measure", "recover", "write", "overlap", "describe", "bound", "sweep"]
)
def test_the_same_actions_with_nothing_wrong_are_accepted(store: Store, run_id: str, what: str) -> None:
    """Else the list above could refuse everything and pass."""
    handler, fine = actions(store, run_id)[what]
    guarded(handler)(**fine)


@pytest.mark.parametrize("run", ["nothing", "../../etc", "a b", "%00"])
def test_an_address_with_a_wrong_run_opens_the_page_and_says_so(store: Store, run: str) -> None:
    ctx: Any = Context(store, SimpleNamespace(problem=""), SimpleNamespace(memory=0), SimpleNamespace(), ())  # type: ignore[arg-type]
    names = [one.name for one in fields(Shell) if one.default is one.default_factory is MISSING][2:]
    with gr.Blocks():
        shell = Shell(ctx, True, **{name: gr.HTML() for name in names})
    opened = shell._open({}, SimpleNamespace(query_params={"run": run}))  # type: ignore[arg-type]
    assert opened[shell.run] == "" and "There is no run" in opened[shell.bar]
