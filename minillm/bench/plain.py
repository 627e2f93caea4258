"""Plain work to compare with: what anyone would write with transformers, and no cleverer.

Batches are those of the walk (about 2,048 tokens), so that a ratio compares what is done and not how it is cut up.
"""

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..batches import BATCH_TOKENS
from ..models.loaded import LoadedModel
from ..scoring.group_masks import Mask
from ..walk.view import eval_view
from ..walk.whole import hidden_states, token_losses


def forward(lm: LoadedModel, tokens: Tensor) -> None:
    """Tokens [rows, length] through the blocks, no output head: all that input norms need."""
    lm = eval_view(lm)
    with torch.inference_mode():
        for batch in tokens.split(max(1, BATCH_TOKENS // tokens.shape[1])):
            hidden_states(lm, batch)


def losses(lm: LoadedModel, tokens: Tensor) -> float:
    """The mean loss of tokens [rows, length]: blocks, output head, cross-entropy."""
    found = []
    lm = eval_view(lm)
    with torch.inference_mode():
        for batch in tokens.split(max(1, BATCH_TOKENS // tokens.shape[1])):
            found.append(token_losses(lm, hidden_states(lm, batch).last_hidden_state, batch))
    return float(torch.cat(found).mean())


def backward(lm: LoadedModel, tokens: Tensor) -> None:
    """Forward and backward over tokens [rows, length] in one batch, the gradients of all parameters kept to the end:
    LLM-Pruner's way (Ma et al. 2023). They are dropped afterwards."""
    lm = eval_view(lm)
    with _trainable(lm.model):
        lm.model(input_ids=tokens.to(lm.device), labels=tokens.to(lm.device), use_cache=False).loss.backward()


@contextmanager
def _trainable(model: nn.Module) -> Iterator[None]:
    before = {p: p.requires_grad for p in model.parameters()}
    model.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, required in before.items():
            parameter.requires_grad_(required)
            parameter.grad = None


def in_place(lm: LoadedModel, tokens: Tensor, epsilon: float = 1e-3, seed: int = 0) -> float:
    """MeZO's estimate of c (Malladi et al. 2023, Algorithm 1): W += εz, loss, W −= 2εz, loss, W += εz.

    Changes every parameter of `lm` and brings it back only nearly: give a copy (`apart`).
    """

    def perturb(scale: float) -> None:
        source = torch.Generator(lm.device).manual_seed(seed)
        for parameter in lm.model.parameters():
            z = torch.randn(parameter.shape, generator=source, device=lm.device, dtype=parameter.dtype)
            parameter.data.add_(z, alpha=scale)

    perturb(epsilon)
    plus = losses(lm, tokens)
    perturb(-2 * epsilon)
    minus = losses(lm, tokens)
    perturb(epsilon)
    return (plus - minus) / (2 * epsilon)


def noise_by_generators(lm: LoadedModel) -> None:
    """Draw N(0, 1) for every linear of every block, each from a generator of its own, which keeps one core busy: as
    many side by side as there are threads."""

    def draw(linear: nn.Linear) -> None:
        torch.empty_like(linear.weight, dtype=torch.float32).normal_(generator=torch.Generator(linear.weight.device))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for block in lm.family.block_list(lm.model):
            list(pool.map(draw, lm.family.block_linears(block).values()))


def one_by_one(lm: LoadedModel, tokens: Tensor, masks: Sequence[Mask]) -> list[float]:
    """The mean loss of each masked model on tokens [rows, length]: mask the weights in place, run the whole model, put
    the weights back, and take the next. Changes the weights of `lm` meanwhile: give a copy (`apart`)."""
    found = []
    for mask in masks:
        before: list[tuple[Tensor, Tensor]] = []
        for layer, block in enumerate(lm.family.block_list(lm.model)):
            for structure in lm.family.structures:
                values = mask.get(layer, {}).get(structure.kind)
                if structure.axis == "columns" and values is not None:
                    weight = lm.family.block_linears(block)[structure.linear].weight.data
                    before.append((weight, weight.clone()))
                    weight *= values.repeat_interleave(weight.shape[1] // len(values)).to(weight)
        found.append(losses(lm, tokens))
        for weight, kept in before:
            weight.copy_(kept)
    return found


def apart(lm: LoadedModel, dtype: torch.dtype | None = None) -> LoadedModel:
    """A copy with weights of its own, in another number format where one is named."""
    model = copy.deepcopy(lm.model)
    return LoadedModel(model.to(dtype) if dtype else model, lm.tokenizer, lm.family, lm.source)
