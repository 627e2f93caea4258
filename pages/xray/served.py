"""What the X-ray's picture asks this server for while someone looks: the cells of a run, and what is known of one.

The one idea: the picture is drawn and counted in the browser, from bytes. They are fetched beside Gradio's events,
whose answers are JSON and would be a third larger.

    GET /xray/cells?run=ID[&allocation=NAME][&criteria=A|B]   a header's length (4 bytes), the header (JSON), the cells
    GET /xray/group?run=ID&block=N&kind=heads|channels&group=N   JSON
"""

from collections.abc import Callable
from functools import lru_cache, partial

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from minillm.errors import BadInput, MiniLLMError
from minillm.store.store import Store

from ..views.xray import UNIFORM, cells, group, plans_of, scores_of


def routes(store: Store) -> list[Route]:
    """The addresses, for `launch(app_kwargs={"routes": …})`."""
    answers: dict[str, Callable[[Store, Request], Response]] = {"cells": _cells, "group": _group}
    return [Route(f"/xray/{name}", partial(_told, store, answer)) for name, answer in answers.items()]


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
