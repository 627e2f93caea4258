"""What the knife is told of a run, and what it may ask: an answer of the live process, the lowest groups of a
criterion, ranks to colour cells by, and to keep a cut for Prune.

None of these raises: what is refused is a sentence, {"error"}, which the script shows.
"""

import json
from asyncio import wrap_future
from base64 import b64encode
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

import numpy as np

from minillm.errors import BadInput, MiniLLMError
from minillm.families.groups import KINDS, Groups
from minillm.jobs.live import Live
from minillm.plan.budget import MIN_CHANNELS, MIN_HEADS
from minillm.plan.by_hand import read, written
from minillm.plan.plan import Plan, make_plan
from minillm.plan.scores import Scores
from minillm.recipes.live import ANSWER, LiveRequest
from minillm.store.hand_plans import keep_by_hand
from minillm.store.store import Store

from ..shell.address import link
from .comparison import in_order
from .cut import NEEDS_MODEL, first_choice
from .plans import BYTES
from .variants import dtype_of, groups_of

Given = dict[str, Any]


def told(store: Store, run_id: str) -> str:
    """What assets/knife.js knows of a run, as JSON."""
    groups = groups_of(store, run_id) if run_id else None
    blocks = [[block.count(kind) for kind in KINDS] for block in groups.blocks] if groups else []
    problem = NEEDS_MODEL if run_id and groups is None else ""
    criteria = in_order(store.score_labels(run_id)) if run_id else []
    first = first_choice(store, run_id) if run_id else ""
    known = {"run": run_id, "blocks": blocks, "criteria": criteria, "first": first, "problem": problem}
    return json.dumps(known)


def functions(store: Store, live: Live) -> list[Callable[..., Any]]:
    """The functions that the script calls, each of one record."""

    @_refusing
    async def knife_ask(given: Given) -> Given:
        """Ask the live process; of an answer its first part, null where a newer question came first."""
        groups, recipe = _groups(store, given), store.run(given["run"]).recipe
        request = LiveRequest.of(recipe, given["sentence"], given["cut"], given.get("want", ANSWER))
        live.check_room(recipe.model, groups, BYTES.get(dtype_of(store, given["run"]), 4))
        asked = live.ask(given["reader"], request)
        answer = await wrap_future(asked.said)
        about = {"memory": live.memory, "idle": round(live.idle / 60), "left": nothing_left(groups, request.cut)}
        return {"answer": answer, "number": asked.number, **about}

    @_refusing
    async def knife_words(given: Given) -> Given:
        """The whole answer to a question of this reader; null where a newer one came first."""
        asked = live.latest(given["reader"])
        same = asked is not None and asked.number == given["number"]
        return {"answer": await wrap_future(asked.whole) if asked and same else None}

    @_refusing
    def knife_lowest(given: Given) -> Given:
        """The groups that a criterion would cut at a share of all parameters, in words."""
        return {"cut": written(cut_of(make_plan(_scores(store, given), given["share"])))}

    @_refusing
    def knife_ranks(given: Given) -> Given:
        """Where each group stands in its block under a criterion, a byte each (255: the highest), base64: of every
        block the head groups, then the channels."""
        scores, parts = _scores(store, given), []
        for layer in range(len(scores.groups)):
            for kind in KINDS:
                ranks = scores.ranks(kind)[layer]
                count = scores.groups.blocks[layer].count(kind)
                parts.append(np.full(count, 127) if ranks is None else ranks * 255 // max(count - 1, 1))
        return {"ranks": b64encode(np.concatenate(parts).astype(np.uint8).tobytes()).decode()}

    @_refusing
    def knife_keep(given: Given) -> Given:
        """Keep a cut under a name; the address of Prune with it chosen."""
        name = keep_by_hand(store, given["run"], _groups(store, given), given["cut"])
        return {"address": link("prune", run=given["run"], criterion=name)}

    return [knife_ask, knife_words, knife_lowest, knife_ranks, knife_keep]


def nothing_left(groups: Groups, cut: str) -> str:
    """A sentence where a block has given more than Prune could take from it; the answer counts all the same."""
    least = dict(zip(KINDS, (MIN_HEADS, MIN_CHANNELS), strict=True))
    for layer, kinds in read(cut, groups).items():
        for kind, gone in kinds.items():
            left = groups.blocks[layer].count(kind) - len(gone)
            if left < least[kind]:
                part = "attention" if kind == KINDS[0] else "FFN"
                silent = f"its {part} writes at most its bias" if not left else f"Prune leaves at least {least[kind]}"
                return f"Block {layer} has {left} {kind} left: {silent}."
    return ""


def cut_of(plan: Plan) -> dict[int, dict[str, list[int]]]:
    """The groups that a plan drops."""
    masks = plan.cut_masks
    return {i: {kind: np.flatnonzero(masks[kind][i]).tolist() for kind in KINDS} for i in range(len(plan.groups))}


def _groups(store: Store, given: Given) -> Groups:
    groups = groups_of(store, given["run"])
    if groups is None:
        raise BadInput(NEEDS_MODEL)
    return groups


def _scores(store: Store, given: Given) -> Scores:
    scores = store.scores(given["run"])
    if given["criterion"] not in scores:
        raise BadInput("This run has no such scores; score it first.")
    return scores[given["criterion"]]


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with what it refuses as {"error": a sentence}; what it is given may be anything."""

    def refused(fault: Exception) -> Given:
        said = (
            str(fault) if isinstance(fault, MiniLLMError) else "The app could not make sense of this; reload the page."
        )
        return {"error": said}

    @wraps(function)
    async def awaited(given: Given) -> Given:
        try:
            return await function(given)
        except (MiniLLMError, LookupError, TypeError, ValueError, AttributeError) as fault:
            return refused(fault)

    @wraps(function)
    def called(given: Given) -> Given:
        try:
            return function(given)
        except (MiniLLMError, LookupError, TypeError, ValueError, AttributeError) as fault:
            return refused(fault)

    return awaited if iscoroutinefunction(function) else called
