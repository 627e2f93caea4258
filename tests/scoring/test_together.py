"""Several criteria on one walk: to the last bit what each finds alone, with every block read once."""

import numpy as np
import pytest
import tiny

from minillm.criteria import judging
from minillm.errors import NumericalFault
from minillm.events import RESULT
from minillm.families.groups import CHANNELS
from minillm.models.loaded import wrap
from minillm.scoring.score import score, score_together, score_together_events
from minillm.walk import forward, reverse

FOUR = ("wanda", "llm-pruner", "fms-bp", "fms-zo")


def same(one, other) -> bool:
    vectors = [(getattr(one, kind), getattr(other, kind)) for kind in ("heads", "channels")]
    return all(np.array_equal(a[layer], b[layer]) for a, b in vectors for layer in a)


@pytest.fixture
def read(monkeypatch):
    """How often all blocks were gone through: {"forward", "reverse"}."""
    times = {"forward": 0, "reverse": 0}

    def counting(module, name):
        real = module.in_turn

        def counted(blocks):
            times[name] += 1
            return real(blocks)

        monkeypatch.setattr(module, "in_turn", counted)

    counting(forward, "forward")
    counting(reverse, "reverse")
    return times


@pytest.mark.parametrize("build", [tiny.llama, tiny.opt, tiny.bloom])
def test_every_criterion_finds_what_it_finds_alone(build):
    lm, tokens = wrap(build()), tiny.tokens(8, 20)
    found = score_together(lm, list(judging(CHANNELS)), tokens, 4, seed=3, steps=3)
    assert list(found) == list(judging(CHANNELS))
    for name, scores in found.items():
        assert same(scores, score(lm, name, tokens, 4, seed=3, steps=3)), name


@pytest.mark.parametrize(
    "settings",
    [{"directions": 3}, {"minibatch": 2}, {"taylor": "param_second"}, {"scope": "groups"}, {"taylor": "vectorize"}],
    ids=str,
)
def test_whatever_the_settings(settings):
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 20)
    for name, scores in score_together(lm, FOUR, tokens, 4, **settings).items():
        assert same(scores, score(lm, name, tokens, 4, **settings)), name


def test_blocks_are_read_once_there_and_once_back(read):
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 20)
    score_together(lm, (*FOUR, "sparsegpt", "flap", "ziplm"), tokens, 4)
    assert read == {"forward": 1, "reverse": 1}
    for name in FOUR:
        score(lm, name, tokens, 4)
    assert read == {"forward": 5, "reverse": 3}


def test_rows_that_two_go_back_on_go_forward_once():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 20)
    seen = []
    first = lm.family.block_linears(lm.family.block_list(lm.model)[0])["q"]
    handle = first.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    score_together(lm, ("llm-pruner", "fms-bp", "wanda"), tokens, 4)
    handle.remove()
    assert sorted(seen) == [4, 4, 8]


def test_events_say_whose_they_are_and_count_to_the_end():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 20)
    events = list(score_together_events(lm, ("magnitude-l1", *FOUR), tokens, 4))
    for name in ("magnitude-l1", *FOUR):
        own = [event for event in events if event.stage == f"score:{name}"]
        assert [event.done for event in own] == list(range(1, own[0].total + 1))
        assert sorted(event.payload["layer"] for event in own if event.payload) == list(range(len(lm.groups)))
    assert events[-1].stage == RESULT


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("bonsai", {"submodels": 37}),
        ("bonsai", {"submodels": 9, "rounds": 2}),
        ("zo", {"scope": "groups", "directions": 9}),
    ],
)
def test_steps_are_counted_to_the_end_also_where_sub_models_take_several_goes(name, settings):
    events = list(score_together_events(wrap(tiny.llama()), (name,), tiny.tokens(4, 12), 4, **settings))
    own = [event for event in events if event.stage == f"score:{name}"]
    assert [event.done for event in own] == list(range(1, own[0].total + 1))


def test_ending_early_and_a_fault_leave_nothing_behind():
    lm, tokens = wrap(tiny.llama()), tiny.tokens(8, 20)
    events = score_together_events(lm, FOUR, tokens, 4)
    next(events)
    events.close()
    blocks = lm.family.block_list(lm.model)
    assert not any("forward" in block.__dict__ for block in blocks)
    assert not any(linear._forward_pre_hooks for b in blocks for linear in lm.family.block_linears(b).values())
    lm.model.model.layers[1].mlp.down_proj.weight.data[0, 0] = float("inf")
    with pytest.raises(NumericalFault):
        score_together(lm, FOUR, tokens, 4)
