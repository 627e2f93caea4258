"""Families describe what is there: counts against the config, costs against the parameters; the rest is refused."""

import re
from collections.abc import Callable

import naive
import published
import pytest
import tiny
import torch
import transformers
from transformers import (
    PreTrainedModel,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from minillm.errors import UnsupportedModel
from minillm.families import FAMILIES, family_of, groups_from_config, groups_of
from minillm.families.refusals import REFUSALS, refusal_of
from minillm.models.load import load_model, plan_from_config
from minillm.models.loaded import wrap


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_groups_add_up_to_the_model(build):
    model = build()
    groups = groups_of(model)
    block = groups.blocks[0]
    up = naive.linears(model, 0)["up"]
    assert (block.heads, block.channels) == (naive.kv_heads(model), up.out_features)
    assert block.queries == model.config.num_attention_heads // naive.kv_heads(model)
    assert groups.parameters == sum(p.numel() for p in model.parameters())
    assert block.parameters == sum(p.numel() for p in naive.blocks(model)[0].parameters())
    assert groups_from_config(model.config) == groups


@pytest.mark.parametrize("build", tiny.ALL.values(), ids=tiny.ALL)
def test_structures_of_all_groups_cover_each_linear_once(build):
    model = build()
    family, block = family_of(model), groups_of(model).blocks[0]
    linears = family.block_linears(naive.blocks(model)[0])
    for structure in family.structures:
        size = linears[structure.linear].weight.shape[0 if structure.axis == "rows" else 1]
        others = [s for s in family.structures if s.linear == structure.linear and s.axis == structure.axis]
        covered = sorted(i for s in others for i in s.indices(block).ravel().tolist())
        assert covered == list(range(size))


def small_of(kind: str) -> PreTrainedModel:
    """A model of a type no family covers: experts, an encoder."""
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1, "hidden_size": 8}
    experts = {**heads, "intermediate_size": 8, "vocab_size": 16, "pad_token_id": 0}
    made: dict[str, Callable[[], PreTrainedModel]] = {
        "qwen2_moe": lambda: Qwen2MoeForCausalLM(
            Qwen2MoeConfig(num_experts=2, moe_intermediate_size=8, shared_expert_intermediate_size=8, **experts)
        ),
        "t5": lambda: T5ForConditionalGeneration(
            T5Config(d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, vocab_size=16)
        ),
    }
    return made[kind]()


@pytest.mark.parametrize("kind", ["qwen2_moe", "t5"])
def test_what_does_not_fit_is_refused_by_name_with_what_does(kind, tmp_path):
    model = small_of(kind)
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"refused before a weight is read")
    asked = (
        lambda: wrap(model),
        lambda: plan_from_config(model.config),
        lambda: plan_from_config(model.config.to_dict()),
        lambda: load_model(tmp_path),
    )
    told = refusal_of(kind)
    for ask in asked:
        with pytest.raises(UnsupportedModel) as caught:
            ask()
        assert told and str(caught.value) == f"Models of type “{kind}” are not supported: {told.why}; {told.instead}."


def test_a_type_nobody_knows_is_refused_with_the_list_of_what_is_covered():
    covered = "; ".join(f"{f.label} ({', '.join(f.model_types)})" for f in FAMILIES.values())
    with pytest.raises(UnsupportedModel) as caught:
        plan_from_config({"model_type": "of-the-future"})
    assert str(caught.value) == f"Models of type “of-the-future” are not supported. Supported: {covered}."


def test_what_is_refused_is_covered_by_no_family_and_what_is_told_instead_is():
    refused = [t for one in REFUSALS for t in one.model_types]
    covered = {t for family in FAMILIES.values() for t in family.model_types}
    assert len(refused) == len(set(refused)) and not covered & {*refused}
    for one in REFUSALS:
        assert covered & {*re.findall(r"\w+", one.instead)}, one.label


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (transformers.StableLmConfig(qk_layernorm=True), "a norm of its own for every head"),
        (transformers.CohereConfig(use_qk_norm=True), "a norm of its own for every head"),
        (transformers.Gemma3TextConfig(use_bidirectional_attention=True), "words that come later"),
        (transformers.GPT2Config(add_cross_attention=True), "attends to an encoder"),
        (transformers.FalconConfig(alibi=True), "share keys and have ALiBi slopes"),
        (transformers.BloomConfig(pretraining_tp=2, slow_but_exact=True), "slow_but_exact"),
    ],
    ids=["norm-a-head", "norms-in-one", "both-ways", "encoder", "shared-slopes", "sliced-bloom"],
)
def test_a_config_that_does_not_fit_its_family_says_why(config, reason):
    with pytest.raises(UnsupportedModel, match=reason):
        groups_from_config(config)


@pytest.mark.parametrize("name", published.MODELS)
def test_a_published_config_has_the_published_number_of_parameters(name):
    known = published.MODELS[name]
    dense = plan_from_config(known.config, ratio=0)
    assert dense.parameters == known.parameters
    assert sum(b.parameters for b in dense.groups.blocks) < known.parameters


def test_linears_that_are_not_plain_are_refused():
    model = tiny.llama()
    model.model.layers[1].mlp.up_proj = torch.nn.Identity()
    with pytest.raises(UnsupportedModel, match="Block 1's up is a Identity"):
        family_of(model)


def test_every_model_type_has_a_published_config():
    assert {t for f in FAMILIES.values() for t in f.model_types} == {
        known.config["model_type"] for known in published.MODELS.values()
    }


def test_every_family_has_a_name_and_model_types_of_its_own():
    types = [t for family in FAMILIES.values() for t in family.model_types]
    assert len(types) == len(set(types)) and all(name == family.name for name, family in FAMILIES.items())
