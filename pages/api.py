"""The app as an API: score, overlap, plan and generate as functions of plain values that return plain data.

Beside the events of the pages, which take what their controls hold and return a job's number, these wait for the job
and return what it found. They are listed, with an example in Python, under "Use via API" at the foot of the Start page.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr

from minillm.errors import BadInput, UnknownName
from minillm.families.groups import KINDS
from minillm.jobs.submit import submit
from minillm.plan.overlap import overlap
from minillm.plan.plan import Plan, make_plan
from minillm.plan.scores import Scores
from minillm.recipes.models import PATH, allowed_path, kind_of
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import GenerateRequest, ScoreRequest
from minillm.recipes.texts import checked_text
from minillm.store.records import DONE
from minillm.store.store import Store

from .shell import job_panel
from .shell.frame import Context
from .shell.handlers import guarded
from .views.generations import exhibits
from .views.generations_html import entries
from .views.plans import LENGTH, read_blocks

LOOK_EVERY = 0.2
"""Seconds between two looks at a job that is waited for. In between nothing is held: pages and files are served by a
few dozen threads, and callers who slept in them would keep everybody else out."""


MOST_WAITING = 24
"""Callers that may wait for jobs at once: each has one of the 40 places of Gradio's queue, and pages need some."""


class Endpoints:
    """The functions of the API; their docstrings and types are what its page shows."""

    def __init__(self, ctx: Context) -> None:
        self._store, self._confined, self._waiting = ctx.store, ctx.confined, 0

    async def score(
        self,
        criteria: list[str],
        model: str = "smollm2-135m",
        text: str = "python-docs",
        samples: int = 128,
        length: int = 128,
        gradient_samples: int = 10,
        seed: int = 0,
        dtype: str = "auto",
        device: str = "auto",
    ) -> dict:
        """Score every head group and channel of a model under some criteria, in a new run; waits for the end.

        Returns {"run": its id, "job": number, "scores": {criterion: {"seconds", "peak_bytes", "heads", "channels"}}},
        heads and channels as a list of scores for each block.
        """

        def begin() -> tuple[str, int]:
            named = checked_text(text, self._confined)
            recipe = RunRecipe(model, dtype, device, named, samples, length, gradient_samples, seed)
            if kind_of(model, self._confined) == PATH:
                allowed_path(model, self._confined)
            request = ScoreRequest(tuple(criteria))
            run_id = self._store.create_run(recipe, f"By API: {', '.join(criteria)}"[:80])
            return run_id, submit(self._store, run_id, request)

        with self._place():
            run_id, job = await asyncio.to_thread(begin)
            await _end_of(self._store, job)
        scored = await asyncio.to_thread(self._store.scores, run_id)
        return {"run": run_id, "job": job, "scores": {label: _vectors(scores) for label, scores in scored.items()}}

    def overlap(
        self, run: str, reference: str, other: str, ratio: float = 0.3, blocks: str = "", of: str = "pruned"
    ) -> list:
        """How far two criteria of a run cut the same groups at a ratio (the paper's Figure 2).

        blocks: that may be cut, such as 3-27, empty for all but the ends; of: pruned or kept. Returns one row a block
        and kind: {"layer", "kind", "share", "chance", "count", "size"}, share and chance null where nothing is chosen.
        """
        one, two = (self._plan(run, label, ratio, blocks) for label in (reference, other))
        table = overlap(one, two, of)
        return table.astype(object).where(table.notna(), None).to_dict("records")

    def plan(self, run: str, criterion: str, ratio: float = 0.2, blocks: str = "", channels_from: str = "") -> dict:
        """What stays of a model at a ratio by a run's scores, and what that costs; nothing is cut.

        blocks: that may be cut, such as 3-27, empty for all but the ends; channels_from: other scores for the channels.
        Returns {"ratio", "removed", "parameters", "macs" of 64 tokens, "kept_heads", "kept_channels"}, kept ones as a
        list of indices for each block.
        """
        found = self._plan(run, criterion, ratio, blocks, channels_from)
        kept = {
            f"kept_{kind}": [found.kept(kind)[layer].tolist() for layer in range(len(found.groups))] for kind in KINDS
        }
        costs = {"ratio": found.ratio, "removed": found.removed, "parameters": found.parameters}
        return {**costs, "macs": found.macs(LENGTH), **kept}

    async def generate(
        self,
        run: str,
        prompts: list[str],
        variants: list[str],
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        chat: bool = True,
    ) -> list:
        """Let variants answer prompts: of the run by name, of others as RUN/NAME; waits for the end.

        Returns one entry a prompt: {"run", "job", "prompt", "settings", "texts": [{"variant", "text", what was
        measured, its tokens as "pieces" with their "log_probs" under the original}]}.
        """
        drawing = (max_new_tokens, temperature, top_p, seed, chat)
        request = GenerateRequest(tuple(prompts), tuple(variants), *drawing)
        with self._place():
            job = await asyncio.to_thread(submit, self._store, run, request)
            await _end_of(self._store, job)
        return entries([one for one in await asyncio.to_thread(exhibits, self._store, run) if one.job == job], run)

    def stop(self, run: str) -> None:
        """Ask the live job of a run to stop: at its next step, a recovery with the best so far."""
        job_panel.stop(self._store, run)

    @contextmanager
    def _place(self) -> Iterator[None]:
        """A place for one who waits. Raises BadInput where none is free. Entered in one thread, that of the server."""
        if self._waiting >= MOST_WAITING:
            raise BadInput(
                f"{self._waiting} callers wait for their jobs already; try again later, or put the job in line by one "
                "of the functions that begin with start_, which do not wait."
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _plan(self, run_id: str, label: str, ratio: float, blocks: str, channels_from: str = "") -> Plan:
        scored = self._store.scores(run_id)
        for name in filter(None, (label, channels_from)):
            if name not in scored:
                raise UnknownName("scores", name, scored, "" if scored else "This run has none yet.")
        heads, channels = scored[label], scored[channels_from or label]
        return make_plan(heads, ratio, read_blocks(blocks, len(heads.groups)), channels_from=channels)


def _vectors(scores: Scores) -> dict[str, Any]:
    blocks = range(len(scores.groups))
    vectors = {
        kind: [scores.of(kind)[i].tolist() if scores.judged(kind, i) else None for i in blocks] for kind in KINDS
    }
    return {"seconds": scores.seconds, "peak_bytes": scores.peak_bytes, **vectors}


async def _end_of(store: Store, job_id: int) -> None:
    """Wait for a job's end. Raises BadInput, saying why, where it failed or was stopped."""
    while (job := await asyncio.to_thread(store.job, job_id)).live:
        await asyncio.sleep(LOOK_EVERY)
    if job.state != DONE:
        raise BadInput(job.error or f"The {job.kind} job {job_id} was {job.state} before its end.")


def offer(ctx: Context) -> None:
    """Add the endpoints to the app, inside its Blocks. Waiting for a job keeps nobody else waiting."""
    endpoints = Endpoints(ctx)
    for name in ("score", "overlap", "plan", "generate", "stop"):
        gr.api(guarded(getattr(endpoints, name)), api_name=name, concurrency_limit=None)
