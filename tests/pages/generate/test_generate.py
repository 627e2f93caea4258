"""What variants wrote: exhibits from results and from events, their words, and their export."""

import csv
import io
import json
import os
import re

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from made_pages import laid_out
from made_scores import scores, shape
from made_texts import MEASURED, asked, was_read, with_a_variant, writes, wrote

from minillm.errors import BadInput, UnknownName
from minillm.plan.plan import make_plan
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import GenerateRequest
from minillm.store.records import Variant
from minillm.store.store import Store
from pages.generate import UNSHADED, _choices, _shading, begin, csv_of, json_of, markdown_of
from pages.generate.form import layout
from pages.views.generations import CUT_OFF, DONE, WAITING, WRITING, exhibits
from pages.views.generations_html import as_csv, as_html, as_json, as_markdown, facts_in_words, settings_in_words


@pytest.fixture
def run_id(store: Store) -> str:
    return with_a_variant(store)


def test_texts_come_from_events_while_they_are_written_and_from_results_afterwards(store: Store, run_id: str) -> None:
    job = asked(store, run_id, "Why?", "How?")
    writes(store, job, "original", "Because")
    writes(store, job, "original", "Because it is so")
    first, second = exhibits(store, run_id)
    assert [(c.variant, c.text, c.state) for c in first.columns] == [
        ("original", "Because it is so", WRITING),
        ("pruned-1", "", WAITING),
    ]
    assert [c.state for c in second.columns] == [WAITING, WAITING]
    wrote(store, run_id, job, "original", "Because it is so.")
    writes(store, job, "pruned-1", "Because not")
    first, _ = exhibits(store, run_id)
    assert [(c.text, c.state) for c in first.columns] == [("Because it is so.", DONE), ("Because not", WRITING)]
    assert first.columns[0].facts["prompt_perplexity"] == 33.25
    store.finish_job(job, "cancelled")
    assert [c.state for c in exhibits(store, run_id)[0].columns] == [DONE, CUT_OFF]
    assert len(exhibits(store, run_id)) == 1, "a prompt nobody began to answer is not kept"


def test_the_newest_job_comes_first_its_prompts_in_their_order(store: Store, run_id: str) -> None:
    for prompts in (("a", "b"), ("c", "d")):
        job = asked(store, run_id, *prompts)
        for number, prompt in enumerate(prompts):
            for variant in ("original", "pruned-1"):
                wrote(store, run_id, job, variant, f"on {prompt}", number, prompt)
        store.finish_job(job, "done")
    assert [one.prompt for one in exhibits(store, run_id)] == ["c", "d", "a", "b"]


def test_results_without_their_job_are_shown_too(store: Store, run_id: str) -> None:
    wrote(store, run_id, None, "original", "Yes.")
    wrote(store, run_id, None, "pruned-1", "No.")
    (one,) = exhibits(store, run_id)
    assert [(c.variant, c.text) for c in one.columns] == [("original", "Yes."), ("pruned-1", "No.")]
    assert one.settings["max_new_tokens"] == 64


def test_html_marks_what_differs_and_carries_no_tag_of_a_model(store: Store, run_id: str) -> None:
    wrote(store, run_id, None, "original", "the <b>cat</b> sat", prompt="<script>")
    wrote(store, run_id, None, "pruned-1", "the <i>dog</i> sat", prompt="<script>")
    html = as_html(exhibits(store, run_id))
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html
    assert html.count("<mark") == 1 and "differs from here" in html
    assert "the same for 1 word, then differs" in html
    assert html.index('class="column is-original"') < html.index('class="column is-pruned"')


@pytest.mark.parametrize(("given", "said"), [
    ({"temperature": 0.0}, "greedy, 64 new tokens at most, chat format, seed 3"),
    ({"temperature": 0.7, "chat": False}, "temperature 0.7, top-p 0.9, 64 new tokens at most, as it stands, seed 3"),
])  # fmt: skip
def test_settings_in_words(given: dict, said: str) -> None:
    settings = {"max_new_tokens": 64, "temperature": 0.0, "top_p": 0.9, "seed": 3, "chat": True}
    assert settings_in_words({**settings, **given}) == said


