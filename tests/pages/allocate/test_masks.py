"""The section on masks that learn: live from a job's events, ended from its result, and what it asks for."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import numpy as np
import pytest
from made_pages import laid_out
from made_scores import scores, shape

from minillm.criteria.settings import LEARNED, Settings
from minillm.events import Event
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import MasksRequest
from minillm.store.store import Store
from pages.allocate import masks
from pages.plots import masks_curve, masks_gradient, masks_map
from pages.report.searches import masks_learned
from pages.views.masks import course_of

GROUPS = shape()
UNKNOWNS = [[layer, "heads", number] for layer in range(6) for number in range(4)]
ASKED = MasksRequest("wanda", {"steps": 5})


@pytest.fixture
def run_id(store: Store) -> str:
    made = store.create_run(RunRecipe(dtype="bfloat16"), "Scored")
    store.save_scores(made, scores(GROUPS, "wanda"), "wanda")
    return made


def begun(store: Store, run_id: str, steps: int = 3) -> int:
    """A live job that has told some steps, the second of which had no loss."""
    number = store.add_job(run_id, ASKED)
    store.claim_next("cpu/1")
    store.append_event(number, Event("masks", 0, 5, {"unknowns": UNKNOWNS}))
    for step in range(1, steps + 1):
        p = (np.linspace(0.2, 0.9, 24) * step / steps).tolist()
        told = {"step": step, "loss": None if step == 2 else 4.0 - step, "baseline": 4.0 - step / 10, "p": p}
        store.append_event(number, Event("masks", step, 5, told))
    return number


def ended(store: Store, run_id: str, number: int) -> None:
    p = np.linspace(0.2, 0.9, 24)
    found = {"unknowns": UNKNOWNS, "p": p.tolist(), "begun": [0.8] * 24, "gradient": (-p).tolist()}
    found |= {"history": [[1, 3.0, 3.9], [3, 1.0, 3.7]], "agreement": {"p": 1.0, "begun": None}, "label": ASKED.label}
    store.add_result(run_id, "masks", found, number)
    store.finish_job(number, "done", "")


def test_a_live_job_is_drawn_from_its_steps_and_an_ended_one_has_the_exact_gradient(store: Store, run_id: str) -> None:
    section = laid_out(masks.lay_out)
    nothing = masks.watched(store, section, run_id)
    assert [nothing[one] for one in (section.said, section.map, section.curve, section.gradient)] == [
        "",
        None,
        None,
        None,
    ]
    number = begun(store, run_id)
    live = masks.watched(store, section, run_id)
    assert "Step 3 of 5: the baseline went from 3.900 to 3.700 nats" in live[section.said]
    assert "started again, it goes on" in live[section.said] and live[section.gradient] is None
    assert live[section.map].data[0].z.shape == (24, 3) and list(live[section.curve].data[0].x) == [1, 3]
    ended(store, run_id, number)
    done = masks.watched(store, section, run_id)
    assert "rank correlation of 1.00 (where it began all were alike" in done[section.said]
    assert "pgp (from wanda, steps 5)" in done[section.said]
    marks = done[section.gradient].data[0]
    np.testing.assert_allclose(marks.x, marks.y, rtol=1e-6)
    assert marks.text[5] == "block 1, head group 1"
    parts = masks_learned(store, store.run(run_id))
    assert [part.figure.layout.meta["name"] for part in parts[1:]] == ["masks", "masks-loss", "masks-gradient"]


def test_a_run_that_came_without_jobs_shows_what_was_found(store: Store, run_id: str) -> None:
    number = begun(store, run_id)
    ended(store, run_id, number)
    course = course_of(store, run_id, None)
    assert course is not None and course.steps == (3,) and course.p.shape == (1, 24)


def test_what_is_asked_for_is_what_the_form_says_and_what_it_shows_again(store: Store, run_id: str) -> None:
    section = laid_out(masks.lay_out)
    settings = {name: getattr(Settings(), name) for name in LEARNED} | {"steps": 5}
    number = masks.begin(store, run_id, "wanda", *settings.values())
    assert store.job(number).request == ASKED
    shown = masks.arrived(store, section, run_id)
    assert shown[section.form["steps"]] == 5 and shown[section.form["start"]].value == "wanda"


def test_halves_are_named_and_many_steps_are_thinned() -> None:
    unknowns = [(layer, kind, 0) for layer in range(3) for kind in ("heads", "channels")]
    p = np.random.default_rng(0).random((200, 6))
    drawn = masks_map(unknowns, range(1, 201), p)
    assert drawn.data[0].z.shape == (6, 60) and drawn.data[0].x[-1] == 200
    assert drawn.data[0].text[3][0] == "block 1, FFN" and list(drawn.layout.yaxis.tickvals) == [0, 2, 4]
    both = masks_gradient(unknowns, p[-1], -p[-1], None)
    assert [trace.name for trace in both.data] == ["attention", "FFN"]
    assert "not defined" in both.layout.meta["alt"]
    assert masks_curve([]).layout.annotations[0].text == "No step is done yet."
    assert masks_map(unknowns, (), np.zeros((0, 6))).layout.annotations[0].text == "No step is done yet."
