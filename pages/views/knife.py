"""What the knife is told of a run, and what it may ask: an answer of the live process, and to keep a cut for Prune.

None of these raises: what is refused is a sentence, {"error"}, which the script shows.
"""

import json
from asyncio import wrap_future
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any

from minillm.errors import BadInput, MiniLLMError
from minillm.families.groups import HEADS, KINDS, Groups
from minillm.jobs.live import Live
from minillm.plan.by_hand import read
from minillm.recipes.live import ANSWER, LiveRequest
from minillm.store.hand_plans import keep_by_hand
from minillm.store.store import Store

from ..shell.address import link
from .cut import NEEDS_MODEL
from .plans import BYTES
from .variants import dtype_of, groups_of

Given = dict[str, Any]


def told(store: Store, run_id: str) -> str:
    """What assets/knife.js knows of a run, as JSON."""
    problem = NEEDS_MODEL if run_id and groups_of(store, run_id) is None else ""
    return json.dumps({"run": run_id, "problem": problem})


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
    def knife_keep(given: Given) -> Given:
        """Keep a cut under a name; the address of Prune with it chosen."""
        name = keep_by_hand(store, given["run"], _groups(store, given), given["cut"])
        return {"address": link("prune", run=given["run"], criterion=name)}

    return [knife_ask, knife_words, knife_keep]


def nothing_left(groups: Groups, cut: str) -> str:
    """A sentence where a block is left without attention, FFN or anything."""
    for layer, kinds in read(cut, groups).items():
        empty = [kind for kind, gone in kinds.items() if len(gone) == groups.blocks[layer].count(kind)]
        if len(empty) == len(KINDS):
            return f"Block {layer} has nothing left: Prune drops it."
        if empty:
            part = "attention" if empty[0] == HEADS else "FFN"
            return (
                f"Block {layer} has 0 {empty[0]} left: its {part} writes at most its bias here, and nothing once cut."
            )
    return ""


def _groups(store: Store, given: Given) -> Groups:
    groups = groups_of(store, given["run"])
    if groups is None:
        raise BadInput(NEEDS_MODEL)
    return groups


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
