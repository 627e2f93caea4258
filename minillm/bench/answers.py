"""The knife against what a reader waits for: the bars of a cut model, in this process, without a browser or a pipe.

Cuts are drawn as readers drag them: a hundred channels of one block, each time another one; of the answers' times, the
one that 95 of 100 stay within counts.
"""

import random
import time
from collections.abc import Callable
from contextlib import closing

import numpy as np

from ..evaluation.ablation import Knife
from ..events import finish
from ..families.groups import CHANNELS
from ..models.loaded import LoadedModel
from .report import BUDGETS, Measured, Row

KNIFE, SENTENCE = "knife", "The capital of France is"
SECONDS_TO_SHOW = 0.3
CUTS, DRAGGED = 40, 100


def work(lm: LoadedModel, now: Callable[[], float] = time.perf_counter) -> dict[str, Callable[[], float]]:
    """What is measured, by name: functions that do it and return seconds; nothing for a model without a tokenizer."""
    return {KNIFE: lambda: _slow_answer(lm, now)} if callable(lm.tokenizer) else {}


def rows(m: Measured) -> list[Row]:
    """The knife's row, where it was measured."""
    if KNIFE not in m.seconds:
        return []
    what = "knife: bars of a cut model, 95 of 100 ÷ 300 ms"
    return [Row(what, m.seconds[KNIFE], SECONDS_TO_SHOW, "s", BUDGETS[KNIFE])]


def _slow_answer(lm: LoadedModel, now: Callable[[], float]) -> float:
    knife, draw, times = Knife(lm), random.Random(0), []
    finish(knife.answer_events(SENTENCE, {}))
    for _ in range(CUTS):
        layer = draw.randrange(len(lm.groups))
        channels = lm.groups.blocks[layer].channels
        first = draw.randrange(max(1, channels - DRAGGED))
        cut = {layer: {CHANNELS: range(first, min(first + DRAGGED, channels))}}
        started = now()
        with closing(knife.answer_events(SENTENCE, cut)) as events:
            next(events)
        times.append(now() - started)
    return float(np.quantile(times, 0.95))
