"""What a recovery trains: adapters beside weights that stand still, or weights of the blocks themselves.

The one idea: the loop of a recovery (`recovery`) asks a few things of what it trains: which numbers of each block an
optimizer moves, what they are now, that they be what they were, that some blocks' adapters count for less, and the
model without scaffolding. Whichever is trained, embeddings, norms' places and shapes stay as they are. What is said of
each by name, and how many numbers it trains, is in `recipes.trains`.

Weights are trained in float32, whatever they are stored in: an update of a ten-thousandth of a weight is less than the
distance between two numbers of bfloat16.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from ..alone import seeded
from ..families.groups import HEADS
from ..models.loaded import LoadedModel
from ..recipes.presets import RecoverySettings
from ..recipes.trains import BLOCKS, LORA, OUTPUTS, SPARSE, SPP
from .lesson import Lesson
from .scaffold import State, still, trained_in
from .sparse import sparse
from .spp import scaled


class Trained(Protocol):
    """What is trained. lm: the model as it is used while training; blocks: of each block what the optimizer moves."""

    lm: LoadedModel
    blocks: list[list[Tensor]]

    def state(self) -> State:
        """What has been learnt so far; later training does not change it."""

    def restore(self, state: State) -> None:
        """Be as `state` was."""

    def weaker(self, layers: Sequence[int], strength: float) -> AbstractContextManager[None]:
        """While open, the adapters of these blocks count for that much."""

    def merged(self) -> nn.Module:
        """The model with what was learnt in its weights, stored as the small model's are."""


class Lora:
    """LoRA's adapters on every linear of the blocks (Section 3.3 of the paper, Eq. 10; peft does them).

    Experts are no linears, but matrices one above the other: of a model with experts only attention is adapted (peft
    takes the names of a plain FFN's linears, where other blocks have one, for those of experts).
    """

    def __init__(self, small: LoadedModel, chosen: RecoverySettings) -> None:
        self.lm = still(small)
        adapted = {s.linear for s in small.family.structures if s.kind == HEADS or not small.groups.experts}
        config = LoraConfig(
            r=chosen.rank,
            lora_alpha=chosen.alpha,
            lora_dropout=0.0,
            target_modules=[path for name, path in small.family.linears.items() if name in adapted],
            exclude_modules=_without_weights(small) or None,
            task_type="CAUSAL_LM",
        )
        # peft draws from the generator that all threads share.
        with seeded(chosen.seed), warnings.catch_warnings():
            # peft reads an attribute that transformers has renamed; nothing here can change that.
            warnings.simplefilter("ignore", FutureWarning)
            self.adapted = get_peft_model(self.lm.model, config)
        self.blocks = trained_in(self.lm)

    def state(self) -> State:
        return {k: v.detach().clone() for k, v in get_peft_model_state_dict(self.adapted).items()}

    def restore(self, state: State) -> None:
        set_peft_model_state_dict(self.adapted, state)

    @contextmanager
    def weaker(self, layers: Sequence[int], strength: float) -> Iterator[None]:
        blocks = self.lm.family.block_list(self.lm.model)
        chosen = [part for layer in layers for part in blocks[layer].modules() if isinstance(part, LoraLayer)]
        before = [dict(part.scaling) for part in chosen]
        for part in chosen:
            part.scale_layer(strength)
        try:
            yield
        finally:
            for part, scaling in zip(chosen, before, strict=True):
                part.scaling.update(scaling)

    def merged(self) -> nn.Module:
        return self.adapted.merge_and_unload()


class Weights:
    """Weights of the blocks themselves: those that `wanted` says of a block, or all of it."""

    def __init__(self, small: LoadedModel, wanted: Callable[[LoadedModel, nn.Module], list[nn.Parameter]]) -> None:
        self.dtype = small.dtype
        self.lm = still(small)
        self.lm.model.float()
        for block in small.family.block_list(self.lm.model):
            for parameter in wanted(small, block):
                parameter.requires_grad_()
        self.blocks = trained_in(self.lm)

    def state(self) -> State:
        return {str(i): p.detach().clone() for i, p in enumerate(sum(self.blocks, []))}

    def restore(self, state: State) -> None:
        with torch.no_grad():
            for i, parameter in enumerate(sum(self.blocks, [])):
                parameter.copy_(state[str(i)])

    def weaker(self, layers: Sequence[int], strength: float) -> AbstractContextManager[None]:
        """Nothing: weights are no adapters (`trains.check_drawn` lets nobody ask)."""
        return nullcontext()

    def merged(self) -> nn.Module:
        return self.lm.model.to(self.dtype)


def _without_weights(lm: LoadedModel) -> list[str]:
    """Paths of linears of which nothing is left: those of empty sub-layers."""
    linears = [
        (f"{lm.family.blocks}.{layer}.{path}", block.get_parameter(f"{path}.weight"))
        for layer, block in enumerate(lm.family.block_list(lm.model))
        for path in lm.family.block_paths(block).values()
    ]
    return [path for path, weight in linears if not weight.numel()]


def _everything(small: LoadedModel, block: nn.Module) -> list[nn.Parameter]:
    return list(block.parameters())


def _outputs(small: LoadedModel, block: nn.Module) -> list[nn.Parameter]:
    """Those of o and down, whose columns compensation fits, too; of a block with experts, of o alone."""
    linears = small.family.block_linears(block)
    last = {s.linear for s in small.family.structures if s.axis == "columns"}
    return [p for name in sorted(last & linears.keys()) for p in linears[name].parameters()]


WAYS: dict[str, Callable[[LoadedModel, RecoverySettings, Lesson], Trained]] = {
    LORA: lambda small, chosen, lesson: Lora(small, chosen),
    SPP: lambda small, chosen, lesson: scaled(small, chosen),
    SPARSE: sparse,
    OUTPUTS: lambda small, chosen, lesson: Weights(small, _outputs),
    BLOCKS: lambda small, chosen, lesson: Weights(small, _everything),
}


def trained(small: LoadedModel, chosen: RecoverySettings, lesson: Lesson) -> Trained:
    """What `chosen.trains` names, ready for a training of a copy of `small` on what `lesson` holds. Raises BadInput."""
    return WAYS[chosen.trains](small, chosen, lesson)
