"""Which blocks an update trains: how many, with what probability, and what is learnt of them."""

import math
from contextlib import contextmanager
from typing import Any

import pytest
import tiny
import torch

from minillm.errors import BadInput
from minillm.models.loaded import wrap
from minillm.recipes.presets import RecoverySettings
from minillm.recipes.trains import DRAWN, TRAINS
from minillm.surgery import draw
from minillm.surgery.draw import Draw
from minillm.surgery.lesson import Lesson
from minillm.surgery.recovery import recover
from minillm.surgery.trained import trained

ADAPTERS = [name for name, one in TRAINS.items() if one.adapter]
ONCE = {"loss": "language-model", "steps": 1, "batch": 6, "held_out": 6, "warmup": 0, "rank": 2}


class Fake:
    """Adapters whose loss is known: the weaker a block, the more of `harm` it costs."""

    def __init__(self, blocks: int, harm: list[float]) -> None:
        self.blocks: Any = [[torch.zeros(1, requires_grad=True)] for _ in range(blocks)]
        self.harm, self.weak, self.strength = harm, [], 1.0
        self.tried: list[list[int]] = []

    @contextmanager
    def weaker(self, layers: list[int], strength: float) -> Any:
        self.weak, self.strength = list(layers), strength
        self.tried.append(self.weak)
        yield
        self.weak = []

    def loss(self) -> float:
        return 1 + (1 - self.strength) * sum(self.harm[layer] for layer in self.weak)


def drawing(way: Any, drawn: str, seed: int = 0) -> Draw:
    return Draw(way, RecoverySettings(drawn=drawn, seed=seed))


