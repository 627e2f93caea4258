"""Score: tick criteria, start, and watch every block get its scores; then look at them from all sides."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm.store.store import Store

from ..plots import CAPTIONS
from ..shell import job_panel
from ..shell.address import choice, number, remembered
from ..shell.drawers import drawer
from ..shell.frame import ACT, QUIET, Context, Shell, frame, guarded
from ..shell.plotly_host import PlotlyHost
from ..views import scores as scores_view
from . import form as form_part

TITLE = "Score"
MOST, STANDARD = 0.6, 0.2
VIEWS = {"bands": "Bands", "sorted": "Sorted", "kept": "Kept", "block": "One block", "memory": "Memory"}
CUTTING = ("sorted", "kept", "block")
"""Views that show a cut, and so need a ratio."""

SCORED_FIRST = "Shown as soon as a criterion has been scored."

PLOTS = {
    "bands": {"bands": ("Scores by block", "score_bands", "The first picture comes with the first scored block.")},
    "sorted": {"sorted": ("Every block in the order of its scores", "sorted_map", SCORED_FIRST)},
    "kept": {"kept": ("What stays at this ratio", "kept_map", SCORED_FIRST)},
    "block": {"block": ("Every group of one block", "drill_down", SCORED_FIRST)},
    "memory": {
        "peaks": ("Peak memory by criterion (Figure 1)", "peak_bars", SCORED_FIRST),
        "timeline": ("Memory while scoring", "memory_timeline", SCORED_FIRST),
    },
}
"""{view: {figure: (heading, caption, what stands there before it)}}, in the order of `Pictures.hosts`."""


@dataclass(frozen=True)
class Pictures:
    """The pictures and what they are shown of.

    opened: empty until the page has taken what its address says; picked, view: what the reader chose. All three hidden.
    """

    opened: gr.Textbox
    picked: gr.Textbox
    view: gr.Textbox
    criterion: gr.Radio
    kind: gr.Radio
    tabs: gr.Tabs
    tab: dict[str, gr.Tab]
    ratio: gr.Slider
    block: gr.Slider
    note: gr.Markdown
    hosts: dict[str, PlotlyHost]
    group: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """Values for `draw`, after the run id."""
        return [self.picked, self.view, self.kind, self.ratio, self.block]

    @property
    def addressed(self) -> dict[str, Any]:
        """{option of the address: what holds it}."""
        return dict(zip(("criterion", "view", "kind", "ratio", "block"), self.inputs, strict=True))

    @property
    def restored(self) -> list[Any]:
        """What `view_in_address` gives values for."""
        return [self.opened, self.picked, self.view, self.kind, self.tabs, *self.outputs]

    @property
    def outputs(self) -> list[Any]:
        """What `draw` gives values for."""
        return [self.criterion, self.ratio, self.block, self.note, *self.hosts.values()]


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        gr.Markdown("# Score", elem_id="score-title")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                form = form_part.lay_out_form()
            with gr.Column(scale=5, min_width=320):
                panel = job_panel.panel("score")
                pictures = lay_out_pictures()
        drawer("score")

        asked = [form.criteria, form.together, *form.recipe.values()]
        shell.opens(partial(form_part.arrive, ctx.store), asked, form.button)
        shell.live(partial(progress, ctx.store, panel), panel.outputs)
        shell.live(partial(looked, ctx.store), pictures.outputs, [pictures.opened, *pictures.inputs])
        shell.opens(partial(view_in_address, ctx.store), pictures.restored)
        shell.starts(form.button.click, partial(form_part.begin, ctx), form.inputs, api_name="score")
        shell.runs_again(panel)
        wire_pictures(shell, pictures)
        keep = guarded(partial(form_part.kept_upload, ctx.store))
        form.upload.upload(keep, form.upload, form.recipe["text"], api_name="upload_text", **ACT)


def lay_out_pictures() -> Pictures:
    """The right column, below the job."""
    opened, picked, view = (gr.Textbox(text, visible=False) for text in ("", "", "bands"))
    with gr.Row(elem_id="shown-of"):
        criterion = gr.Radio([], label="Criterion shown", elem_id="shown-criterion", scale=3, min_width=300)
        kinds = [(label, name) for name, label in scores_view.KINDS]
        kind = gr.Radio(kinds, value=kinds[0][1], label="Groups", elem_id="shown-kind", scale=1, min_width=240)
    with gr.Row():
        label = "Ratio at which they would be cut"
        ratio = gr.Slider(0.01, MOST, STANDARD, step=0.01, label=label, elem_id="shown-ratio", visible=False)
        block = gr.Slider(0, 31, 0, step=1, label="Block", elem_id="shown-block", buttons=[], visible=False)
    note = gr.Markdown(elem_id="shown-note")
    tab: dict[str, gr.Tab] = {}
    hosts: dict[str, PlotlyHost] = {}
    with gr.Tabs(elem_id="views") as tabs:
        for name, title in VIEWS.items():
            with gr.Tab(title, id=name, elem_id=f"view-{name}") as tab[name]:
                hosts |= lay_out_hosts(name)
                if name == "block":
                    group = gr.HTML(elem_id="one-group")
    return Pictures(opened, picked, view, criterion, kind, tabs, tab, ratio, block, note, hosts, group)


def lay_out_hosts(view: str) -> dict[str, PlotlyHost]:
    """The figures of a view, by name, beside each other where there is room."""
    hosts = {}
    with gr.Row(equal_height=False):
        for name, (label, caption, empty) in PLOTS[view].items():
            with gr.Column(min_width=340):
                hosts[name] = PlotlyHost(label, CAPTIONS[caption], empty=empty, elem_id=f"plot-{name}")
    return hosts


def wire_pictures(shell: Shell, on: Pictures) -> None:
    """What the reader chooses to see; each choice redraws only the view that is open."""
    inputs, fn = [shell.run, *on.inputs], partial(draw, shell.ctx.store)
    redraw: dict[str, Any] = {"fn": fn, "inputs": inputs, "outputs": on.outputs, **QUIET}
    drawn = [
        on.criterion.input(lambda label: label, on.criterion, on.picked, **QUIET).then(**redraw),
        # One event for the three, lest the answer to an earlier move come last.
        gr.on([on.kind.input, on.ratio.input, on.block.input], trigger_mode="always_last", **redraw),
    ]
    for name, tab in on.tab.items():
        drawn.append(tab.select(None, None, on.view, js=f"() => '{name}'", **QUIET).then(**redraw))
    block_view = [on.block, on.view, on.tabs]
    for name, block_of in (("bands", column_of), ("sorted", row_of), ("kept", row_of)):
        drawn.append(on.hosts[name].select(block_of, None, block_view, **QUIET).success(**redraw))
    for event in drawn:
        remembered(event.then, on.addressed)

    def facts(run_id: str, kind: str, block: float, event: gr.EventData) -> str:
        group = event.customdata[0] if isinstance(event.customdata, list) else event.customdata
        return scores_view.group_facts(shell.ctx.store.scores(run_id), int(block), kind, int(group))

    on.hosts["block"].select(guarded(facts), [shell.run, on.kind, on.block], on.group, api_visibility="private", **ACT)


def column_of(event: gr.EventData) -> list[Any]:
    """The block of a clicked column, and the view that shows it."""
    return [round(float(event.x)), "block", gr.Tabs(selected="block")]


def row_of(event: gr.EventData) -> list[Any]:
    """The block of a clicked row, and the view that shows it."""
    return [round(float(event.y)), "block", gr.Tabs(selected="block")]


def progress(store: Store, panel: job_panel.Panel, run_id: str) -> list[Any]:
    """The job panel: a row for each criterion."""
    look = scores_view.board(store, run_id)
    rows = job_panel.table(look.rows, "criterion") if look.rows else ""
    return panel.show(look.job, rows)


def looked(store: Store, run_id: str, opened: str, *values: Any) -> list[Any]:
    """`draw`, once the page has taken what its address says."""
    return draw(store, run_id if opened else "", *values)


def view_in_address(store: Store, run_id: str, options: dict[str, str]) -> list[Any]:
    """Values for `Pictures.restored`: what the address says, as far as it can be read, and that drawn."""
    view = choice(options, "view", VIEWS, "bands")
    kind = choice(options, "kind", [name for name, _ in scores_view.KINDS], scores_view.KINDS[0][0])
    ratio, block = number(options, "ratio", STANDARD, 0.01, MOST), number(options, "block", 8, 0, 10_000)
    picked = options.get("criterion", "")
    criterion, _, *rest = draw(store, run_id, picked, view, kind, ratio, block)
    slider = gr.Slider(value=ratio, visible=bool(run_id) and view in CUTTING)
    return ["opened", picked, view, kind, gr.Tabs(selected=view), criterion, slider, *rest]


def draw(store: Store, run_id: str, picked: str, view: str, kind: str, ratio: float, block: float) -> list[Any]:
    """Values for `Pictures.outputs`: the open view drawn, the others left as they are."""
    if not run_id:
        return [gr.skip()] * (4 + sum(map(len, PLOTS.values())))
    look = scores_view.board(store, run_id)
    label, blocks = look.shown(picked) or "", look.known_blocks or 32
    layer, scores = min(int(block or 0), blocks - 1), look.scores.get(label)
    plan, note = scores_view.plan_at(scores, ratio) if scores and view in CUTTING else (None, "")
    note = scores_view.shared_walks(look) if view == "memory" else note
    makers: dict[str, Callable[[], Any]] = {
        "bands": lambda: scores_view.bands(look, label, kind),
        "sorted": lambda: scores_view.in_order(look, label, kind, plan),
        "kept": lambda: scores_view.kept(look, label, kind, plan),
        "block": lambda: scores_view.one_block(look, label, kind, plan, layer),
        "peaks": lambda: scores_view.peaks(look),
        "timeline": lambda: scores_view.timeline(look, label),
    }
    drawn = [make() if name in PLOTS[view] else gr.skip() for name, make in makers.items()]
    choices = [(scores_view.shown_name(one), one) for one in look.labels]
    sliders = [gr.Slider(visible=view in CUTTING), gr.Slider(maximum=blocks - 1, value=layer, visible=view == "block")]
    return [gr.Radio(choices=choices, value=label or None), *sliders, note, *drawn]
