"""The variants of a run as a table, and learning curves: read from the store, the same for everyone who looks.

Perplexities are comparable only where text, window, token count and dtype are the same; so each such way of measuring
is a column of its own, with all four in its heading.
"""

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from minillm.families.groups import CHANNELS, GROUPS, HEADS, KINDS, Groups
from minillm.plan.patterns import Pattern, in_words
from minillm.recipes.recovery_memory import recovery_memory, trained_numbers
from minillm.recipes.requests import RecoverRequest
from minillm.recipes.texts import text_labels
from minillm.recipes.trains import ALL, LORA, TRAINS
from minillm.store.records import PRUNED, Job, Result, Variant
from minillm.store.store import Store

from ..plots import recovery_curve
from ..shell.phrases import count, size
from ..shell.templates import html_table
from .plans import BYTES

MOST_WAYS = 3
MOST_POINTS = 2000
USUALLY = {HEADS: "head groups", CHANNELS: "channels"}
"""What groups are called while a model is not known."""
HOW = {"": "", "bias": "bias compensation", "least-squares": "least squares"}


@dataclass(frozen=True)
class Way:
    """A way of measuring perplexity; only numbers of one way may be compared."""

    text: str
    length: int
    tokens: int
    dtype: str

    @classmethod
    def of(cls, data: dict[str, Any]) -> "Way":
        """The way a stored perplexity was measured."""
        return cls(str(data["text"]), int(data["length"]), int(data["tokens"]), str(data["dtype"]))

    def called(self, text: str) -> str:
        """Its heading. text: what its text is called."""
        return f"perplexity, {text}, window {self.length}, {self.tokens:,} tokens, {self.dtype}"


def groups_of(store: Store, run_id: str) -> Groups | None:
    """What the run's model is made of, from its scores or from when it was looked at; None where neither is there."""
    for scores in store.scores(run_id).values():
        return scores.groups.counted_in(GROUPS)
    inspected = store.results(run_id, "inspect")
    return Groups.from_json(inspected[-1].data["groups"]) if inspected else None


def kinds_of(groups: Groups | None) -> list[tuple[str, str]]:
    """What can be chosen of a model's groups: (what they are called, the kind), those of the FFN first. None: as most
    models have them."""
    return [(groups.named(kind) if groups else USUALLY[kind], kind) for kind in reversed(KINDS)]


def kinds_in(store: Store, run_id: str) -> list[tuple[str, str]]:
    """`kinds_of` the model of a run, or of none."""
    return kinds_of(groups_of(store, run_id) if run_id else None)


def dtype_of(store: Store, run_id: str) -> str:
    """The number format of the run's weights: as inspected, as scored, else as asked for."""
    inspected = store.results(run_id, "inspect")
    if inspected:
        return str(inspected[-1].data["dtype"])
    scored = [str(scores.recipe.get("dtype", "")) for scores in store.scores(run_id).values()]
    asked = store.run(run_id).recipe.dtype
    return next((dtype for dtype in [*scored, asked] if dtype in BYTES), "float32")


def measured(results: list[Result]) -> dict[Way, dict[str, float]]:
    """{way: {variant: perplexity}}, the latest way last; a variant measured twice in one way counts once."""
    found: dict[Way, dict[str, float]] = {}
    for result in results:
        way = Way.of(result.data)
        values = found.pop(way, {})
        found[way] = {**values, str(result.data["variant"]): float(result.data["value"])}
    return found


