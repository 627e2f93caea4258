"""What a recovery will take: exact in what is trained, near the measured peak in all."""

from dataclasses import replace
from functools import partial

import published
import pytest
import tiny
import torch

from minillm.errors import DoesNotFit
from minillm.models.loaded import wrap
from minillm.recipes.presets import RecoverySettings
from minillm.recipes.recovery_memory import check_recovery_fits, recovery_memory, trained_numbers
from minillm.recipes.trains import LORA, OUTPUTS, SPARSE, TRAINS
from minillm.surgery.lesson import Lesson
from minillm.surgery.recovery import recover
from minillm.surgery.trained import trained
from minillm.walk.memory import MemoryMeter

PUBLISHED = ("gpt2", "olmo-2-1b", "gemma-2-2b", "phi-4-mini", "glm-4-9b", "mpt-7b", "falcon-40b", "starcoder2-3b")
MADE = {
    "llama": tiny.tied,
    "opt": tiny.opt,
    "bloom": tiny.bloom,
    "neox": tiny.neox,
    **{name: partial(published.shrunk, name) for name in PUBLISHED},
}


@pytest.mark.parametrize("family", MADE)
@pytest.mark.parametrize("trains", TRAINS)
def test_what_is_trained_is_counted(family: str, trains: str) -> None:
    small, asked = wrap(MADE[family]()), RecoverySettings(trains=trains, rank=3)
    found = sum(trained(small, asked, Lesson(tiny.tokens(3, 8))).blocks, [])
    weights = [p for p in found if trains != OUTPUTS or p.dim() == 2]
    assert trained_numbers(small.groups, asked) == sum(p.numel() for p in weights)


@pytest.mark.parametrize("trains", TRAINS)
@pytest.mark.parametrize("rows", [4, 32])
def test_the_forecast_is_near_the_measured_peak(trains: str, rows: int) -> None:
    small = wrap(tiny.llama(hidden_size=96, intermediate_size=256, num_hidden_layers=4, vocab_size=512))
    asked = RecoverySettings(trains=trains, steps=2, batch=rows, held_out=2, loss="language-model")
    text = torch.randint(3, 512, (rows + 2, 48), generator=torch.Generator().manual_seed(0))
    with MemoryMeter() as meter:
        recover(small, text, **asked.to_json())
    forecast = sum(recovery_memory(small.groups, asked, 48).values())
    assert 0.7 < forecast / meter.peak_bytes < 1.4


@pytest.mark.parametrize("places", ["gradient", "fisher", "magnitude"])
def test_the_forecast_counts_the_choice_of_places(places: str) -> None:
    """Many rows to score, few to train on: what chooses takes most."""
    small = wrap(tiny.llama(hidden_size=96, intermediate_size=256, num_hidden_layers=12, vocab_size=512))
    asked = RecoverySettings(
        trains=SPARSE, places=places, score_rows=128, steps=1, batch=1, rank=1, held_out=2, loss="language-model"
    )
    text = torch.randint(3, 512, (130, 48), generator=torch.Generator().manual_seed(0))
    with MemoryMeter() as meter:
        recover(small, text, **asked.to_json())
    forecast = sum(recovery_memory(small.groups, asked, 48).values())
    assert 0.7 < forecast / meter.peak_bytes < 1.4


def test_what_keeps_zeros_is_not_asked_to_give_way_to_what_does_not() -> None:
    small = wrap(tiny.tied())
    asked = RecoverySettings(trains=SPARSE, batch=64)
    with pytest.raises(DoesNotFit, match="train (spp|sparse) with pieces 64"):
        least = sum(recovery_memory(small.groups, replace(asked, trains="spp", accumulate=64), 128, 4).values())
        check_recovery_fits(small.groups, asked, 128, least, 4)


def test_what_does_not_fit_says_what_would() -> None:
    small = wrap(tiny.tied())
    asked = RecoverySettings(trains="blocks", batch=64)
    needed = sum(recovery_memory(small.groups, asked, 128, 4).values())
    check_recovery_fits(small.groups, asked, 128, needed, 4)
    less = sum(recovery_memory(small.groups, replace(asked, trains=LORA, accumulate=64), 128, 4).values())
    with pytest.raises(DoesNotFit, match="train lora with pieces 64"):
        check_recovery_fits(small.groups, asked, 128, less, 4)
    with pytest.raises(DoesNotFit, match="more memory"):
        check_recovery_fits(small.groups, asked, 128, 10, 4)
