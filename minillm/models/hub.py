"""A hub name → a folder on this machine. The cache first; then the small files, so that a model that cannot be used is
refused before its weights are fetched; then safetensors, one file an event. Pickle files are never fetched.
"""

from pathlib import Path

from ..errors import BadInput, MiniLLMError, OutOfReach, UnsupportedModel, reason
from ..events import RESULT, Event, Events
from ..recipes.models import EMBEDDED, is_hub_name
from .configs import read_config
from .weights import INDEX, PICKLES, WHOLE, check_folder, has_tokenizer, pickled, quiet

SMALL = (".json", ".jinja", ".model", ".txt")
SECONDS = 10


def hub_folder_events(name: str, weights: bool = True) -> Events:
    """Fetch a model; the result is its folder in the hub's own cache.

    weights: False for the config alone. Events: "fetch" file by file. Raises BadInput (no such model, gated),
    UnsupportedModel, OutOfReach.
    """
    if not is_hub_name(name):
        raise BadInput(f"“{name}” is no hub name; give owner/name.")
    cached = _cached(name, weights)
    if cached is None:
        yield Event("ask the hub")
        files = _listed(name)
        first = [f for f in files if f.endswith(SMALL) and "/" not in f]
        for done, file in enumerate(first):
            yield Event("fetch", done, len(first))
            cached = _fetched(name, file).parent
        if cached is None:
            raise BadInput(f"The hub's {name} is no model: it has no config.json.")
        read_config(cached)
        wanted = _weight_files(name, files) if weights else []
        for done, file in enumerate(wanted):
            yield Event("fetch", len(first) + done, len(first) + len(wanted))
            _fetched(name, file)
    yield Event(RESULT, 1, 1, cached)


def _cached(name: str, weights: bool) -> Path | None:
    """The folder of a model that is in the cache as a whole, its tokenizer included."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(name, "config.json")
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    read_config(folder)
    return folder if not weights or _whole(folder) else None


def _whole(folder: Path) -> bool:
    try:
        return bool(check_folder(folder)) and has_tokenizer(folder)
    except BadInput:
        return False


def _listed(name: str) -> list[str]:
    """The files of a model on the hub. One request that is not retried: no answer is an answer."""
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(name, timeout=SECONDS)
    except Exception as fault:
        raise _refusal(name, fault) from fault
    return [s.rfilename for s in info.siblings or []]


def _weight_files(name: str, files: list[str]) -> list[str]:
    if WHOLE in files:
        return [WHOLE]
    if INDEX in files:
        return [f for f in files if f.endswith(".safetensors") and "/" not in f]
    pickles = [f for f in files if f.endswith(PICKLES)]
    if pickles:
        raise UnsupportedModel(pickled(f"The hub's {name}", pickles))
    raise UnsupportedModel(f"The hub's {name} has no safetensors; fetch a GGUF file yourself and give its path.")


def _fetched(name: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        with quiet():
            return Path(hf_hub_download(name, file))
    except Exception as fault:
        raise _refusal(name, fault) from fault


def _refusal(name: str, fault: Exception) -> MiniLLMError:
    """What a failed request means for the person who asked."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(fault, GatedRepoError):
        return BadInput(f"The hub's {name} is gated; accept its terms there and log in with `hf auth login`.")
    if isinstance(fault, RepositoryNotFoundError):
        return BadInput(f"The hub has no model “{name}”, or only for those logged in; check owner and name.")
    return OutOfReach(
        f"The hub cannot be reached for {name} ({reason(fault)}); {EMBEDDED} needs no hub, nor does a model folder."
    )
