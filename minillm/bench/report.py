"""From seconds and peaks to the table of budgets: what was measured goes in, rows come out."""

from dataclasses import asdict, dataclass, field
from typing import Any

from ..batches import TAIL_TOKENS
from ..families.groups import Groups

BUDGETS = {
    "forward": 1.1,
    "fms-zo": 1.25,
    "zo": 1.5,
    "moments": 1.6,
    "backprop": 1.25,
    "together": 0.45,
    "meter": 1.03,
    "noise": 0.33,
    "search": 0.5,
    "sub-model": 1.1,
    "peak": 1.25,
    "total": 1.35,
    "re-cut": 1.0,
    "knife": 1.0,
}
"""At most these ratios; "forward": of those by weights and input norms; "total": for the embedded model and its like (a
model of 7B keeps within 1.15); "re-cut": of 20 ms; "knife": of 300 ms."""

OF_WEIGHTS, OF_ROWS, OF_PROBES = ("magnitude-l1",), ("wanda", "wanda-sp", "flap"), ("zo", "fms-zo")
OF_GRADIENTS = ("llm-pruner", "fms-bp")
MOMENTS, SUBMODELS = ("forward in float32", "sparsegpt"), 16
METERED, UNMETERED = "wanda", "wanda without the meter"
DRAWN, MADE = "noise by generators", "noise by counters"
TOGETHER = ("wanda", "llm-pruner", "fms-bp", "fms-zo")
"""Those of the paper's Figure 2."""

FORWARD_ONLY = (*OF_WEIGHTS, *OF_ROWS, *OF_PROBES)


@dataclass(frozen=True)
class Row:
    """One line of the table: a ratio, the most it may be (None: a comparison), and the two figures it is made of."""

    what: str
    measured: float
    against: float
    unit: str
    budget: float | None = None

    @property
    def ratio(self) -> float:
        """Measured ÷ against."""
        return self.measured / self.against

    @property
    def verdict(self) -> str:
        """ "ok", "over", or "" where there is no budget."""
        return "" if self.budget is None else "ok" if self.ratio <= self.budget else "over"


@dataclass(frozen=True)
class Measured:
    """What was measured. seconds: the least of all repeats; peaks: bytes above the weights; weights: bytes."""

    weights: int
    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, seconds: float, peak: int | None = None) -> None:
        """Keep a measurement, if it is the least of its name."""
        self.seconds[name] = min(seconds, self.seconds.get(name, seconds))
        if peak is not None:
            self.peaks[name] = peak


@dataclass(frozen=True)
class Report:
    """The table, with what it was made from and where."""

    rows: list[Row]
    measured: Measured
    machine: dict[str, Any]

    @property
    def kept(self) -> bool:
        """Whether no budget is exceeded."""
        return all(row.verdict != "over" for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        rows = [{**asdict(row), "ratio": row.ratio, "verdict": row.verdict} for row in self.rows]
        return {"kept": self.kept, "machine": self.machine, "rows": rows, "measured": asdict(self.measured)}


def rows_of(m: Measured, reference_peak: int) -> list[Row]:
    """The table for what was measured.

    reference_peak: largest block in float32 + streams + one chunk of logits, in bytes (`reference_bytes`).
    """
    t, forward = m.seconds, m.seconds["forward"]
    plain = dict.fromkeys((*OF_WEIGHTS, *OF_ROWS), forward)
    plain |= {"zo": 2 * t["losses"], "fms-zo": forward + 2 * t["losses"]}
    plain |= {"llm-pruner": t["backward"], "fms-bp": forward + t["backward"]}
    kinds = {**dict.fromkeys(FORWARD_ONLY, "forward"), **dict.fromkeys(OF_GRADIENTS, "backprop")}
    budgets = {name: BUDGETS.get(name, BUDGETS[kind]) for name, kind in kinds.items()}
    words = "time ÷ plain passes over the same tokens"
    rows = [
        Row(f"{name}: {words}", t[name], plain[name], "s", budgets[name]) for name in (*FORWARD_ONLY, *OF_GRADIENTS)
    ]
    single, moments = MOMENTS
    if moments in t:
        rows.append(Row(f"{moments} in float32: {words}", t[moments], t[single], "s", BUDGETS["moments"]))
    apart = sum(t[name] for name in TOGETHER)
    one_walk = f"{', '.join(TOGETHER)}: time on one walk ÷ one after the other"
    rows.append(Row(one_walk, t["together"], apart, "s", BUDGETS["together"]))
    rows.append(Row(f"the meter: time of {METERED} ÷ {UNMETERED}", t[METERED], t[UNMETERED], "s", BUDGETS["meter"]))
    counted = "noise for all blocks: time by counters ÷ by generators"
    rows.append(Row(counted, t[MADE], t[DRAWN], "s", BUDGETS["noise"]))
    each = t["sub-models"] / SUBMODELS
    rows.append(Row("bonsai: time a sub-model ÷ a plain pass", each, t["losses"], "s", BUDGETS["sub-model"]))
    searched = "search: time of a generation ÷ one candidate after the other, all on two rows, a quarter on eight"
    rows.append(Row(searched, t["candidates"], t["one by one"], "s", BUDGETS["search"]))
    return rows + _peak_rows(m, reference_peak) + _baseline_rows(m)


def _peak_rows(m: Measured, reference_peak: int) -> list[Row]:
    worst = max(FORWARD_ONLY, key=lambda name: m.peaks[name])
    back, forth = (_megabytes(m.weights + m.peaks[name]) for name in ("fms-bp", "fms-zo"))
    what = f"{worst} (the most of those without backprop): peak above the weights ÷ block in float32 + streams + logits"
    return [
        Row(what, _megabytes(m.peaks[worst]), _megabytes(reference_peak), "MB", BUDGETS["peak"]),
        Row("fms-bp: total peak ÷ that of fms-zo", back, forth, "MB", BUDGETS["total"]),
    ]


def _baseline_rows(m: Measured) -> list[Row]:
    """The naive ways against ours: above 1, ours is cheaper."""
    rows = []
    for baseline, ours, words in (
        ("backward", "llm-pruner", "whole-model backward ÷ llm-pruner"),
        ("in place", "zo", "in-place MeZO ÷ zo"),
    ):
        theirs, own = (_megabytes(m.weights + m.peaks[name]) for name in (baseline, ours))
        rows += [
            Row(f"{words}: time", m.seconds[baseline], m.seconds[ours], "s"),
            Row(f"{words}: total peak", theirs, own, "MB"),
        ]
    return rows


def _megabytes(size: int) -> float:
    return size / 1e6


def reference_bytes(groups: Groups, rows: int, length: int, gradient_rows: int, bytes_each: int) -> int:
    """Largest block in float32 + streams (activation rows, gradient rows twice) + one chunk of logits in float32."""
    block = 4 * max(block.parameters for block in groups.blocks)
    streams = (rows + 2 * gradient_rows) * length * groups.width * bytes_each
    return block + streams + 4 * min(TAIL_TOKENS, length - 1) * groups.vocabulary
