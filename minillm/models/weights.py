"""Reading a checkpoint: a folder of safetensors → a transformers model and its tokenizer.

Everything that can be refused is refused from the small files, before a weight is read: pickle, quantised weights,
adapters, architectures of no family, remote code (never run), missing or truncated shards.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from ..alone import alone
from ..errors import BadInput, UnsupportedModel, foreign
from ..families import family_of_type
from .accounts import accounted, blank
from .configs import read_config, read_json

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
PRUNED_INDEX, PRUNED = "pruned.safetensors.index.json", "pruned.safetensors"
"""Names that no other library opens, for weights of shapes that no config of transformers can name."""
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


def check_folder(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, each found whole. Raises BadInput, UnsupportedModel."""
    if (folder / "adapter_config.json").is_file():
        raise UnsupportedModel(f"The folder {folder} holds an adapter; merge it into its model and give that.")
    shards = _shards(folder)
    for shard in shards:
        if not shard.is_file():
            raise BadInput(f"The model in {folder} is incomplete: {shard.name} is missing. Fetch or copy it again.")
        with (
            foreign(f"{shard} is truncated or no safetensors ({{reason}}); fetch it again."),
            safe_open(shard, framework="numpy"),
        ):
            pass
    return shards


def _shards(folder: Path) -> list[Path]:
    for whole, index in ((WHOLE, INDEX), (PRUNED, PRUNED_INDEX)):
        if (folder / whole).is_file():
            return [folder / whole]
        if (folder / index).is_file():
            return [folder / name for name in _indexed(folder / index)]
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in PICKLES)
    if pickles:
        raise UnsupportedModel(pickled(str(folder), pickles))
    raise BadInput(f"The folder {folder} has a config.json but no weights ({WHOLE} or {INDEX}).")


def _indexed(index: Path) -> list[str]:
    """The names of the files an index sends its readers to, all of them beside it."""
    found = read_json(index, "index of safetensors")
    files = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not files or not all(isinstance(name, str) for name in files.values()):
        raise BadInput(f"{index} is no index of safetensors: it has no “weight_map” of weights and files.")
    astray = next((name for name in files.values() if Path(name).name != name), None)
    if astray is not None:
        raise BadInput(f"{index} sends its readers to “{astray}”, which is not beside it; copy the model again.")
    return sorted(set(files.values()))


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
    read_generation(folder)
    accounted(folder, blank(config, dtype), check_folder(folder))
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
    return config, family_of_type(config.model_type).ready(model), read_tokenizer(folder)


def built(load: Any, where: Path) -> PreTrainedModel:
    """Run a from_pretrained that reports, of a checkpoint accounted for; refuse what it would mend by itself."""
    with quiet(), foreign(f"The weights of {where} do not fit its config: {{reason}}."):
        model, report = load()
    drawn = sorted({*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])})
    if drawn:
        raise BadInput(f"The model in {where} lacks {len(drawn)} weights, {drawn[0]} for one; give a complete model.")
    return model


def read_generation(folder: Path) -> Any:
    """A folder's own settings for generating, None where it has none. Raises BadInput where they cannot be read."""
    if not (folder / "generation_config.json").is_file():
        return None
    with quiet(), foreign(f"The generation_config.json in {folder} cannot be read: {{reason}}."):
        return GenerationConfig.from_pretrained(folder)


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer's files."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder, None where it has none. Raises BadInput where its files cannot be read."""
    if not has_tokenizer(folder):
        return None
    with quiet(), foreign(f"The tokenizer in {folder} cannot be read: {{reason}}."):
        return tried(AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True))


def tried(tokenizer: Any) -> Any:
    """A tokenizer whose own code survives a few words: expressions that match nothing make the library panic.

    Words that it merely does not take are told where a text meets it.
    """
    with suppress(Exception):
        tokenizer("A block, 12 größer\n  x")
    return tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' own progress bars, reports and advice: progress is told by events, faults by errors.

    One thread at a time, for these are settings of the whole process, and so are those that transformers changes while
    it builds a model in here.
    """
    with alone():
        yield from _quietly()


def _quietly() -> Iterator[None]:
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
