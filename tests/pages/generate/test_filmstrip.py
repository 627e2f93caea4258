"""The form of the filmstrip: what it asks for, what it refuses, and what is chosen at first."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import made_strips
import pytest
from made_pages import laid_out
from made_runs import full_run

from minillm.errors import BadInput
from minillm.recipes.requests import FilmstripRequest
from pages.generate.filmstrip import _choices, _shown, begin, layout

HOW = (32, 512)


def test_the_form_asks_for_what_it_says(store):
    run_id = full_run(store, "Strip")
    job = begin(store, run_id, ["wanda"], ["Why?"], "And how?", ["", "least-squares"], *HOW)
    wanted = FilmstripRequest(("wanda",), prompts=("Why?", "And how?"), max_new_tokens=32, tokens=512)
    assert store.job(job).request == wanted and len(wanted.ratios) == 13 and wanted.ratios[-1] == 0.6
    store.finish_job(job, "cancelled")
    assert store.job(begin(store, run_id, ["wanda"], ["Why?"], " ", [], *HOW)).request.compensate == ("",)


@pytest.mark.parametrize(
    ("criteria", "prompts", "own", "said"),
    [
        ([], ["Why?"], "", "Criteria has 0 entries"),
        (["wanda"], [], " ", "No prompt is chosen"),
        (["wanda"], list("abcde"), "f", "more than 5 entries"),
        (["wander"], ["Why?"], "", "wanda"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(store, criteria, prompts, own, said):
    with pytest.raises(BadInput, match=said):
        begin(store, full_run(store, "Strip"), criteria, prompts, own, [""], *HOW)


def test_a_run_without_scores_is_told_to_score_first(store, run_id):
    with pytest.raises(BadInput, match="score it first"):
        begin(store, run_id, ["wanda"], ["Why?"], "", [""], *HOW)


def test_at_first_scored_criteria_of_the_papers_story_are_chosen_and_a_choice_stays(store):
    run_id, section = full_run(store, "Strip"), laid_out(layout)
    criteria = section.controls["criteria"]
    first = _choices(store, criteria, run_id, [])[criteria]
    assert first.value == ["wanda", "fms-zo"] and [label for _, label in first.choices] == ["wanda", "fms-zo"]
    assert _choices(store, criteria, run_id, ["fms-zo", "gone"])[criteria].value == ["fms-zo"]
    assert _choices(store, criteria, "", []) == {}


def test_the_slider_has_what_is_there_so_far(store):
    run_id, section = full_run(store, "Strip"), laid_out(layout)
    assert _shown(store, section, run_id)[section.slider] is None
    made_strips.keep(store, run_id, (0.0, 0.1))
    assert "Because" in _shown(store, section, run_id)[section.slider]
