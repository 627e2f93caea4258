"""A run's numbers as tables: scores, overlaps, plans, perplexities, curves, as data frames and as one zip of CSV files.

Pure functions of the store. A spreadsheet opens every file; `run.json` beside them holds what is no table.
"""

import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import BadInput, MiniLLMError
from ..families.groups import KINDS
from ..paths import written_whole
from ..places import file_for
from ..plain import frame_csv
from ..plan.overlap import overlap
from ..plan.plan import make_plan
from ..plan.scores import Scores
from ..versions import versions
from .as_folder import record
from .files import file_name
from .store import Store

RATIO = 0.2
"""At which overlaps are taken where nothing else is said."""


def score_table(scores: Scores) -> pd.DataFrame:
    """One row a group: kind, layer, group, score, rank (1 the lowest of its block; empty where one is not finite)."""
    frames = []
    for kind in KINDS:
        for layer, values in scores.of(kind).items():
            ranks = scores.ranks(kind)[layer]
            columns = {"kind": kind, "layer": layer, "group": range(len(values)), "score": values}
            frames.append(pd.DataFrame({**columns, "rank": None if ranks is None else ranks + 1}))
    return pd.concat(frames, ignore_index=True)


def overlap_table(scores: Mapping[str, Scores], ratio: float = RATIO) -> pd.DataFrame:
    """Overlap of what each criterion cuts with what each other one cuts, block by block; `reference` is what the share
    is taken of. Empty with fewer than two criteria. Raises what plans raise."""
    plans = {label: make_plan(found, ratio) for label, found in scores.items()}
    frames = [overlap(plans[a], plans[b]).assign(reference=a, criterion=b) for a, b in permutations(plans, 2)]
    columns = ["reference", "criterion", "ratio", "kind", "layer", "share", "chance", "count", "size"]
    return pd.concat(frames).assign(ratio=ratio)[columns] if frames else pd.DataFrame(columns=columns)


def results_table(store: Store, run_id: str, kind: str) -> pd.DataFrame:
    """Results of one kind, one row each, without what is itself a list or a record."""
    rows = [{k: v for k, v in r.data.items() if not isinstance(v, list | dict)} for r in store.results(run_id, kind)]
    return pd.DataFrame(rows)


def curve_table(store: Store, run_id: str) -> pd.DataFrame:
    """Learning curves, one row a point: variant, step, loss, perplexity on held-out rows."""
    rows = [{"variant": r.data["variant"], **p} for r in store.results(run_id, "curve") for p in r.data["points"]]
    return pd.DataFrame(rows)


def cost_table(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """What scoring took: criterion, seconds, peak_bytes above the weights."""
    return pd.DataFrame([{"criterion": k, "seconds": s.seconds, "peak_bytes": s.peak_bytes} for k, s in scores.items()])


def tables(store: Store, run_id: str, ratio: float = RATIO) -> dict[str, pd.DataFrame]:
    """{name of a file, without its ending: table}, none of them empty.

    Overlaps are left out where the default blocks cannot give up that ratio.
    """
    scores = store.scores(run_id)
    found = {f"scores/{file_name(label)}": score_table(one) for label, one in scores.items()}
    found["costs"] = cost_table(scores)
    with suppress(MiniLLMError):
        found["overlaps"] = overlap_table(scores, ratio)
    for variant in store.variants(run_id):
        with suppress(BadInput):
            found[f"plans/{file_name(variant.name)}"] = store.plan(run_id, variant.name).table()
    found["perplexities"] = results_table(store, run_id, "perplexity")
    found["curves"] = curve_table(store, run_id)
    found["generations"] = results_table(store, run_id, "generation")
    return {name: table for name, table in found.items() if len(table)}


def write_zip(store: Store, run_id: str, file: str | Path, more: Mapping[str, str | bytes] | None = None) -> Path:
    """Write all tables of a run as CSV and the rest as JSON into one zip file; returns its path.

    more: other files to put in, {name: what is in it}. Raises BadInput without such a run.
    """
    file = file_for(file, lambda there: not there.stat().st_size or zipfile.is_zipfile(there))
    texts: dict[str, str | bytes] = {"run.json": _json(record(store, run_id)), "versions.json": _json(versions())}
    texts |= {f"{name}.csv": frame_csv(table) for name, table in tables(store, run_id).items()}
    with written_whole(file) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in {**texts, **(more or {})}.items():
            packed.writestr(f"{file.stem}/{name}", text)
    return file


def _json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False)
