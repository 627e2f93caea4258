"""What is said after a job: it leads to pages that exist, for every kind and every way to end."""

from types import SimpleNamespace
from typing import Any

import pytest

from minillm.recipes.requests import ScoreRequest
from minillm.worker.kinds import KINDS
from pages import NAMES
from pages.shell.what_next import AFTER, ELSE, what_next


def ended(kind: str, state: str) -> Any:
    return SimpleNamespace(kind=kind, state=state, live=state in ("queued", "running"), run_id="abc")


def test_every_link_leads_to_a_page_and_every_kind_is_one():
    assert set(AFTER) <= set(KINDS) and ScoreRequest.kind in AFTER
    assert {page for ways in AFTER.values() for page, _ in ways} <= set(NAMES)


def test_a_finished_job_links_on_with_its_run_and_a_live_one_says_nothing():
    said = what_next(ended("score", "done"))
    assert 'href="compare?run=abc"' in said and 'href="prune?run=abc"' in said
    assert what_next(ended("score", "running")) == what_next(None) == what_next(ended("profile", "done")) == ""


@pytest.mark.parametrize("state", list(ELSE))
def test_one_that_ended_early_says_what_to_do(state: str):
    assert "Start again" in what_next(ended("prune", state))
