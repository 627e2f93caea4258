"""The bar on top of every page: which run, which model, where it computes, and the job that matters now."""

from minillm.device import free_memory
from minillm.store.as_folder import bundled_id
from minillm.store.records import Job, Run
from minillm.store.store import Store

from . import job_panel
from .phrases import size
from .templates import html


def title_bar(store: Store, run_id: str, job: Job | None, problem: str = "", live: int = 0) -> str:
    """The bar on top of every page: run, model, device and its free memory, the job that matters; and any problem.

    live: bytes that the live process holds.
    """
    run = store.run(run_id) if run_id else None
    facts: tuple[str, ...] = ()
    if run:
        facts = (run.title or run.id, run.recipe.model, _machine(store, run, live), job_panel.chip(store, job))
    sample = run is not None and run.id == bundled_id()
    return html("title_bar", problem=problem, facts=facts, recipe=run.recipe if run else None, sample=sample)


def _machine(store: Store, run: Run, live: int) -> str:
    """Where the run computes, as far as it is known, and how much main memory is free there."""
    told = [result.data["device"] for result in store.results(run.id, "inspect")]
    device = told[-1] if told else run.recipe.device
    held = f" · the knife holds {size(live)}" if live else ""
    return (device if device.startswith("cuda") else f"{device} · {size(free_memory())} free") + held
