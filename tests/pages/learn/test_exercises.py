"""The exercises of the hand-out: every answer worked out once more from what is printed and from the raw scores, by
plain loops that use neither plans nor overlaps."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import math
import re
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest
from made_scores import scores, shape

from minillm.store.as_folder import BUNDLED, import_run
from minillm.store.store import Store
from pages.learn import exercises, handout
from pages.learn.exercises import EXERCISES, Exercise, Known

SEEDS = range(12)
PARAMETERS, BLOCKS, HEADS, CHANNELS = 134_515_008, 30, 3, 1536
HEAD, CHANNEL = 576 * 64 * 8, 3 * 576
"""Of SmolLM2-135M, by hand: q and o of three heads, k and v of one; gate, up, down."""


@pytest.fixture(scope="module")
def known() -> Known:
    return handout.known_of(None, "")


def made(known: Known, make: Callable) -> list[Exercise]:
    """One exercise from many seeds."""
    found = [make(known, np.random.default_rng(seed)) for seed in SEEDS]
    assert all(found)
    return found


def numbers(text: str) -> list[float]:
    return [float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?", text)]


class Cells(HTMLParser):
    """The cells of a table's body, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = self.body = False

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.body = self.body or tag == "tbody"
        if self.body and tag == "tr":
            self.rows.append([])
        self.inside = self.body and tag in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside and data.strip():
            self.rows[-1].append(data.strip())

    def handle_endtag(self, tag: str) -> None:
        self.inside = False


def cells(exercise: Exercise) -> list[list[str]]:
    reader = Cells()
    reader.feed(exercise.given)
    return reader.rows


def lowest(known: Known, label: str, layer: int, count: int) -> set[int]:
    """The channels that go first, by sorting."""
    vector = known.scores[label].channels[layer].tolist()
    return set(sorted(range(len(vector)), key=lambda i: (vector[i], i))[:count])


def test_a_block_is_counted(known):
    for one in made(known, exercises.counting):
        inside, worth, share = (numbers(answer)[0] for answer in one.answers)
        assert inside == HEADS * HEAD + CHANNELS * CHANNEL
        assert worth == pytest.approx(HEAD / CHANNEL, abs=0.05)
        assert share == pytest.approx(100 * CHANNEL / PARAMETERS, abs=5e-6)


def test_who_goes_follows_from_the_printed_numbers(known):
    for one in made(known, exercises.who_goes):
        rows = [[float(cell) for cell in row] for row in cells(one)]
        assert len(rows) == 8
        halves = []
        for column in (1, 2):
            in_order = sorted(rows, key=lambda row, at=column: row[at])
            halves.append(sorted(int(row[0]) for row in in_order[:4]))
            assert numbers(one.answers[column - 1]) == halves[-1]
        common = len(set(halves[0]) & set(halves[1]))
        assert numbers(one.answers[2])[:3] == [common, 4, 25 * common]


def test_one_channels_places_are_its_scores_places(known):
    for one in made(known, exercises.one_channel):
        _, layer, cut, total, channel, _ = numbers(one.text)
        assert total == CHANNELS
        places = {}
        for label, place in cells(one):
            vector = known.scores[label].channels[int(layer)].tolist()
            places[label] = sum(other < vector[int(channel)] for other in vector) + 1
            assert numbers(place) == [places[label]], label
        going, every = one.answers
        assert set(going.split(", ")) == {label for label, place in places.items() if place <= cut}
        assert numbers(every) == [max(places.values())]


def test_a_budget_adds_up(known):
    for one in made(known, exercises.budget):
        *_, parameters, ratio, giving, head, channel, heads, of_heads = numbers(one.text)
        assert (parameters, head, channel, of_heads) == (PARAMETERS, HEAD, CHANNEL, HEADS)
        total, each, channels = (numbers(answer)[0] for answer in one.answers)
        assert total == round(ratio * PARAMETERS)
        assert each == pytest.approx(ratio * PARAMETERS / giving, abs=0.5)
        assert channels == pytest.approx((each - heads * HEAD) / CHANNEL, abs=1)


