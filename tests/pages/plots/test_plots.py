"""Figures against numbers worked out apart from them; and what all of them promise: small, themeless, in words."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from made_scores import llama_7b, scores, several, shape, smollm2

from minillm.criteria import CRITERIA
from minillm.plan.overlap import matrix, overlap
from minillm.plan.plan import make_plan, plan_from_groups
from minillm.plan.scores import Scores
from pages import plots
from pages.plots import style

KINDS = ("heads", "channels")
LIVE = {
    0: {"heads": [1.0, 2.0], "channel_quantiles": [1, 2, 3, 4, 5]},
    3: {"heads": [3.0, 0.5], "channels": list(range(101))},
}
TIMELINE = [
    {"phase": "forward", "start": 0.0, "seconds": 2.0, "peak_bytes": 200_000_000},
    {"phase": "backward", "start": 2.0, "seconds": 3.0, "peak_bytes": 350_000_000},
    {"phase": "forward", "start": 5.0, "seconds": 1.0, "peak_bytes": 150_000_000},
]
POINTS = [
    {"step": 0, "perplexity": 130.0},
    *({"step": i, "loss": 4 / i} for i in range(1, 40)),
    {"step": 20, "perplexity": 71.5},
    {"step": 39, "perplexity": 75.0},
]


def every_figure(groups: Any) -> dict[str, go.Figure]:
    """One of each kind, at the size of a model."""
    known = several(groups)
    plans = {name: make_plan(s, 0.3) for name, s in known.items()}
    tables = {name: overlap(plans["llm-pruner"], plan) for name, plan in plans.items() if name != "llm-pruner"}
    one, plan = known["wanda"], plans["wanda"]
    found = {
        "live": plots.score_bands(LIVE, "channels", "zo", 8),
        "sorted": plots.sorted_map(one, plan),
        "kept": plots.kept_map(plan),
        "heads": plots.heads_grid(one, plan),
        "plan": plots.plan_bars(plan),
        "timeline": plots.memory_timeline(TIMELINE, [(0.5, 1e8), (1.5, 1.5e8)], 4e8, "zo"),
        "peaks": plots.peak_bars(dict.fromkeys(known, 2e9), 13.5e9, plots.PAPER_GPU_BYTES),
        "recovery": plots.recovery_curve(POINTS, original=61.2),
    }
    for kind in KINDS:
        found |= {
            f"bands {kind}": plots.score_bands(one, kind),
            f"block {kind}": plots.drill_down(known, 7, kind, plan),
            f"lines {kind}": plots.overlap_lines(tables, kind, "llm-pruner"),
            f"pairs {kind}": plots.overlap_matrix(matrix(plans, kind), kind, 0.3),
            f"ranks {kind}": plots.rank_density(one, known["zo"], kind, None, plan, plans["zo"]),
        }
    return found


@pytest.mark.parametrize("groups", [llama_7b(), smollm2()], ids=["llama-7b", "smollm2"])
def test_every_figure_is_small_themeless_and_told_in_words(groups):
    made, names, page = every_figure(groups), set(), 0
    for label, fig in made.items():
        sent = plots.as_json(fig)
        page += len(sent)
        assert len(sent) <= 250_000, label
        assert max(_lists_of_numbers(json.loads(sent)["data"]), default=0) <= 64, f"{label}: numbers as text"
        layout = fig.layout
        assert layout.font.color is None and layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)", label
        assert len(layout.meta["alt"]) > 15, label
        axes = [axis for axis in layout if axis[1:5] == "axis"]
        titles = [layout[axis].title.text for axis in axes]
        assert any(titles) and all(title is not None for title in titles), label
        names.add(layout.meta["name"])
    # More than any page shows at once, and well under what one page may weigh.
    assert page <= 600_000
    assert len(names) == len(made), "a file name stands for two figures"


def _lists_of_numbers(part: Any) -> list[int]:
    if isinstance(part, dict):
        return [n for value in part.values() for n in _lists_of_numbers(value)]
    if isinstance(part, list):
        own = len(part) if part and all(isinstance(v, int | float) for v in part) else 0
        return [own, *(n for value in part for n in _lists_of_numbers(value))]
    return []


def test_figures_load_no_tensor_library():
    probe = (
        "import sys, pages.plots, pages.shell.plotly_host; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_every_figure_has_a_caption():
    public = {name: getattr(plots, name) for name in plots.__all__}
    figures = {name for name, made in public.items() if inspect.isfunction(made) and _returns(made) is go.Figure}
    assert len(figures) > 10 and figures <= set(plots.CAPTIONS)


def _returns(function: Any) -> Any:
    return inspect.signature(function, eval_str=True).return_annotation


def test_every_criterion_has_a_look_and_a_colour_of_its_own():
    assert set(CRITERIA) <= set(plots.LOOKS)
    assert len({look.colour for look in plots.LOOKS.values()}) == len(plots.LOOKS)


SHAPES = {"circle": "round", "hexagon": "round", "pentagon": "pentagon", "octagon": "round"}
"""Markers that look alike at a few pixels."""

VISIONS = {
    "all colours": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
"""What becomes of linear RGB without one kind of cone (Machado et al. 2009, severity 1)."""


def lab(colour: str, vision: Any) -> np.ndarray:
    """CIE L*a*b* of a colour as seen."""
    given = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.clip(vision @ np.where(given <= 0.04045, given / 12.92, ((given + 0.055) / 1.055) ** 2.4), 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = to_xyz @ linear / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_no_two_criteria_look_alike_without_colour():
    for a, b in combinations(plots.LOOKS, 2):
        one, other = plots.LOOKS[a], plots.LOOKS[b]
        shapes = [SHAPES.get(look.marker, look.marker) for look in (one, other)]
        assert one.dash != other.dash or shapes[0] != shapes[1], f"{a} and {b} are told apart by colour alone"


@pytest.mark.parametrize("vision", VISIONS)
def test_the_colours_of_criteria_differ_to_every_eye(vision: str):
    colours = {look.colour for look in plots.LOOKS.values()}
    seen = {colour: lab(colour, np.array(VISIONS[vision])) for colour in colours}
    # A distance of about 2.3 is just noticed; lines are thin, so four times that is asked for.
    assert min(np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(colours, 2)) > 9


def test_settings_of_one_criterion_share_its_colour_and_nothing_else():
    labels = ["fms-zo", "fms-zo (noise rademacher)", "fms-zo (directions 4)", "wanda", "my own", "another"]
    chosen = plots.looks(labels)
    assert list(chosen) == labels
    assert len(set(chosen.values())) == len(labels)
    assert chosen["wanda"] == plots.LOOKS["wanda"]
    assert {chosen[label].colour for label in labels[:3]} == {plots.LOOKS["fms-zo"].colour}


def test_words_for_amounts_and_blocks():
    assert [plots.in_bytes(b) for b in (0, 999, 21_600, 212e6, 1.4e9, 13.48e9)] == [
        "0 B",
        "999 B",
        "21.6 kB",
        "212 MB",
        "1.40 GB",
        "13.5 GB",
    ]
    assert plots.blocks_in_words([5, 1, 2, 3, 8, 9]) == "1–3, 5 and 8–9"
    assert plots.blocks_in_words([4]) == "4"
    assert plots.blocks_in_words([]) == "none"


# Scores


def test_bands_are_the_quantiles_of_each_block():
    made = scores(shape())
    outer, inner, median = plots.score_bands(made, "channels").data
    for i, vector in made.channels.items():
        expected = np.percentile(vector, [5, 25, 50, 75, 95])
        assert outer.customdata[i] == pytest.approx(expected, rel=1e-5)
        assert (outer.base[i], outer.base[i] + outer.y[i]) == pytest.approx((expected[0], expected[4]), rel=1e-5)
        assert (inner.base[i], inner.base[i] + inner.y[i]) == pytest.approx((expected[1], expected[3]), rel=1e-5)
        assert median.y[3 * i : 3 * i + 2] == pytest.approx([expected[2]] * 2, rel=1e-5)


def test_the_middle_half_is_the_stronger_band_whatever_it_is_drawn_on():
    outer, inner, _ = plots.score_bands(scores(shape()), "channels").data
    faint, strong = (float(one.marker.color.rpartition(",")[2].strip(" )")) for one in (outer, inner))
    assert faint < strong and outer.marker.color.startswith("rgba")
    assert not re.search(r"\b(dark|light)", plots.CAPTIONS["score_bands"], re.IGNORECASE)


def test_blocks_not_scored_yet_leave_room():
    fig = plots.score_bands(LIVE, "channels", "zo", blocks=8)
    assert fig.data[0].x.tolist() == [0, 3]
    assert fig.data[0].customdata.tolist() == [[1, 2, 3, 4, 5], [5, 25, 50, 75, 95]]
    assert fig.layout.xaxis.range == (-0.6, 7.6)
    dots = plots.score_bands(LIVE, "heads", "zo", blocks=8).data[0]
    assert list(zip(dots.x.tolist(), dots.y.tolist(), dots.customdata.tolist(), strict=True)) == [
        (0, 1.0, 0),
        (0, 2.0, 1),
        (3, 3.0, 0),
        (3, 0.5, 1),
    ]
    assert "No block" in plots.score_bands({}, "heads", "zo", blocks=8).layout.annotations[0].text


def test_the_axis_suits_the_scores():
    def drawn(values: list[float]) -> tuple[list[float], Any]:
        given, settings = style.score_axis(np.array(values))
        return given.tolist(), settings.get("type")

    assert drawn([1.0, 100.0]) == ([1.0, 100.0], "log")
    assert drawn([0.0, 0.5, 2.0]) == ([0.5, 0.5, 2.0], "log")
    assert drawn([-1.0, 0.0, 2.0]) == ([-1.0, 0.0, 2.0], None)
    assert drawn([0.0, 0.0]) == ([0.0, 0.0], None)
    gaps, kind = drawn([np.inf, 3.0, np.nan])
    assert kind == "log" and np.isnan([gaps[0], gaps[2]]).all() and gaps[1] == 3.0


def test_scores_that_are_not_finite_are_gaps_in_every_figure():
    good = scores(shape())
    bad = replace(good, channels={**good.channels, 2: np.full(96, np.nan, np.float32)})
    assert np.isnan(plots.score_bands(bad, "channels").data[0].customdata[2]).all()
    z = plots.sorted_map(bad).data[0].z
    assert np.isnan(z[2]).all() and np.isfinite(np.delete(z, 2, 0)).all()
    assert "No criterion" in plots.drill_down({"wanda": bad}, 2, "channels").layout.annotations[0].text


def test_sorted_rows_rise_and_the_cut_lies_where_the_plan_cuts():
    made = scores(shape(channels=300))
    plan = make_plan(made, 0.3, layers=[1, 2])
    fig = plots.sorted_map(made, plan)
    z = fig.data[0].z
    assert z.shape == (6, 256) and (np.diff(z, axis=1) >= 0).all()
    assert z[:, 0] == pytest.approx([np.log10(v.min()) for v in made.channels.values()], rel=1e-5)
    one, two = (100 * (1 - len(plan.kept_channels[i]) / 300) for i in (1, 2))
    assert fig.data[-1].x.tolist()[:8] == pytest.approx([0, 0, one, one, two, two, 0, 0])
    assert fig.data[-1].y.tolist()[:4] == [-0.5, 0.5, 0.5, 1.5]
    assert set(plots.sorted_map(made, 0.25).data[-1].x) == {25.0}


@pytest.mark.parametrize("channels", [96, 256, 300, 1536])
def test_kept_shares_add_up_to_the_plan(channels):
    plan = make_plan(scores(shape(channels=channels)), 0.3)
    z = plots.kept_map(plan).data[0].z
    bins = min(256, channels)
    edges = [int(channels * i / bins) for i in range(bins + 1)]
    for i, kept in plan.kept_channels.items():
        there = set(kept.tolist())
        share = [100 * len(there & set(range(a, b))) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
        assert z[i] == pytest.approx(share, abs=1e-3)


def test_crosses_stand_on_the_heads_that_go():
    made = scores(shape())
    plan = make_plan(made, 0.4)
    fig = plots.heads_grid(made, plan)
    grid, crosses = fig.data
    assert fig.layout.meta["caption"] == plots.CAPTIONS["heads_grid"]
    gone = {(h, i) for i, kept in plan.kept_heads.items() for h in range(4) if h not in kept}
    assert set(zip(crosses.x.tolist(), crosses.y.tolist(), strict=True)) == gone != set()
    for i, vector in made.heads.items():
        assert grid.z[i].tolist() == [25.0 * sorted(vector.tolist()).index(v) + 25 for v in vector.tolist()]
        assert grid.customdata[i, :, 0].tolist() == vector.tolist()


# One block


def test_hover_knows_group_and_rank_under_every_criterion():
    known = several(shape(), ("wanda", "zo"))
    plan = make_plan(known["wanda"], 0.3)
    fig = plots.drill_down(known, 3, "channels", plan)
    line = fig.data[0]
    order = sorted(range(96), key=lambda g: known["wanda"].channels[3][g])
    assert line.customdata[:, 0].tolist() == order
    assert line.y.tolist() == [known["wanda"].channels[3][g] for g in order]
    under_zo = sorted(range(96), key=lambda g: known["zo"].channels[3][g])
    assert line.customdata[:, 1].tolist() == list(range(1, 97))
    assert line.customdata[:, 2].tolist() == [under_zo.index(g) + 1 for g in order]
    assert "wanda: %{customdata[1]:,}<br>zo: %{customdata[2]:,}" in line.hovertemplate
    assert f"{96 - len(plan.kept_channels[3])} of 96 are cut" in fig.layout.annotations[0].text
    assert plots.drill_down(known, 3, "channels", plan, "zo").data[0].customdata[:, 2].tolist() == list(range(1, 97))


def test_a_large_block_keeps_every_group_near_the_cut():
    known = several(llama_7b(), ("wanda", "zo"))
    plan = make_plan(known["wanda"], 0.3)
    cut = 11008 - len(plan.kept_channels[9])
    shown = set(plots.drill_down(known, 9, "channels", plan).data[0].x.tolist())
    assert len(shown) <= 4096
    assert set(range(cut - 500, cut + 500)) <= shown
    assert {1, 2, 3, 11006, 11007, 11008} <= shown


def test_group_table_tells_scores_and_ranks():
    known = several(shape(), ("wanda", "zo"))
    known["broken"] = replace(known["zo"], heads={**known["zo"].heads, 1: np.array([1, np.inf, 2, 3], np.float32)})
    table = plots.group_table(known, 1, "heads")
    assert table.columns.tolist() == ["group", "wanda score", "wanda rank", "zo score", "zo rank"]
    assert table["zo rank"].tolist() == [sorted(known["zo"].heads[1]).index(v) + 1 for v in known["zo"].heads[1]]
    assert plots.group_table({}, 1, "heads").empty


# Overlap


def tables_at(ratio: float, groups: Any, of: str = "pruned") -> dict[str, Any]:
    plans = {name: make_plan(s, ratio) for name, s in several(groups, ("wanda", "zo", "random")).items()}
    return {name: overlap(plans["wanda"], plans[name], of) for name in ("zo", "random")}


def test_lines_have_gaps_where_nothing_is_cut_and_a_line_of_chance():
    tables = tables_at(0.3, shape(blocks=8, heads=16, head_dim=4))
    zo, random, chance = plots.overlap_lines(tables, "channels", "wanda").data
    assert (zo.name, random.name, chance.name) == ("zo", "random", "chance")
    assert (random.line.dash, chance.line.dash) == ("dot", "dash")
    table = tables["zo"][tables["zo"]["kind"] == "channels"]
    assert np.isnan(zo.y[[0, 7]]).all() and np.isnan(chance.y[[0, 7]]).all()
    assert zo.y[1:7] == pytest.approx(100 * table["share"].to_numpy()[1:7], rel=1e-5)
    assert chance.y[1:7] == pytest.approx(100 * table["chance"].to_numpy()[1:7], rel=1e-5)


def test_few_heads_are_counted():
    tables = tables_at(0.2, smollm2())
    grid = plots.overlap_lines(tables, "heads", "wanda")
    assert grid.data[0].type == "heatmap"
    common = tables["zo"][tables["zo"]["kind"] == "heads"]["count"]
    assert list(grid.data[0].text[0][4:28]) == [str(n) for n in common[4:28]]
    assert list(grid.data[0].text[0][:4]) == [""] * 4
    assert f"mean {100 * common[4:28].mean():.0f} %" in grid.layout.yaxis.ticktext[0]
    assert grid.layout.xaxis.title.text == "block (chance 33 %)"
    assert grid.layout.meta["caption"] == plots.CAPTIONS["overlap_counts"]


def test_blocks_kept_whole_say_nothing_of_agreement():
    tables = tables_at(0.3, shape(blocks=8), of="kept")
    fig = plots.overlap_lines(tables, "channels", "wanda", of="kept")
    assert np.isnan(fig.data[0].y[[0, 7]]).all() and np.isfinite(fig.data[0].y[1:7]).all()


def test_no_cut_and_nothing_to_compare_are_said():
    fig = plots.overlap_lines(tables_at(0.0, shape()), "channels", "wanda")
    assert fig.layout.annotations[0].text == "No channels are cut at this ratio."
    assert "nothing to compare" in plots.overlap_lines({}, "channels", "wanda").layout.annotations[0].text


def test_pairs_leave_out_the_diagonal():
    plans = {name: make_plan(s, 0.3) for name, s in several(shape(), ("wanda", "zo")).items()}
    table = matrix(plans, "channels")
    z = plots.overlap_matrix(table, "channels", 0.25).data[0].z
    assert np.isnan(z.diagonal()).all()
    assert z[0, 1] == pytest.approx(100 * table.loc["wanda", "zo"], rel=1e-5)
    assert plots.overlap_matrix(table, "channels", 0.25).layout.xaxis.title.text.endswith("(chance 25 %)")


def test_corners_count_who_keeps_and_cuts():
    known = several(shape(), ("wanda", "zo"))
    plan_a, plan_b = make_plan(known["wanda"], 0.3), make_plan(known["zo"], 0.3)
    for layer in (2, None):
        fig = plots.rank_density(known["wanda"], known["zo"], "channels", layer, plan_a, plan_b)
        counts = dict.fromkeys(("both cut", "only wanda cuts", "only zo cuts", "both keep"), 0)
        for i in [layer] if layer else range(1, 6):
            a, b = set(plan_a.kept_channels[i].tolist()), set(plan_b.kept_channels[i].tolist())
            own = (96 - len(a | b), len(b - a), len(a - b), len(a & b))
            counts = {name: counts[name] + n for name, n in zip(counts, own, strict=True)}
        assert {tuple(note.text.split("<br>")) for note in fig.layout.annotations} == {
            (name, f"{n:,}") for name, n in counts.items()
        }


def test_density_is_one_on_average_and_diagonal_for_the_same_ranks():
    known = several(llama_7b(), ("wanda", "zo"))
    apart = plots.rank_density(known["wanda"], known["zo"], "channels", 5).data[0].z
    assert apart.mean() == pytest.approx(1, rel=1e-5) and apart.std() < 0.5
    same = plots.rank_density(known["wanda"], known["wanda"], "channels", 5).data[0].z
    assert np.count_nonzero(same) == len(same) and (same.diagonal() > 1).all()
    few = plots.rank_density(*several(smollm2(), ("wanda", "zo")).values(), "heads").data[0].z
    assert few.shape == (3, 3), "no more cells a side than a block has heads"


# Memory, recovery, plan


def test_phases_are_bands_as_high_as_their_peak():
    fig = plots.memory_timeline(TIMELINE, [(0.5, 1e8)], limit_bytes=5e8)
    forward, backward, measured = fig.data
    assert (forward.name, backward.name, measured.name) == ("forward", "backward", "measured")
    assert (forward.x.tolist(), forward.width.tolist(), forward.y.tolist()) == ([1.0, 5.5], [2.0, 1.0], [200.0, 150.0])
    texts = [note.text for note in fig.layout.annotations]
    assert texts == ["peak 350 MB", "device limit 500 MB"]
    assert fig.layout.yaxis.range[1] > 500 and fig.layout.yaxis.title.text.endswith("MB")
    far = plots.memory_timeline(TIMELINE, limit_bytes=24e9)
    assert far.layout.yaxis.range[1] < 500 and "far above: 24.0 GB" in far.layout.annotations[1].text
    assert "Nothing" in plots.memory_timeline([]).layout.annotations[0].text


def test_peaks_stand_on_the_weights():
    fig = plots.peak_bars({"wanda": 0.5e9, "llm-pruner": 13e9}, 13.5e9, {"llm-pruner": 40e9, "flap": 1e9})
    weights, above, printed = fig.data
    assert weights.x.tolist() == [13.5, 13.5] and above.x.tolist() == [0.5, 13.0]
    assert (printed.x.tolist(), printed.y) == ([40.0], ("llm-pruner",))
    assert fig.layout.yaxis.ticktext == ("<b>wanda</b><br>14.0 GB, 1.04×", "<b>llm-pruner</b><br>26.5 GB, 1.96×")
    assert "least wanda, most llm-pruner" in fig.layout.meta["alt"]


def test_the_best_evaluation_has_the_star():
    fig = plots.recovery_curve(POINTS, original=61.2, steps=100)
    traces = {trace.name: trace for trace in fig.data}
    assert (traces["best"].x.tolist(), traces["best"].y.tolist()) == ([20], [71.5])
    assert traces["evaluation"].x.tolist() == [0, 20, 39]
    assert traces["training loss"].y.tolist() == pytest.approx([4 / i for i in range(1, 40)])
    assert traces["training loss"].yaxis != traces["evaluation"].yaxis
    assert fig.layout.xaxis2.range == (-2, 102)
    assert fig.layout.meta["alt"] == "Evaluation perplexity from 130 to 71.5 at step 20 (original 61.2)"
    assert "No step" in plots.recovery_curve([]).layout.annotations[0].text


def test_smoothing_has_no_bias_and_passes_over_gaps():
    from pages.plots.curve import smoothed

    assert smoothed(np.full(100, 3.0)) == pytest.approx(np.full(100, 3.0))
    # 40 values: each weighs half as much as the one after it; 1/3 is (0.5·1 + 0.25·0) / 0.75 backwards, and so on.
    values = np.array([0.0, 1.0, np.nan, 1.0] + [1.0] * 36)
    assert smoothed(values)[:4] == pytest.approx([0, 2 / 3, 2 / 3, 6 / 7])


def test_plan_bars_tell_what_is_really_cut():
    plan = plan_from_groups(smollm2(), 0.2)
    heads, channels = plots.plan_bars(plan).data
    assert heads.y.tolist() == pytest.approx([0] * 4 + [100 / 3] * 24 + [0] * 2)
    assert channels.y[5] == pytest.approx(100 * 478 / 1536, abs=0.1)
    assert heads.customdata[5].tolist() == [1, 3]
    alt = plots.plan_bars(plan).layout.meta["alt"]
    assert "20.0%" in alt and "blocks 4–27 lose 24 head groups" in alt
    assert plots.plan_bars(plan_from_groups(smollm2(), 0.0)).layout.meta["alt"].endswith("nothing is cut")


def test_scores_with_negative_values_are_drawn_as_they_are():
    good = scores(shape())
    negative = Scores(good.heads, {i: v - 1 for i, v in good.channels.items()}, good.groups, {"criterion": "bonsai"})
    fig = plots.sorted_map(negative)
    assert fig.layout.coloraxis.colorbar.title.text == "score"
    assert fig.data[0].z[0, 0] == pytest.approx(negative.channels[0].min())


@pytest.mark.parametrize(
    ("low", "high", "every"), [(27.8, 87.4, "D1"), (4.0, 60.0, "D2"), (1e-3, 1e5, 2), (7.0, 7.0, "D1")]
)
def test_a_logarithmic_axis_has_at_least_two_numbers_and_few(low: float, high: float, every: str | int):
    assert style.log_axis("x", np.array([low, np.nan, -1.0, high]))["dtick"] == every
    digits = {"D1": range(1, 10), "D2": (1, 2, 5)}.get(str(every), (1,))
    shown = [d * 10.0**ten for ten in range(-4, 7) for d in digits if low <= d * 10.0**ten <= high]
    assert low == high or 2 <= len(shown) <= 9
