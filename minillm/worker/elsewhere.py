"""An errand in another process than the store's: what is sent there, what is done there, what is answered.

The one idea: the errand finds a run in a store, as it would here; that store lies in a scratch folder, made of a parcel
and gone when the errand has ended. The process may be killed at any moment: nothing is recorded before its answer is
home. Models stay loaded between errands of one process, in a pool that keeps to the memory the errand was promised.
"""

import os
import platform
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache

import torch

from .. import heap, paths, scratch
from ..events import RESULT
from ..recipes.requests import ScoreRequest
from ..store.allocations import ALLOCATION, SENSITIVITY
from ..store.measured_before import RunContents
from ..store.parcel import Parcel, made_of, packed, unpacked
from ..store.store import Store
from ..sweeps.cells import Cell, labels
from ..sweeps.recipe import Sweep
from ..sweeps.standing import variant_of
from ..versions import versions
from .errands import Errand, carried_out
from .pool import Pool
from .workbench import Workbench

PLACE = ".errand-"
"""How the scratch folders of errands begin, under MINILLM_HOME."""
SAME = ("python", "torch", "transformers", "accelerate", "peft", "lm-eval", "numpy")
"""What numbers may depend on."""


@dataclass(frozen=True)
class Sent:
    """An errand on its way. memory: bytes that it may take; threads: to compute with, since sums depend on them;
    folder: where relative paths begin; confined: files only under MINILLM_HOME; versions: of who asks."""

    stage: str
    parcel: Parcel
    asked: Sweep
    request: ScoreRequest | None
    cell: Cell | None
    memory: int
    threads: int
    folder: str
    confined: bool
    versions: dict[str, str]


@dataclass(frozen=True)
class Answered:
    """All that an errand made, why it failed and what it took; or why no errand can be done where it was sent."""

    made: Parcel | None = None
    error: str = ""
    seconds: float = 0.0
    unfit: str = ""


def sent(errand: Errand, memory: int, threads: int, confined: bool) -> Sent:
    """An errand with what it needs of its run: scores of a cell, its variants as far as they are there, and what
    allocations go by."""
    work, asked, cell = errand.work, errand.asked, errand.cell
    scored, names = [], []
    if cell is not None:
        scored = [] if cell.dense else list(labels(asked, cell.criterion))
        names = list(filter(None, variant_of(RunContents(work.store, work.run_id), asked, cell)))
    parcel = packed(work.store, work.run_id, scored, names, (SENSITIVITY, ALLOCATION))
    facts = (memory, threads, os.getcwd(), confined, versions())
    return Sent(errand.stage, parcel, asked, errand.request, cell, *facts)


def done_elsewhere(given: Sent) -> Answered:
    """Do what was sent, in a scratch folder under the MINILLM_HOME of this process."""
    if unfit := other_versions(given.versions):
        return Answered(unfit=unfit)
    torch.set_num_threads(given.threads)
    with suppress(OSError):
        os.chdir(given.folder)
    pool, began = _pool(given.confined), time.monotonic()
    pool.budget = given.memory
    scratch.sweep(paths.home(), f"{PLACE}*")
    with scratch.scratch_folder(paths.home(), PLACE) as folder:
        store = Store(folder)
        run_id = unpacked(store, given.parcel)
        work = Workbench(store, run_id, given.parcel.recipe, pool)
        with closing(carried_out(Errand(given.stage, work, given.asked, given.request, given.cell))) as events:
            error = next(event.payload for event in events if event.stage == RESULT)
        return Answered(made_of(store, run_id, given.parcel), error, time.monotonic() - began)


def other_versions(asked: dict[str, str]) -> str:
    """What is installed here in another version than where it was asked, in a sentence; empty where nothing is."""
    here = versions()
    other = [
        f"{name} {here.get(name, 'missing')} instead of {asked.get(name, 'none')}"
        for name in SAME
        if _plain(here.get(name)) != _plain(asked.get(name))
    ]
    if not other:
        return ""
    return (
        f"Node {platform.node()} of the cluster has {', '.join(other)}, so that its numbers could differ; install the "
        "same requirements on every node. The same command goes on."
    )


def _plain(version: str | None) -> str:
    """A version without what it was built for (+cpu): a head without GPUs may ask nodes that have some."""
    return (version or "").partition("+")[0]


@cache
def _pool(confined: bool) -> Pool:
    """The models of this process."""
    heap.keep_freed()
    return Pool(0, confined=confined)