@pytest.mark.parametrize("trains", ADAPTERS)
@pytest.mark.parametrize("drawn", ["ist", "rst"])
def test_no_more_than_a_quarter_of_the_blocks_changes_in_an_update(trains: str, drawn: str) -> None:
    small = wrap(tiny.llama(layers=9))
    rows = (torch.arange(3, 15)[:, None] + torch.arange(16)[None]) % 60 + 3
    settings = {**ONCE, "trains": trains, "drawn": drawn, "learning_rate": 1e-3}
    changed = []
    for seed in range(4):
        fixed = recover(small, rows, **settings, seed=seed)
        if fixed.history[-1]["best_step"] == 0:
            continue
        before, after = (small.family.block_list(lm.model) for lm in (small, fixed))
        moved = [
            layer
            for layer, (a, b) in enumerate(zip(before, after, strict=True))
            if any(not torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
        ]
        changed.append(moved)
        assert 1 <= len(moved) <= 9 // 4
    assert len({tuple(one) for one in changed}) > 1


def test_below_the_lowest_drawn_block_there_is_no_way_back() -> None:
    way = trained(wrap(tiny.llama(layers=8)), RecoverySettings(rank=2, drawn="rst"), Lesson(tiny.tokens(2, 8)))
    asked: dict[int, bool] = {}
    for layer, block in enumerate(way.lm.family.block_list(way.lm.model)):
        block.register_forward_hook(lambda _, args, out, i=layer: asked.update({i: out.requires_grad}))
    drawn = drawing(way, "rst", seed=3).begin()
    way.lm.model(tiny.tokens(2, 8))
    assert drawn and asked == {layer: layer >= min(drawn) for layer in range(8)}


def test_all_blocks_are_trained_where_nothing_else_is_asked() -> None:
    way = Fake(8, [0] * 8)
    assert drawing(way, "all").begin() == list(range(8)) and all(block[0].requires_grad for block in way.blocks)


def test_blocks_without_adapters_are_never_drawn() -> None:
    way = Fake(8, [0] * 8)
    way.blocks[2] = way.blocks[5] = []
    one = drawing(way, "rst")
    seen = {layer for _ in range(60) for layer in one.begin()}
    assert seen == {0, 1, 3, 4, 6, 7}


@pytest.mark.parametrize("step", [9, 10, 20])
def test_what_is_learnt_is_the_formula(step: int) -> None:
    """One trial after the other, by hand: I += 10·(e^−loss − mean)·σ(I)(1 − σ(I)) for the weakened blocks."""
    harm = [0.0, 0.3, 0.0, 0.8, 0.1, 0.0, 0.5, 0.2]
    way = Fake(8, harm)
    one = drawing(way, "ist")
    begin = [0.3 * i - 1 for i in range(8)]
    one.unimportance = torch.tensor(begin, dtype=torch.float64)
    one.learn(step, way.loss)
    wanted = list(begin)
    assert len(way.tried) == (3 if step % 10 == 0 else 0)
    assert len({tuple(half) for half in way.tried}) == len(way.tried)
    gains = [math.exp(-(1 + 0.75 * sum(harm[i] for i in half))) for half in way.tried]
    for half, gain in zip(way.tried, gains, strict=True):
        assert len(half) == 4
        for i in half:
            s = 1 / (1 + math.exp(-begin[i]))
            wanted[i] += 10 * (gain - sum(gains) / 3) * s * (1 - s)
    assert one.unimportance.tolist() == pytest.approx(wanted)


def test_blocks_that_matter_are_drawn_more_often_once_it_is_known() -> None:
    harm = [2.0, 2.0, 0, 0, 0, 0, 0, 0]
    way = Fake(8, harm)
    one = drawing(way, "ist")
    for step in range(10, 2000, 10):
        one.learn(step, way.loss)
    assert max(one.unimportance[:2]) < min(one.unimportance[2:])
    drawn = [layer for _ in range(400) for layer in one.begin()]
    chance = drawing(way, "rst")
    assert drawn.count(0) + drawn.count(1) > 1.5 * sum(layer in (0, 1) for _ in range(400) for layer in chance.begin())


def test_blocks_are_drawn_by_their_probability_without_replacement() -> None:
    """Two of eight, by I of one block alone: held against drawing one after the other."""
    way = Fake(8, [0] * 8)
    one = drawing(way, "ist")
    one.unimportance[0] = 1.5
    weights = [1 / (1 + math.exp(1.5))] + [0.5] * 7
    whole = sum(weights)
    wanted = weights[0] / whole + sum(w / whole * weights[0] / (whole - w) for w in weights[1:])
    found = sum(0 in one.begin() for _ in range(4000)) / 4000
    assert found == pytest.approx(wanted, abs=0.02)


def test_adapters_tried_at_full_strength_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw, "WEAKER", 1.0)
    small = wrap(tiny.llama(layers=8))
    settings = {**ONCE, "steps": 20, "drawn": "ist", "learning_rate": 1e-3}
    fixed = recover(small, tiny.tokens(12, 12), **settings)
    assert fixed.history[-1]["unimportance"] == pytest.approx([0] * 8, abs=1e-12)
    monkeypatch.undo()
    assert max(map(abs, recover(small, tiny.tokens(12, 12), **settings).history[-1]["unimportance"])) > 1e-9


@pytest.mark.parametrize("blocks", [1, 2, 3, 5])
def test_few_blocks_are_drawn_one_at_least(blocks: int) -> None:
    way = Fake(blocks, [0.1] * blocks)
    one = drawing(way, "ist")
    assert len(one.begin()) == 1
    one.learn(10, way.loss)
    assert all(len(half) == blocks // 2 for half in way.tried)


@pytest.mark.parametrize("drawn", [name for name in DRAWN if name != "all"])
@pytest.mark.parametrize("trains", [name for name in TRAINS if name not in ADAPTERS])
def test_weights_are_trained_in_all_blocks_or_refused(trains: str, drawn: str) -> None:
    with pytest.raises(BadInput, match=f"drawn \\({drawn}\\) for adapters, and {trains} trains the weights"):
        RecoverySettings(trains=trains, drawn=drawn)
