"""A model as one GGUF file for llama.cpp and what stands on it.

    llama, mistral, qwen2: blocks alike          llama, which takes biases where there are any
                           blocks that differ    deci: a width for each block
    other types                                  their own architecture

What a type's architecture in llama.cpp cannot hold is filled up with zeros, by the config that plain transformers would
need. Weights of rotary attention lie there in pairs (llama, deci) or in halves (the others), as its own converter has
them; fused q, k and v lie one after the other and not head by head.
"""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from ..errors import NumericalFault, UnsupportedModel
from ..events import RESULT, Event, Events
from ..models.loaded import LoadedModel
from ..recipes.exports import LLAMA_CPP, OWN_WIDTHS, QUANTISED
from .card import Written
from .frame import Place, laid
from .gguf_keys import check_positions, frequency_factors, metadata
from .gguf_tokenizer import add_tokenizer
from .plain import biases_of, fitted

DECI = "deci"
PREFIX = "transformer."
"""What BLOOM's names begin with here, and do not in gguf's table."""
GROUP = 32
"""Weights that Q8_0 quantises together: a row must be a multiple of it."""
FORMS: dict[str, tuple[Any, Any]] = {
    "float32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "float16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bfloat16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    QUANTISED: (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
"""{numbers: (of a matrix, of the file)}."""


def in_pairs(weight: Tensor, name: str, place: Place) -> Tensor:
    """Rows of q and k with the two halves of each head interleaved."""
    if ".q_proj." not in name and ".k_proj." not in name:
        return weight
    apart = weight.reshape(-1, 2, place.groups.head_dim // 2, *weight.shape[1:])
    return apart.swapaxes(1, 2).reshape(weight.shape)


def one_after_another(weight: Tensor, name: str, place: Place) -> Tensor:
    """Rows of a fused q-k-v, [head, 3, head_dim], as all q, all k, all v."""
    if ".query_key_value." not in name:
        return weight
    apart = weight.reshape(place.groups.heads, 3, place.groups.head_dim, *weight.shape[1:])
    return apart.swapaxes(0, 1).reshape(weight.shape)


ROWS: dict[str, Callable[[Tensor, str, Place], Tensor]] = {
    "llama": in_pairs,
    "bloom": one_after_another,
    "gptneox": one_after_another,
}
"""{llama.cpp's architecture: (weight, name, place) -> the weight with its rows as they lie there}."""
NORMS = {"gemma": 1.0}
"""{llama.cpp's architecture: what is added to the weights of norms}."""


def write_gguf(lm: LoadedModel, folder: Path, numbers: str) -> Events:
    """Write FOLDER/NAME.gguf, and a Modelfile for Ollama. Raises UnsupportedModel for what llama.cpp cannot hold."""
    kind = lm.model.config.model_type
    if lm.groups.experts:
        raise UnsupportedModel(
            "Experts are not written as GGUF here; export it to transformers, which llama.cpp's own converter reads."
        )
    if kind not in LLAMA_CPP:
        raise UnsupportedModel(
            f"llama.cpp has no architecture for models of type “{kind}” ({', '.join(LLAMA_CPP)} are written); "
            "export it to transformers."
        )
    check_positions(lm.model.config)
    named = LLAMA_CPP[kind]
    config, places, biased = _shape(lm, named, GROUP if numbers == QUANTISED else 1)
    mixed = len({place.groups for place in places}) > 1
    architecture = DECI if mixed else named
    writer = gguf.GGUFWriter(folder / f"{folder.name}.gguf", architecture)
    try:
        metadata(writer, config, [place.groups for place in places], mixed)
        writer.add_name(folder.name)
        writer.add_file_type(FORMS[numbers][1])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        add_tokenizer(writer, lm.tokenizer, config.vocab_size)
        yield from _write_tensors(writer, lm, places, biased, named, numbers)
    finally:
        writer.close()
    (folder / "Modelfile").write_text(f"FROM ./{folder.name}.gguf\n", encoding="utf-8")
    parameters = _parameters(lm, places)
    yield Event(RESULT, 1, 1, Written(parameters, numbers, _told(architecture, parameters, lm.parameters), None))


def _shape(lm: LoadedModel, named: str, multiple: int) -> tuple[Any, list[Place], frozenset[str]]:
    """(config, places, linears with a bias) of what is written."""
    if named != OWN_WIDTHS:
        config, places = fitted(lm)
        return config, places, biases_of(lm.family, config)
    blocks = map(lm.family.block_linears, lm.family.block_list(lm.model))
    biased = {name for linears in blocks for name, linear in linears.items() if linear.bias is not None}
    return lm.model.config, [_own(lm, i, multiple) for i in range(len(lm.groups))], frozenset(biased)


def _own(lm: LoadedModel, number: int, multiple: int) -> Place:
    """A block as it is. Of a sub-layer without groups one of zeros is written: llama.cpp would skip more than that."""
    block = lm.groups.blocks[number]
    channels = max(1, -(-block.channels // multiple)) * multiple
    wider = replace(block, heads=max(block.heads, 1), channels=channels)
    queries = np.arange(block.queries if block.heads else 0)
    return Place(wider, number, np.arange(block.heads), queries, np.arange(block.channels))


def _tensors(
    lm: LoadedModel, places: Sequence[Place], biased: frozenset[str], named: str
) -> Iterator[tuple[str, Tensor, int]]:
    """(name in GGUF, weight, number of its block or −1)."""
    inside, names = f"{lm.family.blocks}.", _names(named, len(places))
    for name, weight in laid(lm, places, biased):
        number = int(name.removeprefix(inside).partition(".")[0]) if name.startswith(inside) else -1
        there = names.get_name(name.removeprefix(PREFIX), (".weight", ".bias"))
        if there is None:
            raise UnsupportedModel(f"llama.cpp's {named} has no place for {name}; export it to transformers.")
        if number >= 0:
            weight = ROWS[named](weight, name, places[number]) if named in ROWS else weight
        if "norm" in name and name.endswith(".weight"):
            weight = weight.float() + NORMS.get(named, 0.0)
        yield there, weight, number


def _names(named: str, blocks: int) -> Any:
    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == named)
    return gguf.get_tensor_name_map(kind, blocks)


def _write_tensors(
    writer: gguf.GGUFWriter,
    lm: LoadedModel,
    places: Sequence[Place],
    biased: frozenset[str],
    named: str,
    numbers: str,
) -> Events:
    """Twice over the weights: what there is must be told before the first of them is written, and all of them are never
    in memory together."""
    factors = frequency_factors(lm.model.config, lm.groups.blocks[0].head_dim)
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    for name, weight, _ in _tensors(lm, places, biased, named):
        form, shape, size = _packed_shape(weight, numbers)
        kind = np.dtype(np.float32 if form == gguf.GGMLQuantizationType.F32 else np.float16)
        writer.add_tensor_info(name, shape, kind, size, raw_dtype=form)
    with _full_told():
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        if factors is not None:
            writer.write_tensor_data(factors)
        for _, weight, number in _tensors(lm, places, biased, named):
            yield Event("write", max(number, 0), len(places))
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


def _parameters(lm: LoadedModel, places: Sequence[Place]) -> int:
    """Parameters that are written, those of zeros included."""
    return lm.parameters + sum(
        place.groups.parameters - lm.groups.blocks[i].parameters for i, place in enumerate(places)
    )


def _told(architecture: str, parameters: int, before: int) -> str:
    said = f"llama.cpp's architecture is {architecture}"
    if architecture == DECI:
        said += ", which has widths for each block"
    if parameters == before:
        return f"{said}; nothing was filled up."
    return (
        f"{said}; filled up with zeros to {parameters:,} parameters from {before:,} ({parameters / before - 1:+.1%})."
    )


@contextmanager
def _full_told() -> Iterator[None]:
    """A write that was cut short says what it means: numpy tells it without a number."""
    try:
        yield
    except OSError as fault:
        if fault.errno is not None:
            raise
        raise OSError(errno.ENOSPC, "No space left on device") from fault
