"""Reading blind: nothing tells who wrote what before the vote, votes are kept and counted beside chance."""

import json
import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from made_pages import laid_out
from made_texts import with_a_variant, writes, wrote

from minillm.errors import BadInput
from minillm.recipes.requests import GenerateRequest
from minillm.store.store import Store
from pages.generate import _balloted
from pages.generate.blind import BAD, TIE, UNKNOWN, ballot, tally, tally_html, vote, wilson
from pages.generate.form import layout
from pages.views.generations import exhibits, shuffled, unveiled
from pages.views.generations_html import as_csv, as_html, as_json, as_markdown

VARIANTS = ("original", "pruned-1")


@pytest.fixture
def run_id(store: Store) -> str:
    return with_a_variant(store)


def asked_blind(store: Store, run_id: str, *prompts: str) -> int:
    job = store.add_job(run_id, GenerateRequest(prompts, VARIANTS, blind=True))
    store.claim_next("auto/1")
    return job


def answered_blind(store: Store, run_id: str, prompt: str = "Why?") -> int:
    job = asked_blind(store, run_id, prompt)
    for variant in VARIANTS:
        wrote(store, run_id, job, variant, f"what {len(variant)} letters say", prompt=prompt)
    store.finish_job(job, "done")
    return job


def letter_of(store: Store, run_id: str, job: int, variant: str) -> str:
    names = [column.variant for column in shuffled(run_id, unveiled(store, run_id, job, 0))]
    return "AB"[names.index(variant)]


def test_before_the_vote_nothing_says_who_wrote_what(store: Store, run_id: str) -> None:
    job = asked_blind(store, run_id, "Why?")
    writes(store, job, "pruned-1", "what")
    assert ballot(exhibits(store, run_id)) is None, "no vote on what is still being written"
    for variant in VARIANTS:
        wrote(store, run_id, job, variant, f"what {len(variant)} letters say")
    store.finish_job(job, "done")
    shown = exhibits(store, run_id)
    for text in (as_html(shown), as_markdown(shown, "Mine"), as_json(shown, run_id), as_csv(shown, run_id)):
        assert "what 8 letters say" in text
        for word in ("pruned", "is-original", "33.2", "11.0", "differs", "compared with"):
            assert word not in text
        assert '"original"' not in text and "### original" not in text


def test_the_order_stays_at_every_look_and_is_not_always_the_same(store: Store, run_id: str) -> None:
    orders = []
    for i in range(12):
        job = answered_blind(store, run_id, f"Why {i}?")
        first = [column.text for column in exhibits(store, run_id)[0].columns]
        assert first == [column.text for column in exhibits(store, run_id)[0].columns]
        orders.append(letter_of(store, run_id, job, "original"))
    assert set(orders) == {"A", "B"}


def test_a_vote_lifts_the_veil_and_is_counted_once(store: Store, run_id: str) -> None:
    first, second = answered_blind(store, run_id, "Why?"), answered_blind(store, run_id, "How?")
    assert tally_html(store, run_id) == ""
    for job, best, guess in ((second, "original", "pruned-1"), (first, "pruned-1", "original")):
        asked = ballot(exhibits(store, run_id))
        assert asked is not None and asked.name == f"{job}:0" and asked.letters == ["A", "B"]
        given = [letter_of(store, run_id, job, name) for name in (best, guess)]
        vote(store, run_id, asked.name, *given)
        with pytest.raises(BadInput, match="voted on already"):
            vote(store, run_id, asked.name, *given)
        shown = next(one for one in exhibits(store, run_id) if one.job == job)
        assert not shown.veiled and [column.variant for column in shown.columns] == list(VARIANTS)
    assert ballot(exhibits(store, run_id)) is None
    found = tally(store, run_id)
    assert (found.votes, found.best, found.taken) == (2, {"original": 1, "pruned-1": 1}, {"original": 1, "pruned-1": 1})
    assert (found.right, found.guesses, found.chance) == (1, 2, 1.0)
    html = tally_html(store, run_id)
    assert "2 blind votes in this run: 0 a tie, 0 for none." in html
    assert "told 1 of 2 times (9–91 %); guessing gives 1.0 (50 %)" in html and "50 %, 9–91 %" in html
    assert json.loads(as_json(exhibits(store, run_id), run_id))[0]["texts"][1]["variant"] == "pruned-1"


def test_who_cannot_decide_says_so_and_is_not_counted_as_a_guess(store: Store, run_id: str) -> None:
    for best, said in (
        (TIE, "1 blind vote in this run: 1 a tie, 0 for none.</p>"),
        (BAD, ": 1 a tie, 1 for none.</p>"),
    ):
        job = answered_blind(store, run_id, best)
        vote(store, run_id, f"{job}:0", best, UNKNOWN)
        assert said in tally_html(store, run_id)
    found = tally(store, run_id)
    assert (found.votes, found.bad, found.guesses, sum(found.best.values())) == (2, 1, 0, 0)


def test_a_vote_from_before_there_was_a_word_for_none_is_a_tie(store: Store, run_id: str) -> None:
    store.add_result(run_id, "vote", {"shown": [*VARIANTS], "pruned": [], "best": "", "guess": ""}, None)
    assert "1 a tie, 0 for none" in tally_html(store, run_id)


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (3, 10), (10, 10), (411, 500)])
def test_the_interval_is_wilsons(count: int, of: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.binomtest(count, of).proportion_ci(0.95, method="wilson")
    assert wilson(count, of) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_what_cannot_be_voted_on_is_refused(store: Store, run_id: str) -> None:
    open_job = store.add_job(run_id, GenerateRequest(("Seen?",), VARIANTS))
    for variant in VARIANTS:
        wrote(store, run_id, open_job, variant, "yes", prompt="Seen?")
    store.finish_job(open_job, "done")
    job = answered_blind(store, run_id)
    for name, best, pruned, said in (
        ("", "A", "B", "nothing to vote on"),
        ("99:0", "A", "B", "not there any more"),
        (f"{open_job}:0", "A", "B", "not written blind"),
        (f"{job}:0", "C", "B", "which is the best answer: A, B, or “tie” or “bad”"),
        (f"{job}:0", "A", "both", "cannot tell"),
        (f"{job}:0", None, "B", "which is the best"),
    ):
        with pytest.raises(BadInput, match=said):
            vote(store, run_id, name, best, pruned)
    assert store.results(run_id, "vote") == []


def test_the_ballot_on_the_page_is_left_alone_while_it_is_the_same(store: Store, run_id: str) -> None:
    poll = laid_out(layout).poll
    assert _balloted(store, poll, run_id, "")[poll.box].visible is False
    job = answered_blind(store, run_id)
    answer = _balloted(store, poll, run_id, "")
    assert (answer[poll.box].visible, answer[poll.name]) == (True, f"{job}:0") and "Why?" in answer[poll.question]
    assert answer[poll.best].choices == [("1  A", "A"), ("2  B", "B"), ("3  tie", TIE), ("4  both bad", BAD)]
    assert answer[poll.best].value is None, "a vote is a choice"
    assert [value for _, value in answer[poll.pruned].choices] == ["A", "B", UNKNOWN]
    assert _balloted(store, poll, run_id, answer[poll.name]) == {}, "an answer may be ticked"
