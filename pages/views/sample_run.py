"""The bundled sample run, read straight from its folder: pictures and questions that need no run to be open.

Opening it adds it to the store, under the id it always has.
"""

import json
from functools import cache
from math import exp, nan
from typing import Any

from minillm.families.groups import CHANNELS
from minillm.plan.filmstrip import Filmstrip, Strip, filmstrip_of
from minillm.plan.plan import Plan
from minillm.plan.scores import Scores
from minillm.store.as_folder import BUNDLED, import_run
from minillm.store.store import Store

from ..plots import as_json, ratio_lines
from ..plots.style import known
from ..plots.sweeps import Series
from .comparison import REFERENCE, compare, in_order, lines, reading
from .filmstrip import KIND as FILMSTRIP, as_json as as_strip

SHOWN, READ = ("random", "wanda", "fms-bp", "fms-zo"), ("fms-bp", "fms-zo")
"""Criteria drawn beside the reference, and those whose agreement with it is put in words."""
RATIO = 0.2

OPEN = """(run, path) => {
  if (!run) return;
  const there = new URL(path, window.location);
  there.searchParams.set('run', run);
  window.location.href = there;
}"""
"""Goes to a page of a run; the page may bring options of its own."""


@cache
def sample_scores() -> dict[str, Scores]:
    """{label: scores} of the sample run, in the order of the table of criteria; {} where none is bundled."""
    files = {path.stem: path for path in (BUNDLED / "scores").glob("*.safetensors")}
    return {label: Scores.load(files[label]) for label in in_order(files)}


@cache
def sample_plans() -> dict[str, Plan]:
    """{variant: plan} of what was cut in the sample run."""
    files = sorted((BUNDLED / "plans").glob("*.json"))
    return {path.stem: Plan.from_json(json.loads(path.read_text(encoding="utf-8"))) for path in files}


@cache
def sample_record() -> dict[str, Any]:
    """The sample run's own record: title, recipe, variants, results."""
    return dict(json.loads((BUNDLED / "run.json").read_text(encoding="utf-8")))


@cache
def overlap_at_once() -> tuple[str, str]:
    """The overlap of the sample run's criteria as a figure's JSON, and sentences that read it; "" without one."""
    scores = sample_scores()
    if REFERENCE not in scores:
        return "", ""
    found = compare(scores, REFERENCE, [name for name in SHOWN if name in scores], RATIO)
    said = [reading(found, name, CHANNELS) for name in READ if name in found.tables]
    recipe = sample_record()["recipe"]
    figure = known(lines(found, CHANNELS), ratio=RATIO, model=recipe["model"], seed=recipe["seed"])
    return as_json(figure), " ".join(said)


@cache
def _filmstrip() -> Filmstrip | None:
    return filmstrip_of([result["data"] for result in sample_record()["results"] if result["kind"] == FILMSTRIP])


@cache
def strip_at_once() -> str:
    """The sample run's filmstrip for a `FilmstripHost`; "" where it has none."""
    found = _filmstrip()
    return as_strip(found) if found else ""


@cache
def ratios_at_once() -> str:
    """Perplexity against the ratio in the sample run, nothing made up for, as a figure's JSON: what most sweeps are
    about; "" where it has no filmstrip."""
    found = _filmstrip()
    if found is None:
        return ""
    plain = [strip for strip in found.strips if not strip.compensate]
    text, first = found.asked["text"], plain[0].frames[0]
    label = f"perplexity ({text}, the first {found.asked['tokens']} tokens)"
    dense = exp(first["loss"]) if first else None
    figure = ratio_lines([_series(found, strip) for strip in plain], label, dense)
    return as_json(known(figure, model=sample_record()["recipe"]["model"]))


def _series(found: Filmstrip, strip: Strip) -> Series:
    there = [(ratio, frame) for ratio, frame in zip(found.ratios, strip.frames, strict=True) if frame and ratio]
    return Series(strip.criterion, *zip(*((ratio, exp(frame["loss"]), nan) for ratio, frame in there), strict=True))


def open_sample(store: Store) -> str:
    """The bundled sample run's id; it is added to the store the first time."""
    return import_run(store, BUNDLED)
