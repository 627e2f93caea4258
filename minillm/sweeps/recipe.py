"""What a sweep asks for, as one record that checks itself.

The one idea: nothing is checked twice. A recovery is a `RecoverRequest` without its variant, a measurement one of the
requests that measure, calibration the part of a `RunRecipe` that says what text is read; each is refused by the record
that will carry it out, in the same sentence that a page or the command line would give.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from ..checks import Checked, Take, blocks_of, device, field, line, number, one_of, optional, several, whole
from ..criteria import find
from ..errors import BadInput, UnknownName
from ..plan.methods import METHODS
from ..recipes.presets import preset_and
from ..recipes.prompts import paper_prompts
from ..recipes.recipe import (
    COMPENSATIONS,
    DTYPES,
    EvaluateRequest,
    GenerateRequest,
    ProfileRequest,
    RecoverRequest,
    Request,
    RunRecipe,
    settings,
)
from ..recipes.tasks import HUB

CALIBRATION = ("text", "samples", "length", "gradient_samples")
PAPER = "paper"
"""The prompts of the paper's Table 12."""

JOINT = "+"
"""Between who chooses the heads and who the channels: fms-bp+ziplm."""

Given = dict[str, Any]

MOST_SEEDS, MOST_CELLS = 100, 10_000


def _perplexity(given: Given) -> Request:
    return EvaluateRequest.from_json(given)


def _tasks(given: Given) -> Request:
    return EvaluateRequest.from_json({"text": "", "data": HUB, **given})


def _generations(given: Given) -> Request:
    prompts = paper_prompts() if given.get("prompts") == PAPER else given.get("prompts")
    return GenerateRequest.from_json({**given, "prompts": prompts})


MEASURES: dict[str, Callable[[Given], Request]] = {
    "perplexity": _perplexity,
    "tasks": _tasks,
    "efficiency": ProfileRequest.from_json,
    "generations": _generations,
}
"""What can be measured of every model of a sweep: {name: what makes the request of its settings}."""


def measurement(entry: Given, variants: tuple[str, ...] = ("original",)) -> Request:
    """The request of one entry of `evaluations`, {name: settings}, for some variants of a run."""
    ((name, given),) = entry.items()
    return MEASURES[name]({**given, "variants": variants})


def _evaluation(name: str, value: Any) -> Given:
    if not isinstance(value, dict) or len(value) != 1:
        raise BadInput("An evaluation is one name with its settings, such as perplexity: {text: python-docs}.")
    ((kind, given),) = value.items()
    if kind not in MEASURES:
        raise UnknownName("evaluation", kind, MEASURES)
    if not isinstance(given, dict | None) or "variants" in (given or {}):
        raise BadInput(f"The evaluation {kind} takes settings by name, without variants: a sweep measures them all.")
    measurement({kind: given or {}})
    return {kind: dict(given or {})}


def _recovery(name: str, value: Any) -> Given | None:
    if value is None or value == "none":
        return None
    if not isinstance(value, dict) or "variant" in value:
        raise BadInput("A recovery is none, or settings by name without a variant, such as {steps: 120}.")
    given = preset_and(value)
    RecoverRequest.from_json({**given, "variant": "any"})
    return given


def _calibration(name: str, value: Any) -> Given:
    if not isinstance(value, dict):
        raise BadInput("Calibration is a table such as {text: python-docs, samples: 128}.")
    for given in value:
        if given not in CALIBRATION:
            raise UnknownName("field of calibration", given, CALIBRATION)
    RunRecipe.from_json(dict(value))
    return dict(value)


def _chooser(name: str, value: Any) -> str:
    parts = line()(name, value).split(JOINT)
    if len(parts) > 2:
        raise BadInput(f"“{value}” names {len(parts)} criteria; give one, or HEADS{JOINT}CHANNELS.")
    return JOINT.join(find(part.strip()).name for part in parts)


def _layers(name: str, value: Any) -> str:
    text = "" if value in ("", "default") else line()(name, str(value) if isinstance(value, int) else value)
    blocks_of(text)
    return text


def _listed(of: Take, most: int) -> Take:
    """Up to `most` tables, in order, no two alike (tables cannot be told apart by hashing)."""

    def check(name: str, value: Any) -> tuple:
        if not isinstance(value, list | tuple) or len(value) > most:
            raise BadInput(f"{name.capitalize()} must be a list of at most {most} entries.")
        found: list[Any] = []
        for one in value:
            checked = of(name, one)
            found += [] if checked in found else [checked]
        return tuple(found)

    return check


@dataclass(frozen=True)
class Sweep(Checked):
    """Models × seeds × criteria × ratios × layers × allocations × compensations × recoveries, each measured in the
    same ways. Without evaluations nothing is cut: scores, what they cost and where they agree are all there is.

    paper: the table or figure it repeats (T1 … F6), empty for none; dtype, device, calibration, settings: as for every
    run; criteria: names, or HEADS+CHANNELS; layers: ranges such as 4-27, empty for the default; recoveries: settings of
    a `RecoverRequest`, where `preset` may name a way that is known, None for none; evaluations: {a name in `MEASURES`:
    its settings}.
    """

    title: str = field(line(120))
    models: tuple[str, ...] = field(several(line(), 50))
    criteria: tuple[str, ...] = field(several(_chooser, 50))
    ratios: tuple[float, ...] = field(several(number(0.001, 0.99), 50))
    seeds: tuple[int, ...] = field(several(whole(0, 2**31 - 1), MOST_SEEDS), default=(0,))
    layers: tuple[str, ...] = field(several(_layers, 50), default=("",))
    allocations: tuple[str, ...] = field(several(one_of(*METHODS), len(METHODS)), default=("uniform",))
    compensations: tuple[str, ...] = field(several(one_of(*COMPENSATIONS), len(COMPENSATIONS)), default=("",))
    recoveries: tuple[Given | None, ...] = field(_listed(_recovery, 10), default=(None,))
    evaluations: tuple[Given, ...] = field(_listed(_evaluation, 20), default=())
    calibration: Given = field(_calibration, default_factory=dict)
    settings: Given = field(settings, default_factory=dict)
    dtype: str = field(one_of(*DTYPES), default="auto")
    device: str = field(device, default="auto")
    paper: str = field(line(empty=True), default="")
    note: str = field(optional(line(2000, empty=True)), default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.recoveries:
            raise BadInput("Recoveries select nothing; give none, or settings such as {steps: 120}.")
        axes = ("models", "seeds", "criteria", "ratios", "layers", "allocations", "compensations", "recoveries")
        count = prod(len(getattr(self, name)) for name in axes)
        if count > MOST_CELLS:
            raise BadInput(f"This sweep has {count:,} cells, each a model to be made; give at most {MOST_CELLS:,}.")

    def recipe(self, model: str, seed: int) -> RunRecipe:
        """The recipe of the run that all cells of a model and a seed share."""
        given = {**self.calibration, "model": model, "seed": seed, "dtype": self.dtype, "device": self.device}
        return RunRecipe.from_json(given)
