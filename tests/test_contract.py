"""What every criterion promises on every family, and what every cut of every family promises, however it is run."""

import hashlib
from collections.abc import Iterable
from functools import cache, partial

import numpy as np
import published
import pytest
import tiny
import torch

from minillm.criteria import CRITERIA
from minillm.evaluation.perplexity import perplexity
from minillm.families.groups import CHANNELS, EXPERTS, HEADS, KINDS, SLOTS
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import Plan
from minillm.scoring.score import score, score_events
from minillm.surgery.cut import masked, prune
from minillm.surgery.recovery import recover_events

TOKENS, GRADIENT_ROWS, FEW = tiny.tokens(4, 12), 2, {"submodels": 8, "steps": 2}
SCORED = {**published.EVERY, "llama_bfloat16": partial(tiny.llama, dtype=torch.bfloat16)}

each_model = pytest.mark.parametrize("name", published.EVERY)
NO_STATIC_CACHE = ("falcon-rw-1b",)
WIDTHS, DEPTH, QUERIES = "widths", "depth", "slots"


@cache
def whole(name: str) -> LoadedModel:
    """A model that no test may change."""
    return wrap(SCORED[name]().train(name == "llama_bfloat16"))


@cache
def cut(name: str, how: str = WIDTHS) -> tuple[LoadedModel, LoadedModel]:
    """(pruned, masked) by one plan, which drops other groups, and another number of them, in every block.

    how: depth: of block 0 all heads, of the last all channels (experts must stay), and block 1 as a whole, where the
    family can; slots: query slots instead of head groups.
    """
    lm, draw = whole(name), np.random.default_rng(0)
    groups = lm.groups.counted_in(SLOTS) if how == QUERIES else lm.groups
    kept: dict[str, dict[int, np.ndarray]] = {kind: {} for kind in KINDS}
    for layer, block in enumerate(groups.blocks):
        routed = block.ffn == EXPERTS
        stay = {HEADS: max(1, block.heads - 1 - layer % 2), CHANNELS: block.channels - (2 if routed else 5 + layer)}
        for kind in KINDS:
            kept[kind][layer] = np.sort(draw.permutation(block.count(kind))[: stay[kind]])
    if how == DEPTH:
        last, nothing = len(lm.groups) - 1, np.arange(0)
        kept[HEADS][0] = nothing
        if not routed:
            kept[CHANNELS][last] = nothing
        if not lm.family.keeps_blocks(lm.model.config):
            kept[HEADS][1], kept[CHANNELS][1] = nothing, nothing
    plan = Plan(groups, kept[HEADS], kept[CHANNELS])
    return prune(lm, plan), masked(lm, plan)


ONE_OF_EACH = [*{whole(name).family.name: name for name in reversed(SCORED)}.values(), "llama_bfloat16"]
"""A model of every family."""
SHARED = [name for name in published.EVERY if whole(name).groups.blocks[0].query_parameters]
each_cut = pytest.mark.parametrize(
    ("name", "how"),
    [(name, how) for name in published.EVERY for how in (WIDTHS, DEPTH, QUERIES) if how != QUERIES or name in SHARED],
)


def state(model: torch.nn.Module) -> str:
    """A hash of all weights, and what scoring could leave behind: modes, hooks, replaced methods."""
    raw = b"".join(p.detach().contiguous().view(torch.uint8).numpy().tobytes() for p in model.parameters())
    marks = [
        (m.training, len(m._forward_pre_hooks), len(m._forward_hooks), "forward" in vars(m)) for m in model.modules()
    ]
    return hashlib.sha256(raw + repr(marks).encode()).hexdigest()


def assert_same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest logit: sums over fewer columns round otherwise."""
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def judged(names: Iterable[str]) -> list[tuple[str, str]]:
    """(model, criterion) wherever a criterion has scores for a model's FFNs."""
    needed = {name: EXPERTS if whole(name).groups.experts else CHANNELS for name in names}
    return [(name, one.name) for name, kind in needed.items() for one in CRITERIA.values() if kind in one.judges]


