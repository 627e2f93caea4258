"""Reading a GGUF file: its weights are dequantised on reading, so that heads and channels can be cut from them.

transformers reads the format. This minds what it lets pass without a word: files cut short, scaled rotary positions,
and how SmolLM's tokenizer splits digits.
"""

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel

from ..errors import BadInput, UnsupportedModel
from ..families import family_of_type
from .weights import built, one_line, quiet


def read_gguf(file: Path, dtype: torch.dtype) -> tuple[Any, PreTrainedModel, Any]:
    """(config, model, tokenizer) of one GGUF file, its weights dequantised. Raises BadInput, UnsupportedModel."""
    config = read_gguf_config(file)
    tokenizer = _of_gguf(AutoTokenizer, file)
    _split_digits(tokenizer, check_gguf(file).get("tokenizer.ggml.pre"))
    # The reader draws a progress bar that no setting turns off.
    with redirect_stderr(StringIO()):
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
    """The config of a GGUF file, checked against the families. Raises BadInput, UnsupportedModel."""
    check_gguf(file)
    config = _of_gguf(AutoConfig, file)
    family_of_type(config.model_type, config)
    return config


def check_gguf(file: Path) -> dict[str, Any]:
    """The metadata of a GGUF file that is whole and of a supported architecture. Raises BadInput, UnsupportedModel."""
    from transformers.integrations.gguf.reader import GgufHeader, read_gguf_metadata

    try:
        fields, tensors = read_gguf_metadata(str(file))
        header = GgufHeader.from_file(str(file))
    except Exception as fault:
        raise BadInput(f"{file} cannot be read as GGUF ({one_line(fault)}); give another file.") from fault
    family_of_type(str(fields["general.architecture"]))
    scaling = [name for name in (*fields, *tensors) if ".rope.scaling." in name or name == "rope_freqs.weight"]
    if scaling:
        raise UnsupportedModel(
            f"{file} scales its rotary positions ({scaling[0]}), which transformers' GGUF reader leaves out without a "
            "word; give the model as safetensors."
        )
    end = header.data_start + max((t.offset + t.nbytes for t in header.tensors), default=0)
    if file.stat().st_size < end:
        raise BadInput(f"{file} is truncated: {file.stat().st_size:,} bytes of {end:,}. Fetch it again.")
    return fields


def _of_gguf(kind: Any, file: Path) -> Any:
    """The config or tokenizer in a GGUF file, by transformers' AutoConfig or AutoTokenizer."""
    try:
        with quiet():
            return kind.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)
    except Exception as fault:
        raise UnsupportedModel(f"The GGUF file {file} cannot be read by transformers: {one_line(fault)}.") from fault


def _split_digits(tokenizer: Any, splitting: str | None) -> None:
    """SmolLM splits off every digit before the words; transformers' GGUF reader knows other splittings but not this."""
    from tokenizers import pre_tokenizers

    if splitting == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
