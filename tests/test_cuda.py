"""On a GPU: the same scores as on the CPU, peaks by the allocator, blocks that wait elsewhere. Skipped without one."""

import copy

import numpy as np
import pytest
import tiny
import torch

from minillm.criteria import judging
from minillm.families.groups import CHANNELS
from minillm.models.load import load_model
from minillm.models.loaded import wrap
from minillm.plan.plan import make_plan
from minillm.scoring.noise import noise
from minillm.scoring.score import score
from minillm.surgery.cut import prune
from minillm.walk.memory import MemoryMeter

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")

DRAWN = ("random", "zo", "fms-zo")
"""What draws from a device's own generator, or takes a small difference of two losses."""


def both(build=tiny.llama):
    """The same model on the CPU and on the GPU."""
    model = build()
    return wrap(model), wrap(copy.deepcopy(model).to("cuda"))


@pytest.mark.parametrize("criterion", [name for name in judging(CHANNELS) if name not in DRAWN])
def test_scores_are_those_of_the_cpu(criterion):
    here, there = (score(lm, criterion, tiny.tokens(8, 20), 4, steps=3) for lm in both())
    for kind in ("heads", "channels"):
        for layer, values in getattr(here, kind).items():
            np.testing.assert_allclose(getattr(there, kind)[layer], values, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["gaussian", "rademacher"])
def test_noise_is_that_of_the_cpu(kind):
    here, there = (noise(torch.empty(600, 1000, device=device), kind, 1, "q") for device in ("cpu", "cuda"))
    assert there.is_cuda and torch.equal(there.cpu(), here)


@pytest.mark.parametrize("criterion", DRAWN)
def test_what_is_drawn_is_drawn_again_by_its_seed(criterion):
    _, lm = both()
    one, same, other = (score(lm, criterion, tiny.tokens(8, 20), 4, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one.channels[i], same.channels[i]) for i in one.channels)
    assert not np.array_equal(one.channels[0], other.channels[0])


def test_a_cut_model_stays_on_the_gpu_and_means_the_same():
    here, there = both()
    plan = make_plan(score(here, "wanda", tiny.tokens(8, 20), 4), 0.2)
    small, same = prune(here, plan, "least-squares", tiny.tokens()), prune(there, plan, "least-squares", tiny.tokens())
    assert {p.device.type for p in same.model.parameters()} == {"cuda"}
    with torch.no_grad():
        wanted, found = small.model(tiny.tokens()).logits, same.model(tiny.tokens().cuda()).logits
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-3)


def test_the_peak_is_the_allocators():
    with MemoryMeter("cuda") as meter:
        meter.phase("small")
        a = torch.empty(2**20, device="cuda")
        meter.phase("large")
        b = torch.empty(2**22, device="cuda")
        del a, b
    peaks = [phase["peak_bytes"] for phase in meter.timeline]
    assert peaks == [4 * 2**20, 5 * 4 * 2**20] and meter.peak_bytes == peaks[1]


@pytest.mark.parametrize("place", ["cpu", "disk"])
@pytest.mark.parametrize("criterion", ["wanda", "fms-bp", "fms-zo"])
def test_blocks_that_wait_elsewhere_are_scored_as_those_on_the_gpu(criterion, place, tmp_path):
    folder = tiny.saved(tmp_path / "model")
    whole, away = load_model(folder, device="cuda"), load_model(folder, device="cuda", offload=place)
    assert all(p.is_meta for p in away.family.block_list(away.model).parameters())
    here, there = (score(lm, criterion, tiny.tokens(8, 20), 4) for lm in (whole, away))
    assert all(np.array_equal(here.channels[i], there.channels[i]) for i in here.channels)
