"""The knife: a model under masks says what the model really cut says, and gives back the group that matters most."""

import itertools
from functools import partial

import published
import pytest
import tiny
import torch

from minillm.errors import BadInput
from minillm.evaluation.ablation import Knife
from minillm.evaluation.generation import generate
from minillm.evaluation.perplexity import perplexity
from minillm.events import finish
from minillm.families.groups import CHANNELS, HEADS
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.by_hand import plan_by_hand
from minillm.surgery.cut import prune

SENTENCE = "The walk reads every block"
CUTS = [
    {0: {HEADS: [1]}},
    {1: {CHANNELS: [0, 3, 4, 9]}, 2: {HEADS: [0], CHANNELS: [7]}},
    {2: {HEADS: [1]}},
]
EVERY = {
    **tiny.LLAMA_LIKE,
    "opt": tiny.opt,
    "opt_post_norm": tiny.opt_post_norm,
    "bloom": tiny.bloom,
    "neox": tiny.neox,
    **{name: partial(published.shrunk, name) for name in ("gpt2", "gemma-2-2b", "phi-4-mini", "falcon-40b", "mpt-7b")},
}


def loaded(name: str = "llama", **config) -> LoadedModel:
    return wrap(EVERY[name](**config), tiny.tokenizer())


def last_words(lm: LoadedModel) -> torch.Tensor:
    """Probabilities of the next word, by transformers' own forward."""
    ids = lm.tokenizer(SENTENCE, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return lm.model(ids).logits[0, -1].float().softmax(-1)


@pytest.mark.parametrize("cut", CUTS, ids=["first block", "two blocks", "late block"])
@pytest.mark.parametrize("name", EVERY)
def test_it_says_what_the_model_really_cut_says(name, cut):
    lm = loaded(name)
    small = prune(lm, plan_by_hand(lm.groups, cut))
    found = finish(Knife(lm).answer_events(SENTENCE, cut))
    before, after = last_words(lm), last_words(small)
    for side, column in ((before, 1), (after, 2)):
        top = side.topk(10).values.tolist()
        assert sorted((bar[column] for bar in found["bars"]), reverse=True)[:10] == pytest.approx(top, rel=1e-4)
    assert found["kl"] == pytest.approx(float((before * (before / after).log()).sum()), rel=1e-3, abs=1e-6)
    ids = lm.tokenizer(SENTENCE, return_tensors="pt")["input_ids"]
    wanted = [perplexity(one, ids, length=ids.shape[1]) for one in (lm, small)]
    assert found["perplexity"] == pytest.approx(wanted, rel=1e-4)
    for one, text in zip((lm, small), found["words"], strict=True):
        assert text.startswith(generate(one, SENTENCE, 12, chat=False).text)  # which stops at an end token


def test_answers_to_other_cuts_in_between_change_nothing():
    """Kept passes and guesses of last time save work, and decide nothing."""
    lm = loaded()
    knife, alone = Knife(lm), [finish(Knife(lm).answer_events(SENTENCE, cut)) for cut in CUTS]
    for place in (0, 1, 2, 1, 0, 2, 2):
        found = finish(knife.answer_events(SENTENCE, CUTS[place]))
        assert found["words"] == alone[place]["words"] and found["parts"] == alone[place]["parts"]
        assert found["kl"] == pytest.approx(alone[place]["kl"], rel=1e-4)
    whole = finish(knife.answer_events(SENTENCE, {}))
    assert whole["kl"] < 1e-6 and whole["parts"] == 12 and whole["words"][0] == whole["words"][1]


def test_blocks_before_the_first_cut_are_not_run_again():
    lm, ran = loaded(layers=4), []
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        block.mlp.register_forward_hook(lambda *_, i=layer: ran.append(i))
    knife = Knife(lm)
    finish(knife.answer_events(SENTENCE, {}))
    ran.clear()
    events = knife.answer_events(SENTENCE, {2: {CHANNELS: [3]}})
    assert next(events).stage == "bars" and ran == [2, 3]
    events.close()


def test_no_weight_changes_and_nothing_is_left_on_the_model():
    lm = loaded()
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    knife = Knife(lm)
    finish(knife.answer_events(SENTENCE, CUTS[1]))
    finish(knife.restore_events(SENTENCE, CUTS[1]))
    assert all(torch.equal(value, before[name]) for name, value in lm.model.state_dict().items())
    hooks = [m for model in (lm.model, knife.lm.model) for m in model.modules() if m._forward_pre_hooks]
    assert not hooks and not any("forward" in vars(m) for m in knife.lm.model.modules())


@pytest.mark.parametrize("name", ["llama", "opt", "bloom"])
def test_what_is_restored_is_what_a_search_of_all_would_restore(name):
    lm = loaded(name)
    cut = {1: {HEADS: [0], CHANNELS: [2, 5, 6]}, 2: {HEADS: [1], CHANNELS: [1]}}
    found = finish(Knife(lm).restore_events(SENTENCE, cut))
    losses = {}
    for layer, kind in itertools.product(cut, (HEADS, CHANNELS)):
        for index in cut[layer][kind]:
            less = {
                i: {k: [g for g in v if (i, k, g) != (layer, kind, index)] for k, v in c.items()}
                for i, c in cut.items()
            }
            ids = lm.tokenizer(SENTENCE, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                losses[layer, kind, index] = float(prune(lm, plan_by_hand(lm.groups, less)).model(ids, labels=ids).loss)
    best = min(losses, key=losses.__getitem__)
    assert found["tried"] == 6
    assert found["loss"][1] == pytest.approx(min(losses[best], found["loss"][0]), rel=1e-4)
    if losses[best] < found["loss"][0]:
        assert tuple(found["group"]) == best


def test_the_gradient_chooses_among_many():
    """Of 40 channels, 8 are tried; among them is one as good as the best tenth of a search of all."""
    lm = loaded(layers=3, ffn=64, seed=5)
    cut = {1: {CHANNELS: list(range(40))}}
    knife = Knife(lm)
    found = finish(knife.restore_events(SENTENCE, cut))
    ids, losses = lm.tokenizer(SENTENCE, return_tensors="pt")["input_ids"], []
    for index in range(40):
        less = {1: {CHANNELS: [i for i in range(40) if i != index]}}
        with torch.no_grad():
            losses.append(float(prune(lm, plan_by_hand(lm.groups, less)).model(ids, labels=ids).loss))
    assert found["tried"] == 8 and found["group"] is not None
    assert found["loss"][1] == pytest.approx(losses[found["group"][2]], rel=1e-4)
    assert found["loss"][1] <= sorted(losses)[3]


def test_a_block_of_which_nothing_is_left_still_answers():
    lm = loaded()
    found = finish(Knife(lm).answer_events(SENTENCE, {1: {HEADS: [0, 1, 2], CHANNELS: list(range(32))}}))
    assert found["kl"] > 0 and len(found["bars"]) >= 10


@pytest.mark.parametrize(
    ("sentence", "cut", "said"),
    [
        ("  ", {}, "is empty"),
        ("word " * 50, {}, "at most 128"),
        (SENTENCE, {9: {HEADS: [0]}}, "There is no block 9"),
        (SENTENCE, {0: {HEADS: [7]}}, "Block 0 has heads 0 to 2"),
    ],
)
def test_bad_input_is_a_sentence(sentence, cut, said):
    with pytest.raises(BadInput, match=said):
        finish(Knife(loaded()).answer_events(sentence, cut))


def test_nothing_can_be_restored_of_nothing():
    with pytest.raises(BadInput, match="Nothing is cut"):
        finish(Knife(loaded()).restore_events(SENTENCE, {}))
