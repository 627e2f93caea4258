"""Allocate: find how much each block gives up, watch the search, compare what was found, and hand one to Prune."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm.errors import MiniLLMError
from minillm.jobs.submit import submit
from minillm.plan.methods import METHODS
from minillm.plan.sensitivity import MASKING, MEASURES
from minillm.recipes.requests import AllocateRequest
from minillm.store.allocations import sensitivities
from minillm.store.store import Store

from ..plots import CAPTIONS, UNITS, allocation_bars, foretold_scatter, plan_bars, search_curve, sensitivity_panels
from ..shell import job_panel
from ..shell.address import number
from ..shell.controls import asked_in, controls, takes
from ..shell.cut_controls import MOST, SAME, cut_controls
from ..shell.drawers import drawer
from ..shell.frame import Context, Shell, frame
from ..shell.handlers import QUIET, Answer
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import notice, paragraph
from ..views import allocations, cut as cut_view
from ..views.cut import Cut
from ..views.variants import groups_of
from . import masks

TITLE = "Allocate"
DEFAULT = AllocateRequest(criterion="any")
_NUMBERS = ("generations", "offspring", "few_rows", "rows", "seed", "min_heads", "min_channels")
_BOUNDS = ("mapping", "half_width", "parts")
SEARCH = ("method", "sensitivity", "fitness", *_NUMBERS, "compensate", *_BOUNDS)
"""Fields of an `AllocateRequest` beside the cut, in the order in which handlers take them."""


@dataclass(frozen=True)
class Page:
    """What is on the page.

    cut, search: controls by name, in the order in which handlers take values; said, curve, best: the search so far;
    bars, table: allocations compared.
    """

    empty: gr.HTML
    cut: dict[str, Any]
    search: dict[str, Any]
    start: gr.Button
    panel: job_panel.Panel
    said: gr.HTML
    curve: PlotlyHost
    best: PlotlyHost
    sensitivity: PlotlyHost
    foretold: PlotlyHost
    bars: PlotlyHost
    table: gr.HTML


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        page = lay_out()
        learning = masks.lay_out()
        drawer("allocate")
        masks.wire(ctx, shell, learning)
        wire(ctx, shell, page)
        masks.wire_start(ctx, shell, learning)


def lay_out() -> Page:
    """The whole page."""
    gr.Markdown("# Allocate")
    empty = gr.HTML(elem_id="allocate-empty")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            cut, search = cut_controls("allocate"), _search_controls()
            start = gr.Button("Find an allocation", variant="primary", elem_id="allocate")
        with gr.Column(scale=3, min_width=320):
            panel, watched = job_panel.panel("allocate"), _watched()
    gr.Markdown("## How much each block matters")
    sensitivity = PlotlyHost(
        "Sensitivity by block",
        CAPTIONS["sensitivity_panels"],
        empty="Measured by the first search, by the methods “sensitivity”, “blocks” and “run”, and while scoring.",
        elem_id="sensitivity",
    )
    foretold = PlotlyHost(
        "Costs foretold and found",
        CAPTIONS["foretold_scatter"],
        empty="Drawn of scores that are losses (kfac), once a search, or the method “sensitivity” by masking, has "
        "tried them.",
        elem_id="foretold",
        height=340,
    )
    gr.Markdown("## Allocations at this ratio")
    bars = PlotlyHost("What each block gives up", CAPTIONS["allocation_bars"], elem_id="allocations", height=320)
    table = gr.HTML(elem_id="allocations-table")
    return Page(empty, cut, search, start, panel, *watched, sensitivity, foretold, bars, table)


def _search_controls() -> dict[str, Any]:
    method, measure, fitness = SEARCH[:3]
    ways = list(reversed(METHODS))
    found = controls(AllocateRequest, [method], "allocate", kind=gr.Radio, choices=ways, info=about(DEFAULT.method))
    found[method].change(lambda name: gr.Radio(info=about(name)), found[method], found[method], **QUIET)
    with gr.Accordion("Search settings", open=False, elem_id="allocate-settings"):
        measures = [(UNITS[measure], measure) for measure in MEASURES]
        found |= controls(AllocateRequest, [measure], "allocate", kind=gr.Radio, choices=measures)
        judged = [("KL to the dense model", "kl"), ("perplexity", "perplexity")]
        found |= controls(AllocateRequest, [fitness], "allocate", kind=gr.Radio, choices=judged)
        found |= controls(AllocateRequest, _NUMBERS, "allocate")
        judged = [("as masks", ""), ("after least squares", "least-squares")]
        found |= controls(AllocateRequest, ["compensate"], "allocate", kind=gr.Radio, choices=judged)
        return found | controls(AllocateRequest, _BOUNDS, "allocate")


def about(method: str) -> str:
    """What stands above the methods: what the chosen one does."""
    return f"{method}: {METHODS[method].about}."


def _watched() -> tuple[gr.HTML, PlotlyHost, PlotlyHost]:
    said = gr.HTML(elem_id="search-reading", elem_classes="reading")
    curve = PlotlyHost(
        "Fitness by generation",
        CAPTIONS["search_curve"],
        empty="Drawn from the first generation on.",
        elem_id="search-curve",
        height=280,
    )
    bars = PlotlyHost(
        "The best allocation so far", CAPTIONS["plan_bars"], empty="Nothing found yet.", elem_id="best-bars", height=260
    )
    return said, curve, bars


def wire(ctx: Context, shell: Shell, page: Page) -> None:
    """What follows from opening the page, from a job, and from moving a control."""
    store, cut, compare = ctx.store, list(page.cut.values()), [page.bars, page.table]
    asked = partial(asked_for, store, page)
    shell.opens(lambda run_id, options: searched_for(store, page, run_id), list(page.search.values()))
    shell.redraws_when(partial(state, store), partial(arrived, store, page), [page.empty, *compare], cut, asked)
    watch = [*page.panel.outputs, page.said, page.curve, page.best, page.sensitivity, page.foretold]
    shell.live(partial(watched, store, page), watch)
    shell.follows(page.cut, partial(compared, store, page), compare)
    shell.starts(page.start.click, partial(begin, store), [*cut, *page.search.values()], "allocate")
    shell.runs_again(page.panel)


def state(store: Store, run_id: str) -> str:
    """Changes whenever there are other scores, sensitivities or allocations."""
    if not run_id:
        return "no run"
    kinds = ("allocation", "sensitivity", "inspect")
    found = [f"{kind} {len(store.results(run_id, kind))}" for kind in kinds]
    return ";".join([*store.score_labels(run_id), *found])


def searched_for(store: Store, page: Page, run_id: str) -> Answer:
    """The search as the latest job was asked for; at first on no more rows than the run has."""
    request = job_panel.request_of(store, run_id, "allocate")
    if request or not run_id:
        return asked_in(request, page.search)
    samples = store.run(run_id).recipe.samples
    return {page.search[name]: min(getattr(DEFAULT, name), samples) for name in ("few_rows", "rows")}


def asked_for(store: Store, page: Page, run_id: str, options: dict[str, str]) -> Answer:
    """What the address asks for, else the latest job, else what was found last."""
    request = job_panel.request_of(store, run_id, "allocate")
    if request and not options:
        return cut_view.asked_of(request, page.cut)
    given = options or allocations.latest(store, run_id)
    values: dict[str, Any] = {"criterion": given.get("criterion"), "channels": given.get("channels", SAME)}
    values |= {"ratio": number(given, "ratio", DEFAULT.ratio, 0, MOST), "blocks": given.get("blocks", "")}
    return {page.cut[name]: value for name, value in values.items()}


def arrived(
    store: Store, page: Page, run_id: str, criterion: str | None, channels: str, ratio: float, blocks: str
) -> Answer:
    """Whether the model is known, the choices, and the comparison."""
    if not run_id or groups_of(store, run_id) is None:
        return {page.empty: cut_view.needs_model(run_id)}
    choices = cut_view.criteria_choices(store, run_id)
    criterion = cut_view.first_choice(store, run_id, criterion)
    channels = channels if channels in [label for _, label in choices] else SAME
    return {
        page.empty: "",
        page.cut["criterion"]: gr.Dropdown(choices=choices, value=criterion),
        page.cut["channels"]: gr.Dropdown(choices=[("the same", SAME), *choices], value=channels),
        **compared(store, page, run_id, criterion, channels, ratio, blocks),
    }


def compared(store: Store, page: Page, run_id: str, criterion: str, channels: str, ratio: float, blocks: str) -> Answer:
    """Bars and table of the allocations at this ratio; where there can be none, why, and the last picture stays."""
    if not run_id or not criterion:
        return {}
    cut = Cut(criterion, channels or SAME, ratio, blocks)
    try:
        plans = allocations.compared(store, run_id, cut)
    except MiniLLMError as fault:
        return {page.table: notice(str(fault), "failed")}
    return {page.bars: allocation_bars(plans), page.table: allocations.comparison(store, run_id, cut, plans)}


def watched(store: Store, page: Page, run_id: str) -> Answer:
    """The job panel, the search so far, and the sensitivities."""
    job = job_panel.current(store, run_id, page.panel.kind)
    events = store.events(job.id) if job else []
    shown = page.panel.show(store, job, cut_view.rows(job, events) if job else "")
    measured, groups = sensitivities(store, run_id), groups_of(store, run_id)
    shown[page.sensitivity] = sensitivity_panels(measured, len(groups)) if measured and groups else None
    tried = measured.get(MASKING)
    shown[page.foretold] = foretold_scatter(tried) if tried and tried.recipe.get("foretold") else None
    search = allocations.search_of(store, run_id, job, events)
    if search is None or groups is None:
        return {**shown, page.said: "", page.curve: None, page.best: None}
    plan = allocations.plan_shown(groups, search.allocation)
    return {
        **shown,
        page.said: paragraph(search.in_words()),
        page.curve: search_curve(search.points, search.measure, search.generations),
        page.best: plan_bars(plan),
    }


@takes((AllocateRequest, SEARCH))
def begin(
    store: Store, run_id: str, criterion: str, channels_from: str, ratio: float, blocks: str, **search: Any
) -> int:
    """Find how much each block gives up at a ratio; returns the job's number. Stopped, a search keeps the best so far,
    and goes on from there when it is started again with the same settings."""
    cut = Cut(criterion, channels_from, ratio, blocks)
    return submit(store, run_id, allocations.allocate_request(store, run_id, cut, **search))
