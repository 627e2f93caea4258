"""Cutting: plan + model → a smaller model. The only module that changes a shape.

The cut model is made as a copy whose cut weights are replaced while copying, so that the original is never touched and
its large tensors are never doubled. Its outputs equal those of the original with the removed groups masked.

With an expert go its matrices and its row of the router; what a router makes of the others is exactly what it made of
all where those that go had no chance (their logits −∞), in whatever order it takes softmax and the best few.

Of an offloaded model nothing is cut yet: the copy's weights are made of the original's whenever they are read, so that
saving it goes through memory piece by piece.
"""

import copy
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import spans
from ..errors import BadInput
from ..events import RESULT, Event, Events, awaited, outside_inference, relay
from ..families import Family
from ..families.groups import EXPERTS, SLOTS, BlockGroups
from ..models.loaded import LoadedModel
from ..models.residence import Made, Weights, hooks_of, remake
from ..models.shape import drop_blocks, heads_of, resize
from ..plan.plan import Plan
from ..text.load import rows_events
from .compensation import Columns, Linear, Patch, Patches, Seen, compensation_events, patches_of
from .unreached import unreached

Slices = dict[str, dict[str, Tensor]]
"""{linear: {"rows": kept rows, "columns": kept columns}}; an axis that is not cut is absent."""


@outside_inference
def prune_events(
    lm: LoadedModel, plan: Plan, compensate: str | None = None, text: str | Tensor | None = None
) -> Events:
    """The model without the groups the plan drops; `lm` is untouched.

    compensate: None, "bias" or "least-squares" (see `compensation`), which need `text`: a text name or token ids
    [samples, length]. Raises BadInput (a plan for another model, no text), UnknownName, NumericalFault.

    As events: "compensate" block by block, then "cut".
    """
    if lm.patterns:
        raise BadInput(f"This model ({lm.source}) has N:M zeros, which a cut would shift; prune first, then sparsify.")
    if plan.groups.unit != lm.groups.unit:
        lm = lm.counted_in(plan.groups.unit)
    if plan.groups.blocks != lm.groups.blocks or plan.groups.model_type != lm.groups.model_type:
        raise BadInput(
            f"The plan is for a {plan.groups.model_type} model with {plan.groups.parameters:,} parameters in "
            f"{len(plan.groups)} blocks; this one ({lm.source}) is a {lm.groups.model_type} model with "
            f"{lm.groups.parameters:,} in {len(lm.groups)}. Score this model and plan anew."
        )
    _check_droppable(lm, plan)
    slices = [kept_slices(lm.family, b, plan, i) for i, b in enumerate(lm.groups.blocks)]
    patches: Patches = {}
    if compensate:
        if text is None:
            raise BadInput(
                "Compensation needs text: give a text name such as python-docs, or token ids [samples, length]."
            )
        tokens = yield from relay(rows_events(text, lm))
        patches = yield from relay(compensation_events(lm, plan, cut_columns(lm, slices), compensate, tokens))
    yield Event("cut", 0, 1)
    model = cut(lm, slices, patches, plan)
    small = LoadedModel(model, lm.tokenizer, lm.family, lm.source)
    small.plan = plan
    small.history = [*lm.history, {"step": "prune", "compensate": compensate or "", "plan": plan.recipe}]
    yield Event(RESULT, 1, 1, small)


prune = awaited(prune_events, LoadedModel)


def _check_droppable(lm: LoadedModel, plan: Plan) -> None:
    reason = lm.family.keeps_blocks(lm.model.config)
    if plan.dropped and reason:
        raise BadInput(
            f"The plan drops blocks {spans(plan.dropped)}, and no block of this {lm.groups.model_type} model can be "
            f"dropped: {reason}. Leave each of them a head group or a channel."
        )


def cut_by(lm: LoadedModel, plan: Plan, seen: Seen | None = None) -> LoadedModel:
    """The model without the groups the plan drops, for those who cut one model by many plans.

    seen: the second moments of every linear that loses columns (`moments_events`), for least squares. The plan must be
    of this model; `lm` is untouched. Raises NumericalFault.
    """
    lm = lm.counted_in(plan.groups.unit)
    slices = [kept_slices(lm.family, b, plan, i) for i, b in enumerate(lm.groups.blocks)]
    patches = patches_of(lm, cut_columns(lm, slices), seen) if seen is not None else {}
    return LoadedModel(cut(lm, slices, patches, plan), lm.tokenizer, lm.family, lm.source, plan=plan)