def test_chance_is_what_blind_choices_share(known):
    for one in made(known, exercises.by_chance):
        a, b = re.search(r"at a ratio of [\d.]+ (\S+) and (\S+) each", one.text, re.I).groups()
        size, total, layer, common = numbers(one.text.partition(" each ")[2])
        ours, theirs = (lowest(known, label, int(layer), int(size)) for label in (a, b))
        assert common == len(ours & theirs)
        share, blind, between = (numbers(answer)[0] for answer in one.answers)
        assert share == pytest.approx(100 * common / size, abs=0.05)
        assert blind == pytest.approx(size * size / total, abs=0.5)
        assert between == pytest.approx(abs(common - size * size / total) / (size - size * size / total), abs=0.005)


def test_perplexities_are_those_that_were_measured(known):
    losses = {variant: math.log(value) for variant, value in measured().items()}
    assert len(losses) >= 2
    for one in made(known, exercises.perplexity):
        (a, low), (b, high) = cells(one)
        assert float(low) == pytest.approx(losses[a], abs=5e-4) and float(high) == pytest.approx(losses[b], abs=5e-4)
        assert numbers(one.answers[0]) == pytest.approx([math.exp(losses[a]), math.exp(losses[b])], abs=0.05)
        assert numbers(one.answers[1]) == pytest.approx([math.exp(losses[b] - losses[a])], abs=0.005)


def measured() -> dict[str, float]:
    import json

    results = json.loads((BUNDLED / "run.json").read_text(encoding="utf-8"))["results"]
    told = [one["data"] for one in results if one["kind"] == "perplexity"]
    same = [one for one in told if (one["text"], one["length"]) == (told[0]["text"], told[0]["length"])]
    return {one["variant"]: one["value"] for one in same}


def test_memory_counts_the_weights(known):
    for one in made(known, exercises.memory):
        peaks = [float(cell.replace(",", "")) for _, cell in cells(one)]
        weights, times = (numbers(answer)[0] for answer in one.answers)
        assert weights == pytest.approx(2 * PARAMETERS / 1e6, abs=0.05)
        assert times == pytest.approx((weights + peaks[1]) / (weights + peaks[0]), abs=0.006)
        assert times >= 1


def test_every_exercise_has_an_answer_to_each_part_and_seeds_make_other_sheets(known):
    sheets = [exercises.sheet(known, seed) for seed in SEEDS]
    for sheet in sheets:
        assert len(sheet) == len(EXERCISES)
        assert all(len(one.asked) == len(one.answers) >= 2 and one.minutes > 0 and one.why for one in sheet)
    assert len({repr(sheet) for sheet in sheets}) == len(SEEDS)
    assert repr(exercises.sheet(known, 3)) == repr(sheets[3]), "a number always gives the same sheet"


def test_a_run_that_lacks_something_is_asked_about_the_rest():
    model = scores(shape())
    one = Known({"wanda": model}, {}, "a-model")
    assert [made.title for made in exercises.sheet(one, 0)] == ["What a block is made of", "From a ratio to a plan"]
    assert exercises.sheet(Known({}, {}, "a-model"), 0) == []
    assert "no scores to ask about" in handout.shown(Known({}, {}, "a-model"), 0)


def test_the_file_holds_all_parts_and_asks_nothing_of_anyone(known, store: Store):
    text = handout.document(known, 5)
    sheet = exercises.sheet(known, 5)
    body, _, answers = text.partition('<article class="answers">')
    for one in sheet:
        assert one.title in body and one.title in answers
    assert "Answers" not in body.partition("<main>")[2], "no answer stands on the sheet for the class"
    assert f"About {sum(one.minutes for one in sheet)} minutes in all" in answers
    assert not re.search(r"https?:|url\(|@import|<script", text)
    run_id = import_run(store, BUNDLED)
    assert handout.shown(handout.known_of(store, run_id), 5) == handout.shown(known, 5)
