"""The pages without a browser: what they say, what they ask the engine for, and how the app is wired."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import gradio as gr
import made_scores
import pytest
from made_pages import context, score_job

import app as app_module
from minillm.errors import BadInput, UnknownName
from minillm.events import Event
from minillm.jobs.submit import submit
from minillm.recipes.models import MODELS
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import InspectRequest
from minillm.store.as_folder import bundled_id
from minillm.store.store import Store
from pages import GROUPS, NAMES, model, runs, start
from pages.shell import job_panel, title_bar
from pages.shell.frame import Shell
from pages.shell.handlers import answering, guarded
from pages.shell.navigation import navigation
from pages.shell.opening import opened_run
from pages.shell.phrases import ago, count, percent, seconds, size
from pages.views import model as model_view, runs as runs_view


@pytest.fixture
def run_id(store: Store) -> str:
    return store.create_run(RunRecipe(samples=4, length=16), "A <b>run</b>")


# Phrases


def test_numbers_are_said_as_people_say_them():
    assert [seconds(s) for s in (None, 0.44, 12.4, 59.7, 3 * 60 + 20, 7500)] == [
        "–",
        "0.4 s",
        "12 s",
        "1 min",
        "3 min 20 s",
        "2 h 5 min",
    ]
    assert [size(b) for b in (None, 12, 1500, 540_000_000, 1_400_000_000)] == [
        "–",
        "12 B",
        "1.5 kB",
        "540 MB",
        "1.4 GB",
    ]
    assert [count(n) for n in (1536, 134_515_008, 6_738_415_616)] == ["1,536", "134.5 M", "6.74 B"]
    assert [percent(s) for s in (0, 0.999, 1)] == ["0 %", "99 %", "100 %"]
    assert [ago(1000, now) for now in (1010, 1000 + 300, 1000 + 7200)] == ["just now", "5 min ago", "2 h ago"]


# Errors at the edge


def test_an_engines_error_is_shown_as_its_sentence():
    def fails() -> None:
        raise BadInput("Give a number.")

    with pytest.raises(gr.Error) as shown:
        guarded(fails)()
    assert shown.value.message == "Give a number."


def test_any_other_error_is_one_sentence_and_a_log_entry(caplog: pytest.LogCaptureFixture):
    with pytest.raises(gr.Error) as shown:
        guarded(lambda: {}["secret path"])()
    assert "secret path" not in shown.value.message
    assert "KeyError" in shown.value.message
    assert "secret path" in caplog.text


def test_a_guarded_function_keeps_the_names_of_its_parameters():
    def handler(store: Store, run_id: str, event: gr.EventData) -> None: ...

    called = guarded(partial(handler, None))
    assert list(inspect.signature(called).parameters) == ["run_id", "event"]
    assert called.__annotations__["event"] is gr.EventData


# The run in the address


def request(**query: str) -> Any:
    return SimpleNamespace(query_params=query)


def test_the_run_comes_from_the_address_and_none_stands_for_the_sample(store: Store, run_id: str):
    assert opened_run(store, request(run=run_id), True) == (run_id, "")
    assert opened_run(store, request(), False) == ("", "")
    assert opened_run(store, request(), True) == (bundled_id(), "") and store.run(bundled_id())
    found, problem = opened_run(store, request(run="../secret"), True)
    assert found == "" and "There is no run" in problem


def test_the_navigation_names_every_page_once_in_its_group_and_carries_the_run():
    table = {path: SimpleNamespace(TITLE=path.title() or "Start") for path in app_module.pages.modules()}
    groups = app_module.pages.titles(table)  # type: ignore[arg-type]
    assert [group for group, _ in groups] == list(GROUPS)
    assert sum(len(there) for _, there in groups) == len(NAMES) == len(set(NAMES))
    shown = navigation(groups, "score", "abc")
    assert shown.count("<a ") == len(NAMES) and shown.count("run=abc") == len(NAMES)
    assert 'href="./?run=abc"' in shown and 'href="./"' in navigation(groups, "")
    assert re.findall(r'href="([^"]*)" aria-current="page"', shown) == ["./score?run=abc"]


def test_the_title_bar_names_run_model_and_job_and_escapes_what_people_typed(store: Store, run_id: str):
    job = store.job(score_job(store, run_id))
    bar = title_bar.title_bar(store, run_id, job, "A problem & more")
    assert "A &lt;b&gt;run&lt;/b&gt;" in bar and "<b>run</b>" not in bar
    assert "smollm2-135m" in bar and "score" in bar and "A problem &amp; more" in bar
    assert title_bar.title_bar(store, "", None) == ""


# Looking


def shell(store: Store, *views: Any) -> Shell:
    with gr.Blocks():
        names = ("run", "started", "seen", "ways", "bar", "lesson", "stop", "timer")
        made = Shell(context(store), True, **{name: gr.HTML() for name in names})  # type: ignore[arg-type]
        for draw in views:
            made.live(draw, [gr.HTML()])
    return made


def look(on: Shell, run_id: str, seen: str = "") -> tuple[Any, ...]:
    """Stamp, title bar, stop button, timer and the first view's output after a look, None where that was left alone."""
    answer = on._look({on.run: run_id, on.seen: seen})
    picture = answer.get(on.views[0].outputs[0])
    return answer[on.seen], answer[on.bar], answer[on.stop], answer[on.timer], picture


