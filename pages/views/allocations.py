"""What the Allocate page draws from: a search as it goes, sensitivities, and allocations of one ratio side by side.

Everything is read from the store; a plan follows from each allocation, so that sizes shown are those that would be cut.
"""

from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from minillm.errors import MiniLLMError
from minillm.families.groups import CHANNELS, Groups
from minillm.plan.budget import Allocation, gone
from minillm.plan.methods import FROM_SCORES, WITHOUT_SEARCH, fitting
from minillm.plan.plan import Plan, plan_from_groups
from minillm.recipes.requests import AllocateRequest
from minillm.store.allocations import allocations, known_allocation
from minillm.store.records import Job, StoredEvent
from minillm.store.store import Store

from ..shell.address import link
from ..shell.cut_controls import UNIFORM
from ..shell.phrases import count
from ..shell.templates import html_table
from .cut import Cut, asked, layers_of
from .plans import write_blocks
from .variants import groups_of

WORDS = {"kl": "KL", "perplexity": "perplexity"}


@dataclass(frozen=True)
class Search:
    """A search, live or ended.

    points: [{"generation", "best", "median"}]; allocation: the best so far; measure: of the fitness; ratio: asked for;
    generations: how many there will be, None where it has ended.
    """

    points: list[dict[str, Any]]
    allocation: Allocation
    measure: str
    ratio: float
    generations: int | None = None

    def in_words(self) -> str:
        """Where it stands, in a sentence."""
        first, last, name = self.points[0], self.points[-1], WORDS[self.measure]
        of = f" of {self.generations:,}" if self.generations is not None else ""
        done = f"Generation {last['generation']:,}{of} at a ratio of {self.ratio:.0%}"
        told = f"the best start had a {name} of {first['best']:.4g}, the best so far has {last['best']:.4g}"
        fitness = self.allocation.recipe.get("fitness")
        uniform = f"; uniform has {fitness['uniform']:.4g} on the same rows" if fitness else ""
        stop = "" if self.generations is None else " Stop keeps the best so far; started again, the search goes on."
        return f"{done}: {told}{uniform}.{stop}"


def search_of(store: Store, run_id: str, job: Job | None, events: list[StoredEvent]) -> Search | None:
    """The search of a live job, else the latest that ended; None where there was none."""
    seen = [event.payload for event in events if event.stage == "search" and event.payload]
    request: Any = job.request if job else None
    if seen and job is not None and job.live:
        best = Allocation.from_json(seen[-1]["allocation"])
        return Search(seen[-1]["state"]["history"], best, request.fitness, request.ratio, request.generations)
    found = [one for one in allocations(store, run_id).values() if one.recipe.get("history")]
    if not found:
        return None
    recipe = found[-1].recipe
    return Search(recipe["history"], found[-1], recipe["fitness"]["measure"], recipe["ratio"])


def plan_shown(groups: Groups, allocation: Allocation) -> Plan:
    """The size of an allocation's plan, at the ratio it was made for."""
    removed = sum(gone(groups.blocks[i], *pair) for i, pair in allocation.cut.items())
    return plan_from_groups(groups, removed / groups.parameters, allocation=allocation)


def compared(store: Store, run_id: str, cut: Cut) -> dict[str, Plan]:
    """{name: plan} of the allocations known at one ratio: those found by jobs, and those that follow at once.

    Raises BadInput and its kin, as plans do.
    """
    groups, layers = groups_of(store, run_id), layers_of(store, run_id, cut.blocks)
    assert groups is not None
    stored, heads = _stored(store, run_id, cut), store.scores(run_id).get(cut.criterion)
    names = [name for name in WITHOUT_SEARCH if name not in {found.name for found in stored.values()}]
    ready: dict[str, str | Allocation] = {}
    for name in names:
        if heads is not None and name in FROM_SCORES and name not in fitting(heads):
            continue
        request = asked(store, run_id, Cut(cut.criterion, cut.channels_from, cut.ratio, cut.blocks, name))
        # Whole blocks do not come near every ratio, nor does every band: then there is nothing of theirs to compare.
        with suppress(MiniLLMError) if WITHOUT_SEARCH[name].may_refuse else nullcontext():
            found = known_allocation(store, run_id, request)
            if found is not None:
                ready[name] = found
    return {name: plan_from_groups(groups, cut.ratio, layers, found) for name, found in {**ready, **stored}.items()}


def _stored(store: Store, run_id: str, cut: Cut) -> dict[str, Allocation]:
    """Allocations of the run that were found for this cut."""
    layers = layers_of(store, run_id, cut.blocks)
    wanted: dict[str, Any] = {"ratio": cut.ratio, "criterion": cut.criterion}
    wanted["channels_from"] = cut.channels_from or cut.criterion
    if layers is not None:
        wanted["layers"] = layers
    return {name: a for name, a in allocations(store, run_id).items() if wanted.items() <= a.recipe.items()}


def latest(store: Store, run_id: str) -> dict[str, str]:
    """What the allocation found last was asked for, as an address would say it; {} without one."""
    found = list(allocations(store, run_id).values()) if run_id else []
    if not found:
        return {}
    asked_for = found[-1].recipe
    criterion, channels = asked_for["criterion"], asked_for["channels_from"]
    return {
        "criterion": criterion,
        "channels": "" if channels == criterion else channels,
        "ratio": f"{asked_for['ratio']:g}",
        "blocks": write_blocks(asked_for.get("layers") or None),
    }


def comparison(store: Store, run_id: str, cut: Cut, plans: dict[str, Plan]) -> str:
    """The table below the bars: what goes, what is left, how far from the dense model, and the way to cut by it."""
    stored = _stored(store, run_id, cut)
    measured = [found.recipe["fitness"] for found in stored.values()]
    fitness = {name: _fitness(found.recipe["fitness"], "value") for name, found in stored.items()}
    if measured:
        fitness.setdefault(UNIFORM, _fitness(measured[-1], "uniform"))
    several = next((plan.groups.named(CHANNELS) for plan in plans.values()), CHANNELS)
    head = ("allocation", "head groups cut", f"{several} cut", "parameters left", "fitness (lower is better)", "onward")
    rows = [_row(run_id, cut, name, plan, fitness.get(name, "–")) for name, plan in plans.items()]
    return html_table(head, rows, name="allocations compared", kind="allocations")


def _fitness(told: dict[str, Any], which: str) -> str:
    return f"{WORDS[told['measure']]} {told[which]:.4g} on {told['rows']} × {told['length']} tokens"


def _row(run_id: str, cut: Cut, name: str, plan: Plan, fitness: str) -> tuple[str, ...]:
    table = plan.table()
    options = {"criterion": cut.criterion, "channels": cut.channels_from, "ratio": f"{cut.ratio:g}"}
    there = link("prune", run=run_id, **options, blocks=cut.blocks, allocation=name)
    gone = (f"{int(table[column].sum()):,}" for column in ("heads_cut", "channels_cut"))
    return (name, *gone, count(plan.parameters), fitness, Markup('<a href="{}">Prune by it</a>').format(there))


def allocate_request(store: Store, run_id: str, cut: Cut, **settings: Any) -> AllocateRequest:
    """The request that a job takes. Raises BadInput and its kin, one sentence for the first field that is wrong."""
    layers = layers_of(store, run_id, cut.blocks)
    what = {"criterion": cut.criterion or "", "channels_from": cut.channels_from, "ratio": cut.ratio, "layers": layers}
    return AllocateRequest.from_json({**what, **settings})
