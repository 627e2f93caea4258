"""Families describe what is there: counts against the config, costs against the parameters; the rest is refused."""

import naive
import pytest
import tiny
import torch
import transformers

from minillm.errors import UnsupportedModel
from minillm.families import FAMILIES, family_of, family_of_type, groups_from_config, groups_of


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


def test_what_is_not_supported_is_named_with_what_is():
    with pytest.raises(UnsupportedModel, match=r"gpt2.*llama, mistral"):
        family_of_type("gpt2")
    config = transformers.MixtralConfig(num_hidden_layers=1, hidden_size=8, num_attention_heads=2, vocab_size=10)
    with pytest.raises(UnsupportedModel, match="mixtral"):
        groups_from_config(config)


def test_linears_that_are_not_plain_are_refused():
    model = tiny.llama()
    model.model.layers[1].mlp.up_proj = torch.nn.Identity()
    with pytest.raises(UnsupportedModel, match="Block 1's up is a Identity"):
        family_of(model)


def test_every_family_has_a_name_and_model_types_of_its_own():
    types = [t for family in FAMILIES.values() for t in family.model_types]
    assert len(types) == len(set(types)) and all(name == family.name for name, family in FAMILIES.items())
