"""The Score page without a browser: what is drawn while criteria are scored and after, and what is asked for."""

from typing import Any

import made_scores
import pytest
from made_pages import block, context, laid_out, score_job

from minillm.criteria.settings import Settings
from minillm.errors import BadInput, UnknownName
from minillm.events import Event
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import ScoreRequest
from minillm.store.store import Store
from pages.score import form
from pages.views import scores as scores_view


@pytest.fixture
def run_id(store: Store) -> str:
    return store.create_run(RunRecipe(samples=4, length=16), "A <b>run</b>")


def test_scores_on_their_way_are_drawn_block_by_block(store: Store, run_id: str):
    job = score_job(store, run_id, "wanda", "magnitude-l1")
    store.claim_next("auto/1")
    assert scores_view.bands(scores_view.board(store, run_id), "wanda", "channels") is None
    for layer in range(3):
        store.append_event(job, Event("score:wanda", layer + 1, 30, block(layer)), 0.1)
    look = scores_view.board(store, run_id)
    assert look.shown("") == "wanda" and look.running == ["wanda"]
    assert look.labels == ["wanda"]
    picture = scores_view.bands(look, "wanda", "channels")
    assert picture is not None
    assert list(picture.data[0].x) == [0, 1, 2]
    assert picture.layout.xaxis.range[1] == pytest.approx(29.6)  # the embedded model's 30 blocks, drawn or not


def test_criteria_on_one_walk_are_all_drawn_at_once_and_said_to_share_what_it_took(store: Store, run_id: str):
    job = score_job(store, run_id, "wanda", "zo", together=True)
    store.claim_next("auto/1")
    for name in ("wanda", "zo"):
        store.append_event(job, Event(f"score:{name}", 1, 6, block(0)), 0.1)
    look = scores_view.board(store, run_id)
    assert look.running == ["wanda", "zo"] == look.labels
    assert all(scores_view.bands(look, name, "channels") is not None for name in look.labels)
    assert scores_view.shared_walks(look) == ""
    for name, other in (("wanda", "zo"), ("zo", "wanda")):
        scores = made_scores.scores(made_scores.shape(), name)
        scores.recipe["together_with"] = [other]
        store.save_scores(run_id, scores)
    said = scores_view.shared_walks(scores_view.board(store, run_id))
    assert said.count("one walk") == 1 and "wanda, " in said


def test_a_finished_criterion_is_drawn_from_its_scores_with_exact_seconds_and_peak(store: Store, run_id: str):
    job = score_job(store, run_id, "wanda")
    store.claim_next("auto/1")
    store.append_event(job, Event("score:wanda", 6, 6, block(5)), 1.0)
    scores = made_scores.scores(made_scores.shape(), "wanda")
    object.__setattr__(scores, "seconds", 12.5)
    object.__setattr__(scores, "peak_bytes", 2_000_000)
    store.save_scores(run_id, scores)
    store.finish_job(job, "done")
    look = scores_view.board(store, run_id)
    assert [(row.state, row.seconds, row.peak) for row in look.rows] == [("done", 12.5, 2_000_000)]
    assert look.running == [] and look.shown("") == "wanda"
    assert len(scores_view.bands(look, "wanda", "channels").data[0].x) == 6  # type: ignore[union-attr]


def test_a_criterion_that_the_job_gave_up_on_has_failed(store: Store, run_id: str):
    job = score_job(store, run_id, "zo", "wanda")
    store.claim_next("auto/1")
    store.append_event(job, Event("score:zo", 2, 6, block(1)), 0.2)
    store.append_event(job, Event("score:wanda", 1, 6, block(0)), 0.6)
    assert [row.state for row in scores_view.board(store, run_id).rows] == ["failed", "running"]


def test_without_a_choice_the_papers_own_criterion_is_shown_and_rows_come_in_the_tables_order(
    store: Store, run_id: str
):
    for name in ("zo", "wanda", "fms-zo", "magnitude-l1"):
        store.save_scores(run_id, made_scores.scores(made_scores.shape(), name))
    look = scores_view.board(store, run_id)
    assert look.labels == ["magnitude-l1", "wanda", "zo", "fms-zo"]
    assert look.shown("") == "fms-zo" and look.shown("wanda") == "wanda" and look.shown("gone") == "fms-zo"


def test_a_ratio_that_cannot_be_reached_is_said_and_not_raised():
    plan, note = scores_view.plan_at(made_scores.scores(made_scores.shape()), 0.9)
    assert plan is None and "largest" in note