def test_a_look_draws_only_where_something_has_changed(store: Store, run_id: str):
    drawn: list[str] = []
    on = shell(store, lambda run: drawn.append(run) or "picture")
    job = score_job(store, run_id)
    stamp, bar, stop, timer, picture = look(on, run_id)
    assert picture == "picture" and "waiting" in bar and stop.visible and timer.active
    assert look(on, run_id, stamp)[4] is None and drawn == [run_id]
    store.request_cancel(job)
    again, bar, stop, timer, picture = look(on, run_id, stamp)
    assert picture == "picture" and "stopped" in bar and not stop.visible and not timer.active
    assert look(on, run_id, again)[4] is None


def test_a_view_that_cannot_be_drawn_says_why_and_is_tried_again(store: Store, run_id: str):
    def fails(run: str) -> str:
        raise BadInput("Not yet.")

    score_job(store, run_id)
    stamp, bar, _, timer, picture = look(shell(store, fails), run_id)
    assert "Not yet." in bar and "A &lt;b&gt;run" in bar and picture is None
    assert timer.active and stamp == ""


def test_a_fault_in_a_view_is_one_sentence_and_ends_the_looking(store: Store, run_id: str):
    score_job(store, run_id)
    _, bar, _, timer, _ = look(shell(store, lambda run: 1 / 0), run_id)
    assert "ZeroDivisionError" in bar and not timer.active


def test_a_run_deleted_meanwhile_is_said(store: Store, run_id: str):
    on = shell(store, lambda run: store.run(run).title)
    store.delete_run(run_id)
    _, bar, _, timer, _ = look(on, run_id, "seen before")
    assert "There is no run" in bar and not timer.active


def test_an_answer_names_what_it_changes_and_the_rest_stays(store: Store, run_id: str):
    with gr.Blocks():
        one, other = gr.HTML(), gr.HTML()
    on = shell(store, lambda run: {other: "drawn"})
    on.views[0] = replace(on.views[0], outputs=[one, other])
    answer = on._look({on.run: run_id, on.seen: ""})
    assert answer[other] == "drawn" and one not in answer
    assert answering(lambda: {})() == gr.skip() and answering(lambda: {one: 1})() == {one: 1}


