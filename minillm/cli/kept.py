"""Verbs on what the app keeps: runs, and the making of the sample run that comes with it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import BadInput, UnknownName
from ._shared import EMBEDDED, Json, Model, follow, megabytes, show

if TYPE_CHECKING:
    from ..recipe import Request

runs_app = typer.Typer(help="Runs that the app keeps: list, show, delete.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.add_typer(runs_app, name="runs")
    app.command()(sample)


@runs_app.command("list")
def list_runs(search: str = "", as_json: Json = False) -> None:
    """List runs, the newest first."""
    from ..store import Store

    store = Store()
    runs = store.runs(search)
    rows = [
        (r.id, r.title, r.recipe.model, ", ".join(store.score_labels(r.id)), megabytes(store.storage_bytes(r.id)))
        for r in runs
    ]
    data = [{"id": r.id, "title": r.title, "recipe": r.recipe.to_json(), "created": r.created} for r in runs]
    show(as_json, data, ("run", "title", "model", "scored", "MB"), rows)


@runs_app.command("show")
def show_run(run: str, as_json: Json = False) -> None:
    """Show what a run found."""
    from ..store import Store

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


@runs_app.command("delete")
def delete_run(
    run: str, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: Json = False
) -> None:
    """Delete a run with everything it found."""
    from ..store import Store

    store = Store()
    found = store.run(run)
    if not yes and not typer.confirm(f"Delete run {run} ({found.title}) with its scores and variants?"):
        raise BadInput("Nothing was deleted.")
    store.delete_run(run)
    show(as_json, {"deleted": run}, ("deleted", "title"), [(run, found.title)])


@runs_app.command("export")
def export(run: str, folder: Path, as_json: Json = False) -> None:
    """Write a run as a folder of plain files (scores, plans, results; no weights)."""
    from ..sample import export_run
    from ..store import Store

    written = str(export_run(Store(), run, folder))
    show(as_json, {"run": run, "folder": written}, ("run", "folder"), [(run, written)])


def sample(
    model: Model = EMBEDDED,
    out: Annotated[Path, typer.Option(help="Folder for the run, in place of an earlier one.")] = Path("sample_run"),
    steps: Annotated[int, typer.Option(help="Updates of the recovery.")] = 40,
    samples: Annotated[int, typer.Option(help="Rows of calibration text.")] = 128,
    title: Annotated[str, typer.Option(help="Title of the run.")] = "Sample: SmolLM2-135M, every criterion",
    only: Annotated[str, typer.Option(help="Add this kind of job alone, to the run that is in the folder.")] = "",
) -> None:
    """Do the whole main job once, as the app would, and keep it as a folder: every criterion, two cuts, a recovery.

    The bundled run is made by: python -m minillm sample --out assets/sample_run; one kind of job is added to such a
    folder by: python -m minillm sample --out assets/sample_run --only fidelity
    """
    from ..pipeline import execute_events
    from ..pool import Pool
    from ..recipe import RunRecipe
    from ..sample import export_run, import_run
    from ..store import Store

    requests = _sample_requests(steps)
    wanted = [request for request in requests if request.kind == only] if only else requests
    if not wanted:
        raise UnknownName("kind of job", only, {request.kind for request in requests})
    store, pool = Store(), Pool()
    run = import_run(store, out) if only else store.create_run(RunRecipe(model=model, samples=samples), title)
    for request in wanted:
        follow(execute_events(store, run, request, pool), request.kind)
    print(export_run(store, run, out))


def _sample_requests(steps: int) -> "list[Request]":
    """The main job, in order. steps: of the recovery."""
    from ..criteria import CRITERIA
    from ..recipe import FidelityRequest, GenerateRequest, InspectRequest, PruneRequest, RecoverRequest, ScoreRequest
    from ..text import paper_prompts

    variants = ("original", "pruned-1", "pruned-2", "recovered-1")
    return [
        InspectRequest(),
        ScoreRequest(criteria=tuple(CRITERIA)),
        PruneRequest(criterion="fms-zo"),
        PruneRequest(criterion="fms-bp", channels_from="wanda", compensate="least-squares"),
        RecoverRequest(variant="pruned-2", steps=steps),
        GenerateRequest(prompts=tuple(paper_prompts()), variants=variants, max_new_tokens=48),
        FidelityRequest(),
    ]
