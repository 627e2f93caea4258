"""The guided lesson: its answers worked out a second time from the raw scores, and anew where the scores are others."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import json
import re

import numpy as np
import pytest
from made_pages import laid_out
from made_scores import scores, shape

from minillm.plan.filmstrip import is_babble
from minillm.plan.plan import make_plan
from minillm.plan.scores import Scores
from minillm.store.as_folder import BUNDLED
from minillm.store.store import Store
from pages import NAMES, modules, titles
from pages.learn import facts, lesson, questions
from pages.learn.questions import QUESTIONS
from pages.views import sample_run

TITLES = {path: title for _, there in titles(modules()) for title, path in there}


def raw(name: str) -> Scores:
    return Scores.load(BUNDLED / "scores" / name)


def cut(name: str, ratio: float) -> dict[int, set[int]]:
    """The channels a criterion cuts, found by sorting: {layer: indices}."""
    plan = make_plan(raw(name), ratio)
    return {
        layer: set(np.argsort(vector, kind="stable")[: len(vector) - len(plan.kept_channels[layer])].tolist())
        for layer, vector in raw(name).channels.items()
    }


def shared(a: str, b: str, ratio: float = 0.2) -> float:
    mine, theirs = cut(a, ratio), cut(b, ratio)
    return float(np.mean([len(mine[i] & theirs[i]) / len(mine[i]) for i in mine if mine[i]]))


def test_there_are_thirteen_questions_each_with_one_right_answer_and_a_page():
    assert len(QUESTIONS) == 13
    asked = [make() for make in QUESTIONS]
    for question in asked:
        assert question.choices.count(question.answer) == 1
        assert len(set(question.choices)) == len(question.choices) >= 2
        assert question.place in NAMES
        assert question.asked.endswith("?") and question.because.endswith(".")
    places = [question.choices.index(question.answer) for question in asked]
    assert len(set(places)) > 1, "the right answer always stands at the same place"


def test_what_is_guessed_before_it_is_moved_follows_from_the_plan_and_the_strip():
    plan, heads = make_plan(raw("wanda"), 0.2), questions.heads_at_a_ratio()
    all_heads = sum(block.heads for block in plan.groups.blocks)
    gone = all_heads - sum(len(plan.kept_heads[layer]) for layer in range(len(plan.groups)))
    assert heads.answer == str(gone) and heads.touch == "xray" and f"{all_heads} head groups in all" in heads.text
    asked = questions.where_it_forgets()
    frames = [r["data"] for r in sample_run.sample_record()["results"] if r["kind"] == "filmstrip"]
    mine = sorted(
        (f for f in frames if f["criterion"] in ("", "fms-bp") and not f["compensate"]), key=lambda f: f["ratio"]
    )
    place = next(i for i, prompt in enumerate(mine[0]["asked"]["prompts"]) if f"“{prompt}”" in asked.text)
    babbles = [is_babble(f["answers"][place]) for f in mine]
    end = int(re.match(r"from (\d+) % on", asked.answer)[1]) / 100
    assert all(babbles[i] for i, f in enumerate(mine) if f["ratio"] >= end)
    assert not babbles[[f["ratio"] for f in mine].index(end) - 1]
    assert asked.touch == "strip"


def test_the_answers_follow_from_the_bundled_scores():
    medians = [float(np.median(raw("wanda").channels[i])) for i in range(30)]
    assert questions.lowest_block().answer == f"block {int(np.argmin(medians))}"
    others = ("magnitude-l2", "wanda", "fms-bp", "fms-zo")
    closest = max(others, key=lambda name: shared("llm-pruner", name))
    found = questions.closest_to_the_reference()
    assert found.answer == closest and f"{closest} {100 * shared('llm-pruner', closest):.0f} %" in found.because
    near = max(("wanda", "llm-pruner", "fms-bp", "zo"), key=lambda name: shared("fms-zo", name))
    assert questions.nearest_of_the_noisy().answer == near
    assert f"{100 * shared('llm-pruner', 'random'):.0f} %" in questions.chance().answer


def test_the_channel_asked_about_has_the_ranks_that_are_told():
    found = questions.one_channel()
    channel, layer, place = (int(n.replace(",", "")) for n in re.findall(r"[\d,]+\d|\d", found.text)[:3])
    orders = {name: np.argsort(raw(name).channels[layer], kind="stable") for name in ("wanda", "magnitude-l2")}
    ranks = {name: 1 + order.tolist().index(channel) for name, order in orders.items()}
    assert ranks["wanda"] == place and f"rank {ranks['magnitude-l2']:,} of" in found.because
    assert questions.THIRDS.index(found.answer) == (ranks["magnitude-l2"] - 1) * 3 // 1536


def test_the_first_head_goes_where_the_plan_says():
    found = questions.first_head()
    first = float(found.answer)
    heads = [make_plan(raw("wanda"), ratio).table()["heads_cut"].sum() for ratio in (first - 0.01, first)]
    assert heads[0] == 0 < heads[1]


def test_memory_and_perplexity_come_from_the_record():
    weights = 2 * raw("fms-bp").groups.parameters
    factor = (weights + raw("fms-bp").peak_bytes) / (weights + raw("fms-zo").peak_bytes)
    assert questions.memory().answer == f"{factor:.2f} times"
    record = json.loads((BUNDLED / "run.json").read_text())
    values = {r["data"]["variant"]: r["data"]["value"] for r in record["results"] if r["kind"] == "perplexity"}
    best = min((name for name in values if name.startswith("pruned")), key=values.__getitem__)
    assert questions.best_variant().answer.startswith(f"{best}: ")


def test_other_scores_give_other_answers(monkeypatch: pytest.MonkeyPatch):
    made = {name: scores(shape(blocks=8), name, seed) for seed, name in enumerate(("wanda", "llm-pruner", "zo"), 3)}
    falling = {i: vector / 10**i for i, vector in made["wanda"].channels.items()}
    known = {
        "wanda": Scores(made["wanda"].heads, falling, made["wanda"].groups, {"criterion": "wanda"}),
        **dict.fromkeys(("llm-pruner", "magnitude-l2", "fms-zo", "random"), made["llm-pruner"]),
        "fms-bp": made["zo"],
    }
    for module in (facts, questions):
        monkeypatch.setattr(module, "sample_scores", lambda: known)
    assert questions.lowest_block().answer == "block 7"
    assert questions.groups_of_a_block().answer == "4 head groups and 96 channels"
    assert "magnitude-l2 100 %" in questions.closest_to_the_reference().because
    assert questions.chance().answer == "about 100 %"
    assert questions.higher_ratio().answer == questions.CHANGES[1]


def test_a_wrong_choice_is_said_and_the_right_one_explained():
    question = lesson.question(3)
    wrong = next(choice for choice in question.choices if choice != question.answer)
    page = laid_out(lesson.section, Store(), TITLES)
    again, told = lesson.judged(page, 3, wrong), lesson.judged(page, 3, question.answer)
    assert lesson.AGAIN in again[page.verdict] and {*again} == {page.verdict}
    assert question.answer.capitalize() in told[page.verdict]
    assert question.because.split(".")[0] in lesson.answered(page, 3)[page.verdict]
    assert lesson.judged(page, 3, None) == {page.verdict: ""}


@pytest.mark.parametrize("wrong", [True, False])
def test_what_can_be_moved_comes_with_a_guess_and_goes_with_the_step(wrong):
    page = laid_out(lesson.section, Store(), TITLES)
    for step, part in ((10, page.xray), (11, page.strip)):
        asked = lesson.question(step)
        chosen = next(choice for choice in asked.choices if (choice != asked.answer) == wrong)
        shown, told = lesson.show(page, step), lesson.judged(page, step, chosen)
        assert not shown[part].visible and shown[page.host].visible
        assert told[part].visible and told[part].value and not told[page.host].visible
        assert lesson.judged(page, step, None) == {page.verdict: ""}


def test_a_step_that_is_none_is_the_nearest_and_the_ends_have_no_way_on():
    assert [lesson.settled(step) for step in (None, "x", "nan", "-3", 4, "99", "1e999")] == [0, 0, 0, 0, 4, 12, 0]
    page = laid_out(lesson.section, Store(), TITLES)
    answer = lesson.show(page, "99")
    step, told, path, opens, choices, verdict, back, onward, *_ = (answer[one] for one in page.shown)
    assert step == 12 and "Step 13 of 13" in told and "Generate page" in opens and path == "generate?lesson=13"
    assert choices.value is None and verdict == "" and back.interactive and not onward.interactive


def test_the_sample_run_is_drawn_and_read_with_no_run_open(own_home):
    figure, said = sample_run.overlap_at_once()
    drawn = {trace["name"] for trace in json.loads(figure)["data"]}
    assert drawn == {*sample_run.SHOWN, "chance"} and "by chance" in said
    assert not own_home.exists(), "nothing is stored for it"
    store = Store()
    run_id = sample_run.open_sample(store)
    assert run_id == sample_run.sample_record()["id"] and store.run(run_id).title == sample_run.sample_record()["title"]


def test_the_picture_beside_a_question_holds_what_answers_it():
    bands = questions.lowest_block().picture.figure
    (line,) = (trace for trace in bands.data if trace.type == "scatter")
    assert f"block {int(np.argmin(line.y[::3]))}" == questions.lowest_block().answer, "two ends and a gap a block"
    for make, reference in (
        (questions.closest_to_the_reference, "llm-pruner"),
        (questions.nearest_of_the_noisy, "fms-zo"),
    ):
        asked = make()
        drawn = {trace.name: trace.y for trace in asked.picture.figure.data}
        for name in asked.choices:
            mean = np.nanmean(np.asarray(drawn[name], float))
            assert mean == pytest.approx(100 * shared(reference, name), abs=0.01), (reference, name)
    bars = {trace.name: np.asarray(trace.y, float) for trace in questions.first_head().picture.figure.data}
    assert not bars["head groups"].any(), "shown just before the first head goes"
    peaks = questions.memory().picture.figure
    assert {"fms-bp", "fms-zo"} <= {str(name) for trace in peaks.data for name in (trace.y or ())}


def test_half_of_a_block_goes_where_the_budget_says():
    """By hand: 24 of the 30 blocks give, all alike, and a block's groups weigh 3 · 294,912 + 1,536 · 1,728."""
    inside, total = 3 * 294_912 + 1536 * 1728, 134_515_008
    norms = 2 * 576
    half = next(percent for percent in range(1, 51) if percent / 100 * total / 24 >= (inside + norms) / 2)
    asked = questions.half_of_a_block()
    assert asked.answer == f"{half / 100:.2f}" and "24 blocks" in asked.because
