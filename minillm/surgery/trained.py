"""What a recovery trains: adapters beside weights that stand still, or weights of the blocks themselves.

The one idea: the loop of a recovery (`recovery`) asks four things of what it trains: which parameters an optimizer
moves, what they are now, that they be what they were, and the model without scaffolding. Whichever is trained,
embeddings, norms' places and shapes stay as they are.

Weights are trained in float32, whatever they are stored in: an update of a ten-thousandth of a weight is less than the
distance between two numbers of bfloat16.
"""

import copy
import warnings
from collections.abc import Callable
from threading import Lock
from typing import Protocol

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn

from ..models.loaded import LoadedModel
from ..recipes.presets import BLOCKS, LORA, OUTPUTS, RecoverySettings

State = dict[str, Tensor]
_SEEDED = Lock()


class Trained(Protocol):
    """What is trained. lm: the model as it is used while training; parameters: what the optimizer moves."""

    lm: LoadedModel
    parameters: list[Tensor]

    def state(self) -> State:
        """What has been learnt so far; later training does not change it."""

    def restore(self, state: State) -> None:
        """Be as `state` was."""

    def merged(self) -> nn.Module:
        """The model with what was learnt in its weights, stored as the small model's are."""


class Adapters:
    """LoRA's adapters on every linear of the blocks (Section 3.3 of the paper, Eq. 10; peft does them)."""

    def __init__(self, small: LoadedModel, chosen: RecoverySettings) -> None:
        inner = _unfrozen(small)
        targets = list(small.family.linears.values())
        config = LoraConfig(
            r=chosen.rank,
            lora_alpha=chosen.alpha,
            lora_dropout=0.0,
            target_modules=targets,
            exclude_modules=_without_weights(small) or None,
            task_type="CAUSAL_LM",
        )
        # peft draws from the generator that all threads share.
        with _SEEDED, warnings.catch_warnings():
            # peft reads an attribute that transformers has renamed; nothing here can change that.
            warnings.simplefilter("ignore", FutureWarning)
            torch.manual_seed(chosen.seed)
            self.adapted = get_peft_model(inner, config)
        self.lm = LoadedModel(inner, small.tokenizer, small.family, small.source)
        self.parameters: list[Tensor] = [p for p in self.adapted.parameters() if p.requires_grad]

    def state(self) -> State:
        return {k: v.detach().clone() for k, v in get_peft_model_state_dict(self.adapted).items()}

    def restore(self, state: State) -> None:
        set_peft_model_state_dict(self.adapted, state)

    def merged(self) -> nn.Module:
        return self.adapted.merge_and_unload()


class Weights:
    """Weights of the blocks themselves: those that `wanted` says of a block, or all of it."""

    def __init__(self, small: LoadedModel, wanted: Callable[[LoadedModel, nn.Module], list[nn.Parameter]]) -> None:
        self.dtype = small.dtype
        inner = _unfrozen(small).float().requires_grad_(False)
        self.lm = LoadedModel(inner, small.tokenizer, small.family, small.source)
        blocks = small.family.block_list(inner)
        self.parameters: list[Tensor] = [p.requires_grad_() for block in blocks for p in wanted(small, block)]

    def state(self) -> State:
        return {str(i): p.detach().clone() for i, p in enumerate(self.parameters)}

    def restore(self, state: State) -> None:
        with torch.no_grad():
            for i, parameter in enumerate(self.parameters):
                parameter.copy_(state[str(i)])

    def merged(self) -> nn.Module:
        return self.lm.model.to(self.dtype)


def _without_weights(lm: LoadedModel) -> list[str]:
    """Paths of linears of which nothing is left: those of empty sub-layers."""
    linears = [
        (f"{lm.family.blocks}.{layer}.{path}", block.get_parameter(f"{path}.weight"))
        for layer, block in enumerate(lm.family.block_list(lm.model))
        for path in lm.family.linears.values()
    ]
    return [path for path, weight in linears if not weight.numel()]


def _unfrozen(small: LoadedModel) -> nn.Module:
    """A copy of the model in eval mode, as everywhere: under dropout the best step would be chosen by chance."""
    return copy.deepcopy(small.model).eval()


def _everything(small: LoadedModel, block: nn.Module) -> list[nn.Parameter]:
    return list(block.parameters())


def _outputs(small: LoadedModel, block: nn.Module) -> list[nn.Parameter]:
    """Those of o and down, whose columns compensation fits, too."""
    linears = small.family.block_linears(block)
    last = {s.linear for s in small.family.structures if s.axis == "columns"}
    return [p for name in sorted(last) for p in linears[name].parameters()]


WAYS: dict[str, Callable[[LoadedModel, RecoverySettings], Trained]] = {
    LORA: Adapters,
    OUTPUTS: lambda small, chosen: Weights(small, _outputs),
    BLOCKS: lambda small, chosen: Weights(small, _everything),
}


def trained(small: LoadedModel, chosen: RecoverySettings) -> Trained:
    """What `chosen.trains` names, ready for a training of a copy of `small`."""
    return WAYS[chosen.trains](small, chosen)
