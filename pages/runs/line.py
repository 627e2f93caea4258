"""The line of jobs: all that run or wait, of all runs, in order, with time left and a way to take each out."""

from functools import partial
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.jobs.submit import cancel, snapshot
from minillm.store.records import LIVE, Job
from minillm.store.store import Store

from ..shell.address import link
from ..shell.frame import Shell
from ..shell.handlers import ACT, QUIET, guarded
from ..shell.job_panel import WORDS, when
from ..shell.templates import html_table, paragraph

LOOK_EVERY = 2.0
"""Seconds between two looks: this page has no job of its own whose steps would be followed."""
HEAD = ("job", "run", "state", "left", "take out")

ON_LOAD = """
element.addEventListener('click', event => {
  const job = event.target.dataset.job;
  if (job) trigger('select', {job});
});
let held = '';
element.addEventListener('focusin', event => { held = event.target.dataset.job ?? ''; });
element.addEventListener('focusout', event => { if (event.relatedTarget) held = ''; });
watch('value', () => { if (held) element.querySelector(`button[data-job="${held}"]`)?.focus(); });
"""
"""Tells Python which job is to be stopped; a table drawn anew keeps the focus on its button."""


def lay_out_line(shell: Shell) -> gr.Timer:
    """Lay the line out here and wire it; returns what looks again every few seconds."""
    store = shell.ctx.store
    gr.Markdown("## Jobs in line")
    shown = gr.HTML(elem_id="job-line", js_on_load=ON_LOAD)
    timer = gr.Timer(LOOK_EVERY)
    shell.live(lambda run_id: line_table(store), [shown], without_run=True)
    timer.tick(partial(line_table, store), None, shown, **QUIET)
    stopped = shown.select(guarded(partial(taken_out, store)), None, None, api_visibility="private", **ACT)
    stopped.success(partial(line_table, store), None, shown, **QUIET)
    return timer


def taken_out(store: Store, event: gr.EventData) -> None:
    """Stop the job whose button was pressed."""
    cancel(store, int(event.job))


def line_table(store: Store) -> str:
    """Live jobs in the order in which they are taken."""
    live = store.jobs(states=LIVE)
    if not live:
        return paragraph("No job is running or waiting.")
    return html_table(HEAD, [_cells(store, job) for job in live], name="jobs in line", kind="job-line")


def _cells(store: Store, job: Job) -> list[Any]:
    run, now = store.run(job.run_id), snapshot(store, job.id)
    title = run.title or run.id
    there = Markup('<a href="{}">{}</a>').format(link("runs", ticked=run.id), title)
    stop = Markup('<button type="button" class="take-out" data-job="{}" aria-label="Stop {} of {}"{}>Stop</button>')
    disabled = Markup(" disabled") if job.stopping else ""
    state = "stopping" if job.stopping else WORDS[job.state]
    return [job.kind, there, state, when(now), stop.format(job.id, job.kind, title, disabled)]
