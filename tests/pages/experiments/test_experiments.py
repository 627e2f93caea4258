"""The Experiments page's pure part: what is asked, where cells stand, numbers with their spread, pictures, files."""

import json
import os
from base64 import b64decode

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from dataclasses import replace
from pathlib import Path

import made_sweeps
import numpy as np
import pytest
from made_pages import laid_out

from minillm.errors import BadInput
from minillm.recipes.requests import SweepRequest
from minillm.store.store import Store
from minillm.sweeps import Sweep, read_sweep
from minillm.sweeps.cells import Cell, cells
from minillm.sweeps.standing import sweep_of
from minillm.sweeps.table import Measure, Number, Row, Table, table
from pages import experiments
from pages.experiments import sweep as sweep_part
from pages.plots import range_bars, ratio_lines, row_bars, speed_bars
from pages.plots.sweeps import Series
from pages.views.sample_run import ratios_at_once, sample_record
from pages.views.sweep_pictures import _measured, pictures


def test_a_text_becomes_a_job_and_the_same_text_goes_on(store: Store) -> None:
    number = experiments.begin(store, False, "", sweep_part.EXAMPLE, "", "")
    job = store.job(number)
    assert isinstance(job.request, SweepRequest) and sweep_of(store, job.run_id) == Sweep.from_json(job.request.sweep)
    with pytest.raises(BadInput, match="already has a sweep job under way"):
        experiments.begin(store, False, "", sweep_part.EXAMPLE, "", "")
    store.finish_job(number, "interrupted")
    assert store.job(experiments.begin(store, False, "", sweep_part.EXAMPLE, "", "")).run_id == job.run_id