def test_every_token_is_shaded_by_its_surprise_and_the_text_and_its_marks_stay(store: Store, run_id: str) -> None:
    wrote(store, run_id, None, "original", "the cat sat")
    wrote(store, run_id, None, "pruned-1", "the <dog> sat é.")
    was_read(
        store, run_id, None, "pruned-1", ("the", -0.5), (" <d", -4.0), ("og> sat", -20.0), ("", -1.0), (" é", -1.0)
    )
    html = as_html(exhibits(store, run_id))
    column = html[html.index('data-variant="pruned-1"') :]
    shades = re.findall(r'class="token shade" tabindex="-1" data-said="([^"]*)" style="--s:([0-9.]+)"', column)
    assert [shade for _, shade in shades] == ["0.06", "0.50", "1.00", "0.25"]
    assert shades[1][0] == "“&lt;d”: 4.00 nats, p = 0.018 under the original"
    text = re.sub(r'<span class="unseen">.*?</span>', "", column[column.index('class="text"') : column.index("</div>")])
    assert (
        re.sub(r"<[^>]*>", "", text.partition(">")[2]).replace("&lt;", "<").replace("&gt;", ">") == "the <dog> sat é."
    )
    assert [*re.findall(r"<mark[^>]*>(.*?)</mark>", column)] == ["&lt;d", "og&gt;", "é", "."]
    assert column.count("differs from here") == 1
    assert "surprises the original by 5.30 nats a token" in column and html.startswith('<p class="legend">')
    plain = as_html(exhibits(store, run_id), shaded=False)
    assert "token" not in re.sub("tokens", "", plain.partition("facts")[0]) and "legend" not in plain


def test_without_the_original_all_are_held_against_the_first(store: Store, run_id: str) -> None:
    wrote(store, run_id, None, "pruned-1", "a b c")
    wrote(store, run_id, None, "elsewhere/pruned-1", "a x c")
    (one,) = exhibits(store, run_id)
    assert one.compared_with is one.columns[0]
    assert "the same for 1 word, then differs" in as_html([one])
    assert one.columns[1].label == "elsewhere/pruned-1 (deleted)"


def test_variants_of_other_runs_can_be_chosen_and_are_called_by_their_run(store: Store, run_id: str) -> None:
    other = store.create_run(RunRecipe(), "Another")
    far = store.create_run(RunRecipe(model="some/where"), "Far")
    store.add_variant(other, Variant("pruned-1", "pruned", "original"), make_plan(scores(shape()), 0.3))
    store.add_variant(other, Variant("recovered-1", "recovered", "pruned-1"))
    page = laid_out(layout)
    answer = _choices(store, page, run_id, ["original", "pruned-1", "gone"], [f"{other}/pruned-1"])
    variants, others = (answer[page.controls[name]] for name in ("variants", "others"))
    assert (variants.value, others.value) == (["original", "pruned-1"], [f"{other}/pruned-1"])
    assert dict(others.choices) == {"original of Far": f"{far}/original", "pruned-1 of Another": f"{other}/pruned-1"}
    number = store.add_job(run_id, GenerateRequest(("Why?",), ("original", f"{other}/pruned-1")))
    assert [column.label for column in exhibits(store, run_id)[0].columns] == ["original", "pruned-1 of Another"]
    store.finish_job(number, "done")
    given = {
        "prompts": ["Why?"],
        "own": "",
        "variants": ["original"],
        "max_new_tokens": 8,
        "temperature": 0,
        "top_p": 1,
    }
    given |= {"seed": 0, "chat": True, "blind": False}
    with pytest.raises(BadInput, match="weights of “recovered-1” are not kept here"):
        begin(store, run_id, others=[f"{other}/recovered-1"], **given)
    with pytest.raises(BadInput, match="There is no run “00000000”"):
        begin(store, run_id, others=["00000000/pruned-1"], **given)
    with pytest.raises(UnknownName, match="pruned-1"):
        begin(store, run_id, others=[f"{other}/pruned-9"], **given)
    asked = store.job(begin(store, run_id, others=[f"{other}/pruned-1"], **given)).request
    assert asked == GenerateRequest(("Why?",), ("original", f"{other}/pruned-1"), 8)


