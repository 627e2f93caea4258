"""What can be said of a sweep before it runs, without reading a model or a text: names that are none, blocks that a
model lacks, files that are not there. What only shows later fails its cells, and no others."""

from pathlib import Path

from ..checks import blocks_of
from ..errors import BadInput
from ..plan.budget import checked_layers
from ..recipes.models import MODELS, allowed_path, kind_of
from ..recipes.tasks import BENCHMARKS, HUB
from ..recipes.texts import parse
from .recipe import Sweep


def check_possible(asked: Sweep, confined: bool = False) -> Sweep:
    """The sweep, if nothing speaks against it. confined: files only under MINILLM_HOME.

    Raises UnknownName for a model that is none, BadInput for blocks a built-in model lacks, and for missing files.
    """
    for model in asked.models:
        kind_of(model, confined)
        for layers in asked.layers:
            if model in MODELS:
                checked_layers(MODELS[model].groups, blocks_of(layers))
    for text in _texts(asked):
        for path in (source.path for source in parse(text).each):
            if path is not None and not allowed_path(path, confined).is_file():
                raise BadInput(f"There is no file {path}; give another text, or the folder that it lies in.")
    for entry in asked.evaluations:
        if entry.get("tasks", {}).get("data", HUB) not in ("", HUB):
            _check_folder(entry["tasks"]["data"], entry["tasks"]["tasks"], confined)
    return asked


def _texts(asked: Sweep) -> list[str]:
    found = [asked.calibration.get("text", ""), *(one.get("text", "") for one in asked.recoveries if one)]
    found += [entry["perplexity"].get("text", "") for entry in asked.evaluations if "perplexity" in entry]
    return [text for text in dict.fromkeys(found) if text]


def _check_folder(folder: str, tasks: list[str], confined: bool) -> None:
    place: Path = allowed_path(folder, confined)
    for name in tasks:
        for pattern in BENCHMARKS[name].files.values():
            if not place.is_dir() or not any(place.glob(pattern)):
                raise BadInput(f"{BENCHMARKS[name].label} needs {pattern} in the folder {place}; there is none.")
