"""A model as one GGUF file for llama.cpp and what stands on it.

`recipes.llama_cpp` says which architecture holds a type. What it cannot hold is filled up with zeros, by the config
that plain transformers would need; LLaMA-like models whose blocks differ are of one that has a width for each block.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from ..errors import NumericalFault, UnsupportedModel
from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..recipes.exports import QUANTISED
from ..recipes.llama_cpp import LLAMA_CPP, Architecture
from .card import Written
from .frame import Place, laid
from .gguf_keys import check, frequency_factors, metadata, remarks
from .gguf_rows import lying_there, rescaled
from .gguf_tokenizer import add_tokenizer, name_of
from .plain import biases_of, fitted

PREFIX = "transformer."
"""What names of BLOOM and MPT begin with here, and do not in gguf's table."""
GROUP = 32
"""Weights that Q8_0 quantises together: a row must be a multiple of it."""
FORMS: dict[str, tuple[Any, Any]] = {
    "float32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "float16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bfloat16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    QUANTISED: (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
"""{numbers: (of a matrix, of the file)}."""


@dataclass(frozen=True)
class Draft:
    """What is written: the model, its config and blocks as llama.cpp is told of them, and the linears with a bias."""

    lm: LoadedModel
    there: Architecture
    config: Any
    places: list[Place]
    biased: frozenset[str]

    @property
    def mixed(self) -> bool:
        """Whether blocks differ in width."""
        return len({place.groups for place in self.places}) > 1

    @property
    def architecture(self) -> str:
        """Its name in the file."""
        return self.there.own_widths if self.mixed else self.there.name

    @property
    def parameters(self) -> int:
        """Parameters that are written, those of zeros included."""
        blocks = zip(self.places, self.lm.groups.blocks, strict=True)
        return self.lm.parameters + sum(place.groups.parameters - block.parameters for place, block in blocks)


def write_gguf(lm: LoadedModel, folder: Path, numbers: str) -> Events:
    """Write FOLDER/NAME.gguf, and a Modelfile for Ollama. Raises UnsupportedModel for what llama.cpp cannot hold."""
    kind = lm.model.config.model_type
    if lm.groups.experts:
        raise UnsupportedModel(
            "Experts are not written as GGUF here; export it to transformers, which llama.cpp's own converter reads."
        )
    if kind not in LLAMA_CPP:
        raise UnsupportedModel(
            f"llama.cpp has no architecture for models of type “{kind}”, or none that is written here; export it to "
            "transformers."
        )
    draft = _draft(lm, LLAMA_CPP[kind], GROUP if numbers == QUANTISED else 1)
    blocks = [place.groups for place in draft.places]
    check(draft.config, draft.there, blocks, draft.biased)
    writer = gguf.GGUFWriter(folder / f"{folder.name}.gguf", draft.architecture)
    try:
        metadata(writer, draft.config, blocks, draft.mixed, draft.there)
        writer.add_name(name_of(folder.name, lm.tokenizer))
        writer.add_file_type(FORMS[numbers][1])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        add_tokenizer(writer, lm.tokenizer, draft.config.vocab_size)
        yield from _write_tensors(writer, draft, numbers)
    finally:
        writer.close()
    (folder / "Modelfile").write_text(f"FROM ./{folder.name}.gguf\n", encoding="utf-8")
    yield Event(RESULT, 1, 1, Written(draft.parameters, numbers, _told(draft), None))


def _draft(lm: LoadedModel, there: Architecture, multiple: int) -> Draft:
    """multiple: of which channels are where each block has a width of its own."""
    if not there.own_widths:
        config, places = fitted(lm, there.square)
        return Draft(lm, there, config, places, biases_of(lm.family, config))
    blocks = map(lm.family.block_linears, lm.family.block_list(lm.model))
    biased = {name for linears in blocks for name, linear in linears.items() if linear.bias is not None}
    places = [_own(lm, i, multiple) for i in range(len(lm.groups))]
    return Draft(lm, there, lm.model.config, places, frozenset(biased))


def _own(lm: LoadedModel, number: int, multiple: int) -> Place:
    """A block as it is. Of a sub-layer without groups one of zeros is written: llama.cpp would skip more than that."""
    block = lm.groups.blocks[number]
    channels = max(1, -(-block.channels // multiple)) * multiple
    wider = replace(block, heads=max(block.heads, 1), channels=channels)
    queries = np.arange(block.queries if block.heads else 0)
    return Place(wider, number, np.arange(block.heads), queries, np.arange(block.channels))


def _tensors(draft: Draft) -> Iterator[tuple[str, Tensor, int]]:
    """(name in GGUF, weight, number of its block or −1); a number that is a key and no tensor by the key's name."""
    inside, there = f"{draft.lm.family.blocks}.", draft.there
    names, first = _names(there.name, len(draft.places)), draft.places[0].groups
    factor = rescaled(draft.config, there, first.heads * first.queries, first.head_dim)
    for name, weight in laid(draft.lm, draft.places, draft.biased):
        number, _, part = name.removeprefix(inside).partition(".") if name.startswith(inside) else ("-1", "", name)
        if part in there.numbers:
            yield there.numbers[part], weight, int(number)
            continue
        found = [names.get_name(one, (".weight", ".bias")) for one in (name, name.removeprefix(PREFIX))]
        if not any(found):
            raise UnsupportedModel(f"llama.cpp's {there.name} has no place for {name}; export it to transformers.")
        path, _, leaf = part.rpartition(".")
        if int(number) >= 0:
            weight = lying_there(weight, path, draft.places[int(number)].groups, draft.lm.family, there)
        if "norm" in path and leaf == "weight":
            weight = weight.float() + there.shift
        yield found[0] or found[1], weight.float() * factor if path == there.scaled else weight, int(number)


def _names(named: str, blocks: int) -> Any:
    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == named)
    return gguf.get_tensor_name_map(kind, blocks)


def _write_tensors(writer: gguf.GGUFWriter, draft: Draft, numbers: str) -> Events:
    """Twice over the weights: what there is must be told before the first of them is written, and all of them are never
    in memory together."""
    factors = frequency_factors(draft.config, draft.lm.groups.blocks[0].head_dim)
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    keys, each_block = set(draft.there.numbers.values()), dict[str, list[float]]()
    for name, weight, _ in _tensors(draft):
        if name in keys:
            each_block.setdefault(name, []).append(float(weight))
            continue
        form, shape, size = _packed_shape(weight, numbers)
        kind = np.dtype(np.float32 if form == gguf.GGMLQuantizationType.F32 else np.float16)
        writer.add_tensor_info(name, shape, kind, size, raw_dtype=form)
    for name, values in each_block.items():
        getattr(writer, f"add_{name}")(values)
    with _full_told():
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors)
        for name, weight, number in _tensors(draft):
            yield Event("write", max(number, 0), len(draft.places))
            if name not in keys:
                writer.write_tensor_data(_packed(weight, numbers))


def _packed_shape(weight: Tensor, numbers: str) -> tuple[Any, tuple[int, ...], int]:
    """(form, shape, bytes) in which a weight is written: vectors in float32, and what Q8_0 cannot group in float16."""
    form = FORMS[numbers][0] if weight.dim() > 1 else gguf.GGMLQuantizationType.F32
    if form == gguf.GGMLQuantizationType.Q8_0 and weight.shape[-1] % GROUP:
        form = gguf.GGMLQuantizationType.F16
    together, size = gguf.GGML_QUANT_SIZES[form]
    return form, tuple(weight.shape), weight.numel() // together * size


def _packed(weight: Tensor, numbers: str) -> np.ndarray:
    """The bytes of a weight. Raises NumericalFault for numbers that the format does not have."""
    form, _, _ = _packed_shape(weight, numbers)
    if form == gguf.GGMLQuantizationType.F16 and not torch.isfinite(weight.half()).all():
        raise NumericalFault("Some weights are beyond what float16 can hold; export in bfloat16 or float32.")
    return np.ascontiguousarray(gguf.quants.quantize(np.ascontiguousarray(weight.float().numpy()), form))


def _told(draft: Draft) -> str:
    before, said = draft.lm.parameters, f"llama.cpp's architecture is {draft.architecture}"
    if draft.mixed:
        said += ", which has widths for each block"
    if draft.parameters == before:
        said += "; nothing was filled up."
    else:
        more = f"{draft.parameters:,} parameters from {before:,} ({draft.parameters / before - 1:+.1%})"
        said += f"; filled up with zeros to {more}."
    return said + remarks(draft.config, draft.there)


@contextmanager
def _full_told() -> Iterator[None]:
    """A write that was cut short says what it means: numpy tells it without a number."""
    try:
        yield
    except OSError as fault:
        if fault.errno is not None:
            raise
        raise OSError(errno.ENOSPC, "No space left on device") from fault
