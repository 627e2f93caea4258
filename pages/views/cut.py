"""What the Prune page makes of its controls: a plan to look at before anything is cut, and the requests that jobs take.

A plan at an equal ratio costs the same under every criterion, so its size is shown for criteria without scores as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from minillm.criteria import judging_all
from minillm.errors import BadInput
from minillm.families.groups import GROUPS, MIN_CHANNELS, MIN_HEADS
from minillm.plan.budget import largest_ratio
from minillm.plan.by_hand import plan_by_hand
from minillm.plan.methods import WITHOUT_SEARCH
from minillm.plan.plan import Plan, make_plan, plan_from_groups
from minillm.recipes.presets import CUTS
from minillm.recipes.requests import PruneRequest, by_slots, scoring_of
from minillm.recipes.texts import same_text
from minillm.store.allocations import allocations, known_allocation
from minillm.store.hand_plans import hand_plans
from minillm.store.records import Job, StoredEvent
from minillm.store.store import Store

from ..plots import plan_bars
from ..shell import job_panel
from ..shell.address import link
from ..shell.controls import asked_in
from ..shell.cut_controls import SAME, UNIFORM
from ..shell.templates import html_table, notice, paragraph
from .comparison import in_order
from .plans import columns, costs, in_a_sentence, read_blocks, really_cut, write_blocks
from .variants import dtype_of, groups_of

FIRST = "fms-zo"
"""The paper's own criterion."""

NEEDS_MODEL = "Nothing is known of this run's model yet: inspect it on the Model page, or score it."


BY_HAND = " These groups were chosen by hand: channels by, ratio, blocks and allocation have no say."


def needs_model(run_id: str) -> str:
    """What stands above a cut where the run's model is not known yet, with the way there; nothing without a run."""
    there = Markup('{} <a href="{}">Go to the Model page</a>').format(NEEDS_MODEL, link("model", run=run_id))
    return notice(there) if run_id else ""


@dataclass(frozen=True)
class Cut:
    """What the controls of a plan say: blocks as people write them, such as 3-27."""

    criterion: str
    channels_from: str
    ratio: float
    blocks: str
    allocation: str = UNIFORM
    min_heads: int = MIN_HEADS
    min_channels: int = MIN_CHANNELS


def criteria_choices(store: Store, run_id: str) -> list[tuple[str, str]]:
    """(shown, label) of what can choose the groups: stored scores, cuts made by hand, then criteria that would be
    scored first."""
    scored = in_order(store.score_labels(run_id))
    ready = [(label, label) for label in [*scored, *(hand_plans(store, run_id) if run_id else ())]]
    groups = groups_of(store, run_id) if run_id else None
    shared = groups is not None and any(block.query_parameters for block in groups.blocks)
    able = list(judging_all(groups))
    offered = [*able, *map(by_slots, able)] if shared else able
    return ready + [(f"{label} (scored first)", label) for label in offered if label not in scored]


def first_choice(store: Store, run_id: str, asked: str | None = None) -> str:
    """Which criterion is chosen at first: the one asked for, the paper's, else the first that has scores."""
    known = [label for _, label in criteria_choices(store, run_id)]
    scored = in_order(store.score_labels(run_id))
    if asked in known:
        return str(asked)
    return FIRST if FIRST in scored or not scored else scored[0]


def layers_of(store: Store, run_id: str, blocks: str) -> list[int] | None:
    """The blocks a text names. Raises BadInput, also where the model is not known yet."""
    groups = groups_of(store, run_id)
    if groups is None:
        raise BadInput(NEEDS_MODEL)
    return read_blocks(blocks, len(groups))


def plan_of(store: Store, run_id: str, cut: Cut) -> Plan:
    """The plan as it would be cut; where scores are still missing, one of the same size. Raises what plans raise."""
    groups, layers = groups_of(store, run_id), layers_of(store, run_id, cut.blocks)
    by_hand, scores = hand_plans(store, run_id), store.scores(run_id)
    if cut.criterion in by_hand:
        assert groups is not None
        return plan_by_hand(groups, by_hand[cut.criterion])
    heads, channels = scores.get(cut.criterion), scores.get(cut.channels_from or cut.criterion)
    allocation = known_allocation(store, run_id, asked(store, run_id, cut)) or UNIFORM
    least: dict[str, Any] = {"min_heads": cut.min_heads, "min_channels": cut.min_channels}
    if heads is None or channels is None:
        assert groups is not None
        counted = groups.counted_in(scoring_of(cut.criterion)[1].get("heads", GROUPS))
        return plan_from_groups(counted, cut.ratio, layers, allocation, **least)
    return make_plan(heads, cut.ratio, layers, allocation, channels_from=channels, **least)