def test_what_was_measured_is_said_and_what_was_not_is_left_out(store: Store, run_id: str) -> None:
    wrote(store, run_id, None, "original", "Yes.")
    column = exhibits(store, run_id)[0].columns[0]
    assert facts_in_words(column) == "12 tokens, 11.0 tokens/s, perplexity of the prompt 33.2, ended by itself"
    column.facts.update(stopped="length", prompt_perplexity=None, tokens_per_second=0.0)
    assert facts_in_words(column) == "12 tokens, cut at the limit"


def test_exports_hold_every_text(store: Store, run_id: str) -> None:
    with pytest.raises(BadInput, match="press Generate first"):
        markdown_of(store, run_id)
    wrote(store, run_id, None, "original", "Line one.\n\nLine two.")
    wrote(store, run_id, None, "pruned-1", "")
    shown = exhibits(store, run_id)
    text = as_markdown(shown, "Mine")
    assert text.startswith("# Mine\n\n## Why?\n")
    assert "> Line one.\n>\n> Line two." in text and "> (nothing)" in text
    was_read(store, run_id, None, "original", ("Line", -1.0), (" one", -2.0))
    shown = exhibits(store, run_id)
    entry = json.loads(as_json(shown, run_id))[0]
    assert (entry["run"], entry["prompt"]) == (run_id, "Why?")
    assert entry["texts"][0] == {
        "variant": "original",
        "state": "done",
        "text": "Line one.\n\nLine two.",
        **{
            name: MEASURED[name]
            for name in ("tokens", "prompt_tokens", "stopped", "seconds", "tokens_per_second", "prompt_perplexity")
        },
        "pieces": ["Line", " one"],
        "log_probs": [-1.0, -2.0],
    }
    first, second = csv.DictReader(io.StringIO(as_csv(shown, run_id)))
    assert (first["variant"], first["text"]) == ("original", "Line one.\n\nLine two.")
    assert (first["surprise_nats_per_token"], second["surprise_nats_per_token"]) == ("1.5", "")
    assert (second["prompt"], second["tokens_per_second"]) == ("Why?", "11.0")
    assert csv_of(store, run_id) == as_csv(shown, run_id)
    assert json_of(store, run_id) == as_json(shown, run_id)
    assert "Two variants" in markdown_of(store, run_id)


def test_the_tick_for_shading_says_so_where_no_text_kept_its_probabilities(store: Store, run_id: str) -> None:
    job = asked(store, run_id, "Why?")
    wrote(store, run_id, job, "original", "Because.")
    unread = _shading(exhibits(store, run_id))
    assert (unread.interactive, unread.info) == (False, UNSHADED)
    was_read(store, run_id, job, "original", ("Because", -1.0), (".", -2.0))
    assert _shading(exhibits(store, run_id)).interactive and _shading([]).interactive


def test_asking_puts_the_request_in_line_or_says_what_is_missing(store: Store, run_id: str) -> None:
    given = {"prompts": ["Why?"], "own": "  How?\n", "variants": ["original", "pruned-1"], "max_new_tokens": 8.0}
    more = {"others": [], "temperature": 0, "top_p": 1, "seed": 1, "chat": False, "blind": False}
    for wrong, kind, said in (
        ({"prompts": [], "own": " "}, BadInput, "No instruction"),
        ({"variants": []}, BadInput, "No variant"),
        ({"variants": ["pruned-9"]}, UnknownName, "pruned-1"),
        ({"others": ["a/x", "b/x", "c/x"]}, BadInput, "5 variants are chosen; 4 can be read"),
        ({"variants": ["original"], "blind": True}, BadInput, "cannot be read blind"),
        ({"max_new_tokens": 0}, BadInput, "Max new tokens"),
        ({"temperature": None}, BadInput, "Temperature"),
        ({"seed": 1.5}, BadInput, "Seed"),
        ({"own": "x" * 20_001}, BadInput, "20,001 characters"),
    ):
        with pytest.raises(kind, match=said):
            begin(store, run_id, **{**given, **more, **wrong})
    request = store.job(begin(store, run_id, **given, **more)).request
    assert request == GenerateRequest(("Why?", "  How?\n"), ("original", "pruned-1"), 8, 0.0, 1.0, 1, False)