def test_a_group_is_ranked_under_every_criterion():
    every = made_scores.several(made_scores.shape(), ("wanda", "zo"))
    table = scores_view.group_facts(every, 2, "channels", 7)
    rank = int((every["wanda"].channels[2] < every["wanda"].channels[2][7]).sum()) + 1
    assert "Channel 7 of block 2" in table and f"{rank} of 96" in table and "zo" in table
    assert scores_view.group_facts(every, 2, "channels", 4000) == ""


DEFAULTS = ("max", "gaussian", "divide", 1, 0, 1e-3)


def begin(
    store: Store, run_id: str, criteria: list[str], *settings: Any, text: str = "python-docs", seed: int = 0
) -> int:
    return form.begin(context(store), run_id, criteria, text, 4, 16, 10, seed, *(settings or DEFAULTS))


def test_scoring_with_the_runs_own_recipe_stays_in_the_run(store: Store, run_id: str):
    job = store.job(begin(store, run_id, ["wanda", "zo"]))
    assert job.run_id == run_id
    assert job.request == ScoreRequest(criteria=("wanda", "zo"))


def test_settings_become_part_of_the_label_only_where_they_differ(store: Store, run_id: str):
    job = store.job(begin(store, run_id, ["zo"], "max", "rademacher", "divide", 4.0, 0, 1e-3))
    assert job.request.settings == {"noise": "rademacher", "directions": 4}


def test_every_setting_of_scoring_can_be_chosen_and_is_asked_for(store: Store, run_id: str):
    changed = {"scope": "groups", "taylor": "vectorize", "submodels": 16.0, "drop": 0.3, "rounds": 2.0}
    values = [changed.get(name, default) for name, default in Settings().to_json().items() if name != "seed"]
    job = store.job(begin(store, run_id, ["llm-pruner", "bonsai"], *values, True))
    assert job.request.together
    assert job.request.settings == changed


def test_before_the_first_score_another_seed_leaves_the_run_its_address(store: Store, run_id: str):
    store.add_result(run_id, "inspect", {"groups": {}})
    store.describe_run(run_id, title="Mine", note="why it was begun", tags=["thesis"])
    job = store.job(begin(store, run_id, ["wanda"], seed=7))
    assert job.run_id == run_id and [run.id for run in store.runs()] == [run_id]
    run = store.run(run_id)
    assert (run.recipe.seed, run.title, run.note, run.tags) == (7, "Mine", "why it was begun", ("thesis",))
    assert [result.kind for result in store.results(run_id)] == ["inspect"]


def test_a_run_with_scores_stays_beside_the_new_one(store: Store, run_id: str):
    store.save_scores(run_id, made_scores.scores(made_scores.shape()))
    job = store.job(begin(store, run_id, ["wanda"], seed=7))
    assert {run.id for run in store.runs()} == {run_id, job.run_id}
    assert store.run(job.run_id).title.endswith("· seed 7")


def test_what_cannot_be_scored_is_refused_and_leaves_nothing(store: Store, run_id: str):
    with pytest.raises(BadInput, match="No criterion is ticked"):
        begin(store, run_id, [])
    with pytest.raises(UnknownName, match="python-docs"):
        begin(store, run_id, ["wanda"], text="python-doc")
    with pytest.raises(BadInput, match="There is no file"):
        begin(store, run_id, ["wanda"], text="file:/nowhere/a.txt")
    with pytest.raises(BadInput, match="Directions"):
        begin(store, run_id, ["zo"], "max", "gaussian", "divide", 0, 0, 1e-3)
    assert [run.id for run in store.runs()] == [run_id] and store.jobs() == []


def test_an_open_app_reads_text_only_from_its_home(store: Store, tmp_path: Any):
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    with pytest.raises(BadInput, match="may not be read"):
        form.checked_text(f"file:{outside}", confined=True)
    name = form.kept_upload(store, str(outside))
    assert form.checked_text(name, confined=True) == name
    assert form.kept_upload(store, str(outside)) == name


def test_an_upload_that_is_no_text_is_refused(store: Store, tmp_path: Any):
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(BadInput, match="is no text that is read here"):
        form.kept_upload(store, str(tmp_path / "weights.bin"))


@pytest.mark.parametrize(
    ("groups", "offered", "not_offered"),
    [(made_scores.smollm2(), {"kfac", "wanda", "pgp"}, "reap"), (made_scores.mixture(), {"reap", "wanda"}, "kfac")],
)
def test_only_criteria_that_judge_what_the_model_has_are_offered(
    store: Store, run_id: str, groups: Any, offered: set[str], not_offered: str
):
    store.add_result(run_id, "inspect", {"groups": groups.to_json(), "dtype": "float32"})
    page = laid_out(form.lay_out_form)
    choices = {name for _, name in form.arrive(store, page, run_id, {})[page.criteria].choices}
    assert offered <= choices and not_offered not in choices