def test_choices_are_drawn_anew_only_where_the_state_has_changed(store: Store, run_id: str):
    state, on = ["a"], shell(store)
    with gr.Blocks():
        control, picture = gr.Textbox(), gr.HTML()
        on.redraws_when(
            lambda run: state[0],
            lambda run, word: {picture: f"drawn {word}"},
            [picture],
            [control],
            lambda run, options: {control: options["word"]},
        )
    arrive, _ = on.arrivals[0]
    opened = arrive(run_id, {"word": "asked"})
    assert opened[control] == "asked" and opened[picture] == "drawn asked"
    drawn = on.views[0].inputs[0]
    given = {on.run: run_id, on.seen: "", drawn: opened[drawn], control: "typed"}
    assert picture not in on._look(given), "nothing has changed"
    assert picture not in on._look({**given, drawn: ""}), "not before the page has opened"
    state[0] = "b"
    answer = on._look(given)
    assert answer[picture] == "drawn typed" and control not in answer and answer[drawn] != opened[drawn]


# Jobs


def test_a_queued_job_says_its_place(store: Store, run_id: str):
    other = store.create_run(RunRecipe())
    first, second = score_job(store, run_id), score_job(store, other)
    assert "next in line" in job_panel.chip(store, store.job(first))
    assert "1 job ahead" in job_panel.chip(store, store.job(second))


def test_a_jobs_chip_says_how_it_gets_on_and_how_it_ended(store: Store, run_id: str):
    job = score_job(store, run_id)
    store.claim_next("auto/1")
    store.append_event(job, Event("score:wanda", 1, 4), 0.25)
    assert "running" in job_panel.chip(store, store.job(job)) and "25 %" in job_panel.chip(store, store.job(job))
    assert 'data-title="25 % score"' in job_panel.chip(store, store.job(job)), "for the tab's title"
    store.request_cancel(job)
    assert "stopping" in job_panel.chip(store, store.job(job))
    store.finish_job(job, "failed", "It broke.")
    assert "failed" in job_panel.chip(store, store.job(job)) and "<progress" not in job_panel.chip(
        store, store.job(job)
    )
    assert "The score job failed. It broke." in job_panel.ending(store.job(job))
    assert job_panel.chip(store, None) == "" and job_panel.ending(None) == ""


def test_the_job_that_matters_is_the_running_one_then_the_first_in_line_then_the_last(store: Store, run_id: str):
    inspect_job = submit(store, run_id, InspectRequest())
    score = score_job(store, run_id)
    assert job_panel.current(store, run_id).id == inspect_job  # type: ignore[union-attr]
    assert job_panel.current(store, run_id, "score").id == score  # type: ignore[union-attr]
    store.request_cancel(inspect_job)
    assert job_panel.current(store, run_id).id == score  # type: ignore[union-attr]
    store.request_cancel(score)
    assert job_panel.current(store, run_id).id == score  # type: ignore[union-attr]
    assert job_panel.current(store, store.create_run(RunRecipe())) is None


def test_the_stamp_changes_with_every_step_and_not_otherwise(store: Store, run_id: str):
    seen = [job_panel.stamp(store, run_id)]
    job = score_job(store, run_id)
    seen.append(job_panel.stamp(store, run_id))
    store.claim_next("auto/1")
    seen.append(job_panel.stamp(store, run_id))
    store.append_event(job, Event("load", 0, 1), 0.1)
    seen.append(job_panel.stamp(store, run_id))
    assert job_panel.stamp(store, run_id) == seen[-1]
    store.finish_job(job, "done")
    seen.append(job_panel.stamp(store, run_id))
    assert len(set(seen)) == len(seen)


def stored(seq: int, stage: str, done: int, total: int, when: float) -> Any:
    return SimpleNamespace(seq=seq, time=when, stage=stage, done=done, total=total, payload=None)


def job_in(state: str) -> Any:
    return SimpleNamespace(state=state, live=state in ("queued", "running"), started=100.0)


NAMED = {"a": "A", "b": "B", "c": "C"}


