"""The bar on top of every page: which run, which model, where it computes, and the job that matters now."""

from minillm.device import free_memory
from minillm.store.records import Job, Run
from minillm.store.store import Store

from . import job_panel
from .phrases import escape, size


def title_bar(store: Store, run_id: str, job: Job | None, problem: str = "") -> str:
    """The bar on top of every page: run, model, device and its free memory, the job that matters; and any problem."""
    said = f'<p class="notice" role="alert">{escape(problem)}</p>' if problem else ""
    if not run_id:
        return said
    run = store.run(run_id)
    facts = [
        f'<b class="run-title">{escape(run.title or run.id)}</b>',
        escape(run.recipe.model),
        _machine(store, run),
        job_panel.chip(store, job),
    ]
    return f'{said}<div class="title-bar">{"".join(f"<span>{fact}</span>" for fact in facts if fact)}</div>'


def _machine(store: Store, run: Run) -> str:
    """Where the run computes, as far as it is known, and how much main memory is free there."""
    told = [result.data["device"] for result in store.results(run.id, "inspect")]
    device = told[-1] if told else run.recipe.device
    return escape(device) if device.startswith("cuda") else f"{escape(device)} · {size(free_memory())} free"