def allocation_choices(store: Store, run_id: str) -> list[tuple[str, str]]:
    """(shown, name) of ways to divide the cut among the blocks: methods, and what searches of this run have found."""
    stored = allocations(store, run_id)
    ways = [(method.label, name) for name, method in WITHOUT_SEARCH.items()]
    return ways + [(f"{name} ({found.recipe['ratio']:.0%})", name) for name, found in stored.items()]


def found_first(store: Store, run_id: str, cut: Cut) -> str:
    """A sentence where the allocation of a plan has to be found first, and the plan shown is another one."""
    if known_allocation(store, run_id, asked(store, run_id, cut)) is not None:
        return ""
    return (
        f" How much each block gives up ({cut.allocation}) is found when the job runs; shown is the uniform plan of "
        "the same size."
    )


def asked(store: Store, run_id: str, cut: Cut) -> PruneRequest:
    """The request of a cut, as far as its plan goes. One made by hand says all by itself."""
    if cut.criterion in hand_plans(store, run_id):
        return PruneRequest(cut.criterion, ratio=plan_of(store, run_id, cut).ratio)
    return PruneRequest.from_json(
        {
            "criterion": cut.criterion or FIRST,
            "channels_from": cut.channels_from or SAME,
            "ratio": cut.ratio,
            "layers": layers_of(store, run_id, cut.blocks),
            "allocation": cut.allocation or UNIFORM,
            "min_heads": cut.min_heads,
            "min_channels": cut.min_channels,
        }
    )


def asked_of(request: Any, cut: dict[str, Any]) -> dict[Any, Any]:
    """What the controls of a cut show of a job's request; {} without one."""
    shown = asked_in(request, {**cut, "channels_from": cut["channels"]})
    return {**shown, cut["blocks"]: write_blocks(request.layers)} if request else {}


def too_few(store: Store, run_id: str, compensate: str) -> str:
    """A notice where a run's text is much smaller than what compensation was measured on here; empty else."""
    if not run_id or not compensate:
        return ""
    recipe, known = store.run(run_id).recipe, max(way.samples for way in CUTS.values() if way.compensate)
    if recipe.samples >= known:
        return ""
    return Markup(
        '<p class="notice">Compensation learns from the run\'s calibration text. “Best measured here” was measured '
        "with {:,} rows; this run has {:,} of {:,} tokens, and may come out worse than without it. "
        '<a href="{}">Score with more samples</a> for a run that has them.</p>'
    ).format(known, recipe.samples, recipe.length, link("score", run=run_id))


def preview(store: Store, run_id: str, cut: Cut) -> list[Any]:
    """What a plan would do, before it does: a sentence, costs before and after, the figure and the table by block."""
    plan = plan_of(store, run_id, cut)
    largest = largest_ratio(plan.groups, layers_of(store, run_id, cut.blocks))
    by_hand = cut.criterion in hand_plans(store, run_id)
    said = in_a_sentence(plan) + BY_HAND if by_hand else in_a_sentence(plan, largest) + found_first(store, run_id, cut)
    return [
        paragraph(said),
        html_table(("", "before", "after", "change"), costs(plan, dtype_of(store, run_id)), name="plan-costs"),
        plan_bars(plan),
        html_table(columns(plan), really_cut(plan), "What is really cut of each block"),
    ]


def prune_request(store: Store, run_id: str, cut: Cut, **how: Any) -> PruneRequest:
    """The request that a job takes. how: the fields of a `PruneRequest` beside the cut, as controls hold them. Raises
    BadInput and its kin, one sentence for the first field that is wrong."""
    wanted = asked(store, run_id, cut).to_json() | {"criterion": cut.criterion or ""}
    return PruneRequest.from_json(wanted | how | measuring(how))


def measuring(given: dict[str, Any]) -> dict[str, Any]:
    """Text and tokens of a measurement, where a control is empty, as requests have them."""
    return {"evaluate_text": given["evaluate_text"] or "", "evaluate_tokens": given["evaluate_tokens"] or None}


def warning(store: Store, run_id: str, evaluate_text: str | None) -> str:
    """A notice where what calibrates also evaluates; empty where all is well, or where the name means nothing."""
    try:
        said = same_text(store.run(run_id).recipe.text, evaluate_text) if evaluate_text else ""
    except BadInput:
        return ""
    return notice(said) if said else ""


def rows(job: Job, events: Sequence[StoredEvent], usual: Mapping[str, float] | None = None) -> str:
    """The steps of a job as rows of its panel. usual: seconds of those that tell nothing on their way."""
    seen = [event for event in events if event.stage != "result"]
    labels = {event.stage: _shown(event.stage) for event in seen if ":" in event.stage}
    return job_panel.table(job_panel.steps(job, seen, labels, usual), "step") if seen or job.state == "running" else ""


def _shown(stage: str) -> str:
    what, _, name = stage.partition(":")
    words = {"score": "score under ", "perplexity": "perplexity of ", "sensitivity": "sensitivity by ", "allocate": ""}
    return words.get(what, f"{what} ") + name
