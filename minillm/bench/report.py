"""From seconds and peaks to the table of budgets. Plain data: what was measured goes in, rows come out."""

import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..groups import Groups
from ..models import LoadedModel

BUDGETS = {"forward": 1.25, "moments": 2.2, "backprop": 1.4, "sub-model": 1.1, "peak": 1.25, "total": 1.35}
"""At most these ratios; "total" for the embedded model and its like (a model of 7B keeps within 1.15)."""

OF_WEIGHTS, OF_ROWS, OF_PROBES = ("magnitude-l1",), ("wanda", "wanda-sp", "flap"), ("zo", "fms-zo")
OF_GRADIENTS = ("llm-pruner", "fms-bp")
FORWARD_ONLY = (*OF_WEIGHTS, *OF_ROWS, *OF_PROBES)


@dataclass(frozen=True)
class Row:
    """One ratio. what: measured ÷ with what; measured: the ratio; budget: the most it may be (None: for comparison)."""

    what: str
    measured: float
    budget: float | None = None

    @property
    def verdict(self) -> str:
        """ "ok", "over", or "" where there is no budget."""
        return "" if self.budget is None else "ok" if self.measured <= self.budget else "over"


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
        rows = [{**asdict(row), "verdict": row.verdict} for row in self.rows]
        return {"kept": self.kept, "rows": rows, "measured": asdict(self.measured), "machine": self.machine}


def rows_of(m: Measured, reference_peak: int) -> list[Row]:
    """The budgets' rows for what was measured; what was not measured has none.

    reference_peak: largest block in float32 + streams + one chunk of logits, in bytes (`reference_bytes`).
    """
    t, activations = m.seconds, m.seconds["forward"]
    base = {name: activations for name in (*OF_WEIGHTS, *OF_ROWS)}
    base |= {"zo": t["two losses"], "fms-zo": activations + t["two losses"]}
    base |= {"llm-pruner": t["backward"], "fms-bp": activations + t["backward"]}
    rows = [
        Row(f"{name}: time ÷ plain forward", t[name] / base[name], BUDGETS["forward"])
        for name in FORWARD_ONLY
        if name in t
    ]
    if "sparsegpt" in t:
        ratio = t["sparsegpt"] / t["forward in float32"]
        rows.append(Row("sparsegpt in float32: time ÷ plain forward", ratio, BUDGETS["moments"]))
    rows += [
        Row(f"{name}: time ÷ plain forward, and backward over its rows", t[name] / base[name], BUDGETS["backprop"])
        for name in OF_GRADIENTS
        if name in t
    ]
    if "sub-model" in t:
        rows.append(Row("bonsai: time a sub-model ÷ plain forward", t["sub-model"] / t["losses"], BUDGETS["sub-model"]))
    return rows + _peak_rows(m, reference_peak) + _baseline_rows(m)


def _peak_rows(m: Measured, reference_peak: int) -> list[Row]:
    worst = max((name for name in FORWARD_ONLY if name in m.peaks), key=lambda name: m.peaks[name])
    what = f"peak above the weights, forward only ({worst}) ÷ block in float32 + streams + chunk of logits"
    rows = [Row(what, m.peaks[worst] / reference_peak, BUDGETS["peak"])]
    if "fms-bp" in m.peaks:
        ratio = (m.weights + m.peaks["fms-bp"]) / (m.weights + m.peaks["fms-zo"])
        rows.append(Row("total peak, fms-bp ÷ fms-zo", ratio, BUDGETS["total"]))
    return rows


def _baseline_rows(m: Measured) -> list[Row]:
    """The two baselines, against ours. Above 1: ours is cheaper."""
    rows = []
    for baseline, ours, words in (
        ("backward", "llm-pruner", "backprop keeping all gradients ÷ llm-pruner here"),
        ("in place", "zo", "zeroth order in place (MeZO) ÷ zo here"),
    ):
        if baseline in m.seconds and ours in m.seconds:
            rows.append(Row(f"{words}: time", m.seconds[baseline] / m.seconds[ours]))
        if baseline in m.peaks and ours in m.peaks:
            ratio = (m.weights + m.peaks[baseline]) / (m.weights + m.peaks[ours])
            rows.append(Row(f"{words}: total peak", ratio))
    return rows


def reference_bytes(groups: Groups, rows: int, gradient_rows: int, length: int, bytes_each: int) -> int:
    """Largest block in float32 + streams (activation rows, and gradient rows twice) + one chunk of logits in float32."""
    block = 4 * max(block.parameters for block in groups.blocks)
    streams = (rows + 2 * gradient_rows) * length * groups.width * bytes_each
    return block + streams + 4 * min(128, length) * groups.vocabulary


def machine(lm: LoadedModel) -> dict[str, Any]:
    """Where and with what it was measured."""
    device = torch.cuda.get_device_name(lm.device) if lm.device.type == "cuda" else _processor()
    return {
        "model": lm.source,
        "parameters": lm.parameters,
        "dtype": str(lm.dtype).removeprefix("torch."),
        "device": device,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }


def _processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or "CPU"
