"""Reading a checkpoint: a folder of safetensors → a transformers model and its tokenizer.

Everything that can be refused is refused from the small files, before a weight is read: pickle, quantised weights,
adapters, architectures of no family, remote code (never run), missing or truncated shards.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from ..errors import BadInput, UnsupportedModel
from ..families import family_of_type

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


def read_config(folder: Path) -> Any:
    """The config of a model folder, checked against the families. Raises BadInput, UnsupportedModel."""
    path = folder / "config.json"
    if not path.is_file():
        raise BadInput(f"The folder {folder} is no model: it has no config.json. Give a folder of safetensors or GGUF.")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        model_type = raw["model_type"]
    except (ValueError, KeyError, TypeError) as fault:
        raise BadInput(f"{path} is no model config ({type(fault).__name__}: {fault}).") from fault
    return checked_config(model_type, raw, lambda: AutoConfig.from_pretrained(folder, trust_remote_code=False), path)


def config_from_dict(raw: dict[str, Any]) -> Any:
    """A transformers config from a dictionary with a "model_type". Raises BadInput, UnsupportedModel."""
    if not isinstance(raw.get("model_type"), str):
        raise BadInput("A config given as a dictionary needs a “model_type”, such as llama.")
    return checked_config(raw["model_type"], raw, lambda: AutoConfig.for_model(**raw), "the dictionary")


def checked_config(model_type: str, raw: dict[str, Any], build: Any, where: Any) -> Any:
    """Build a config once its raw form is known to be of a family and unquantised, then check what it holds."""
    family_of_type(model_type)
    quantised = raw.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method", "unknown method") if isinstance(quantised, dict) else quantised
        raise UnsupportedModel(
            f"The model of {where} is quantised ({method}); heads and channels are cut from plain weights, so give the "
            "unquantised model."
        )
    try:
        config = build()
    except Exception as fault:
        raise BadInput(f"The config of {where} cannot be used: {one_line(fault)}.") from fault
    family_of_type(config.model_type, config)
    return config


def check_folder(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, each found whole. Raises BadInput, UnsupportedModel."""
    if (folder / "adapter_config.json").is_file():
        raise UnsupportedModel(f"The folder {folder} holds an adapter; merge it into its model and give that.")
    shards = _shards(folder)
    for shard in shards:
        if not shard.is_file():
            raise BadInput(f"The model in {folder} is incomplete: {shard.name} is missing. Fetch or copy it again.")
        try:
            with safe_open(shard, framework="numpy"):
                pass
        except (SafetensorError, OSError) as fault:
            raise BadInput(f"{shard} is truncated or no safetensors ({one_line(fault)}); fetch it again.") from fault
    return shards


def _shards(folder: Path) -> list[Path]:
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if (folder / INDEX).is_file():
        try:
            names = set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise BadInput(f"{folder / INDEX} is no index of safetensors ({one_line(fault)}).") from fault
        return [folder / Path(str(name)).name for name in sorted(names)]
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in PICKLES)
    if pickles:
        raise UnsupportedModel(pickled(str(folder), pickles))
    raise BadInput(f"The folder {folder} has a config.json but no weights ({WHOLE} or {INDEX}).")


def pickled(where: str, names: list[str]) -> str:
    """Why a model whose weights are pickle files only is refused."""
    return (
        f"{where} holds its weights as pickle only ({', '.join(names[:3])}), which can run code when read; only "
        "safetensors and GGUF are read. Convert it with transformers' save_pretrained where you trust it."
    )


def read_folder(folder: Path, dtype: torch.dtype, device_map: Any = None) -> tuple[Any, PreTrainedModel, Any]:
    """(config, model, tokenizer or None) of a folder of safetensors.

    device_map: as accelerate takes it, parts may be "disk". Raises BadInput, UnsupportedModel.
    """
    config = read_config(folder)
    check_folder(folder)
    model = built(
        lambda: AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            device_map=device_map,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        ),
        folder,
    )
    return config, model, read_tokenizer(folder)


def built(load: Any, where: Path) -> PreTrainedModel:
    """Run a from_pretrained that reports; refuse what it would mend by itself (missing weights drawn at random)."""
    with quiet():
        try:
            model, report = load()
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as fault:
            raise BadInput(f"The weights of {where} do not fit its config: {one_line(fault)}.") from fault
    lacking = sorted(report["missing_keys"])
    if lacking:
        raise BadInput(
            f"The model in {where} lacks {len(lacking)} weights, {lacking[0]} for one; give a complete language model."
        )
    return model


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer's files."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, None where it has none. Raises BadInput where its files cannot be read."""
    if not has_tokenizer(folder):
        return None
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as fault:
        raise BadInput(f"The tokenizer in {folder} cannot be read: {one_line(fault)}.") from fault


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own progress bars, reports and advice: progress is told by events, faults by errors."""

    from transformers.utils import logging

    placing = getLogger("accelerate.big_modeling")
    before = placing.level
    placing.setLevel(ERROR)
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Attempting to save a model with offloaded modules")
            yield
    finally:
        placing.setLevel(before)
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def one_line(fault: BaseException) -> str:
    """The first line of an error's text, without its full stop."""
    lines = str(fault).strip().splitlines()
    return (lines[0] if lines else type(fault).__name__).rstrip(". ")[:300]
