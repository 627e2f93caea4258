"""What the GPU is measured with, as far as a CPU can tell."""

import json
import sys

import numpy as np
import pytest
import tiny

from scripts import measure_gpu


def by_ticks(copies, kernels):
    """The same share, counted in ticks of a thousandth."""
    busy = [np.zeros(20_000, bool) for _ in range(2)]
    for line, spans in zip(busy, (copies, kernels), strict=True):
        for start, end in spans:
            line[round(start * 1000) : round(end * 1000)] = True
    return (busy[0] & busy[1]).sum() / busy[0].sum()


def test_overlap_is_the_share_of_copying_time_in_which_a_kernel_runs():
    source = np.random.default_rng(0)
    for _ in range(20):
        copies, kernels = (
            [
                (s, s + w)
                for s, w in zip(source.uniform(0, 15, 9).round(3), source.uniform(0, 3, 9).round(3), strict=True)
            ]
            for _ in range(2)
        )
        assert measure_gpu.overlap(copies, kernels) == pytest.approx(by_ticks(copies, kernels), abs=1e-6)
    assert measure_gpu.overlap([], [(0, 1)]) is None
    assert measure_gpu.overlap([(0, 1)], []) == 0


def test_every_row_comes_out_where_there_is_no_gpu(tmp_path, monkeypatch, capsys):
    folder, out = tiny.saved(tmp_path / "model"), tmp_path / "rows.jsonl"
    asked = [
        "--model",
        str(folder),
        "--device",
        "cpu",
        "--place",
        "",
        "--place",
        "disk",
        "--rows",
        "8",
        "--length",
        "16",
    ]
    asked += ["--gradient-rows", "2", "--criterion", "wanda", "--criterion", "fms-zo", "--ratio", "0.2"]
    monkeypatch.setattr(sys, "argv", ["measure_gpu", *asked, "--out", str(out)])
    measure_gpu.main()
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    told = [(row["place"], row["what"]) for row in rows]
    scored = ["forward", "wanda", "fms-zo"]
    assert told == [("device", what) for what in [*scored, "dense", "20%"]] + [("disk", what) for what in scored]
    assert all(row["peak_gigabytes"] >= 0 and row["of_forward"] > 0 for row in rows if row["what"] in scored[1:])
    assert rows[4]["macs"] < rows[3]["macs"]
