"""Cuts of experts: what is left computes what the uncut model does where no token can be sent to those that went.

The oracle is written out for each type: logits of experts that went are −∞, then softmax over all, the best few, made
to add up to 1 or not (Mixtral: always; Qwen3, OLMoE: where their config says so).
"""

import json

import numpy as np
import pytest
import tiny
import torch
from transformers import AutoModelForCausalLM

from minillm.errors import BadInput, UnsupportedModel
from minillm.evaluation.generation import generate
from minillm.evaluation.perplexity import perplexity
from minillm.exports.export import export
from minillm.families import groups_from_config
from minillm.families.groups import EXPERTS
from minillm.models.checkpoint import load_pruned, save_pruned
from minillm.models.load import load_model
from minillm.models.loaded import LoadedModel, wrap
from minillm.plan.plan import Plan, make_plan
from minillm.scoring.score import score
from minillm.surgery.cut import masked, prune
from minillm.surgery.recovery import recover
from minillm.surgery.sparsify import sparsify

TOKENS = tiny.tokens(4, 16)
MADE = {
    **tiny.EXPERTS,
    "qwen3_moe to 1": lambda **more: tiny.qwen3_moe(norm_topk_prob=True, **more),
    "olmoe to 1": lambda **more: tiny.olmoe(norm_topk_prob=True, **more),
}
each_model = pytest.mark.parametrize("name", MADE)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def plan_of(lm: LoadedModel, experts: int = 2, heads: int = 0) -> Plan:
    """Other experts go in every block, as many of each, and the first head groups; of channels the last three."""
    draw, kept, stay = np.random.default_rng(1), {}, {}
    for i, block in enumerate(lm.groups.blocks):
        gone = experts if block.ffn == EXPERTS else 3
        kept[i] = np.sort(draw.permutation(block.channels)[gone:])
        stay[i] = np.arange(heads, block.heads)
    return Plan(lm.groups, stay, kept)


def closed(lm: LoadedModel, plan: Plan) -> torch.nn.Module:
    """The uncut model whose routers know no way to the experts that go: the formulas written out."""
    model = masked(lm, plan).model
    for i, block in enumerate(model.model.layers):
        if hasattr(block.mlp, "experts"):
            block.mlp.gate.forward = route(block.mlp.gate, plan.kept_channels[i], model.config.model_type)
    return model


def route(router: torch.nn.Module, kept: np.ndarray, kind: str):
    away = torch.full((len(router.weight),), -torch.inf)
    away[torch.from_numpy(kept)] = 0

    def forward(hidden: torch.Tensor):
        logits = hidden.reshape(-1, hidden.shape[-1]) @ router.weight.T + away.to(hidden.dtype)
        shares = logits.float().exp() / logits.float().exp().sum(-1, keepdim=True)
        best, chosen = shares.topk(router.top_k, -1)
        if kind == "mixtral" or router.norm_topk_prob:
            best = best / best.sum(-1, keepdim=True)
        return logits, best if kind == "mixtral" else best.to(logits.dtype), chosen

    return forward


def same(found: torch.Tensor, wanted: torch.Tensor, near: float = 1e-5) -> None:
    assert float((found - wanted).abs().max()) <= near * float(wanted.abs().max())


@each_model
@torch.no_grad()
def test_a_cut_is_the_uncut_model_whose_routers_know_no_way_to_what_went(name: str) -> None:
    lm = wrap(MADE[name]())
    for heads in (0, 1):
        plan = plan_of(lm, heads=heads)
        small = prune(lm, plan)
        assert small.parameters == plan.parameters < lm.parameters
        found = small.model(TOKENS).logits
        same(found, closed(lm, plan)(TOKENS).logits)
        same(found, masked(lm, plan).model(TOKENS).logits)
        assert float((found - lm.model(TOKENS).logits).abs().max()) > 0.05 * float(found.abs().max())


@each_model
@each_dtype
@torch.no_grad()
def test_it_opens_in_plain_transformers_and_here_to_the_bit(name: str, dtype: torch.dtype, tmp_path) -> None:
    lm = wrap(MADE[name](dtype=dtype), tiny.tokenizer())
    plan = plan_of(lm)
    if name == "some_experts":
        plan = Plan(lm.groups, plan.kept_heads, {**plan.kept_channels, 1: np.arange(lm.groups.blocks[1].channels)})
    small = prune(lm, plan)
    folder, left = save_pruned(small, tmp_path / "small"), lm.groups.experts - 2
    told = json.loads((folder / "config.json").read_text())
    assert left in (told.get("num_experts"), told.get("num_local_experts"))
    plain, report = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    wanted = small.model(TOKENS).logits
    assert torch.equal(plain.eval()(TOKENS).logits, wanted)
    for again in (
        load_pruned(folder),
        load_pruned(folder, offload="disk"),
        load_model(folder, str(dtype).removeprefix("torch.")),
    ):
        assert again.groups == small.groups and torch.equal(again.model(TOKENS).logits, wanted)