@pytest.mark.parametrize(("name", "criterion"), judged(SCORED))
def test_every_criterion_scores_every_family(name, criterion):
    lm = whole(name)
    before, layers = state(lm.model), range(len(lm.groups))
    *steps, last = score_events(lm, criterion, TOKENS, GRADIENT_ROWS, **FEW)
    found, again = last.payload, score(lm, criterion, TOKENS, GRADIENT_ROWS, **FEW)
    assert [e.done for e in steps] == list(range(1, steps[-1].total + 1))
    assert sorted(e.payload["layer"] for e in steps if e.payload) == list(layers)
    for layer in layers:
        for kind in KINDS:
            values, repeated = getattr(found, kind)[layer], getattr(again, kind)[layer]
            assert values.shape == (lm.groups.blocks[layer].count(kind),) and values.dtype == np.float32
            assert np.array_equal(values, repeated, equal_nan=True)
            if lm.groups.blocks[layer].counts(kind) in CRITERIA[criterion].judges:
                assert np.isfinite(values).all() and (values >= 0).all()
            else:
                assert np.isnan(values).all()
    assert state(lm.model) == before


@pytest.mark.parametrize(("name", "criterion"), judged(ONE_OF_EACH))
def test_cancelling_leaves_every_family_as_it_was(name, criterion):
    lm = whole(name)
    before = state(lm.model)
    events = score_events(lm, criterion, TOKENS, GRADIENT_ROWS, **FEW)
    next(events), next(events)
    events.close()
    assert state(lm.model) == before


@each_cut
def test_a_cut_model_is_the_masked_one(name, how):
    lm, (small, same) = whole(name), cut(name, how)
    assert small.groups.parameters == small.plan.parameters < lm.groups.parameters
    tokens = tiny.tokens(3, 20)
    with torch.no_grad():
        dense, a, b = (x.model(tokens).logits for x in (lm, small, same))
    assert_same(a, b)
    assert float((a - dense).abs().max()) > 0.1 * float(dense.abs().max())


@each_cut
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_generation_from_left_padded_rows_is_that_of_the_masked_one(name, cache, how):
    """Six words are written to a cache whose blocks differ in heads; the sliding windows of 8 move."""
    if cache == "static" and name in NO_STATIC_CACHE:
        pytest.skip("transformers' own model of this type does not take a static cache")
    small, same = cut(name, how)
    tokens = tiny.tokens(2, 12)
    mask = torch.ones_like(tokens)
    mask[0, :4] = 0
    settings = {"attention_mask": mask, "max_new_tokens": 6, "do_sample": False, "output_logits": True}
    settings |= {"return_dict_in_generate": True, "eos_token_id": None, "cache_implementation": cache}
    a, b = (x.model.generate(tokens, disable_compile=True, **settings) for x in (small, same))
    assert a.sequences.shape == (2, 18) and torch.equal(a.sequences, b.sequences)
    for x, y in zip(a.logits, b.logits, strict=True):
        assert_same(x, y)


@each_cut
def test_adapters_train_merge_and_reload_exactly(name, how, tmp_path):
    """What was measured with adapters is what the merged weights do, and what the folder they are saved in does."""
    small, _ = cut(name, how)
    rows = tiny.tokens(4, 12).repeat(3, 1)
    settings = {"steps": 2, "batch": 4, "held_out": 4, "evaluate_every": 1, "learning_rate": 1e-2, "warmup": 0}
    *steps, last = recover_events(small, rows, loss="language-model", **settings)
    fixed = last.payload
    measured = [e.payload["perplexity"] for e in steps if "perplexity" in e.payload]
    assert min(measured) < measured[0]
    assert perplexity(fixed, rows[:4], length=12) == pytest.approx(min(measured), rel=1e-4)
    again = load_pruned(save_pruned(fixed, tmp_path / "fixed"))
    with torch.no_grad():
        assert torch.equal(again.model(rows).logits, fixed.model(rows).logits)
