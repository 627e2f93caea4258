"""Reading a sweep file: YAML with the fields of a `Sweep`, and two words more.

`data` gives texts a name of their own, so that a file says what it measures on (wikitext2) and one line where that lies
(hub, or file:wikitext2/test.txt in a folder of data). `forms` are other values for some fields under a name: the
paper's models and the hub's data in one, the embedded model and local files in another. A name whose value is null is
not to be had in that form, and evaluations on it are left out. Nothing else is computed: what a file says is what runs.
"""

import os
import re
from pathlib import Path
from typing import Any

from ..errors import BadInput, UnknownName, reason, shown
from ..recipes.tasks import HUB
from .reading import MOST_BYTES, values_in
from .recipe import MOST_SEEDS, Sweep

FILES = Path(__file__).parent / "files"
DATA = "_data"
MORE = ("data", "forms")
LISTS = ("models", "criteria", "ratios", "seeds", "layers", "allocations", "compensations", "recoveries", "evaluations")
SPAN = re.compile(r"(\d{1,10})-(\d{1,10})", re.ASCII)

Table = dict[str, Any]


def shipped() -> dict[str, str]:
    """{name: title} of the sweeps that come with the project."""
    files = sorted(FILES.glob("[!_]*.yaml"), key=lambda f: (f.stem[0] == "f", int(f.stem[1:])))
    return {file.stem: str(_table(file)["title"]) for file in files}


def read_sweep(
    name: str | Path, form: str = "", folder: str | Path | None = None, models: list[str] | None = None
) -> Sweep:
    """Read a sweep file, or one of the shipped sweeps by name.

    form: one of those the file has (default: its first); folder: where relative file: paths and files of tasks lie
    (default: beside the file); models: others than the file names. Raises BadInput and UnknownName, in one sentence.
    """
    file = _found(str(name))
    beside = None if file.parent == FILES else file.parent
    try:
        return _sweep(_table(file), form, Path(folder) if folder else beside, models)
    except UnknownName:
        raise
    except BadInput as fault:
        raise BadInput(f"{file.name}: {fault}") from fault


def sweep_from(text: str, form: str = "", folder: Path | None = None) -> Sweep:
    """`read_sweep` for the text of a file."""
    return _sweep(_parsed(text, "What is asked"), form, folder, None)


def _sweep(told: Table, form: str, folder: Path | None, models: list[str] | None) -> Sweep:
    fields = _resolved(told, form, folder)
    return Sweep.from_json({**fields, "models": models} if models else fields)


def forms_of(name: str | Path) -> list[str]:
    """The forms a sweep file has, the default first; empty where it has only itself."""
    return _forms(_table(_found(str(name))))


def forms_in(text: str) -> list[str]:
    """`forms_of` for the text of a file; empty where it cannot be read."""
    try:
        return _forms(_parsed(text, "What is asked"))
    except BadInput:
        return []


def _forms(told: Table) -> list[str]:
    forms = told.get("forms")
    return [str(name) for name in forms] if isinstance(forms, dict) else []


def _found(name: str) -> Path:
    inside = FILES / f"{name.lower()}.yaml"
    if re.fullmatch(r"[a-z]\d{1,2}", name.lower()) and inside.is_file():
        return inside
    file = _path(name)
    if os.path.isfile(file):  # false, not a fault, for names that no file can have
        return file
    if file.suffix.lower() in (".yaml", ".yml"):
        raise BadInput(f"There is no sweep file {name}; give the path of a YAML file, or a shipped name such as t1.")
    raise UnknownName("sweep", name, shipped(), "A path to a YAML file will do as well.")


def _table(file: Path) -> Table:
    try:
        with file.open("rb") as stored:
            return _parsed(stored.read(MOST_BYTES + 1).decode("utf-8-sig"), file.name)
    except (OSError, UnicodeDecodeError) as fault:
        raise BadInput(f"{file.name} cannot be read ({reason(fault)}).") from fault


def _parsed(text: str, name: str) -> Table:
    told = values_in(text, name)
    if not isinstance(told, dict):
        raise BadInput(f"{name} is no sweep: it must be a table with title, models, criteria and ratios.")
    return told


def _resolved(told: Table, form: str, folder: Path | None) -> Table:
    """The fields of a `Sweep` in one form, texts by the names they have everywhere."""
    fields = {name: value for name, value in told.items() if name not in MORE}
    forms, data = told.get("forms") or {}, told.get("data") or {}
    if not isinstance(forms, dict) or not isinstance(data, dict):
        raise BadInput("Forms and data are tables: forms by name, and texts by the name they have in the file.")
    chosen = form or next(iter(forms), "")
    if chosen:
        if chosen not in forms:
            raise UnknownName("form", chosen, forms or {"(none)"})
        if not isinstance(forms[chosen], dict | None):
            raise BadInput(f"The form {chosen} is a table of the fields that it replaces.")
        own = dict(forms[chosen] or {})
        data = {**_shared_data(own.pop("data", None)), **data}
        fields |= own
    fields = {name: _spread(name, value) for name, value in fields.items()}
    return _with_texts(fields, data, folder)


