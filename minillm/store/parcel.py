"""Part of a run as plain data: sent to where something is to be made of it, and what was made brought home.

The one idea: a run elsewhere is an ordinary run in a store of its own, so that whatever works on a run works there
unchanged. What came out of it is what that store has more than the parcel that was sent; at home it gets the names that
are free there. Files come before the rows that name them, as everywhere in the store: what is cut off on the way home
leaves nothing half there, and a variant without its numbers is a variant that is still to be measured.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from ..paths import written_whole
from ..recipes.recipe import RunRecipe
from .files import file_name
from .records import ORIGINAL, Variant
from .store import Store

NAMING = ("variant", "against")
"""Where a request or a result names a variant."""


@dataclass(frozen=True)
class Parcel:
    """Part of a run. results: (kind, data), oldest first; files: {path in the run's folder: what is in it}."""

    recipe: RunRecipe
    variants: tuple[Variant, ...] = ()
    results: tuple[tuple[str, dict[str, Any]], ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)


def packed(
    store: Store, run_id: str, labels: Collection[str], names: Collection[str], kinds: Collection[str]
) -> Parcel:
    """What is asked for of a run, as far as it is there.

    labels: of scores; names: of variants, with their plans, weights and results; kinds: of other results.
    """
    variants = tuple(one for one in store.variants(run_id) if one.name in names and one.name != ORIGINAL)
    found = ((one.kind, one.data) for one in store.results(run_id))
    results = tuple((kind, data) for kind, data in found if kind in kinds or data.get("variant") in names)
    return Parcel(store.run(run_id).recipe, variants, results, _files(store.run_folder(run_id), labels, variants))


def _files(folder: Path, labels: Collection[str], variants: Collection[Variant]) -> dict[str, bytes]:
    wanted = [folder / "scores" / f"{file_name(label)}.safetensors" for label in labels]
    for name in (file_name(variant.name) for variant in variants):
        wanted += [folder / "plans" / f"{name}.json", *(folder / "weights" / name).rglob("*")]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in wanted if file.is_file()}


def unpacked(store: Store, parcel: Parcel) -> str:
    """Make a run of a parcel in another store; returns its id."""
    run_id = store.create_run(parcel.recipe)
    _keep_files(store.run_folder(run_id), parcel.files)
    for variant in parcel.variants:
        store.add_variant(run_id, variant)
    for kind, data in parcel.results:
        store.add_result(run_id, kind, data)
    return run_id


def made_of(store: Store, run_id: str, parcel: Parcel) -> Parcel:
    """What a run has more than the parcel it was made of."""
    sent = {variant.name for variant in parcel.variants}
    every = packed(store, run_id, store.score_labels(run_id), [v.name for v in store.variants(run_id)], ())
    results = [(one.kind, one.data) for one in store.results(run_id)][len(parcel.results) :]
    return Parcel(
        parcel.recipe,
        tuple(variant for variant in every.variants if variant.name not in sent),
        tuple(results),
        {path: inside for path, inside in every.files.items() if path not in parcel.files},
    )


def brought_home(store: Store, run_id: str, made: Parcel, job_id: int | None = None) -> None:
    """Add what was made to the run at home: scores under their labels, variants under free names, results with them.

    A result that is there word for word is not kept twice: what two of those who shared a run both measured.
    """
    folder, names = store.run_folder(run_id), dict[str, str]()
    _keep_files(folder, {path: inside for path, inside in made.files.items() if path.startswith("scores/")})
    for variant in made.variants:
        names[variant.name] = name = store.free_name(run_id, variant.kind)
        _keep_files(folder, dict(_of_variant(made.files, variant.name, name)))
        parent, request = names.get(variant.parent, variant.parent), _renamed(variant.request, names)
        store.add_variant(run_id, replace(variant, name=name, parent=parent, request=request))
    known = [(one.kind, one.data) for one in store.results(run_id)]
    for kind, data in made.results:
        if (kind, told := _renamed(data, names)) not in known:
            store.add_result(run_id, kind, told, job_id)


def _renamed(told: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {key: names.get(value, value) if key in NAMING else value for key, value in told.items()}


def _of_variant(files: dict[str, bytes], old: str, new: str) -> Iterator[tuple[str, bytes]]:
    """The files of a variant under another name."""
    for path, inside in files.items():
        kind, first, *rest = PurePosixPath(path).parts
        if kind == "plans" and first == f"{file_name(old)}.json":
            yield f"plans/{file_name(new)}.json", inside
        if kind == "weights" and first == file_name(old):
            yield "/".join(("weights", file_name(new), *rest)), inside


def _keep_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files, the weights of a variant as one whole folder."""
    whole: dict[Path, dict[str, bytes]] = {}
    for path, inside in files.items():
        kind, first, *rest = PurePosixPath(path).parts
        whole.setdefault(folder / kind / first, {})["/".join(rest)] = inside
    for place, parts in whole.items():
        with written_whole(place) as scratch:
            for path, inside in parts.items():
                target = scratch / path if path else scratch
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(inside)
