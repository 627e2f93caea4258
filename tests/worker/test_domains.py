"""The domains job: scores of one criterion on several texts, each as it would be in a run of that text."""

import numpy as np
import pytest

import minillm
from minillm.errors import TextTooShort
from minillm.events import RESULT, finish
from minillm.recipes.requests import DomainsRequest
from minillm.store.as_code import as_python, course
from minillm.worker.kinds import execute_events
from minillm.worker.progress import JOB

TEXTS = ("python-docs", "stories", "python-code")


def test_each_text_has_its_scores_and_what_is_there_is_not_scored_again(store, run_id, pool):
    request = DomainsRequest("wanda", TEXTS)
    events = list(execute_events(store, run_id, request, pool))
    labels = {"python-docs": "wanda", "stories": "wanda (on stories)", "python-code": "wanda (on python-code)"}
    assert events[-1].stage == RESULT and events[-1].payload == {"criterion": "wanda", "labels": labels}
    shares = [event.done for event in events if event.stage == JOB]
    assert shares == sorted(set(shares)) and shares[-1] == 1000
    lm, scores = minillm.load_model(store.run(run_id).recipe.model, "float32", "cpu"), store.scores(run_id)
    for text, label in labels.items():
        alone = minillm.score(lm, "wanda", minillm.load_text(text, lm, samples=6, length=16, seed=3), 2, seed=3)
        assert scores[label].recipe["text"] == text
        for layer, values in alone.channels.items():
            np.testing.assert_array_equal(scores[label].channels[layer], values)
    again = list(execute_events(store, run_id, request, pool))
    assert [event.stage for event in again] == [JOB, RESULT] or not any(e.stage.startswith("score") for e in again)
    left: dict = {}
    exec(compile(as_python(course(store, run_id)), "run", "exec"), left)
    for label in labels.values():
        np.testing.assert_array_equal(left["scores"][label].channels[1], scores[label].channels[1])


def test_a_text_too_short_is_one_sentence(store, run_id, pool, tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("Too few words. " * 3, encoding="utf-8")
    with pytest.raises(
        TextTooShort, match=r"^file:[^\n]*short\.txt \(calibration part\) has \d+ tokens, but 6 samples"
    ):
        finish(execute_events(store, run_id, DomainsRequest("wanda", ("python-docs", f"file:{short}")), pool))
    assert store.score_labels(run_id) == ["wanda"]
