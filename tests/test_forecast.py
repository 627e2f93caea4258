"""The forecast against the allocator's measured peaks, and against what makes memory grow."""

import pytest
import tiny
import torch

from minillm.criteria import CRITERIA, find
from minillm.errors import DoesNotFit
from minillm.families import groups_from_config
from minillm.forecast import check_fits, forecast
from minillm.models import wrap
from minillm.scoring import score
from minillm.settings import Settings

LOW, HIGH = 0.8, 1.35
"""What a forecast may be of the measured peak: room for temporaries it does not count, never far too little."""


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def middling(request):
    """Large enough that tensors, not book-keeping, decide the peak."""
    return wrap(tiny.llama(layers=6, heads=9, kv=3, width=288, ffn=768, vocab_size=8000, dtype=request.param))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_forecast_meets_the_measured_peak(middling, criterion):
    tokens, settings = tiny.tokens(48, 64), {"submodels": 16, "directions": 1}
    found = score(middling, criterion, tokens, 10, **settings)
    each = middling.model.lm_head.weight.element_size()
    told = forecast(middling.groups, find(criterion), 48, 64, 10, each, Settings(**settings))
    assert LOW * found.peak_bytes < told.above < HIGH * found.peak_bytes


@pytest.mark.parametrize(
    "settings", [{"directions": 3}, {"minibatch": 5}, {"scope": "groups", "directions": 4}], ids=str
)
def test_forecast_follows_the_settings(middling, settings):
    found = score(middling, "fms-zo", tiny.tokens(48, 64), 10, **settings)
    each = middling.model.lm_head.weight.element_size()
    told = forecast(middling.groups, find("fms-zo"), 48, 64, 10, each, Settings(**settings))
    assert LOW * found.peak_bytes < told.above < HIGH * found.peak_bytes


def test_weights_are_counted_and_half_precision_halves_them():
    groups = groups_from_config(tiny.llama().config)
    whole, half = (forecast(groups, find("wanda"), bytes_each=each) for each in (4, 2))
    assert whole.weights == 4 * groups.parameters == 2 * half.weights
    assert whole.total == whole.weights + whole.above


def test_a_job_that_does_not_fit_is_refused_with_numbers_and_a_way_out():
    told = forecast(groups_from_config(tiny.llama().config), find("fms-bp"))
    check_fits(told, told.total)
    with pytest.raises(DoesNotFit, match=r"needs about 0\.0 GB .* are free; take a half-precision dtype"):
        check_fits(told, told.total - 1)
