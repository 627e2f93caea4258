"""What the X-ray shows of a run: its cells as bytes (`minillm.plan.steps`), and what is known of one group."""

import json
from typing import Any

import numpy as np

from minillm.errors import BadInput, UnknownName
from minillm.families.groups import GROUPS, KINDS
from minillm.plan.methods import FROM_SCORES, METHODS, NOTHING, fitting
from minillm.plan.plan import Plan
from minillm.plan.scores import Scores
from minillm.plan.steps import packed
from minillm.store.as_folder import bundled_id
from minillm.store.store import Store

from .comparison import in_order
from .sample_run import sample_plans, sample_scores

UNIFORM = "uniform"


def scores_of(store: Store, run_id: str) -> dict[str, Scores]:
    """{label: scores} of a run of one model, in display order; of the bundled sample also where nobody opened it."""
    found = sample_scores() if run_id == bundled_id() else store.scores(store.run(run_id).id)
    return {label: found[label] for label in in_order(found)}


def plans_of(store: Store, run_id: str) -> dict[str, Plan]:
    """{variant: plan} of what was cut in a run."""
    if run_id == bundled_id():
        return sample_plans()
    made = [variant.name for variant in store.variants(run_id) if variant.kind == "pruned"]
    return {name: store.plan(run_id, name) for name in made}


def cells(scores: dict[str, Scores], plans: dict[str, Plan], allocation: str, criteria: list[str]) -> bytes:
    """Cells of scores and plans: a header's length (4 bytes), the header (JSON), the cells.

    The header is that of `steps.packed`, and "all": every label that there are scores under, with its name for people;
    "allocations": {name: label} of those that can be shown; "plans": the variants whose cells follow the sheets', one
    bit each, set where it is kept. Raises UnknownName, BadInput.
    """
    # One sheet has one kind of cell: cuts by query slots are left out.
    scores = {label: one for label, one in scores.items() if one.groups.unit == GROUPS}
    plans = {name: plan for name, plan in plans.items() if plan.groups.unit == GROUPS}
    if allocation not in (known := _allocations(scores)):
        raise UnknownName("allocation", allocation, known)
    method = METHODS[allocation]
    if unknown := [label for label in criteria if label not in scores]:
        raise UnknownName("scores", unknown[0], scores)
    shown = {label: one for label, one in scores.items() if label in criteria or not criteria}
    if allocation in FROM_SCORES:
        shown = {label: one for label, one in shown.items() if allocation in fitting(one)}
    if not shown:
        raise BadInput(f"No scores here can be divided by {allocation}; choose another allocation.")
    header, data = packed(shown, method)
    kept = {
        name: plan for name, plan in plans.items() if plan.groups.blocks == next(iter(shown.values())).groups.blocks
    }
    told = json.dumps({**header, "all": list(scores), "allocations": known, "allocation": allocation, "plans": [*kept]})
    head = told.encode()
    head += b" " * (-len(head) % 4)
    return len(head).to_bytes(4, "little") + head + data + b"".join(_bits(plan) for plan in kept.values())


def _allocations(scores: dict[str, Scores]) -> dict[str, str]:
    fit = {name for one in scores.values() for name in fitting(one)}
    return {name: m.label for name, m in METHODS.items() if m.needs == NOTHING or (name in FROM_SCORES and name in fit)}


def _bits(plan: Plan) -> bytes:
    cut = plan.cut_masks
    row = [cut[kind][block] for block in range(len(plan.groups)) for kind in KINDS]
    return np.packbits(~np.concatenate(row), bitorder="little").tobytes()


def group(scores: dict[str, Scores], plans: dict[str, Plan], block: int, kind: str, place: int) -> dict[str, Any]:
    """What is known of one group: {"scores": [{"label", "score", "rank", "of"}], "plans": {variant: whether kept}};
    rank 1 goes first. Raises BadInput where there is no such group."""
    if kind not in KINDS or not scores:
        raise BadInput("This run has no scores of that kind; score first.")
    groups = next(iter(scores.values())).groups
    if not 0 <= block < len(groups) or not 0 <= place < groups.blocks[block].count(kind):
        raise BadInput(f"Block {block} has no {groups.one(kind)} {place} in this model.")
    rows = []
    for label, one in scores.items():
        ranks, value = one.ranks(kind)[block], float(one.of(kind)[block][place])
        row = {"label": label, "score": value if np.isfinite(value) else None, "of": groups.blocks[block].count(kind)}
        rows.append({**row, "rank": None if ranks is None else int(ranks[place]) + 1})
    return {"scores": rows, "plans": {name: place in plan.kept(kind)[block] for name, plan in plans.items()}}
