"""How long what tells nothing on its way usually takes here: from jobs that have ended, and before the first of them,
for loading, from the size of the files.
"""

from pathlib import Path

from minillm.paths import home
from minillm.recipes.models import MODELS
from minillm.store.store import Store

LOAD = "load"
RATE, START = 200e6, 1.0
"""Bytes of weights a second that a slow disk reads, and the seconds that it takes to begin: a first guess, on the long
side, which the first load here replaces."""
WEIGHTS = ("*.safetensors", "*.gguf")


def usual_steps(store: Store, model: str) -> dict[str, float]:
    """{stage: seconds}, as `Store.usual_steps`; loading is among them where the model's files are here."""
    found = store.usual_steps(model)
    size = weight_bytes(model)
    return found if LOAD in found or not size else {LOAD: START + size / RATE, **found}


def weight_bytes(model: str) -> int:
    """Bytes of a model's weights on this disk; 0 where they are not here (yet)."""
    entry = MODELS.get(model)
    place = (entry.folder or home() / "models" / model) if entry else Path(model)
    try:
        files = [place] if place.is_file() else [file for kind in WEIGHTS for file in place.expanduser().glob(kind)]
        return sum(file.stat().st_size for file in files)
    except (OSError, ValueError, RuntimeError):
        return 0
