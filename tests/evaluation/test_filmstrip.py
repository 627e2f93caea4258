"""A strip against surgery: every frame must be what cutting the model by hand, reading and asking it give."""

import math

import pytest
import tiny
import torch

from minillm.errors import BadInput, UnknownName, UnreachableRatio
from minillm.evaluation.answers import answers_events
from minillm.evaluation.filmstrip import filmstrip, filmstrip_events
from minillm.evaluation.generation import generate
from minillm.evaluation.perplexity import perplexity
from minillm.events import finish
from minillm.models.loaded import wrap
from minillm.plan.filmstrip import Place, plan_at
from minillm.scoring.score import score
from minillm.surgery.cut import prune

PROMPTS = ("The walk reads", "A group is a set of weights that", "Short")
ASKED = {"ratios": (0.1, 0.0, 0.3), "prompts": PROMPTS, "max_new_tokens": 8, "tokens": 256, "length": 32, "chat": False}
FAMILIES = [tiny.llama, tiny.opt, tiny.bloom]


def loaded(build=tiny.llama):
    return wrap(build(), tiny.tokenizer())


def scored(lm, *names):
    return {name: score(lm, name, tiny.tokens(8, 20), 4) for name in names or ("wanda",)}


@pytest.fixture(params=FAMILIES, ids=[build.__name__ for build in FAMILIES])
def made(request):
    """A model, its scores, calibration rows, and its strip on python-docs."""
    lm, calibration = loaded(request.param), tiny.tokens(24, 20)
    scores = scored(lm)
    return lm, scores, calibration, filmstrip(lm, scores, calibration, **ASKED)


def cut_by_hand(lm, scores, calibration, frame):
    if not frame["criterion"]:
        return lm
    return prune(lm, plan_at(scores["wanda"], frame["ratio"]), frame["compensate"] or None, calibration)


def test_a_frame_is_what_surgery_then_reading_then_asking_give(made):
    lm, scores, calibration, frames = made
    places = [(frame["ratio"], frame["compensate"]) for frame in frames]
    assert places == [(0, ""), (0.1, ""), (0.1, "least-squares"), (0.3, ""), (0.3, "least-squares")]
    for frame in frames:
        small = cut_by_hand(lm, scores, calibration, frame)
        measured = perplexity(small, "python-docs", length=32, tokens=256)
        assert math.exp(frame["loss"]) == pytest.approx(measured, rel=2e-4)
        assert frame["parameters"] == small.parameters
        written = [generate(small, prompt, max_new_tokens=8, chat=False) for prompt in PROMPTS]
        assert [answer["text"] for answer in frame["answers"]] == [one.text for one in written]
        assert [answer["tokens"] for answer in frame["answers"]] == [one.tokens for one in written]
        assert [answer["stopped"] for answer in frame["answers"]] == [one.stopped for one in written]


def test_kl_is_that_of_whole_logits_in_float64(made):
    from minillm.text.load import evaluation_tokens
    from minillm.text.tokens import in_order

    lm, scores, calibration, frames = made
    rows = in_order(evaluation_tokens("python-docs", lm), 32, 256)
    with torch.no_grad():
        dense = lm.model(rows).logits[:, :-1].double().log_softmax(-1)
        for frame in frames:
            small = cut_by_hand(lm, scores, calibration, frame)
            logs = small.model(rows).logits[:, :-1].double().log_softmax(-1)
            wanted = (dense.exp() * (dense - logs)).sum(-1).mean().item()
            assert frame["kl"] == pytest.approx(wanted, abs=2e-4)