def test_cells_go_to_ray_where_it_is_asked_for_and_to_no_address(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    number = experiments.begin(store, False, "", sweep_part.EXAMPLE, "", "", "ray")
    asked = store.job(number).request
    assert isinstance(asked, SweepRequest) and asked.on == "ray"
    with pytest.raises(BadInput, match="Unknown place"):
        experiments.begin(store, False, "", sweep_part.EXAMPLE, "", "", "ray://elsewhere:10001")
    for there in (True, False):
        monkeypatch.setattr(experiments, "ray_is_there", lambda there=there: there)
        assert laid_out(experiments.lay_out).on.visible == there


def test_a_shipped_sweep_shows_its_text_and_its_forms() -> None:
    page = laid_out(experiments.lay_out)
    text, forms = experiments.chosen(page, "f5").values()
    assert "layers: [1-30" in text and forms.value == "embedded"
    assert sweep_part.asked_for(text, "embedded", "") == read_sweep("f5", "embedded")
    assert sweep_part.forms_of_text(text) == ["embedded", "local", "paper"]
    assert sweep_part.forms_of_text(sweep_part.EXAMPLE) == sweep_part.forms_of_text("a: [") == []
    assert sweep_part.asked_for(sweep_part.text_of(""), "", "").seeds == (0, 1, 2)


def test_a_sweep_is_followed_cell_by_cell(store: Store) -> None:
    sweep = made_sweeps.asked()
    run_id = made_sweeps.made(store, sweep, failed="seed 1, random, 0.2")
    page = laid_out(experiments.lay_out)
    told = experiments.followed(store, page, run_id)[page.cells]
    assert "12 of 13 cells are done, 1 failed" in told and "It needs 9 GB" in told and told.count("<tr") == 14
    other = store.create_run(sweep.recipe("smollm2-135m", 0), "Ordinary")
    assert "No sweep is open" in experiments.followed(store, page, other)[page.cells]


def test_numbers_stand_with_their_spread_and_differences_with_a_judgement(store: Store) -> None:
    run_id = made_sweeps.made(store, made_sweeps.asked())
    page = laid_out(experiments.lay_out)
    found = experiments.looked(store, page, run_id, "")
    numbers = found[page.numbers]
    assert "30.05 ± 0.07" in numbers and "python-docs" in numbers and "flatters the number" in numbers
    assert found[page.results].visible and "0 of 9 differences exceed the spread" in found[page.differences]
    assert "fewer than 3 seeds" in found[page.differences]
    more = made_sweeps.made(store, made_sweeps.asked(seeds=[0, 1, 2]))
    told = experiments.looked(store, page, more, "")[page.differences]
    assert "9 of 9 differences exceed the spread" in told and "at least 3 seeds" in told
    assert "95 % over the text" in told and "+4 to +4" in told
    old = made_sweeps.made(store, made_sweeps.asked(seeds=[0, 1, 2], title="Old"), kept=False)
    assert "losses were not kept, measure again" in experiments.looked(store, page, old, "")[page.differences]
    drawn = [found[host] for host in page.hosts if found[host].get("visible")]
    assert len(drawn) == 1 and [t.name for t in drawn[0]["value"].data] == list(made_sweeps.GAP)
    assert experiments.looked(store, page, run_id, found[page.seen]) == {}


def test_a_run_that_is_no_sweep_shows_no_empty_tables(store: Store, run_id: str) -> None:
    page = laid_out(experiments.lay_out)
    found = experiments.looked(store, page, run_id, "")
    assert found[page.results].visible is False and found[page.sample].visible is True


def test_before_any_sweep_the_sample_run_shows_perplexity_against_the_ratio() -> None:
    drawn = {line["name"]: line for line in json.loads(ratios_at_once())["data"]}
    frames = [r["data"] for r in sample_record()["results"] if r["kind"] == "filmstrip"]
    for criterion in ("fms-bp", "fms-zo", "wanda", "random"):
        losses = {f["ratio"]: f["loss"] for f in frames if (f["criterion"], f["compensate"]) == (criterion, "")}
        x, y = (np.frombuffer(b64decode(drawn[criterion][axis]["bdata"]), np.float32) for axis in "xy")
        found = zip(np.round(x.astype(float) / 100, 4).tolist(), np.log(y).tolist(), strict=True)
        assert dict(found) == pytest.approx(losses, 1e-4)


def test_one_seed_tells_no_difference(store: Store) -> None:
    run_id = made_sweeps.made(store, made_sweeps.asked(seeds=[0]))
    said = sweep_part.differences(table(store, run_id, made_sweeps.asked(seeds=[0])))
    assert "0 of 9 differences" in said and "not known: fewer than 3 seeds" in said


@pytest.mark.parametrize("kind", experiments.KINDS)
def test_a_sweep_is_saved_in_every_form(store: Store, kind: str) -> None:
    run_id = made_sweeps.made(store, made_sweeps.asked())
    text = Path(experiments.save_sweep(store, run_id, kind)).read_text()
    assert "30.0" in text and "wanda" in text
    if kind == "html":
        assert (
            "default-src 'none'" in text and "application/json" in text and "src=" not in text.partition("<script")[0]
        )


def test_saving_what_is_no_sweep_is_refused(store: Store) -> None:
    run_id = store.create_run(made_sweeps.asked().recipe("smollm2-135m", 0))
    with pytest.raises(BadInput, match="is no sweep"):
        experiments.save_sweep(store, run_id, "md")


def test_ranges_of_blocks_are_drawn_as_in_figure_6(store: Store) -> None:
    sweep = made_sweeps.asked(layers=["3-28", "4-27"], criteria=["wanda", "random"])
    run_id = made_sweeps.made(store, sweep)
    lines, ranges = (one.figure for one in pictures(store, run_id, table(store, run_id, sweep)))
    assert len(lines.data) == 4 and len({trace.name for trace in lines.data}) == 4
    assert list(ranges.data[0].y) == pytest.approx([100 * 26 / 30, 80]) and ranges.data[1].marker.symbol == "star"


def test_more_lines_than_look_different_are_drawn_in_a_picture_for_each_recovery(store: Store) -> None:
    sweep = replace(read_sweep("t1", "embedded"), evaluations=(made_sweeps.READ,))
    measure = Measure("perplexity python-docs 128 4096", "perplexity", "lower")
    rows = [Row(cell, {measure.name: Number((30.0,))}, ("done",)) for cell in cells(sweep)]
    drawn = list(_measured(Table(sweep, rows, [measure])))
    assert [one.heading for one in drawn] == ["perplexity, untuned", "perplexity, tuned"]
    for one in drawn:
        lines = [trace for trace in one.figure.data if trace.mode == "lines+markers"]
        assert [trace.name for trace in lines] == list(sweep.criteria)
        seen = {(trace.line.color, trace.line.dash, trace.marker.symbol) for trace in lines}
        assert len(seen) == len(lines)
    assert len({one.figure.layout.meta["name"] for one in drawn}) == 2


def test_the_papers_values_are_drawn_where_the_model_is_the_papers() -> None:
    sweep = read_sweep("t1", "paper")
    measure = Measure("perplexity wikitext2 128", "perplexity", "lower")
    rows = [Row(cell, {measure.name: Number((30.0,))}, ("done",)) for cell in cells(sweep)[1:]]
    from pages.views.sweep_pictures import _by_ratio

    figure = _by_ratio(Table(sweep, rows, [measure]), measure, rows, None)
    theirs = {trace.name: trace for trace in figure.data if "printed" in trace.name}
    assert len(theirs) == 6 and list(theirs["fms-zo, printed in the paper"].y) == pytest.approx(
        [18.32, 24.28, 31.78, 44.69]
    )


def test_figures_say_what_they_show() -> None:
    nothing = ratio_lines([], "perplexity")
    assert "Nothing is measured yet" in nothing.layout.annotations[0].text
    one = ratio_lines([Series("wanda", [0.1, 0.2], [20.0, 30.0], [1.0, float("nan")])], "perplexity", dense=15.0)
    assert one.data[0].error_y.visible and "wanda, 30" in one.layout.meta["alt"] and one.layout.yaxis.type == "log"
    assert ratio_lines([Series("wanda", [0.1], [0.5], [0.1])], "acc", 0.6, falling=False).layout.yaxis.type is None
    assert row_bars(["a", "b"], [1.0, 2.0], [float("nan")] * 2, "x").data[0].error_x.visible is False
    assert len(range_bars({"4-27": 0.8}, {"wanda": {"4-27": 20.0}}, "perplexity").data) == 2
    for means, ticks in (
        ({"4-27": 20.0}, ["20"]),
        ({"1-28": 38_000.0, "4-27": 800.0}, ["1,000", "2,000", "5,000", "10k"]),
    ):
        shown = range_bars(dict.fromkeys(means, 0.8), {"wanda": means}, "perplexity").layout.yaxis2.ticktext
        assert [tick for tick in shown if tick in ticks] == ticks and len(shown) < 9
    speeds = {"20%": {"speed_up_prefill": 1.1, "predicted_prefill": 1.2, "speed_up_decode": 1.1}}
    assert [trace.name for trace in speed_bars(speeds).data][:2] == ["prefill, measured", "prefill, predicted"]
    assert Cell("m", 0, "dense").dense
