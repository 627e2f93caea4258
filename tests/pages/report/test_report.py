"""The report: one file with all pictures, which asks for nothing and is safe to open whatever people typed."""

import json
import re
from collections import Counter

import made_scores
import pytest
from made_runs import full_run

from minillm.errors import BadInput
from minillm.recipes.recipe import RunRecipe
from minillm.store.as_folder import BUNDLED, import_run
from minillm.store.store import Store
from pages.report.report import report

MOST = 8_000_000


def figures(html: str) -> dict[str, dict]:
    found = re.findall(r'<script type="application/json" id="(figure-\d+)">(.*?)</script>', html, re.S)
    return {name: json.loads(text) for name, text in found}


def headings(html: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", html)


def test_the_report_of_the_sample_run_is_whole_and_small(store: Store):
    html = report(store, import_run(store, BUNDLED))
    assert len(html.encode()) < MOST
    drawn = figures(html)
    assert list(drawn) == re.findall(r'data-figure="(.*?)"', html)
    names = [one["layout"]["meta"]["name"] for one in drawn.values()]
    kinds = Counter(name.partition("-")[0] for name in names)
    drawn_of = {"score": 30, "overlap": 4, "fidelity": 4, "peak": 1, "memory": 15, "sensitivity": 1, "search": 1}
    assert kinds == {**drawn_of, "plan": 3, "kept": 2, "recovery": 1}
    assert headings(html) == [
        "Numbers",
        "Scores by block",
        "Where criteria agree",
        "What the gradient adds",
        "Memory",
        "How much each block gives up",
        "What was cut",
        "Recovery",
        "What the models write",
        "The slider that makes it forget",
        "The same run again",
        "Versions when this report was made",
    ]
    assert html.count("plotly.js v") == 1, "plotly is in it once"


def test_the_report_forbids_itself_any_request(store: Store):
    html = report(store, full_run(store, "Quiet"))
    own = re.sub(r"<script>.*?</script>", "", html, flags=re.S)
    assert "default-src 'none'" in own and "connect-src" not in own
    assert not re.findall(r"""(?:src|href)=["'](?!data:|\?)[^"']*//""", own)
    assert "<script src" not in html and '<link rel="stylesheet"' not in html


def test_what_people_typed_stays_text(store: Store):
    evil = "</script><script>alert(1)</script>"
    run_id = store.create_run(RunRecipe(model=evil, text=f"file:{evil}.txt"), evil)
    store.describe_run(run_id, note=evil)
    store.describe_run(run_id, tags=[evil[:30]])
    store.save_scores(run_id, made_scores.scores(made_scores.shape(), "wanda"), f"wanda {evil}")
    store.add_result(run_id, "generation", {**TEXT, "text": evil, "prompt": evil})
    html = report(store, run_id)
    assert "alert(1)" in html and "<script>alert" not in html and "</script><script>alert" not in html


TEXT = {
    "variant": "original",
    "number": 0,
    "tokens": 3,
    "settings": {"max_new_tokens": 8, "temperature": 0.0, "top_p": 1.0, "seed": 0, "chat": False},
}


def test_an_empty_run_gives_a_report_that_says_what_to_do(store: Store):
    html = report(store, store.create_run(RunRecipe(), "Empty"))
    assert "This run is empty" in html and "score it on the Score page" in html
    assert figures(html) == {} and len(html) < 50_000 and "plotly.js v" not in html
    assert headings(html) == ["Versions when this report was made"]


def test_a_run_with_one_criterion_has_its_pictures_and_no_overlap(store: Store):
    run_id = store.create_run(RunRecipe(), "One")
    store.save_scores(run_id, made_scores.scores(made_scores.shape(), "wanda"))
    html = report(store, run_id)
    assert "Scores by block" in headings(html) and "Where criteria agree" not in headings(html)
    assert len(figures(html)) == 3


def test_the_ratio_of_overlaps_is_that_of_the_first_cut_and_one_too_large_is_said(store: Store):
    run_id = full_run(store, "Cut", ratio=0.1)
    assert "At a ratio of 0.1; the reference is wanda" in report(store, run_id)
    with store.writing() as db:
        db.execute("UPDATE variants SET request = json_set(request, '$.ratio', 0.98)")
    assert "largest" in report(store, run_id) or "at most" in report(store, run_id)


def test_a_run_that_is_none_has_no_report(store: Store):
    with pytest.raises(BadInput, match="There is no run"):
        report(store, "00000000")