def test_where_answers_depart_and_how_they_surprise_the_original(made):
    lm, scores, calibration, frames = made
    original = [generate(lm, prompt, max_new_tokens=8, chat=False) for prompt in PROMPTS]
    assert [answer["departs"] for answer in frames[0]["answers"]] == [None] * 3
    for frame in frames[1:]:
        small = cut_by_hand(lm, scores, calibration, frame)
        for answer, first, prompt in zip(frame["answers"], original, PROMPTS, strict=True):
            found = generate(small, prompt, max_new_tokens=8, chat=False)
            mine, theirs = (list(one.ids[one.prompt_tokens :]) + ["end"] for one in (found, first))
            differing = [i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b]
            assert answer["departs"] == (differing[0] if differing else None)
            ids = torch.tensor([found.ids])
            with torch.no_grad():
                logs = lm.model(ids).logits[0, :-1].double().log_softmax(-1)
            each = -logs.gather(1, ids[0, 1:, None])[found.prompt_tokens - 1 :, 0]
            assert answer["surprise"] == pytest.approx(each.mean().item(), abs=2e-4)
            runs = [tuple(found.ids[found.prompt_tokens :][i : i + 3]) for i in range(found.tokens - 2)]
            assert answer["repeats"] == pytest.approx(1 - len(set(runs)) / len(runs), abs=1e-4)


def test_the_model_is_left_bit_for_bit_as_it_was():
    lm = loaded()
    scores = scored(lm)
    before = {name: weight.clone() for name, weight in lm.model.state_dict().items()}
    filmstrip(lm, scores, tiny.tokens(24, 20), **ASKED)
    events = filmstrip_events(lm, scores, tiny.tokens(24, 20), **ASKED)
    for event in events:
        if event.stage == "filmstrip" and event.done == 2:
            events.close()
    after = lm.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert lm.plan is None and lm.model.training is False


def test_frames_that_are_known_are_not_made_again_and_moments_only_where_needed():
    lm = loaded()
    scores, known = scored(lm), [Place("", 0.0, ""), Place("wanda", 0.1, "least-squares"), Place("wanda", 0.1, "")]
    few = filmstrip(lm, scores, tiny.tokens(24, 20), known, **ASKED)
    assert [(frame["ratio"], frame["compensate"]) for frame in few] == [(0.3, ""), (0.3, "least-squares")]
    assert few == filmstrip(lm, scores, tiny.tokens(24, 20), **ASKED)[3:]
    stages = {event.stage for event in filmstrip_events(lm, scores, None, **ASKED, compensate=("",))}
    assert "moments" not in stages


def test_one_walk_gives_the_moments_of_all_plans():
    lm = loaded()
    scores = scored(lm, "wanda", "random")
    events = list(filmstrip_events(lm, scores, tiny.tokens(24, 20), **ASKED))
    assert [event.done for event in events if event.stage == "moments"] == [1, 2, 3, 4]
    done = [(event.done, event.total) for event in events if event.stage == "filmstrip" and event.payload]
    assert done == [(i, 9) for i in range(1, 10)]


def test_answers_side_by_side_are_those_one_by_one_whatever_their_length():
    for build in FAMILIES:
        lm = loaded(build)
        together = finish(answers_events(lm, PROMPTS, 12, chat=False))
        alone = [finish(answers_events(lm, [prompt], 12, chat=False))[0] for prompt in PROMPTS]
        assert together == alone
        assert [one.text for one in alone] == [generate(lm, p, max_new_tokens=12, chat=False).text for p in PROMPTS]


@pytest.mark.parametrize(
    ("given", "fault", "said"),
    [
        ({"criteria": ["wander"]}, UnknownName, "wanda"),
        ({"ratios": [0.1, 1.0]}, BadInput, "Ratios is 1.0"),
        ({"ratios": []}, BadInput, "Ratios has 0 entries"),
        ({"prompts": list("abcdef")}, BadInput, "more than 5 entries"),
        ({"compensate": ["bias"]}, UnknownName, "least-squares"),
        ({"layers": [1], "ratios": [0.9]}, UnreachableRatio, "largest"),
        ({"max_new_tokens": 0}, BadInput, "Max new tokens is 0"),
        ({"text": "self"}, BadInput, "written by the model"),
    ],
)
def test_bad_input_is_one_sentence(given, fault, said):
    lm = loaded()
    with pytest.raises(fault, match=said):
        filmstrip(lm, scored(lm), tiny.tokens(24, 20), **{**ASKED, **given})


def test_least_squares_need_calibration_text():
    lm = loaded()
    with pytest.raises(BadInput, match="calibration text"):
        filmstrip(lm, scored(lm), **ASKED)
