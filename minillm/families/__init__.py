"""The table of families. Adding one: a file beside this one, and its name in `FAMILIES`. Refused: `refusals`."""

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from ..alone import alone
from ..errors import UnsupportedModel, foreign
from .base import Family
from .bloom import BLOOM
from .counts import check_counts
from .experts import MOE, OLMOE
from .falcon import FALCON
from .gpt2 import GPT2
from .gptj import GPTJ
from .groups import Groups
from .llama import GEMMA2, GEMMA3, LLAMA, OLMO
from .mpt import MPT
from .neox import NEOX
from .opt import OPT
from .phi3 import GLM4, PHI3
from .refusals import refusal_of
from .ungated import APERTUS, NEMOTRON, PHI, STARCODER2

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        LLAMA,
        GEMMA2,
        GEMMA3,
        OLMO,
        PHI3,
        GLM4,
        STARCODER2,
        NEMOTRON,
        APERTUS,
        PHI,
        BLOOM,
        OPT,
        NEOX,
        GPT2,
        GPTJ,
        MPT,
        FALCON,
        MOE,
        OLMOE,
    )
}


def family_of_type(model_type: str, config: Any = None) -> Family:
    """The family that covers transformers' `model_type`; config: checked, too.

    Raises UnsupportedModel, which says why or lists what is covered, or BadInput for sizes that no model has.
    """
    for family in FAMILIES.values():
        if model_type in family.model_types:
            if config is not None:
                _check(family, config)
            return family
    refused = refusal_of(model_type)
    if refused is not None:
        raise UnsupportedModel(f"Models of type “{model_type}” are not supported: {refused.why}; {refused.instead}.")
    covered = "; ".join(f"{f.label} ({', '.join(f.model_types)})" for f in FAMILIES.values())
    raise UnsupportedModel(f"Models of type “{model_type}” are not supported. Supported: {covered}.")


def _check(family: Family, config: Any) -> None:
    reason = family.refuses(config)
    if reason:
        raise UnsupportedModel(f"This {config.model_type} model does not fit the {family.label} family: {reason}.")
    check_counts(lambda name: getattr(config, name, None), f"this {config.model_type} model")


def family_of(model: "nn.Module") -> Family:
    """The family of a transformers model, with every linear it names found in every block."""
    from torch import nn

    config: Any = model.config
    family = family_of_type(config.model_type, config)
    for layer, block in enumerate(family.block_list(model)):
        for name, linear in family.block_linears(block).items():
            if not isinstance(linear, nn.Linear):
                raise UnsupportedModel(
                    f"Block {layer}'s {name} is a {type(linear).__name__}, not a plain linear; "
                    "load the model unquantised and without adapters."
                )
    return family


def groups_of(model: "nn.Module", family: Family | None = None) -> Groups:
    """The groups of a model, real or on the meta device, cut or whole."""
    from torch import nn

    family = family or family_of(model)
    config: Any = model.config
    query_heads = config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    queries = query_heads // (family.key_heads(config) or query_heads)
    head: Any = list(family.tail_modules(model))[-1]
    blocks = [id(linear) for block in family.block_list(model) for linear in block.modules()]
    return Groups(
        family=family.name,
        model_type=config.model_type,
        width=config.hidden_size,
        vocabulary=head.weight.shape[0],
        parameters=sum(p.numel() for p in own_parameters(model).values()),
        output_macs=head.weight.numel(),
        other_macs=sum(
            linear.weight.numel()
            for linear in model.modules()
            if isinstance(linear, nn.Linear) and linear is not head and id(linear) not in blocks
        ),
        blocks=tuple(family.describe(block, head_dim, queries) for block in family.block_list(model)),
    )


def own_parameters(model: "nn.Module") -> dict[str, "nn.Parameter"]:
    """Parameters by name, tied ones once: offloaded ones may be tied by name only."""
    tied = getattr(model, "all_tied_weights_keys", None) or {}
    return {name: parameter for name, parameter in model.named_parameters() if name not in tied}


def groups_from_config(config: Any) -> Groups:
    """The groups of a model that exists only as a transformers config (built on the meta device, no weights)."""
    return groups_of(shape_of(config))


def shape_of(config: Any) -> "PreTrainedModel":
    """The model of a config on the meta device: shapes alone. Raises BadInput, UnsupportedModel."""
    import torch
    from transformers import AutoModelForCausalLM

    family = family_of_type(config.model_type, config)
    refused = foreign(f"No {config.model_type} model can be made of this config: {{reason}}.")
    with alone(), refused, torch.device("meta"):
        return family.ready(AutoModelForCausalLM.from_config(deepcopy(config), attn_implementation="eager"))