def columns_lost(lm: LoadedModel, plans: Iterable[Plan]) -> set[Linear]:
    """The linears that lose columns by any of some plans."""
    return {
        (layer, linear)
        for plan in plans
        for layer, block in enumerate(plan.groups.blocks)
        for linear, axes in kept_slices(lm.family, block, plan, layer).items()
        if "columns" in axes
    }


def kept_slices(family: Family, block: BlockGroups, plan: Plan, layer: int) -> Slices:
    """Which rows and columns of each linear of a block stay; nothing is said of a block that is dropped."""
    if layer in plan.dropped:
        return {}
    gone: dict[tuple[str, str], list[np.ndarray]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for s in family.structures:
        place, kept = (s.linear, s.axis), plan.kept(s.kind)[layer]
        sizes[place] = sizes.get(place, 0) + s.size(block)
        if s.owned(block) and len(kept) < block.count(s.kind):
            dropped = np.setdiff1d(np.arange(block.count(s.kind)), kept)
            gone.setdefault(place, []).append(s.indices(block)[dropped].ravel())
    slices: Slices = {}
    for (linear, axis), parts in gone.items():
        stay = np.setdiff1d(np.arange(sizes[linear, axis]), np.concatenate(parts))
        slices.setdefault(linear, {})[axis] = torch.from_numpy(stay)
    return slices


def cut_columns(lm: LoadedModel, slices: list[Slices]) -> Columns:
    """{(layer, linear): (kept columns, cut columns)} of every linear that loses columns."""
    found = {}
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        for name, linear in lm.family.block_linears(block).items():
            kept = slices[layer].get(name, {}).get("columns")
            if kept is not None:
                gone = torch.ones(linear.in_features, dtype=torch.bool).index_fill_(0, kept, False).nonzero().flatten()
                found[layer, name] = (kept.to(lm.device), gone.to(lm.device))
    return found


def cut(lm: LoadedModel, slices: list[Slices], patches: Patches, plan: Plan) -> nn.Module:
    """A copy of the model in which every cut linear is smaller, without the blocks of which nothing is left."""
    memo: dict[int, Any] = hooks_of(lm.model)
    memo |= {id(lm.family.block_list(lm.model)[i]): nn.Identity() for i in plan.dropped}
    gained: list[tuple[int, str, Tensor]] = []
    remade: dict[tuple[int, str], Made] = {}
    for layer, block in enumerate(lm.family.block_list(lm.model)):
        for name, path in lm.family.block_paths(block).items():
            linear: Any = block.get_submodule(path)
            patch, kept = patches.get((layer, name), Patch()), slices[layer].get(name)
            if kept is not None:
                remade[layer, path] = _replace(memo, linear, kept, patch)
            if patch.bias is not None and linear.bias is None:
                gained.append((layer, path, patch.bias.to(linear.weight.dtype)))
        for path, name in lm.family.norms.items():
            if "rows" in slices[layer].get(name, {}):
                rows = {"rows": slices[layer][name]["rows"]}
                remade[layer, path] = _replace(memo, block.get_submodule(path), rows, Patch())
        if lm.family.experts is not None and _loses_experts(plan, layer):
            stay = torch.from_numpy(plan.kept_channels[layer])
            for path in lm.family.experts.parts:
                remade[layer, path] = _without_experts(memo, block.get_submodule(path), stay)
    model: Any = copy.deepcopy(lm.model, memo)
    blocks = lm.family.block_list(model)
    for layer, path, bias in gained:
        grown: Any = blocks[layer].get_submodule(path)
        grown.bias = nn.Parameter(bias.to(grown.weight.device), requires_grad=False)
        remade[layer, path]["bias"] = partial(_given, bias)
    for (layer, path), made in remade.items():
        part = blocks[layer].get_submodule(path)
        if any(p.is_meta for p in part.parameters(recurse=False)):
            remake(part, made)
    for layer, block in enumerate(blocks):
        if layer not in plan.dropped:
            before = heads_of(block, lm.groups.blocks[layer])
            by_slots = lm.groups.unit == SLOTS
            resize(lm.family, block, before if by_slots else [before[i] for i in plan.kept_heads[layer]])
    drop_blocks(lm.family, model, plan.dropped)
    return model


def _replace(memo: dict[int, Any], part: nn.Module, kept: dict[str, Tensor], patch: Patch) -> Made:
    """Put the smaller weight (and bias) where a deep copy will look for the copy of the old one; returns how they are
    made of those that are there."""

    def weight(old: Weights) -> Tensor:
        return _smaller_weight(old["weight"], kept, patch)

    def bias(old: Weights) -> Tensor:
        return _smaller_bias(old["bias"], kept, patch)

    made: Made = {"weight": weight}
    here = dict(part.named_parameters())
    if "bias" in here:
        made["bias"] = bias
    for name, old in here.items():
        memo[id(old)] = nn.Parameter(made[name](here), requires_grad=False)
    return made


def _loses_experts(plan: Plan, layer: int) -> bool:
    block = plan.groups.blocks[layer]
    return layer not in plan.dropped and block.ffn == EXPERTS and len(plan.kept_channels[layer]) < block.channels


def _without_experts(memo: dict[int, Any], part: nn.Module, stay: Tensor) -> Made:
    """Put what is left of everything that a module holds for each expert, along the first axis, where a deep copy will
    look for it; returns how it is made."""

    def fewer(name: str, old: Weights) -> Tensor:
        return old[name].detach()[stay.to(old[name].device)]

    here = dict(part.named_parameters())
    made: Made = {name: partial(fewer, name) for name in here}
    for name, old in here.items():
        memo[id(old)] = nn.Parameter(made[name](here), requires_grad=False)
    return made


def _given(tensor: Tensor, old: Weights) -> Tensor:
    return tensor


def _smaller_weight(weight: Tensor, kept: dict[str, Tensor], patch: Patch) -> Tensor:
    """[out, in] without the rows and columns that go; a patch's columns instead of its own."""
    weight, rows, columns = weight.detach(), kept.get("rows"), kept.get("columns")
    if patch.columns is not None:
        weight, columns = patch.columns.to(weight), None
    if rows is not None:
        weight = weight[rows.to(weight.device)]
    if columns is not None:
        weight = weight[:, columns.to(weight.device)]
    return weight.contiguous()


def _smaller_bias(bias: Tensor, kept: dict[str, Tensor], patch: Patch) -> Tensor:
    """[out] without the rows that go, with what a patch adds; zeros where no column is left and no patch stands in."""
    rows, columns, gain = kept.get("rows"), kept.get("columns"), patch.bias
    if columns is not None and not len(columns) and gain is None:
        return torch.zeros_like(bias)
    smaller = bias.detach().clone() if rows is None else bias.detach()[rows.to(bias.device)]
    return smaller if gain is None else (smaller.float() + gain.to(bias.device)).to(bias.dtype)


def masked(lm: LoadedModel, plan: Plan) -> LoadedModel:
    """A copy of the same shape with the removed groups' weights at zero, and the biases of what is left without groups:
    what a cut model must agree with. A norm over all heads counts those that are left, and no router sends a token to
    an expert that is gone."""
    lm, model = lm.counted_in(plan.groups.unit), copy.deepcopy(lm.model)
    for layer, block in enumerate(lm.family.block_list(model)):
        linears = lm.family.block_linears(block)
        groups = lm.groups.blocks[layer]
        if lm.family.experts is not None and _loses_experts(plan, layer):
            out = np.setdiff1d(np.arange(groups.channels), plan.kept_channels[layer])
            unreached(block.get_submodule(lm.family.experts.router), torch.from_numpy(out))
        for path in list(lm.family.expert_paths(block).values())[-1:] if layer in plan.dropped else ():
            block.get_parameter(path).data.zero_()
        for s in (s for s in lm.family.structures if s.owned(groups)):
            gone = np.setdiff1d(np.arange(groups.count(s.kind)), plan.kept(s.kind)[layer])
            index = torch.from_numpy(s.indices(groups)[gone].ravel())
            weight, bias = linears[s.linear].weight.data, linears[s.linear].bias
            if s.axis == "columns":
                weight[:, index] = 0
            else:
                weight[index] = 0
                if bias is not None:
                    bias.data[index] = 0
            if bias is not None and s.axis == "columns" and not len(plan.kept(s.kind)[layer]):
                bias.data.zero_()
        for path, name in lm.family.norms.items():
            norm: Any = block.get_submodule(path)
            left = float((linears[name].weight != 0).any(1).float().mean()) or 1.0
            norm.weight.data *= left**0.5
            norm.variance_epsilon *= left
    return LoadedModel(model, lm.tokenizer, lm.family, lm.source)
