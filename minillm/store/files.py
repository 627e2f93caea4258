"""The files of a run: scores, plans and weights, each written whole under a name that says what it is.

    <run folder>/scores/<label>.safetensors
    <run folder>/plans/<variant>.json
    <run folder>/weights/<variant>/        only where a variant cannot be rebuilt from its plan

Scores are read once a process and kept while their file stays the same, so that moving a slider reads nothing.
"""

import json
import threading
from collections import OrderedDict
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ..errors import BadInput, StoreFault, reason
from ..paths import written_whole
from ..plan.plan import Plan
from ..plan.scores import Scores

KEPT_SCORES = 128
CHECKSUM = "blake2b"
"""Beside what a plan's file says: files of earlier versions have none."""

_kept: OrderedDict[Path, tuple[tuple[int, int], Scores]] = OrderedDict()
_lock = threading.Lock()


def file_name(label: str) -> str:
    """A label as a file name that any file system takes, and that `label_of` turns back."""
    return quote(label, safe=" ,()+=").replace(".", "%2E")


def label_of(file: Path) -> str:
    """The label a file was named after."""
    return unquote(file.stem)


def save_scores(folder: Path, label: str, scores: Scores) -> None:
    """Write scores under a label, in place of earlier ones."""
    scores.save(folder / "scores" / f"{file_name(label)}.safetensors")


def score_labels(folder: Path) -> list[str]:
    """Labels of the scores of a run, sorted."""
    return sorted(label_of(file) for file in (folder / "scores").glob("[!.]*.safetensors"))


def load_scores(folder: Path) -> dict[str, Scores]:
    """{label: scores} of a run, sorted; each file is read again only when it has changed."""
    return {label: _scores(folder / "scores" / f"{file_name(label)}.safetensors") for label in score_labels(folder)}


def _scores(file: Path) -> Scores:
    status = file.stat()
    stamp = (status.st_mtime_ns, status.st_ino)
    with _lock:
        known = _kept.get(file)
        if known and known[0] == stamp:
            _kept.move_to_end(file)
            return known[1]
    scores = Scores.load(file)
    with _lock:
        _kept[file] = (stamp, scores)
        while len(_kept) > KEPT_SCORES:
            _kept.popitem(last=False)
    return scores


def save_plan(folder: Path, name: str, plan: Plan) -> None:
    """Write the plan of a variant, with a checksum."""
    told = json.loads(json.dumps(plan.to_json()))
    with written_whole(folder / "plans" / f"{file_name(name)}.json") as scratch:
        scratch.write_text(json.dumps({**told, CHECKSUM: checksum(told)}), encoding="utf-8")


def load_plan(folder: Path, name: str) -> Plan:
    """The plan of a variant. Raises BadInput where it has none, StoreFault where its file is not what was
    written."""
    file = folder / "plans" / f"{file_name(name)}.json"
    if not file.is_file():
        raise BadInput(f"Variant “{name}” has no plan of its own.")
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if told.pop(CHECKSUM, None) not in (None, checksum(told)):
            raise ValueError("its checksum is another")
        return Plan.from_json(told)
    except (BadInput, ValueError, KeyError, TypeError, AttributeError, IndexError) as fault:
        raise StoreFault(
            f"The plan of “{name}” in {file} is damaged ({reason(fault)}); put the file back from a copy, or cut the "
            "variant anew."
        ) from fault


def checksum(told: dict[str, Any]) -> str:
    """Of what JSON holds, in any order of its names."""
    return blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()


def weights_folder(folder: Path, name: str) -> Path:
    """Where the weights of a variant lie, if they are kept."""
    return folder / "weights" / file_name(name)


def size(folder: Path) -> int:
    """Bytes of all files under a folder; files that vanish meanwhile count nothing."""
    total = 0
    for file in folder.rglob("*"):
        try:
            status = file.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        total += status.st_size if file.is_file() else 0
    return total