def test_the_parts_of_a_running_job():
    events = [
        stored(1, "load", 0, 1, 101.0),
        stored(2, "score:a", 1, 2, 102.0),
        stored(3, "score:a", 2, 2, 104.0),
        stored(4, "score:b", 1, 4, 106.0),
    ]
    a, b, c = job_panel.parts(job_in("running"), events, NAMED, "score:", 107.0)
    assert (a.state, a.seconds, a.left) == ("done", 2.0, None)
    assert (b.state, b.seconds) == ("running", 3.0)
    assert b.left == 5.0  # three more steps of two seconds, one second of them gone
    assert (c.state, c.seconds) == ("waiting", None)


def test_a_step_that_tells_nothing_on_its_way_is_as_far_as_it_usually_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(job_panel.time, "time", lambda: 104.0)
    events = [stored(1, "load", 0, 1, 101.0)]
    (row,) = job_panel.steps(job_in("running"), events)
    assert (row.share, row.left) == (None, None), "nobody knows the first time"
    (row,) = job_panel.steps(job_in("running"), events, usual={"load": 10.0, "cut": 1.0})
    assert (row.share, row.left) == (0.4, 6.0)
    (row,) = job_panel.steps(job_in("running"), events, usual={"load": 2.0})
    assert (row.share, row.left) == (0.95, None), "longer than usual: nobody knows any more"
    (row,) = job_panel.steps(job_in("running"), [stored(1, "load", 1, 4, 102.0)], usual={"load": 100.0})
    assert (row.share, row.left) == (0.25, 4.0), "what it tells itself goes first"


def test_what_a_step_usually_takes_is_what_it_took_on_this_model(store: Store, run_id: str):
    def one(run: str, seconds: float, state: str = "done") -> None:
        job = submit(store, run, InspectRequest())
        store.claim_next("cpu/1")
        for place, stage in enumerate(("load", "reading text", "score:wanda")):
            store.append_event(job, Event(stage, 0, 1))
            with store.writing() as db:
                db.execute("UPDATE events SET time = ? WHERE job_id = ? AND stage = ?", (seconds * place, job, stage))
        store.finish_job(job, state)
        with store.writing() as db:
            db.execute("UPDATE jobs SET finished = ? WHERE id = ?", (4 * seconds, job))

    model = store.run(run_id).recipe.model
    assert store.usual_steps(model) == {}
    one(run_id, 100.0, "failed")
    one(store.create_run(RunRecipe(model="/another")), 50.0)
    one(run_id, 2.0)
    one(store.create_run(RunRecipe(model=model)), 4.0)
    assert store.usual_steps(model) == {"load": 3.0, "reading text": 3.0, "score:wanda": 6.0}


def test_the_times_of_steps_add_up_to_the_jobs():
    events = [
        stored(1, "load", 0, 1, 100.5),
        stored(2, "reading text", 0, 1, 103.0),
        stored(3, "tokenising text", 0, 1, 104.0),
        stored(4, "tokenising text", 1, 1, 105.0),
        stored(5, "cut", 1, 2, 110.0),
        stored(6, "cut", 2, 2, 111.0),
        stored(7, "reading text", 0, 1, 111.5),
        stored(8, "tokenising text", 0, 1, 112.0),
        stored(9, "tokenising text", 1, 1, 112.5),
        stored(10, "perplexity:original", 1, 2, 120.0),
    ]
    rows = {row.name: row.seconds for row in job_panel.steps(job_in("done"), events)}
    # What has only said that it begins is at work until another stage speaks.
    assert rows == {"load": 3.0, "reading text": 2.0, "tokenising text": 1.5, "cut": 6.0, "perplexity:original": 7.5}
    assert sum(rows.values()) == 20.0, "as long as the job"


@pytest.mark.parametrize(("state", "said"), [("failed", "failed"), ("cancelled", "stopped"), ("interrupted",) * 2])
def test_the_parts_of_a_job_that_ended_early(state: str, said: str):
    events = [stored(1, "score:a", 2, 2, 101.0), stored(2, "score:b", 1, 4, 105.0)]
    rows = job_panel.parts(job_in(state), events, NAMED, "score:", 500.0)
    assert [row.state for row in rows] == ["done", said, "not begun"]
    assert rows[1].seconds == 4.0


