"""Verbs on what the app keeps: runs, and the making of the sample run that comes with it."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from .. import heavy
from ..criteria import CRITERIA
from ..errors import BadInput, StoreFault, UnknownName
from ..paths import home
from ..places import folder_for
from ..plain import terminal
from ..recipes.presets import find_cut, find_recovery
from ..recipes.prompts import paper_prompts
from ..recipes.recipe import RunRecipe
from ..recipes.requests import (
    AllocateRequest,
    EvaluateRequest,
    FidelityRequest,
    FilmstripRequest,
    GenerateRequest,
    InspectRequest,
    PruneRequest,
    RecoverRequest,
    Request,
    ScoreRequest,
)
from ..store import disk_space
from ..store.as_code import as_commands, as_python, course
from ..store.as_folder import RECORD, export_run, import_run
from ..store.as_tables import write_zip
from ..store.faults import restored
from ..store.store import LIST, Store
from ..sweeps.compare import as_frame
from ..sweeps.record import sweep_in
from ..sweeps.table import table
from .progress import EMBEDDED, Json, Model, follow, megabytes, say, show

LEFT_OUT = ("isc", "saap", "pgp", "reap")
SAMPLED = [name for name in CRITERIA if name not in LEFT_OUT]
"""Criteria of the sample run: as many as there is room for in 4 MB, and none for experts, which its model has not."""

runs_app = typer.Typer(help="Runs that the app keeps.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.add_typer(runs_app, name="runs")
    app.command()(sample)


@runs_app.command("list")
def list_runs(search: str = "", as_json: Json = False) -> None:
    """List runs, the newest first."""
    store = Store()
    runs = store.runs(search)
    rows = [
        (
            r.id,
            r.title,
            ", ".join(r.tags),
            r.recipe.model,
            ", ".join(store.score_labels(r.id)),
            megabytes(store.storage_bytes(r.id)),
        )
        for r in runs
    ]
    about = ("id", "title", "created", "note", "tags")
    data = [{**{name: getattr(r, name) for name in about}, "recipe": r.recipe.to_json()} for r in runs]
    taken, most = store.storage_bytes(), disk_space.bound(store)
    title = f"All runs take {megabytes(taken):,} MB; more than {megabytes(most):,} is warned of"
    show(as_json, data, ("run", "title", "tags", "model", "scored", "MB"), rows, title)
    if taken > most:
        print("Runs take more than the bound: `runs free` drops weights that can be rebuilt.", file=sys.stderr)


@runs_app.command("free")
def free(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    bound: Annotated[float | None, typer.Option(help="Set the bound first, in GB (10⁹ bytes).")] = None,
    as_json: Json = False,
) -> None:
    """Where runs take more than the bound, drop weights that can be rebuilt, the oldest first. No result is lost."""
    store = Store()
    if bound is not None:
        disk_space.set_bound(store, bound)
    chosen = disk_space.offered(store)
    rows = [(one.run.id, one.run.title, one.variant.name, megabytes(one.bytes)) for one in chosen]
    if chosen and not yes:
        show(False, None, ("run", "title", "variant", "MB"), rows)
        if not typer.confirm("Drop these weights? They are made again where they are needed."):
            raise BadInput("Nothing was dropped.")
    freed = disk_space.drop(store, chosen)
    data = {"dropped": [{"run": run, "variant": variant} for run, _, variant, _ in rows], "bytes": freed}
    show(as_json, data, ("run", "title", "variant", "MB"), rows, f"Dropped: {megabytes(freed)} MB")


@runs_app.command("describe")
def describe(
    run: str,
    title: Annotated[str | None, typer.Option(help="Another title.")] = None,
    note: Annotated[str | None, typer.Option(help="A note, in place of an earlier one.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="The tags it has then; repeat it.")] = None,
    as_json: Json = False,
) -> None:
    """Give a run a title, a note, tags.

    Example: python -m minillm runs describe 1a2b3c4d --tag thesis --tag seed-0 --note "Table 3"
    """
    store = Store()
    store.describe_run(run, title, note, tag)
    found = store.run(run)
    data = {"id": run, "title": found.title, "note": found.note, "tags": found.tags}
    show(as_json, data, ("", ""), [(name, ", ".join(v) if isinstance(v, tuple) else v) for name, v in data.items()])


@runs_app.command("repeat")
def repeat(run: str, python: Annotated[bool, typer.Option("--python", help="As Python instead.")] = False) -> None:
    """Write a run down as commands, or as Python, that give the same numbers again."""
    print((as_python if python else as_commands)(course(Store(), run)), end="")


@runs_app.command("show")
def show_run(run: str, as_json: Json = False) -> None:
    """Show what a run found."""
    store = Store()
    found = store.run(run)
    results = [{"kind": r.kind, **r.data} for r in store.results(run)]
    variants = [v.name for v in store.variants(run)]
    data = {"id": run, "title": found.title, "recipe": found.recipe.to_json(), "variants": variants, "results": results}
    rows = [(name, str(value)) for name, value in data.items() if name != "results"]
    rows += [
        (r["kind"], ", ".join(f"{k} {v}" for k, v in r.items() if isinstance(v, (int, float, str)))) for r in results
    ]
    show(as_json, data, ("", ""), rows)


@runs_app.command("compare")
def compare(run: Annotated[str, typer.Argument(help="A sweep's run.")], as_json: Json = False) -> None:
    """Tell which differences between the cells of a sweep exceed their spread over seeds and what other
    windows of the text would give.

    Cells are compared that differ in one thing: criterion, ratio, blocks, recovery.
    """
    store = Store()
    whole = table(store, run, sweep_in(store, run))
    frame = as_frame(whole)
    show(as_json, frame.to_dict("records"), list(frame.columns), frame.to_numpy().tolist(), whole.sweep.title)
    for note in [] if as_json else whole.notes:
        say(note)


@runs_app.command("delete")
def delete_run(
    run: str, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: Json = False
) -> None:
    """Delete a run with everything it found."""
    store = Store()
    found = store.run(run)
    if not yes and not typer.confirm(f"Delete run {run} ({terminal(found.title)}) with its scores and variants?"):
        raise BadInput("Nothing was deleted.")
    store.delete_run(run)
    show(as_json, {"deleted": run}, ("deleted", "title"), [(run, found.title)])


@runs_app.command("export")
def export(
    run: str,
    out: Annotated[Path, typer.Argument(help="A folder, or a file that ends in .zip.")],
    as_json: Json = False,
) -> None:
    """Write a run as plain files without weights: a folder that can be imported, or a zip of tables (CSV, JSON).

    The report with pictures is made by the app, on the page Runs.
    """
    if out.suffix not in ("", ".zip"):
        raise BadInput(f"{out} is neither a folder nor a .zip file; a report with pictures is saved on the page Runs.")
    target = str((write_zip if out.suffix == ".zip" else export_run)(Store(), run, out))
    show(as_json, {"run": run, "out": target}, ("run", "out"), [(run, target)])


@runs_app.command("restore")
def restore(as_json: Json = False) -> None:
    """Put the copy of the list of runs in the place of one that is damaged or gone; what was there is kept beside it.

    The copy is made when the app starts and after every job. Runs begun since then are not in it; their files stay.
    """
    file = home() / LIST
    with contextlib.suppress(StoreFault):
        Store()
        raise BadInput(f"The list of runs, {file}, is whole; there is nothing to restore.")
    aside, store = restored(file), Store()
    listed = {run.id for run in store.runs(limit=-1)}
    folders = (file.parent / "runs").iterdir() if (file.parent / "runs").is_dir() else ()
    lost = sorted(one.name for one in folders if one.is_dir() and one.name not in listed)
    rows = [("runs in the list", len(listed)), ("runs with files alone", ", ".join(lost)), ("kept beside", str(aside))]
    show(as_json, {"runs": sorted(listed), "unlisted": lost, "aside": str(aside)}, ("", ""), rows)


def sample(
    model: Model = EMBEDDED,
    out: Annotated[Path, typer.Option(help="Folder for the run, in place of an earlier one.")] = Path("sample_run"),
    steps: Annotated[int, typer.Option(help="Updates of the recovery.")] = 80,
    samples: Annotated[int, typer.Option(help="Rows of calibration text.")] = 128,
    title: Annotated[str, typer.Option(help="Title of the run.")] = f"Sample: SmolLM2-135M, {len(SAMPLED)} criteria",
    only: Annotated[str, typer.Option(help="Add this kind of job alone, to the run that is in the folder.")] = "",
) -> None:
    """Do the whole main job once, as the app would, and keep it as a folder: scores, the paper's cut, the best one
    measured here, a recovery.

    The bundled run is made by: python -m minillm sample --out assets/sample_run; one kind of job is added to such a
    folder by: python -m minillm sample --out assets/sample_run --only fidelity
    """
    requests = _sample_requests(steps, list(SAMPLED))
    if only and only not in (kinds := {request.kind for request in requests}):
        raise UnknownName("kind of job", only, kinds)
    folder_for(out, RECORD)
    store, pool = Store(), heavy.Pool()
    run = import_run(store, out) if only else store.create_run(RunRecipe(model=model, samples=samples), title)
    missing = [criterion for criterion in SAMPLED if criterion not in store.scores(run)]
    for request in _sample_requests(steps, missing):
        if only and request.kind != only:
            continue
        follow(heavy.execute_events(store, run, request, pool), request.kind)
    print(export_run(store, run, out))


def _sample_requests(steps: int, criteria: list[str]) -> list[Request]:
    """The main job, in order. steps: of the recovery; criteria: those to score by, none where all are there."""
    variants, best = ("original", "pruned-1", "pruned-2", "recovered-1"), find_cut("best")
    way = find_recovery("embedded")
    training = {**way.training.to_json(), "steps": steps}
    return [
        InspectRequest(),
        *([ScoreRequest(criteria=tuple(criteria))] if criteria else []),
        PruneRequest(criterion="fms-zo"),
        PruneRequest(best.heads, channels_from=best.channels, allocation=best.allocation, compensate=best.compensate),
        RecoverRequest(variant="pruned-2", text=way.text, **training),
        EvaluateRequest(variants=("recovered-1",)),
        GenerateRequest(prompts=tuple(paper_prompts()), variants=variants, max_new_tokens=48),
        FidelityRequest(),
        AllocateRequest("fms-bp"),
        FilmstripRequest(("fms-bp", "random", "fms-zo", "wanda"), max_new_tokens=32, tokens=512),
    ]
