"""Reading a GGUF file: its weights are dequantised on reading, so that heads and channels can be cut from them.

transformers reads the format. This minds what it lets pass without a word: files cut short, metadata it does not read,
tensors that nothing asks for, tokenizers that split text in their own way.
"""

import re
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel
from transformers.integrations.gguf.reader import GgufHeader, read_gguf_metadata
from transformers.modeling_gguf_pytorch_utils import TensorProcessor, get_gguf_hf_weights_map

from ..alone import alone
from ..errors import BadInput, UnsupportedModel, foreign, reason
from ..families import family_of_type, shape_of
from .accounts import Held, account, shapes_of
from .configs import checked_config
from .gguf_metadata import config_of
from .gguf_words import check_words, split_by_rule
from .weights import built, quiet, tried

Heard = Callable[[int, int], object]
"""(tensors dequantised, tensors): told while a file is read."""


class _Overheard(StringIO):
    """What the reader's progress bar is written to: no setting turns it off, and nothing else says how far it is."""

    def __init__(self, heard: Heard | None) -> None:
        super().__init__()
        self._heard = heard

    def write(self, text: str) -> int:
        for done, total in re.findall(r"(\d+)/(\d+) \[", text) if self._heard else ():
            self._heard(int(done), int(total))  # type: ignore[misc]
        return len(text)


def read_gguf(file: Path, dtype: torch.dtype, heard: Heard | None = None) -> tuple[Any, PreTrainedModel, Any]:
    """(config, model, tokenizer) of one GGUF file, its weights dequantised. Raises BadInput, UnsupportedModel."""
    config, fields = _config(file)
    tokenizer = _tokenizer(file, fields)
    with alone(), redirect_stderr(_Overheard(heard)):
        model = built(
            lambda: AutoModelForCausalLM.from_pretrained(
                file.parent,
                config=config,
                gguf_file=file.name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=dtype,
                local_files_only=True,
                output_loading_info=True,
            ),
            file,
        )
    return config, model, tokenizer


def read_gguf_config(file: Path) -> Any:
    """The config of a GGUF file, checked against the families and its tensors. Raises BadInput, UnsupportedModel."""
    return _config(file)[0]


def _config(file: Path) -> tuple[Any, dict[str, Any]]:
    fields, header = check_gguf(file)
    raw = config_of(fields, file)
    raw["tie_word_embeddings"] = "output.weight" not in header.ggml_types or _is_copy(file, header)
    config = checked_config(raw, lambda: CONFIG_MAPPING[raw["model_type"]].from_dict(raw), file)
    _account(file, config, header)
    return config, fields


def check_gguf(file: Path) -> tuple[dict[str, Any], Any]:
    """(metadata, header) of a GGUF file that is whole and of a supported architecture.

    Raises BadInput, UnsupportedModel.
    """
    try:
        fields, _ = read_gguf_metadata(str(file))
        header = GgufHeader.from_file(str(file))
    except Exception as fault:
        raise BadInput(f"{file} cannot be read as GGUF ({reason(fault)}); give another file.") from fault
    family_of_type(str(fields["general.architecture"]))
    end = header.data_start + max((t.offset + t.nbytes for t in header.tensors), default=0)
    if file.stat().st_size < end:
        raise BadInput(f"{file} is truncated: {file.stat().st_size:,} bytes of {end:,}. Fetch it again.")
    return fields, header


def _account(file: Path, config: Any, header: Any) -> None:
    """Every tensor of the file belongs to the model, and every weight of the model is in the file."""
    model = shape_of(config)
    names = get_gguf_hf_weights_map(model, TensorProcessor())
    held: dict[str, Held] = {}
    for tensor in header.tensors:
        name = names.get(tensor.name, tensor.name)
        if name in held:
            raise BadInput(f"{file} holds {tensor.name} twice; fetch it again.")
        held[name] = Held(GGMLQuantizationType(tensor.ggml_type).name, tuple(tensor.shape))
    for target in model.all_tied_weights_keys or {}:
        held.pop(target, None)
    account(file, shapes_of(model), held, frozenset(kind.name for kind in GGMLQuantizationType))


def _is_copy(file: Path, header: Any) -> bool:
    """Whether the output head in a file is the embedding once more, byte for byte."""
    found = {tensor.name: tensor for tensor in header.tensors}
    head, table = found.get("output.weight"), found.get("token_embd.weight")
    if head is None or table is None or (head.ggml_type, head.shape) != (table.ggml_type, table.shape):
        return False
    stored = np.memmap(file, np.uint8, "r")
    here, there = (stored[header.data_start + t.offset :][: t.nbytes] for t in (head, table))
    return bool(np.array_equal(here, there))


def _tokenizer(file: Path, fields: dict[str, Any]) -> Any:
    check_words(fields, file)
    with quiet(), foreign(f"The tokenizer of {file} cannot be read by transformers: {{reason}}.", UnsupportedModel):
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
        split_by_rule(tokenizer, fields)
        return tried(tokenizer)
