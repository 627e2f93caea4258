"""`export`: a model → a folder in one of the forms of `recipes.exports`, whole or not at all.

    the form's own files   weights, config and tokenizer, or one .gguf
    README.md              the model card: what was cut, by what, what came of it, how to open it
    recipe.json            the plan with every index that stays, and every step since: what repeats it

A form's writer is a generator of events whose result says what it wrote. Before transformers' files are written, the
model they make is run beside ours on a few tokens, so that an export that computes something else is never left behind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import MiniLLMError
from ..events import RESULT, Event, Events, awaited, outside_inference, relay
from ..models.accounts import blank
from ..models.loaded import LoadedModel
from ..models.older import tell_older
from ..models.placing import to_save
from ..models.weights import quiet
from ..paths import written_whole
from ..places import folder_for
from ..recipes.exports import GGUF, MASKED, TRANSFORMERS, find_form, numbers_in
from .card import Written, write_card
from .frame import Place, laid
from .gguf import write_gguf
from .plain import biases_of, dense, fitted

TRIED = 16
"""Tokens on which a model of transformers is compared with ours."""
APART = 1e-4
"""How far their logits may be apart, as a share of the largest: sums over zeros may be taken in another order."""
NORMED = 100
"""So many times as far where a norm goes over all heads: what it adds to their mean square counts more among zeros."""


@dataclass(frozen=True)
class Exported:
    """What was written: where, in which form, and its size in parameters (zeros included) and bytes."""

    folder: Path
    form: str
    parameters: int
    bytes: int
    note: str


@outside_inference
def export_events(
    lm: LoadedModel,
    form: str,
    folder: str | Path,
    numbers: str = "",
    measured: Sequence[Mapping[str, Any]] = (),
) -> Events:
    """Write a model in a form that other tools open; `lm` is untouched.

    form: of `recipes.exports.EXPORTS`; folder: new or empty; numbers: the format of the weights, empty for the form's
    own; measured: perplexities for the model card, {"text", "length", "tokens", "before", "after"}.
    Raises UnknownName, BadInput (the folder), UnsupportedModel (what the form cannot hold), DoesNotFit (a full disk);
    nothing half-written stays. The result is an `Exported`.

    As events: "lay out" block by block, "try", "write".
    """
    record = find_form(form)
    chosen, folder = numbers_in(record, numbers), folder_for(folder, "")
    with written_whole(folder) as scratch:
        scratch.mkdir()
        written: Written = yield from relay(WRITERS[form](lm, scratch, chosen))
        write_card(lm, scratch, record, written, measured)
        size = sum(file.stat().st_size for file in scratch.rglob("*"))
    yield Event(RESULT, 1, 1, Exported(folder, form, written.parameters, size, written.note))


export = awaited(export_events, Exported)


def _write_fitted(lm: LoadedModel, folder: Path, numbers: str) -> Events:
    config, places = fitted(lm)
    yield from _write_plain(lm, folder, numbers, config, places)


def _write_dense(lm: LoadedModel, folder: Path, numbers: str) -> Events:
    config, places = dense(lm)
    yield from _write_plain(lm, folder, numbers, config, places)


def _write_plain(lm: LoadedModel, folder: Path, numbers: str, config: Any, places: list[Place]) -> Events:
    """The model of a config, with the weights of ours, saved by transformers itself."""
    biased, inside = biases_of(lm.family, config), f"{lm.family.blocks}."
    model = blank(config, lm.dtype)
    for name, weight in laid(lm, places, biased):
        _give(model, name, weight)
        number = name.removeprefix(inside).partition(".")[0]
        yield Event("lay out", int(number) if name.startswith(inside) else 0, len(places))
    model.tie_weights()
    yield Event("try", 0, 1)
    apart = differing(lm, model.eval())
    if numbers:
        model = model.to(getattr(torch, numbers))
    model.generation_config = lm.model.generation_config
    yield Event("write", 0, 1)
    with quiet():
        to_save(model).save_pretrained(folder)
        if lm.tokenizer is not None:
            lm.tokenizer.save_pretrained(folder)
    tell_older(folder)
    block = places[0].groups
    widths = {"heads": block.heads * block.queries, "key/value heads": block.heads, block.ffn: block.channels}
    parameters = sum(p.numel() for p in model.parameters())
    told = numbers or str(lm.dtype).removeprefix("torch.")
    yield Event(RESULT, 1, 1, Written(parameters, told, _told(lm, parameters, widths), apart))


def _give(model: torch.nn.Module, name: str, weight: torch.Tensor) -> None:
    """Put a weight, or a buffer that is saved with them, in the place of the one that has no numbers yet."""
    path, _, leaf = name.rpartition(".")
    part = model.get_submodule(path)
    if leaf in part._parameters:
        part._parameters[leaf] = torch.nn.Parameter(weight, requires_grad=False)
    else:
        part._buffers[leaf] = weight


def _told(lm: LoadedModel, parameters: int, widths: Mapping[str, int]) -> str:
    """What was filled up, and by how much it is larger for that."""
    if parameters == lm.parameters:
        return "Nothing had to be filled up: every block has the same widths."
    said = ", ".join(f"{count:,} {name}" for name, count in widths.items())
    return (
        f"Every block was filled up with zeros to {said}: {parameters:,} parameters where {lm.parameters:,} are left "
        f"({parameters / lm.parameters - 1:+.1%})."
    )


@torch.no_grad()
def differing(lm: LoadedModel, model: Any) -> float:
    """How far the logits of another model are from ours on a few tokens, as a share of the largest.

    Raises MiniLLMError where that is more than sums in another order explain.
    """
    tokens = torch.arange(TRIED)[None] * 7 % lm.groups.vocabulary
    ours = lm.model(tokens.to(lm.device)).logits.float().cpu()
    apart = float((model(tokens).logits.float() - ours).abs().max() / ours.abs().max())
    if lm.dtype == torch.float32 and not apart <= APART * (NORMED if lm.family.norms else 1):
        raise MiniLLMError(
            f"What was to be exported does not compute what {lm.source} does (logits {apart:.2g} apart); nothing was "
            "written. Save the model with save_pretrained and report this."
        )
    return apart


WRITERS: dict[str, Callable[[LoadedModel, Path, str], Events]] = {
    TRANSFORMERS: _write_fitted,
    GGUF: write_gguf,
    MASKED: _write_dense,
}
"""{form: (model, folder that is there and empty, format of the weights) -> events, the last with a `Written`}."""
