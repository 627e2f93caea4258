"""The filmstrip job: frames are kept as they come, go on where they were stopped, and are the engine's."""

import json

import pytest

import minillm
from minillm.errors import BadInput, UnknownName, UnreachableRatio
from minillm.events import RESULT, finish
from minillm.jobs.submit import submit
from minillm.plan.filmstrip import Place, place_of
from minillm.recipes.requests import FilmstripRequest, ScoreRequest
from minillm.store.as_code import as_commands, as_python, course
from minillm.store.store import Store
from minillm.worker.kinds import execute_events
from minillm.worker.pool import Pool
from minillm.worker.progress import JOB

ASKED = {"prompts": ("The walk", "A group is"), "max_new_tokens": 4, "tokens": 64, "length": 16, "chat": False}
SMALL = FilmstripRequest(("wanda", "random"), (0.0, 0.1, 0.2), **ASKED)


@pytest.fixture
def scored(store: Store, run_id: str, pool: Pool) -> str:
    finish(execute_events(store, run_id, ScoreRequest(("wanda", "random")), pool))
    return run_id


def frames(store: Store, run_id: str) -> list[dict]:
    return [result.data for result in store.results(run_id, "filmstrip")]


def test_it_keeps_what_the_engine_makes_and_its_progress_never_goes_back(store, scored, pool, model):
    events = list(execute_events(store, scored, SMALL, pool))
    assert events[-1].stage == RESULT and events[-1].payload == {"frames": 9}
    shares = [event.done for event in events if event.stage == JOB]
    assert shares == sorted(set(shares)) and shares[-1] == 1000
    recipe = store.run(scored).recipe
    lm = minillm.load_model(model, dtype=recipe.dtype, device="cpu")
    rows = minillm.load_text(recipe.text, lm, recipe.samples, recipe.length, recipe.seed)
    scores = store.scores(scored)
    made = minillm.filmstrip(lm, {name: scores[name] for name in SMALL.criteria}, rows, **SMALL.to_json())
    kept = [{name: value for name, value in frame.items() if name != "asked"} for frame in frames(store, scored)]
    assert kept == json.loads(json.dumps(made))
    assert all(frame["asked"] == SMALL.asked for frame in frames(store, scored))


def test_a_stopped_strip_is_shorter_and_goes_on_to_the_same_end(store, scored, pool):
    events = execute_events(store, scored, SMALL, pool)
    for event in events:
        if event.stage == "filmstrip" and event.done == 4 and event.payload:
            events.close()
    before = frames(store, scored)
    assert [place_of(frame).ratio for frame in before] == [0.0, 0.1, 0.1, 0.1]
    assert finish(execute_events(store, scored, SMALL, pool)) == {"frames": 5}
    other = store.create_run(store.run(scored).recipe)
    finish(execute_events(store, other, ScoreRequest(("wanda", "random")), pool))
    finish(execute_events(store, other, SMALL, pool))
    assert frames(store, scored) == frames(store, other) and frames(store, scored)[:4] == before


def test_more_ratios_and_criteria_add_frames_and_other_prompts_are_another_strip(store, scored, pool):
    few = FilmstripRequest(("wanda",), (0.0, 0.2), compensate=("",), **ASKED)
    assert finish(execute_events(store, scored, few, pool)) == {"frames": 2}
    assert finish(execute_events(store, scored, few, pool)) == {"frames": 0}
    more = FilmstripRequest(("wanda",), (0.0, 0.1, 0.2), compensate=("",), **ASKED)
    assert finish(execute_events(store, scored, more, pool)) == {"frames": 1}
    assert place_of(frames(store, scored)[-1]) == Place("wanda", 0.1, "")
    other = FilmstripRequest(("wanda",), (0.0, 0.2), compensate=("",), **{**ASKED, "prompts": ("Short",)})
    assert finish(execute_events(store, scored, other, pool)) == {"frames": 2}


def test_what_the_run_lacks_is_said_when_it_is_put_in_line(store, run_id, scored):
    empty = store.create_run(store.run(run_id).recipe)
    with pytest.raises(BadInput, match="Nothing was scored in this run yet"):
        submit(store, empty, SMALL)
    with pytest.raises(UnknownName, match="random"):
        submit(store, scored, FilmstripRequest(("randum",)))
    with pytest.raises(UnreachableRatio):
        submit(store, scored, FilmstripRequest(("wanda",), (0.0, 0.95)))
    assert submit(store, scored, SMALL)


def test_the_run_as_python_makes_the_same_frames_and_the_command_says_the_same(store, scored, pool):
    finish(execute_events(store, scored, SMALL, pool))
    found = course(store, scored)
    names: dict = {}
    exec(as_python(found), names)  # noqa: S102
    assert json.loads(json.dumps(names["filmstrip"])) == [
        {name: value for name, value in frame.items() if name != "asked"} for frame in frames(store, scored)
    ]
    command = as_commands(found).splitlines()
    said = " ".join(line.rstrip(" \\").strip() for line in command)
    told = said[said.index("minillm filmstrip") :]
    for words in ("scores/wanda scores/random", "--prompt 'The walk'", "--ratios 0,0.1,0.2", "--compensate both"):
        assert words in told
    assert "--no-chat" in told and "--row " in told