def test_parts_that_go_on_side_by_side_are_done_together():
    events = [stored(1, "score:a", 2, 2, 101.0), stored(2, "score:b", 1, 4, 105.0)]
    for state, said in (("running", "running"), ("done", "done"), ("failed", "failed")):
        a, b, c = job_panel.parts(job_in(state), events, NAMED, "score:", 106.0, at_once=True)
        assert a.state == b.state == said and c.state in ("waiting", "not begun")
        assert a.left is b.left is None


def test_a_row_is_safe_to_show():
    row = job_panel.table([job_panel.Part("<x>", "<script>", "running", 1, 2)], "part")
    assert "<script>" not in row and "&lt;script&gt;" in row and 'value="0.500"' in row


# Model


def test_what_is_said_of_a_built_in_model_before_it_is_loaded_is_what_its_config_says():
    from minillm.families import groups_from_config
    from minillm.models.configs import config_from_dict

    for entry in MODELS.values():
        assert entry.groups == groups_from_config(config_from_dict(entry.config))


def test_inspecting_another_model_makes_a_run_and_the_same_one_does_not(store: Store):
    ctx = context(store)
    first = store.job(model.begin(ctx, "", "smollm2-135m", "auto", "auto"))
    assert first.kind == "inspect" and store.run(first.run_id).title == "SmolLM2-135M-Instruct"
    store.request_cancel(first.id)
    again = store.job(model.begin(ctx, first.run_id, "smollm2-135m", "auto", "auto"))
    assert again.run_id == first.run_id
    other = store.job(model.begin(ctx, first.run_id, "someone/other-1b", "auto", "auto"))
    assert other.run_id != first.run_id and store.run(other.run_id).title == "other-1b"


def test_no_run_is_made_of_what_is_no_model(store: Store, tmp_path: Any):
    with pytest.raises(UnknownName, match="smollm2-135m"):
        model.begin(context(store), "", "smollm2-153m", "auto", "auto")
    with pytest.raises(UnknownName):
        model.begin(context(store, confined=True), "", str(tmp_path), "auto", "auto")
    assert store.runs() == []


def test_the_memory_verdict_counts_weights_that_are_in_memory_once():
    known = model_view.Known(made_scores.smollm2(), "float32")
    expected = model_view.forecasts(known, RunRecipe())
    wanda = expected["wanda"]
    assert "does not fit" in model_view.memory_table(known, {"wanda": wanda}, wanda.total - 1)
    assert "does not fit" not in model_view.memory_table(known, {"wanda": wanda}, wanda.total)
    loaded = model_view.Known(made_scores.smollm2(), "float32", "cpu")
    assert "does not fit" not in model_view.memory_table(loaded, {"wanda": wanda}, wanda.above)
    assert "–" in model_view.memory_table(known, {"wanda": wanda}, None)


# Runs and Start


def test_a_run_in_a_line_says_what_came_of_it(store: Store, run_id: str):
    store.save_scores(run_id, made_scores.scores(made_scores.shape(), "wanda"))
    store.add_result(run_id, "perplexity", {"variant": "original", "value": 52.0})
    store.add_result(run_id, "perplexity", {"variant": "original", "value": 52.14})
    line = runs_view.table([runs_view.summary(store, store.run(run_id))], tick=True)
    assert "wanda" in line and "original 52.1" in line and f'value="{run_id}"' in line
    assert f'href="compare?run={run_id}"' in line and "<b>run</b>" not in line


def test_two_runs_side_by_side_show_only_settings_that_differ(store: Store, run_id: str):
    other = store.create_run(RunRecipe(samples=8, length=16), "Other")
    told = runs_view.side_by_side(store, run_id, other)
    assert "samples" in told and "length" not in told
    assert "same settings" in runs_view.side_by_side(store, run_id, run_id)


