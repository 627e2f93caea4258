"""Allocate: find how much each block gives up, watch the search, compare what was found, and hand one to Prune."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm.errors import MiniLLMError
from minillm.jobs.submit import submit
from minillm.plan.methods import METHODS
from minillm.plan.sensitivity import MEASURES
from minillm.recipes.recipe import AllocateRequest
from minillm.store.allocations import sensitivities
from minillm.store.store import Store

from .plots import CAPTIONS, allocation_bars, plan_bars, search_curve, sensitivity_panels
from .shell import job_panel
from .shell.address import link
from .shell.controls import controls, takes
from .shell.cut_controls import MOST, SAME, cut_controls
from .shell.drawers import drawer
from .shell.frame import Context, Shell, frame
from .shell.plotly_host import PlotlyHost
from .shell.templates import notice, paragraph
from .views import allocations
from .views import cut as cut_view
from .views.cut import Cut
from .views.variants import groups_of

TITLE = "Allocate"
DEFAULT = AllocateRequest(criterion="any")
SEARCH = ("method", "sensitivity", "fitness", "generations", "offspring", "few_rows", "rows", "seed")
"""Fields of an `AllocateRequest` beside the cut, in the order in which handlers take them."""


@dataclass(frozen=True)
class Page:
    """What is on the page.

    opened: hidden, says what was drawn last, empty until the page has opened; cut, search: controls by name, in the
    order in which handlers take values; watch: sentence, curve, bars of the best so far; compare: bars and table.
    """

    opened: gr.Textbox
    empty: gr.HTML
    cut: dict[str, Any]
    search: dict[str, Any]
    start: gr.Button
    panel: job_panel.Panel
    watch: list[Any]
    sensitivity: PlotlyHost
    compare: list[Any]


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        page = lay_out()
        drawer("allocate")
        wire(ctx, shell, page)


def lay_out() -> Page:
    """The whole page."""
    opened = gr.Textbox(visible=False, elem_id="allocate-opened")
    gr.Markdown("# Allocate")
    empty = gr.HTML(elem_id="allocate-empty")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            cut, search = cut_controls("allocate"), _search_controls()
            start = gr.Button("Find an allocation", variant="primary", elem_id="allocate")
        with gr.Column(scale=3, min_width=320):
            panel, watch = job_panel.panel("allocate"), _watched()
    gr.Markdown("## How much each block matters")
    sensitivity = PlotlyHost(
        "Sensitivity by block",
        CAPTIONS["sensitivity_panels"],
        empty="Measured by the first search, or by the method “sensitivity”.",
        elem_id="sensitivity",
    )
    gr.Markdown("## Allocations at this ratio")
    bars = PlotlyHost("What each block gives up", CAPTIONS["allocation_bars"], elem_id="allocations", height=320)
    compare = [bars, gr.HTML(elem_id="allocations-table")]
    return Page(opened, empty, cut, search, start, panel, watch, sensitivity, compare)


def _search_controls() -> dict[str, Any]:
    method, measure, fitness, *numbers = SEARCH
    ways = list(reversed(METHODS))
    found = controls(AllocateRequest, [method], "allocate", kind=gr.Radio, choices=ways)
    with gr.Accordion("Search settings", open=False, elem_id="allocate-settings"):
        measures = [("Fisher trace", MEASURES[0]), ("masking", MEASURES[1])]
        found |= controls(AllocateRequest, [measure], "allocate", kind=gr.Radio, choices=measures)
        judged = [("KL to the dense model", "kl"), ("perplexity", "perplexity")]
        found |= controls(AllocateRequest, [fitness], "allocate", kind=gr.Radio, choices=judged)
        return found | controls(AllocateRequest, numbers, "allocate")


def _watched() -> list[Any]:
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
    return [said, curve, bars]


def wire(ctx: Context, shell: Shell, page: Page) -> None:
    """What follows from opening the page, from a job, and from moving a control."""
    store, cut = ctx.store, list(page.cut.values())
    whole = [page.opened, page.empty, *cut, *page.compare]

    def looked(run_id: str, opened: str, *values: Any) -> list[Any]:
        """Choices and comparison anew only where something was found: a live job must not disturb who is choosing."""
        if not opened or opened == state(store, run_id):
            return [gr.skip() for _ in whole]
        return arrived(store, run_id, values)

    shell.live(looked, whole, [page.opened, *cut])
    shell.live(partial(watched, store, page.panel), [*page.panel.outputs, *page.watch, page.sensitivity])
    shell.opens(partial(opened, store), whole)
    shell.follows(page.cut, partial(compared, store), page.compare)
    shell.starts(page.start.click, partial(begin, store), [*cut, *page.search.values()], "allocate")
    shell.runs_again(page.panel)


def state(store: Store, run_id: str) -> str:
    """Changes whenever there are other scores, sensitivities or allocations."""
    if not run_id:
        return "no run"
    kinds = ("allocation", "sensitivity", "inspect")
    found = [f"{kind} {len(store.results(run_id, kind))}" for kind in kinds]
    return ";".join([*store.score_labels(run_id), *found])


def opened(store: Store, run_id: str, options: dict[str, str]) -> list[Any]:
    """What the address asks for, else what was searched for last."""
    return arrived(store, run_id, from_address(options or allocations.latest(store, run_id)))


def from_address(options: dict[str, str]) -> list[Any]:
    """Criterion, channels, ratio and blocks, as far as the address gives any."""
    try:
        ratio = min(max(float(options.get("ratio", DEFAULT.ratio)), 0.0), MOST)
    except ValueError:
        ratio = DEFAULT.ratio
    return [options.get("criterion"), options.get("channels", SAME), ratio, options.get("blocks", "")]


def arrived(store: Store, run_id: str, values: Any) -> list[Any]:
    """State, empty state, controls of the cut, comparison."""
    now = state(store, run_id)
    if not run_id or groups_of(store, run_id) is None:
        there = link("model", run=run_id)
        notice = f'<p class="notice">{cut_view.NEEDS_MODEL} <a href="{there}">Go to the Model page</a></p>'
        return [now, notice if run_id else "", *[gr.skip() for _ in range(6)]]
    criterion, channels, ratio, blocks = values
    choices = cut_view.criteria_choices(store, run_id)
    criterion = cut_view.first_choice(store, run_id, criterion)
    channels = channels if channels in [label for _, label in choices] else SAME
    controls = [
        gr.Dropdown(choices=choices, value=criterion),
        gr.Dropdown(choices=[("the same", SAME), *choices], value=channels),
        ratio,
        blocks,
    ]
    return [now, "", *controls, *compared(store, run_id, criterion, channels, ratio, blocks)]


def compared(store: Store, run_id: str, criterion: str, channels: str, ratio: float, blocks: str) -> list[Any]:
    """Bars and table of the allocations at this ratio; where there can be none, why, and the last picture stays."""
    if not run_id or not criterion:
        return [gr.skip(), gr.skip()]
    cut = Cut(criterion, channels or SAME, ratio, blocks)
    try:
        plans = allocations.compared(store, run_id, cut)
    except MiniLLMError as fault:
        return [gr.skip(), notice(str(fault), "failed")]
    return [allocation_bars(plans), allocations.comparison(store, run_id, cut, plans)]


def watched(store: Store, panel: job_panel.Panel, run_id: str) -> list[Any]:
    """The job panel, the search so far, and the sensitivities."""
    job = job_panel.current(store, run_id, panel.kind)
    events = store.events(job.id) if job else []
    shown = panel.show(job, cut_view.rows(job, events) if job else "")
    measured, groups = sensitivities(store, run_id), groups_of(store, run_id)
    panels = sensitivity_panels(measured, len(groups)) if measured and groups else None
    search = allocations.search_of(store, run_id, job, events)
    if search is None or groups is None:
        return [*shown, "", None, None, panels]
    curve = search_curve(search.points, search.measure, search.generations)
    plan = allocations.plan_shown(groups, search.allocation)
    return [*shown, paragraph(search.in_words()), curve, plan_bars(plan), panels]


@takes((AllocateRequest, SEARCH))
def begin(
    store: Store, run_id: str, criterion: str, channels_from: str, ratio: float, blocks: str, **search: Any
) -> int:
    """Find how much each block gives up at a ratio; returns the job's number. Stopped, a search keeps the best so far,
    and goes on from there when it is started again with the same settings."""
    cut = Cut(criterion, channels_from, ratio, blocks)
    return submit(store, run_id, allocations.allocate_request(store, run_id, cut, **search))