@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "olmoe"])
@torch.no_grad()
def test_the_export_is_in_the_form_of_the_hub_and_comes_back(name: str, tmp_path) -> None:
    small = prune(lm := wrap(MADE[name](), tiny.tokenizer()), plan_of(lm))
    found = export(small, "transformers", tmp_path / "out")
    wanted = small.model(TOKENS).logits
    assert found.parameters == small.parameters
    assert torch.equal(AutoModelForCausalLM.from_pretrained(found.folder)(TOKENS).logits, wanted)
    for offload in (None, "disk"):
        again = load_model(found.folder, offload=offload)
        assert again.groups == small.groups and torch.equal(again.model(TOKENS).logits, wanted)
    for form, why in (("masked", "Zeros cannot stand in for experts"), ("gguf", "Experts are not written as GGUF")):
        with pytest.raises(UnsupportedModel, match=why):
            export(small, form, tmp_path / form)


@each_model
@torch.no_grad()
def test_cut_twice_is_cut_once(name: str) -> None:
    lm = wrap(MADE[name]())
    once, first = prune(lm, plan_of(lm, 2)), prune(lm, plan_of(lm, 1))
    kept = plan_of(lm, 2).kept_channels
    before = plan_of(lm, 1).kept_channels
    second = {i: np.flatnonzero(np.isin(before[i], kept[i])) for i in kept}
    twice = prune(first, Plan(first.groups, plan_of(first, 0).kept_heads, second))
    assert torch.equal(twice.model(TOKENS).logits, once.model(TOKENS).logits)


@each_model
@torch.no_grad()
def test_blocks_go_and_those_without_experts_keep_their_place(name: str, tmp_path) -> None:
    lm = wrap(MADE[name]())
    plan = plan_of(lm, 0)
    nothing = np.arange(0)
    whole = {i: np.arange(b.channels) for i, b in enumerate(lm.groups.blocks)}
    small = prune(lm, Plan(lm.groups, {**plan.kept_heads, 0: nothing}, {**whole, 0: nothing}))
    assert [b.ffn for b in small.groups.blocks] == [b.ffn for b in lm.groups.blocks[1:]]
    plain = AutoModelForCausalLM.from_pretrained(save_pruned(small, tmp_path / "small"))
    assert groups_from_config(plain.config).blocks == small.groups.blocks
    assert torch.equal(plain(TOKENS).logits, small.model(TOKENS).logits)


@each_dtype
@pytest.mark.parametrize("name", ["mixtral", "qwen3_moe", "olmoe"])
def test_scored_cut_recovered_measured_and_read_like_any_other(name: str, dtype: torch.dtype, tmp_path) -> None:
    tiny.saved(tmp_path / "model", MADE[name](dtype=dtype))
    number = str(dtype).removeprefix("torch.")
    whole, away = (load_model(tmp_path / "model", number, "cpu", offload=o) for o in (None, "disk"))
    for criterion in ("reap", "wanda", "fms-bp"):
        a, b = (score(lm, criterion, TOKENS, 2) for lm in (whole, away))
        assert all(np.array_equal(a.channels[i], v) for i, v in b.channels.items())
    reap, wanda = (score(whole, criterion, TOKENS) for criterion in ("reap", "wanda"))
    plan = make_plan(wanda, 0.35, channels_from=reap)
    small, same_one = prune(whole, plan, "least-squares", TOKENS), prune(away, plan, "least-squares", TOKENS)
    assert small.groups.experts < whole.groups.experts
    with torch.no_grad():
        again = load_pruned(save_pruned(same_one, tmp_path / "small"))
        assert torch.equal(again.model(TOKENS).logits, small.model(TOKENS).logits)
    rows = TOKENS.repeat(3, 1)
    settings = {"steps": 3, "batch": 4, "held_out": 4, "evaluate_every": 1, "learning_rate": 1e-2, "warmup": 0}
    fixed = recover(small, rows, loss="language-model", **settings)
    before, after = (dict(lm.model.named_parameters()) for lm in (small, fixed))
    moved = {path.split(".")[3] for path in after if not torch.equal(after[path], before[path])}
    assert moved == {"self_attn"}
    assert perplexity(fixed, rows[:4], length=16) < perplexity(small, rows[:4], length=16)
    ours = generate(fixed, "A block", max_new_tokens=4, chat=False)
    read = fixed.tokenizer("A block", return_tensors="pt").input_ids
    theirs = fixed.model.generate(read, max_new_tokens=4, do_sample=False)[0, read.shape[1] :]
    assert ours.text == fixed.tokenizer.decode(theirs, skip_special_tokens=True)


@pytest.mark.parametrize("trains", ["outputs", "blocks"])
def test_weights_themselves_can_be_trained(trains: str) -> None:
    small = prune(lm := wrap(tiny.mixtral(), tiny.tokenizer()), plan_of(lm))
    settings = {"steps": 2, "batch": 4, "held_out": 4, "evaluate_every": 1, "learning_rate": 1e-3, "warmup": 0}
    fixed = recover(small, TOKENS.repeat(3, 1), loss="language-model", trains=trains, **settings)
    before, after = (dict(one.model.named_parameters()) for one in (small, fixed))
    moved = {path.split(".", 3)[3] for path in after if not torch.equal(after[path], before[path])}
    wanted = {"self_attn.o_proj.weight"}
    assert moved == wanted if trains == "outputs" else moved > wanted | {"mlp.experts.down_proj", "mlp.gate.weight"}


def test_zeros_are_not_put_among_experts() -> None:
    with pytest.raises(BadInput, match="and this mixtral model has experts; prune it instead"):
        sparsify(wrap(tiny.mixtral()), "magnitude-l1", "2:4")