def test_perplexities_measured_differently_are_never_in_one_row(store: Store, run_id: str):
    other = store.create_run(RunRecipe(), "Other")
    facts = {
        "variant": "original",
        "value": 50.0,
        "text": "wikitext2",
        "length": 128,
        "tokens": 4096,
        "dtype": "float32",
    }
    store.add_result(run_id, "perplexity", facts)
    store.add_result(other, "perplexity", {**facts, "length": 2048, "value": 40.0})
    told = runs_view.side_by_side(store, run_id, other)
    assert told.count("<td>–</td>") == 2


def test_deleting_asks_with_what_would_be_lost(store: Store, run_id: str):
    store.save_scores(run_id, made_scores.scores(made_scores.shape()))
    asked = runs.ask(store, run_id)[1]
    assert "A &lt;b&gt;run&lt;/b&gt;" in asked and "1 sets of scores" in asked
    assert f"({size(store.storage_bytes(run_id))})" in asked


def test_an_empty_list_says_what_to_do(store: Store):
    assert "Begin one" in runs.listing(store, "")
    store.create_run(RunRecipe(), "here")
    assert "No run has “&lt;x&gt;”" in runs.listing(store, "<x>")
    assert "here" in runs.listing(store, "")


def test_beginning_makes_a_run_of_the_embedded_model(store: Store):
    assert store.run(start.begin_embedded(store)).recipe == RunRecipe()


# The app as a whole


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    supervisor: Any = SimpleNamespace(problem="")
    yield app_module.build(Store(tmp_path_factory.mktemp("home")), supervisor, confined=False)


def events_of(built: gr.Blocks) -> list[Any]:
    return list(built.fns.values())


def test_every_page_has_its_place(built: gr.Blocks):
    assert [path for path, *_ in built.pages] == ["", *NAMES[1:]]


def test_public_events_say_what_they_do(built: gr.Blocks):
    public = [fn for fn in events_of(built) if fn.api_visibility == "public"]
    undocumented = [fn.api_name for fn in public if fn.fn is not None and not inspect.getdoc(fn.fn)]
    assert undocumented == []


def test_events_that_only_look_wait_for_nothing(built: gr.Blocks):
    ticks = [fn for fn in events_of(built) if any(event == "tick" for _, event in fn.targets)]
    assert len(ticks) == len(NAMES) + 2, "each page's own, and those of the line of jobs and of exports"
    assert all(not fn.queue and fn.api_visibility == "private" and fn.show_progress == "hidden" for fn in ticks)


def test_what_looks_again_after_an_event_may_draw_all_that_the_page_draws(built: gr.Blocks):
    """An event that was wired before some view was laid out could not draw it."""
    named = [(fn, getattr(fn.fn, "__name__", "")) for fn in events_of(built)]
    whole = {fn.outputs[0]: set(fn.outputs) for fn, name in named if name == "_look"}
    again = [fn for fn, name in named if name == "_look_again"]
    assert len(again) > len(NAMES) and all(set(fn.outputs) == whole[fn.outputs[0]] for fn in again)


def test_events_that_may_be_refused_are_queued_so_that_the_reason_is_shown(built: gr.Blocks):
    refused = [fn for fn in events_of(built) if fn.api_visibility == "public"]
    assert all(fn.queue and fn.concurrency_limit is None for fn in refused)


def test_every_control_has_an_id(built: gr.Blocks):
    controls = (gr.Button, gr.Slider, gr.Dropdown, gr.Number, gr.CheckboxGroup, gr.Radio, gr.UploadButton)
    nameless = [
        f"{type(block).__name__} {getattr(block, 'label', '')}{getattr(block, 'value', '')}"
        for block in built.blocks.values()
        if isinstance(block, controls) and not block.elem_id and block.visible
    ]
    assert nameless == []