def variants_table(store: Store, run_id: str) -> Markup:
    """Every variant with what was done to it, its parameters, its size and its perplexities."""
    groups, dtype = groups_of(store, run_id), dtype_of(store, run_id)
    ways = dict(list(measured(store.results(run_id, "perplexity")).items())[-MOST_WAYS:])
    whole = groups.parameters if groups else None
    rows = []
    for variant in store.variants(run_id):
        parameters = variant.details.get("parameters", whole)
        sizes = (count(parameters), size(parameters * BYTES[dtype])) if parameters else ("–", "–")
        numbers = (_number(values.get(variant.name)) for values in ways.values())
        rows.append((variant.name, variant.parent or "–", what_was_done(variant), *sizes, *numbers))
    names = text_labels(way.text for way in ways)
    numbers_of = (way.called(names[way.text]) for way in ways)
    head = ("variant", "made from", "how", "parameters", f"weights ({dtype})", *numbers_of)
    return html_table(head, rows, "The models of this run", "variants")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def what_was_done(variant: Variant) -> str:
    """How a variant was made, in a few words."""
    asked, found = variant.request, variant.details
    if variant.kind == "pruned":
        channels = asked.get("channels_from")
        whose = f"heads by {asked['criterion']}, channels by {channels}" if channels else str(asked["criterion"])
        parts = [whose, f"ratio {found.get('ratio', asked['ratio']):.3f}", HOW.get(asked.get("compensate", ""), "")]
        return ", ".join(part for part in parts if part)
    if variant.kind == "sparse":
        patterns = in_words(tuple(map(Pattern.parse, found["patterns"])))
        mixed = "" if asked["allocation"] == "uniform" else f", mixed ({asked['allocation']})"
        zeros = f"{found['sparsity']:.1%} of the weights in blocks are zeros, none is gone"
        return f"{patterns} by {asked['criterion']}{mixed}; {zeros}"
    if variant.kind == "recovered":
        stopped = ", stopped early" if found.get("stopped") else ""
        trained, drawn = TRAINS[asked.get("trains", LORA)].label, asked.get("drawn", ALL)
        some = "" if drawn == ALL else f", a quarter of the blocks an update by {drawn}"
        return (
            f"{trained}{some} ({asked['loss']}), best at step {found.get('best_step')} of {asked['steps']}{stopped}; "
            f"held out {_number(found.get('held_out_perplexity'))}"
        )
    return "as it came"


def curve_points(store: Store, run_id: str, job: Job | None) -> list[dict[str, Any]]:
    """[{"step", "loss" and/or "perplexity"}] of the live recovery, else of the latest one that ended."""
    if job is not None and job.live:
        return _thinned([event.payload for event in store.events(job.id, stages=["recover"]) if event.payload])
    kept = store.results(run_id, "curve")
    return _thinned(kept[-1].data["points"]) if kept else []


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most about `MOST_POINTS` losses; every perplexity stays."""
    step = -(-len(points) // MOST_POINTS) or 1
    return [p for i, p in enumerate(points) if i % step == 0 or p.get("perplexity") is not None]


def curve(points: list[dict[str, Any]], job: Job | None) -> go.Figure | None:
    """The learning curve; None before the first point."""
    steps = getattr(job.request, "steps", None) if job is not None and job.live else None
    return recovery_curve(points, steps=steps) if points else None


def recovery_in_words(store: Store, run_id: str, asked: RecoverRequest) -> str:
    """What a recovery will train, and the memory it takes beside the two models; empty where sizes are not known."""
    groups = groups_after(store, run_id, asked.variant)
    if groups is None:
        return ""
    beside = sum(recovery_memory(groups, asked, asked.length).values())
    rows = f"{count(asked.steps)} updates of {count(asked.batch)} rows of {count(asked.length)} tokens"
    return f"{rows} train {count(trained_numbers(groups, asked))} numbers; about {size(beside)} beside the two models."


def groups_after(store: Store, run_id: str, variant: str) -> Groups | None:
    """The groups of a variant, or of what it was recovered from."""
    found = next((v for v in store.variants(run_id) if v.name == variant), None)
    while found is not None and found.parent and found.kind != PRUNED:
        found = store.variant(run_id, found.parent)
    if found is None or found.kind != PRUNED:
        return groups_of(store, run_id)
    return store.plan(run_id, found.name).after


def curve_in_words(points: list[dict[str, Any]], live: bool) -> str:
    """What a recovery has brought, so far or at last, in a sentence."""
    seen = [(point["perplexity"], point["step"]) for point in points if point.get("perplexity") is not None]
    if not seen:
        return ""
    best, step = min(seen)
    said = f"Perplexity on rows held out of the recovery text: {seen[0][0]:.2f} before training"
    if len(seen) == 1:
        return f"{said}."
    if step == 0:
        return f"{said}; no step has been better{' so far' if live else ', so nothing was changed'}."
    return (
        f"{said}, best so far {best:.2f} at step {step}."
        if live
        else f"{said}, {best:.2f} at step {step}, which is kept."
    )
