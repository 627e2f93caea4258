"""Every family, by one of its published models made small: plain transformers computes what ours does."""

from functools import cache
from pathlib import Path

import made_cuts
import published
import pytest
import torch
from made_cuts import BLOCKS, EMPTY, EVEN, MIXED, logits
from transformers import AutoModelForCausalLM

from minillm.errors import UnsupportedModel
from minillm.exports.export import export
from minillm.exports.plain import fitted
from minillm.families import FAMILIES
from minillm.models.loaded import LoadedModel, wrap
from minillm.recipes.exports import MASKED, TRANSFORMERS
from minillm.surgery.cut import prune

FIXED = {"bloom", "mpt"}
"""Families whose FFN is as wide as the config has it by a factor."""


@cache
def small(name: str) -> LoadedModel:
    return wrap(published.EVERY[name]())


ONE_OF_EACH = {small(name).family.name: name for name in reversed(published.EVERY)}


def test_every_family_is_here() -> None:
    assert ONE_OF_EACH.keys() == FAMILIES.keys()


@pytest.mark.parametrize("form", [TRANSFORMERS, MASKED])
@pytest.mark.parametrize("kind", [EVEN, MIXED, BLOCKS, EMPTY])
@pytest.mark.parametrize("name", ONE_OF_EACH.values())
def test_plain_transformers_computes_the_same(name: str, kind: str, form: str, tmp_path: Path) -> None:
    lm = small(name)
    if kind == BLOCKS and lm.family.keeps_blocks(lm.model.config):
        pytest.skip(f"no block of {name} can be dropped")
    cut = prune(lm, made_cuts.plan_of(lm, kind))
    if form == MASKED and cut.groups.experts < lm.groups.experts:
        with pytest.raises(UnsupportedModel, match="Zeros cannot stand in for experts"):
            export(cut, form, tmp_path / "out")
        return
    plain = AutoModelForCausalLM.from_pretrained(export(cut, form, tmp_path / "out").folder)
    found, wanted = logits(plain), logits(cut.model)
    near = 1e-2 if lm.family.norms else 1e-5
    assert float((found - wanted).abs().max()) <= near * float(wanted.abs().max())
    if form == TRANSFORMERS and (kind == BLOCKS or (kind == EVEN and lm.family.name not in FIXED)):
        assert torch.equal(found, wanted) and sum(p.numel() for p in plain.parameters()) == cut.parameters


@pytest.mark.parametrize("name", ONE_OF_EACH.values())
def test_square_is_said_of_those_whose_configs_cannot_name_fewer_heads(name: str) -> None:
    """One head group less, of several, in every block: what config plain transformers needs for that."""
    lm = small(name)
    groups = lm.groups
    if groups.blocks[0].heads == 1:
        pytest.skip(f"{name} has one key/value head")
    plan = made_cuts.plan_of(lm, MIXED)
    one_less = {i: v[: groups.blocks[0].heads - 1] if len(v) else v for i, v in plan.kept_heads.items()}
    cut = prune(lm, type(plan)(groups, one_less, plan.kept_channels))
    _, places = fitted(cut)
    widest = max(block.heads for block in cut.groups.blocks)
    assert (places[0].groups.heads == groups.blocks[0].heads > widest) == lm.family.square
