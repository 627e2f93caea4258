"""Candidates are judged alike however often and in whatever order they are asked about, and on no row twice."""

import pytest
import tiny
import torch

import minillm
from minillm.allocation import candidates as module
from minillm.allocation.candidates import KL, PERPLEXITY, Candidates
from minillm.events import finish
from minillm.families.groups import CHANNELS, HEADS
from minillm.models.loaded import LoadedModel

ROWS = 7


@pytest.fixture
def lm() -> LoadedModel:
    return minillm.wrap(tiny.llama(), tiny.tokenizer())


@pytest.fixture
def walked(monkeypatch) -> list[tuple[int, int]]:
    """(candidates, rows) of every walk."""
    found, events = [], module.masked_losses_events

    def noted(lm, rows, masks, **more):
        found.append((len(masks), len(rows)))
        return events(lm, rows, masks, **more)

    monkeypatch.setattr(module, "masked_losses_events", noted)
    return found


def masks(lm: LoadedModel, count: int) -> list:
    """Masks that take one more channel each, and a head."""
    block = lm.groups.blocks[1]
    return [
        {1: {CHANNELS: (torch.arange(block.channels) > i).float(), HEADS: (torch.arange(block.heads) > 0).float()}}
        for i in range(count)
    ]


@pytest.mark.parametrize("measure", [KL, PERPLEXITY])
def test_rows_that_were_judged_are_not_walked_again_and_nothing_changes(lm, walked, measure):
    rows, some = tiny.tokens(ROWS), masks(lm, 4)
    judge = Candidates(lm, rows, measure, stages=(1, 5, ROWS))
    few = finish(judge.fitness_events(some, 1))
    more = finish(judge.fitness_events(some[2:], 5))
    assert walked == [(4, 1), (2, 4)]
    assert finish(judge.fitness_events(some, 1)) == few and len(walked) == 2
    whole = finish(judge.fitness_events(some[::-1]))[::-1]
    assert walked[2:] == [(2, 4), (4, 2)]
    anew = Candidates(lm, rows, measure, stages=(1, 5, ROWS))
    assert finish(anew.fitness_events(some)) == whole and finish(anew.fitness_events(some[2:], 5)) == more
    at_once = finish(Candidates(lm, rows, measure).fitness_events(some))
    assert whole == pytest.approx(at_once, rel=1e-5) and len(set(whole)) == 4


def test_the_dense_model_is_walked_once(lm, monkeypatch):
    walks, events = [], module.forward_events
    monkeypatch.setattr(module, "forward_events", lambda *given, **more: walks.append(1) or events(*given, **more))
    judge = Candidates(lm, tiny.tokens(ROWS), stages=(1, ROWS))
    for rows in (1, ROWS, 3):
        finish(judge.fitness_events(masks(lm, 2), rows))
    assert len(walks) == 1
