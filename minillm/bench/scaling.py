"""How cost grows: one small model beside one of twice the blocks, the width, the tokens, the streams.

What the walk promises: time is linear in blocks and tokens, quadratic in width (as the weights are); memory does not
know how many blocks there are, and holds no weights again for another stream. A model on disk costs its reading.
"""

import weakref
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from ..criteria import CRITERIA
from ..events import finish
from ..families import groups_from_config
from ..families.groups import CHANNELS, HEADS
from ..models.load import load_model
from ..models.loaded import LoadedModel, wrap
from ..models.weights import quiet
from ..plan.overlap import overlap
from ..plan.plan import make_plan
from ..plan.scores import Scores
from ..scoring.group_masks import Mask, masked_losses_events
from ..scoring.score import score
from ..walk.memory import MemoryMeter
from .report import BUDGETS, Measured, Row

CRITERION, GRADIENT_ROWS = "fms-zo", 8
BLOCKS, WIDTH, ROWS, LENGTH, STREAMS, VOCABULARY = 4, 256, 32, 64, 8, 512
AXES = {"blocks": 2, "width": 4, "tokens": 2}
"""{what is doubled: by how much time should grow}."""

SECONDS_TO_REDRAW, RECUT = 0.02, 8
Work = dict[str, Callable[[], object]]


def work() -> Work:
    """What is measured, by name: functions that do it and return their peak above the weights, in bytes."""
    base = small_model()
    models = {
        "one": base,
        "blocks": small_model(blocks=2 * BLOCKS),
        "width": small_model(width=2 * WIDTH),
        "tokens": base,
    }
    tokens = {name: small_tokens(2 * ROWS if name == "tokens" else ROWS) for name in models}
    scored: Work = {f"scaling {name}": _scored(lm, tokens[name]) for name, lm in models.items()}
    streams: Work = {f"scaling {n} streams": _streams(base, n) for n in (STREAMS, 2 * STREAMS)}
    return {**scored, **streams, "scaling from disk": _scored(_from_disk(base), tokens["one"]), "re-cut": _recut()}


def rows(m: Measured) -> list[Row]:
    """Growth against what it should be: 1 is as promised, below is better."""
    t, p = m.seconds, m.peaks
    found = []
    for axis, growth in AXES.items():
        name, one = f"scaling {axis}", "scaling one"
        found.append(
            Row(f"{CRITERION}, twice the {axis}: time ÷ {growth} × that of one", t[name], growth * t[one], "s")
        )
        found.append(Row(f"{CRITERION}, twice the {axis}: peak ÷ that of one", p[name] / 1e6, p[one] / 1e6, "MB"))
    few, many = (f"scaling {n} streams" for n in (STREAMS, 2 * STREAMS))
    own = STREAMS * GRADIENT_ROWS * LENGTH * WIDTH * 4
    what = "sub-models, twice the streams: peak less what they hold ÷ that of one"
    disk = f"{CRITERION} of a model on disk: time ÷ that of one in memory"
    return [
        *found,
        Row("sub-models, twice the streams: time ÷ twice that of one", t[many], 2 * t[few], "s"),
        Row(what, (p[many] - own) / 1e6, p[few] / 1e6, "MB"),
        Row(disk, t["scaling from disk"], t["scaling one"], "s"),
        Row(
            f"LLaMA-7B cut anew at another ratio under {RECUT} criteria, and their overlap: time ÷ 20 ms",
            t["re-cut"],
            SECONDS_TO_REDRAW,
            "s",
            BUDGETS["re-cut"],
        ),
    ]


def small_model(blocks: int = BLOCKS, width: int = WIDTH) -> LoadedModel:
    """A random LLaMA, the same each time, in memory."""
    sizes: dict[str, Any] = {"hidden_size": width, "intermediate_size": 3 * width, "num_attention_heads": width // 32}
    config = LlamaConfig(vocab_size=VOCABULARY, num_hidden_layers=blocks, **sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return wrap(AutoModelForCausalLM.from_config(config).requires_grad_(False).eval())


def small_tokens(rows: int) -> Tensor:
    """Random rows of LENGTH tokens, the same each time."""
    return torch.randint(VOCABULARY, (rows, LENGTH), generator=torch.Generator().manual_seed(0))


def _scored(lm: LoadedModel, tokens: Tensor) -> Callable[[], object]:
    return lambda: score(lm, CRITERION, tokens, GRADIENT_ROWS).peak_bytes


def _streams(lm: LoadedModel, count: int) -> Callable[[], object]:
    masks = [_without(lm, channel) for channel in range(count)]

    def measurement() -> int:
        with MemoryMeter(lm.device) as meter:
            finish(masked_losses_events(lm, small_tokens(GRADIENT_ROWS), masks))
        return meter.peak_bytes

    return measurement


def _without(lm: LoadedModel, channel: int) -> Mask:
    """One channel of every block gone, another in each copy: copies that meet the same weights are computed once."""
    return {i: {CHANNELS: (torch.arange(b.channels) != channel).float()} for i, b in enumerate(lm.groups.blocks)}


def _from_disk(lm: LoadedModel) -> LoadedModel:
    """The same model in a folder that goes when the model does."""
    folder = TemporaryDirectory()
    with quiet():
        lm.model.save_pretrained(folder.name)
    away = load_model(Path(folder.name), device="cpu", offload="disk")
    weakref.finalize(away, folder.cleanup)
    return away


def _recut() -> Callable[[], object]:
    """What the ratio slider computes: plans and overlaps, for 32 blocks of 32 heads and 11,008 channels."""
    groups = groups_from_config(LlamaConfig())
    draw = np.random.default_rng(0)

    def vectors(kind: str) -> Mapping[int, np.ndarray]:
        return {i: draw.random(block.count(kind), np.float32) for i, block in enumerate(groups.blocks)}

    kept = [Scores(vectors(HEADS), vectors(CHANNELS), groups, {"criterion": c}) for c in list(CRITERIA)[:RECUT]]
    ratios = cycle((0.2, 0.3, 0.4, 0.5))

    def measurement() -> None:
        ratio = next(ratios)
        first, *others = (make_plan(scores, ratio) for scores in kept)
        for plan in others:
            overlap(first, plan)

    # Ranks are made once for all ratios, when scores are read.
    measurement()
    return measurement
