"""Errands in other processes, without a cluster: in any order, lost on the way, two at a time, and nothing is twice."""

import random
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from minillm.errors import BadInput
from minillm.events import Event
from minillm.recipes.requests import SweepRequest
from minillm.store.parcel import brought_home
from minillm.store.store import Store
from minillm.sweeps import Sweep, cells
from minillm.sweeps.standing import BEGUN, CELL, DONE, FAILED, STOPPED, begin, runs_of, standings
from minillm.sweeps.table import table
from minillm.worker import elsewhere, sweep as sweep_part
from minillm.worker.elsewhere import PLACE, done_elsewhere, sent
from minillm.worker.errands import Ended, Errand
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool
from minillm.worker.progress import JOB

TUNED = {"steps": 1, "batch": 2, "length": 16, "text": "python-docs", "evaluate_every": 1}


class Shuffled:
    """A place of three workers: who was sent last may answer first, and some never do."""

    def __init__(self, name: str, confined: bool, losing: int = 0, seed: int = 0) -> None:
        self.name, self.left, self.random = name, losing, random.Random(seed)
        self.at_work: list[tuple[Errand, object]] = []
        self.lost: list[str] = []

    def refuses(self, errand: Errand) -> str:
        return ""

    def takes(self, errand: Errand) -> bool:
        return len(self.at_work) < 3

    def begin(self, errand: Errand) -> None:
        self.at_work.append((errand, sent(errand, 10**9, 1, False)))

    def ended(self) -> Generator[Event, None, Ended]:
        yield Event(JOB)
        errand, given = self.at_work.pop(self.random.randrange(len(self.at_work)))
        if errand.stage not in self.lost and len(self.lost) < self.left:
            self.lost.append(errand.stage)
            return Ended(errand, lost=True)
        answered = done_elsewhere(given)
        if answered.unfit:
            raise BadInput(answered.unfit)
        brought_home(errand.work.store, errand.work.run_id, answered.made, errand.work.job_id)
        return Ended(errand, answered.error, answered.seconds)

    def close(self) -> None:
        self.at_work.clear()


def asked(model: str, **more) -> Sweep:
    given = {"title": "Tried", "models": [model], "criteria": ["wanda", "magnitude-l1"], "ratios": [0.1]}
    given |= {"calibration": {"text": "python-docs", "samples": 6, "length": 16, "gradient_samples": 2}}
    given |= {"evaluations": [{"perplexity": {"text": "python-docs", "length": 32, "tokens": 128}}]}
    return Sweep.from_json({**given, "dtype": "float32", "device": "cpu", **more})


def run(store: Store, run_id: str, sweep: Sweep, on: str = "here") -> list[Event]:
    return list(execute_events(store, run_id, SweepRequest(sweep.to_json(), on), Pool(10**9)))


def numbers(store: Store, run_id: str, sweep: Sweep) -> dict[str, list]:
    whole = table(store, run_id, sweep)
    return {str(row.cell): [number.values for number in row.numbers.values()] for row in whole.rows}


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch):
    """far(losing) makes what is asked of a cluster go to three shuffled workers, and gives the list of them."""

    def go(losing: int = 0, seed: int = 0) -> list[Shuffled]:
        places: list[Shuffled] = []

        def place(name: str, confined: bool) -> Shuffled:
            places.append(Shuffled(name, confined, losing, seed))
            return places[-1]

        monkeypatch.setattr(sweep_part, "OnRay", place)
        return places

    return go


def test_in_any_order_with_losses_the_numbers_are_those_of_this_process_and_nothing_is_there_twice(
    model: str, store: Store, far
) -> None:
    more = {"recoveries": ["none", TUNED], "compensations": ["", "least-squares"], "allocations": ["uniform", "owl"]}
    sweep = asked(model, criteria=["wanda"], **more)
    here, there = begin(store, sweep), begin(store, sweep)
    run(store, here, sweep)
    places = far(losing=4)
    events = run(store, there, sweep, "ray")
    assert events[-1].payload == {"cells": 9, "done": 9, "failed": 0} and len(places[0].lost) == 4
    shares = [event.done for event in events if event.stage == JOB]
    assert shares == sorted(shares) and shares[-1] == 1000
    assert numbers(store, there, sweep) == numbers(store, here, sweep)
    one, other = (next(iter(runs_of(store, run_id).values())) for run_id in (here, there))
    assert told(store, one) == told(store, other), "variants by their requests, results by kind, labels of scores"
    assert not list(store.folder.glob(f"{PLACE}*"))
    run(store, there, sweep, "ray")
    assert told(store, other) == told(store, one)


