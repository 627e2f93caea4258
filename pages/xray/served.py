"""What the X-ray's picture asks this server for while someone looks: the cells of a run, and what is known of one.

The one idea: the picture is drawn and counted in the browser, from bytes (`minillm.plan.steps`). They are fetched
beside Gradio's events, whose answers are JSON and would be a third larger.

    GET /xray/cells?run=ID[&allocation=NAME][&criteria=A|B]   a header's length (4 bytes), the header (JSON), the cells
    GET /xray/group?run=ID&block=N&kind=heads|channels&group=N   JSON
"""

import json
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from minillm.errors import BadInput, MiniLLMError, UnknownName
from minillm.families.groups import GROUPS, HEADS, KINDS
from minillm.plan.methods import FROM_SCORES, METHODS, NOTHING, fitting
from minillm.plan.plan import Plan
from minillm.plan.scores import Scores
from minillm.plan.steps import packed
from minillm.store.as_folder import bundled_id
from minillm.store.store import Store

from ..views.comparison import in_order
from ..views.sample_run import sample_plans, sample_scores

UNIFORM = "uniform"


def routes(store: Store) -> list[Route]:
    """The addresses, for `launch(app_kwargs={"routes": …})`."""
    answers: dict[str, Callable[[Store, Request], Response]] = {"cells": _cells, "group": _group}
    return [Route(f"/xray/{name}", partial(_told, store, answer)) for name, answer in answers.items()]


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
    """The answer to /xray/cells.

    Its header is that of `steps.packed`, and "all": every label that there are scores under, with its name for people;
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
    if method.decide:
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
        raise BadInput(f"Block {block} has no {'head group' if kind == HEADS else 'channel'} {place} in this model.")
    rows = []
    for label, one in scores.items():
        ranks, value = one.ranks(kind)[block], float(one.of(kind)[block][place])
        row = {"label": label, "score": value if np.isfinite(value) else None, "of": groups.blocks[block].count(kind)}
        rows.append({**row, "rank": None if ranks is None else int(ranks[place]) + 1})
    return {"scores": rows, "plans": {name: place in plan.kept(kind)[block] for name, plan in plans.items()}}


def _cells(store: Store, request: Request) -> Response:
    asked = request.query_params
    run_id, criteria = asked.get("run", ""), tuple(name for name in asked.get("criteria", "").split("|") if name)
    scores = scores_of(store, run_id)
    if not scores:
        return Response(status_code=204)
    state = ";".join([*(f"{label} {one.seconds}" for label, one in scores.items()), *plans_of(store, run_id)])
    data = _made(store, run_id, state, asked.get("allocation") or UNIFORM, criteria)
    return Response(data, media_type="application/octet-stream", headers={"cache-control": "no-cache"})


@lru_cache(maxsize=8)
def _made(store: Store, run_id: str, state: str, allocation: str, criteria: tuple[str, ...]) -> bytes:
    """`cells` of a run. state: changes when they would."""
    return cells(scores_of(store, run_id), plans_of(store, run_id), allocation, list(criteria))


def _group(store: Store, request: Request) -> Response:
    asked = request.query_params
    try:
        block, place = int(asked.get("block", "")), int(asked.get("group", ""))
    except ValueError as fault:
        raise BadInput("A block and a group are whole numbers; the address says something else.") from fault
    run_id = asked.get("run", "")
    found = group(scores_of(store, run_id), plans_of(store, run_id), block, asked.get("kind", ""), place)
    return JSONResponse(found)


def _told(store: Store, answer: Callable[[Store, Request], Response], request: Request) -> Response:
    """An answer, or the sentence that says why there is none."""
    try:
        return answer(store, request)
    except MiniLLMError as fault:
        return PlainTextResponse(str(fault), status_code=404)
