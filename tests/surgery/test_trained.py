"""What a recovery trains: which weights move, by how much, and that they come home in their own number format."""

from typing import Any

import pytest
import tiny
import torch

from minillm.models.loaded import LoadedModel, wrap
from minillm.recipes.presets import RecoverySettings
from minillm.recipes.trains import BLOCKS, LORA, OUTPUTS, SPARSE, SPP, TRAINS
from minillm.surgery.lesson import Lesson
from minillm.surgery.recovery import recover
from minillm.surgery.trained import WAYS, trained

MADE = {"llama": tiny.tied, "opt": tiny.opt, "bloom": tiny.bloom}
ONCE = {"loss": "language-model", "steps": 1, "warmup": 0, "held_out": 2, "batch": 8, "learning_rate": 1e-3}


def text() -> torch.Tensor:
    """A language simple enough that every update helps on rows held out: each word follows the one before it."""
    return torch.arange(3, 13)[:, None] + torch.arange(16)[None]


def moved(small: LoadedModel, fixed: LoadedModel) -> set[str]:
    """Names of the parameters that training has changed."""
    before = dict(small.model.named_parameters())
    return {name for name, p in fixed.model.named_parameters() if not torch.equal(p, before[name])}


def inside(small: LoadedModel, linears: set[str] | None = None) -> set[str]:
    """Names of the blocks' parameters: of these linears, or all."""
    paths = [small.family.linears[name] for name in linears or ()]
    names = {name for name, _ in small.model.named_parameters() if name.startswith(small.family.blocks)}
    return names if linears is None else {n for n in names if any(f".{path}." in n for path in paths)}


@pytest.mark.parametrize("family", MADE)
@pytest.mark.parametrize("trains", TRAINS)
def test_what_is_named_moves_and_nothing_else(family: str, trains: str) -> None:
    small = wrap(MADE[family]())
    last = {s.linear for s in small.family.structures if s.axis == "columns"}
    linears = inside(small, set(small.family.linears))
    wanted = {LORA: linears, SPP: linears, SPARSE: linears, OUTPUTS: inside(small, last), BLOCKS: inside(small)}
    found = moved(small, recover(small, text(), trains=trains, **{**ONCE, "steps": 3}))
    # Adapters stand beside weights; a bias stays. Of all weights, a key's bias shifts every score alike: no gradient.
    expected = {n for n in wanted[trains] if not TRAINS[trains].adapter or n.endswith("weight")}
    assert found and found <= expected
    # Where changes go wherever the gradient is highest, a linear may get none.
    assert trains == SPARSE or all("bias" in name for name in expected - found)


def test_the_first_update_of_weights_is_adams_on_the_gradient_of_plain_transformers() -> None:
    small = wrap(tiny.tied())
    fixed = recover(small, text(), trains=BLOCKS, **ONCE)
    rows = text()[2:]
    model = tiny.tied()
    model(input_ids=rows, labels=rows).loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for n, p in model.named_parameters() if n in inside(small)])
    before = dict(small.model.named_parameters())
    gradients = {n: p.grad / max(1.0, float(norm)) for n, p in model.named_parameters() if n in inside(small)}
    for name, p in fixed.model.named_parameters():
        if name in gradients:
            g = gradients[name]
            torch.testing.assert_close(p, before[name] - 1e-3 * g / (g.abs() + 1e-8), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("trains", [OUTPUTS, BLOCKS])
def test_bfloat16_weights_are_trained_in_float32_and_come_home_rounded_once(trains: str) -> None:
    """Updates of 1e-6 are lost one by one in bfloat16; together they are not."""
    half, full = wrap(tiny.tied().bfloat16()), wrap(tiny.tied().bfloat16().float())
    slow: dict[str, Any] = {**ONCE, "steps": 40, "learning_rate": 2e-5, "trains": trains, "evaluate_every": 40}
    found, exact = recover(half, text(), **slow), recover(full, text(), **slow)
    assert found.dtype == torch.bfloat16 and moved(half, found)
    for p, q in zip(found.model.parameters(), exact.model.parameters(), strict=True):
        assert torch.equal(p, q.bfloat16())


@pytest.mark.parametrize("trains", TRAINS)
def test_a_state_is_what_it_was_whatever_is_learnt_later(trains: str) -> None:
    way = trained(wrap(tiny.tied()), RecoverySettings(trains=trains), Lesson(text()))
    kept = way.state()
    copies = {name: value.clone() for name, value in kept.items()}
    with torch.no_grad():
        for parameter in sum(way.blocks, []):
            parameter.add_(1)
    assert all(torch.equal(kept[name], copies[name]) for name in kept)
    way.restore(kept)
    assert all(torch.equal(value, copies[name]) for name, value in way.state().items())


def test_every_name_has_its_way() -> None:
    assert set(WAYS) == set(TRAINS)