def told(store: Store, run_id: str) -> tuple:
    """What a run holds, without names that follow from the order in which it came."""
    variants = store.variants(run_id)
    made = sorted(str({**v.request, "variant": ""}) + str(sorted(v.details)) for v in variants)
    assert len({variant.name for variant in variants}) == len(variants)
    assert all(store.at_hand(run_id, variant.name) for variant in variants)
    kinds = sorted(result.kind for result in store.results(run_id))
    return made, kinds, store.score_labels(run_id)


def test_what_loses_its_process_twice_is_left_out_and_told(model: str, store: Store, far, monkeypatch) -> None:
    sweep = asked(model, criteria=["wanda"])
    run_id, places = begin(store, sweep), far()
    real = Shuffled.ended

    def ended(self):
        if any(errand.cell and not errand.cell.dense for errand, _ in self.at_work):
            yield Event(JOB)
            return Ended(self.at_work.pop()[0], lost=True)
        return (yield from real(self))

    monkeypatch.setattr(Shuffled, "ended", ended)
    events = run(store, run_id, sweep, "ray")
    assert events[-1].payload == {"cells": 2, "done": 1, "failed": 1} and places
    (failed,) = [one for one in standings(store, run_id, sweep) if one.state == FAILED]
    assert "cut off twice" in failed.error and failed.cell.criterion == "wanda"


def test_cells_at_work_when_who_sent_them_was_killed_are_no_suspects(model: str, store: Store, far) -> None:
    sweep = asked(model, criteria=["wanda"])
    run_id, name = begin(store, sweep), cells(sweep)[1].name(sweep)
    for _ in range(5):
        store.add_result(run_id, CELL, {"cell": name, "state": BEGUN, "where": "ray"})
    assert run(store, run_id, sweep)[-1].payload["done"] == 2
    assert [r.data["state"] for r in store.results(run_id, CELL) if r.data["cell"] == name][5:] == [
        STOPPED,
        BEGUN,
        DONE,
    ]


def test_a_scoring_that_fails_elsewhere_takes_its_cells_with_it(model: str, store: Store, far) -> None:
    sweep = asked(model, criteria=["reap", "magnitude-l1"])  # reap judges experts, which this model has not
    far()
    run_id = begin(store, sweep)
    assert run(store, run_id, sweep, "ray")[-1].payload == {"cells": 3, "done": 2, "failed": 1}
    (failed,) = [one for one in standings(store, run_id, sweep) if one.state == FAILED]
    assert failed.error.startswith("Scoring by reap failed: ") and "no fault of yours" not in failed.error


def test_where_something_else_is_installed_the_sweep_ends_with_one_sentence(model: str, store: Store, far, monkeypatch):
    sweep, real = asked(model), elsewhere.versions
    run_id = begin(store, sweep)
    far()
    answers = iter([{**real(), "torch": "1.0"}])
    monkeypatch.setattr(elsewhere, "versions", lambda: next(answers, real()))
    with pytest.raises(BadInput, match=r"has torch \d\S* instead of 1\.0.*install the same requirements"):
        run(store, run_id, sweep, "ray")
    assert elsewhere.other_versions({**real(), "torch": f"{real()['torch'].partition('+')[0]}+cu999"}) == ""
    assert run(store, run_id, sweep)[-1].payload["done"] == 3


def test_an_errand_leaves_nothing_behind_and_clears_up_after_one_that_was_killed(
    model: str, store: Store, run_id: str, own_home: Path
) -> None:
    dead = own_home / f"{PLACE}abcdefgh"
    dead.mkdir(parents=True)
    (dead / ".maker").write_text("\n")
    work = sweep_part.Workbench(store, run_id, store.run(run_id).recipe, Pool(10**9))
    sweep = asked(model)
    given = sent(Errand("cell:dense", work, sweep, cell=cells(sweep)[0]), 10**9, 1, False)
    answered = done_elsewhere(replace(given, folder="/nowhere"))
    assert answered.error == "" and [kind for kind, _ in answered.made.results] == ["perplexity"]
    assert not list(own_home.glob(f"{PLACE}*")) and store.results(run_id) == []
