"""What a model is made of, in words: facts from an inspection, or from what is known before anything is loaded."""

from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from minillm.criteria import judging_all
from minillm.criteria.forecast import Forecast, forecast
from minillm.device import free_memory
from minillm.families.groups import CHANNELS, HEADS, ONE, BlockGroups, Groups
from minillm.jobs.live import expected_memory
from minillm.recipes.models import MODELS
from minillm.recipes.recipe import RunRecipe
from minillm.store.records import Run
from minillm.store.store import Store

from ..plots import peak_bars
from ..shell.phrases import count, percent, size
from ..shell.templates import html, html_table

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Known:
    """A model as far as it is known.

    groups: what it is made of; dtype: of its weights in memory, "" before it was loaded; device: where it was loaded;
    provenance: package, version, licence, notes; chat: whether its tokenizer has a chat template, None where unknown.
    """

    groups: Groups
    dtype: str = ""
    device: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    chat: bool | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights; float32 where the dtype is not known yet."""
        return self.groups.parameters * BYTES.get(self.dtype, 4)


def inspected(store: Store, run: Run) -> Known | None:
    """What inspecting found, in this run or in another of the same model, dtype and device."""
    same = ("model", "dtype", "device")
    runs = [run] + [r for r in store.runs() if all(getattr(r.recipe, f) == getattr(run.recipe, f) for f in same)]
    for one in runs:
        for result in reversed(store.results(one.id, "inspect")):
            data = result.data
            groups = Groups.from_json(data["groups"])
            return Known(groups, data["dtype"], data["device"], data.get("provenance") or {}, data.get("chat"))
    return None


def beforehand(model: str, dtype: str) -> Known | None:
    """What is known of a built-in model that was never loaded here."""
    entry = MODELS.get(model)
    if entry is None:
        return None
    return Known(entry.groups, dtype if dtype in BYTES else "", provenance=entry.provenance)


def facts(known: Known) -> str:
    """Sizes, what can be pruned, where it comes from: one table."""
    groups = known.groups
    rows = [
        ("family", groups.family if groups.family == groups.model_type else f"{groups.family} ({groups.model_type})"),
        ("parameters", f"{groups.parameters:,}"),
        ("that can be pruned", f"{count(groups.prunable)}, {percent(groups.prunable / groups.parameters)}"),
        ("blocks", f"{len(groups)}"),
        ("head groups a block", _span(block.heads for block in groups.blocks)),
        ("query heads in each", _span(block.queries for block in groups.blocks)),
        (f"{groups.named(CHANNELS)} a block", _span(block.channels for block in groups.blocks)),
        ("width", f"{groups.width:,}"),
        ("vocabulary", f"{groups.vocabulary:,}"),
        ("weights", f"{size(known.weight_bytes)} in {known.dtype or 'float32'}"),
        ("MACs of 128 tokens", count(groups.macs(128))),
        ("key/value cache a token", size(groups.cache_bytes(BYTES.get(known.dtype, 4)))),
    ]
    if groups.experts:
        rows.insert(7, ("experts a token is sent to", _span(b.routed for b in groups.blocks if b.routed)))
    if known.device:
        rows.append(("loaded on", known.device))
    if known.chat is not None:
        rows.append(("chat template", "yes" if known.chat else "no"))
    return html_table(("what", "how much"), rows, "What it is made of")


def forecasts(known: Known, recipe: RunRecipe) -> dict[str, Forecast]:
    """{criterion: peak memory of scoring with a recipe's samples, lengths and default settings}."""
    each = BYTES.get(known.dtype, 4)
    asked = (recipe.samples, recipe.length, recipe.gradient_samples, each)
    return {name: forecast(known.groups, criterion, *asked) for name, criterion in judging_all(known.groups).items()}


def memory_table(known: Known, expected: dict[str, Forecast], free: int | None) -> str:
    """What each criterion needs at its peak and whether that fits. free: bytes to be had, None where not known here."""
    rows = [(name, size(f.above), size(f.total), f.peak, _verdict(known, f, free)) for name, f in expected.items()]
    room = "" if free is None else f"; {size(free)} are free"
    caption = f"Peak memory of scoring, foretold: {size(known.weight_bytes)} of weights and what comes above them{room}"
    return html_table(("criterion", "above the weights", "together", "peak in", "verdict"), rows, caption)


def knife_memory(known: Known, held: int) -> str:
    """What the live process takes for this model, in a sentence. held: bytes that it holds now, of whatever model."""
    wanted = expected_memory(known.groups, BYTES.get(known.dtype, 4))
    now = f"it holds {size(held)} now" if held else "it does not run now"
    return f"The knife on X-ray holds a model of its own: about {size(wanted)} for this one with its process; {now}."


def _verdict(known: Known, expected: Forecast, free: int | None) -> str:
    """A model that was loaded here has taken its share of what was free."""
    if free is None:
        return "–"
    return "fits" if (expected.above if known.device else expected.total) <= free else "does not fit"


def peaks(known: Known, expected: dict[str, Forecast]) -> go.Figure:
    """The forecasts as bars, as in the paper's Figure 1."""
    return peak_bars({name: f.above for name, f in expected.items()}, known.weight_bytes)


def free_for(known: Known, recipe: RunRecipe) -> int | None:
    """Free memory where the model computes; None for a GPU, which this process does not see."""
    return None if (known.device or recipe.device).startswith("cuda") else free_memory()


def _span(values: Any) -> str:
    found = list(values)
    low, high = min(found), max(found)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def block_table(groups: Groups) -> str:
    """A row for each block where they differ (a pruned model); empty where they are alike."""
    if len(set(groups.blocks)) == 1:
        return ""
    rows = [(f"{i}", f"{b.heads}", f"{b.channels:,}", count(b.parameters)) for i, b in enumerate(groups.blocks)]
    head = ("block", groups.named(HEADS), groups.named(CHANNELS), "parameters")
    return html_table(head, rows, "Its blocks differ")


def group_costs(block: BlockGroups) -> str:
    """What cutting one group of a block saves, in a sentence."""
    return (
        f"Cutting one head group of a block removes {block.head_parameters:,} parameters, one "
        f"{ONE[block.ffn]} {block.channel_parameters:,}."
    )


def provenance(known: Known) -> str:
    """Where the weights come from, and what to know before comparing numbers."""
    told = {key: value for key, value in known.provenance.items() if value and key not in ("note", "format")}
    return html("provenance", told=told, note=known.provenance.get("note"))