def _shared_data(given: Any) -> Table:
    """A table of names, or the name of one of those that the shipped sweeps share."""
    if given is None or isinstance(given, dict):
        return dict(given or {})
    shared = _table(FILES / f"{DATA}.yaml")
    if not isinstance(given, str) or given not in shared:
        raise UnknownName("data", given, shared)
    return dict(shared[given])


def _spread(name: str, value: Any) -> Any:
    """One value where a list is expected is a list of one; seeds may be a span such as 0-4."""
    if name not in LISTS:
        return value
    values = value if isinstance(value, list) else [value]
    if name != "seeds":
        return values
    found: list[Any] = []
    for one in values:
        found += _seeds(span) if isinstance(one, str) and (span := SPAN.fullmatch(one)) else [one]
    return found


def _seeds(span: re.Match[str]) -> range:
    """Seeds from the first to the last of a span. Raises BadInput where that is none, or more than a sweep takes."""
    first, last = int(span[1]), int(span[2])
    if last < first:
        raise BadInput(f"The range of seeds “{span[0]}” selects nothing; the first must not be beyond the last.")
    if last - first >= MOST_SEEDS:
        raise BadInput(f"The range “{span[0]}” has {last - first + 1:,} seeds; give at most {MOST_SEEDS}.")
    return range(first, last + 1)


def _with_texts(fields: Table, data: Table, folder: Path | None) -> Table:
    """Fields with every name of `data` replaced by what it stands for."""
    found = dict(fields)
    if isinstance(fields.get("calibration"), dict) and "text" in fields["calibration"]:
        found["calibration"] = {**fields["calibration"], "text": _text(fields["calibration"]["text"], data, folder)}
    if isinstance(fields.get("recoveries"), list):
        found["recoveries"] = [_entry(one, "text", data, folder) for one in fields["recoveries"]]
    if isinstance(fields.get("evaluations"), list):
        found["evaluations"] = [one for entry in fields["evaluations"] for one in _evaluation(entry, data, folder)]
    return found


def _evaluation(entry: Any, data: Table, folder: Path | None) -> list[Any]:
    """An evaluation with its text by its real name, in a list; an empty list where its text is not to be had."""
    if not isinstance(entry, dict) or len(entry) != 1:
        return [entry]
    ((kind, given),) = entry.items()
    if kind == "tasks":
        where = data.get("tasks", HUB) if isinstance(given, dict) and "data" not in given else ""
        if where is None:
            return []
        if not isinstance(where, str):
            raise BadInput(f"Tasks lie in a folder that data names by its path; given was {shown(where)}.")
        return [{kind: {**given, "data": _place(where, folder)}}] if where else [entry]
    text = given.get("text") if isinstance(given, dict) else None
    if isinstance(text, str) and text in data and data[text] is None:
        return []
    return [{kind: _entry(given, "text", data, folder)}]


def _entry(given: Any, name: str, data: Table, folder: Path | None) -> Any:
    if not isinstance(given, dict) or name not in given:
        return given
    return {**given, name: _text(given[name], data, folder)}


def _text(name: Any, data: Table, folder: Path | None) -> Any:
    name = data.get(name, name) if isinstance(name, str) else name
    if not isinstance(name, str) or not name.startswith("file:"):
        return name
    path = _path(name.removeprefix("file:"))
    if path.is_absolute():
        return name
    if folder is None:
        raise BadInput(f"It reads {path} from a folder of data; say which with --data FOLDER, or choose another form.")
    return f"file:{_resolved_in(folder, path)}"


def _place(where: str, folder: Path | None) -> str:
    """“hub”, or the folder that task files lie in."""
    if where == HUB:
        return HUB
    if folder is None:
        raise BadInput("Its tasks lie in a folder of data; say which with --data FOLDER, or choose another form.")
    return _resolved_in(folder, Path(where))


def _path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as fault:
        raise BadInput(f"{shown(text)} is no path: {reason(fault)}.") from fault


def _resolved_in(folder: Path, path: Path) -> str:
    """The path in a folder, absolute. Raises BadInput where it can be none."""
    try:
        return str((folder / path).resolve())
    except (OSError, ValueError, RuntimeError) as fault:
        raise BadInput(f"{shown(str(path))} is no path: {reason(fault)}.") from fault
