"""Score: tick criteria, start, and watch every block get its scores; then look at them from all sides."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm.families.groups import CHANNELS, KINDS
from minillm.plan.scale import SCALES, SHARE
from minillm.store.store import Store

from ..plots import CAPTIONS
from ..shell import job_panel
from ..shell.address import choice, number, remembered
from ..shell.drawers import drawer
from ..shell.frame import Context, Shell, frame
from ..shell.handlers import ACT, QUIET, Answer, answering, guarded
from ..shell.plotly_host import PlotlyHost
from ..views import scores as scores_view
from ..views.variants import kinds_in, kinds_of
from . import form as form_part

TITLE = "Score"
MOST, STANDARD = 0.6, 0.2
VIEWS = {"bands": "Bands", "sorted": "Sorted", "kept": "Kept", "block": "One block", "memory": "Memory"}
SCALED = ("bands", "sorted", "block")
"""Views that show scores, and so need a scale."""
CUTTING = ("sorted", "kept", "block")
"""Views that show a cut, and so need a ratio."""

SCORED_FIRST = "Shown once the criterion chosen above has been scored."

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

    picked, view: what the reader chose, both hidden.
    """

    picked: gr.Textbox
    view: gr.Textbox
    criterion: gr.Radio
    kind: gr.Radio
    tabs: gr.Tabs
    tab: dict[str, gr.Tab]
    ratio: gr.Slider
    block: gr.Slider
    scale: gr.Radio
    note: gr.Markdown
    hosts: dict[str, PlotlyHost]
    group: gr.HTML

    @property
    def inputs(self) -> list[Any]:
        """Values for `draw`, after the run id."""
        return [self.picked, self.view, self.kind, self.ratio, self.block, self.scale]

    @property
    def addressed(self) -> dict[str, Any]:
        """{option of the address: what holds it}."""
        return dict(zip(("criterion", "view", "kind", "ratio", "block", "scale"), self.inputs, strict=True))

    @property
    def outputs(self) -> list[Any]:
        """What `draw` may change."""
        return [self.criterion, self.scale, self.ratio, self.block, self.note, *self.hosts.values()]


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

        asked = [form.criteria, form.together, *form.recipe.values(), *form.settings.values()]
        shell.opens(partial(form_part.arrive, ctx.store, form), asked)
        shell.live(partial(progress, ctx.store, panel), panel.outputs)
        shell.live(partial(draw, ctx.store, pictures), pictures.outputs, pictures.inputs)
        shell.opens(partial(view_in_address, ctx.store, pictures), [*pictures.inputs, pictures.tabs])
        started = shell.starts(form.button.click, partial(form_part.begin, ctx), form.inputs, api_name="score")
        started.success(lambda label: label or "", pictures.criterion, pictures.picked, **QUIET)
        shell.runs_again(panel)
        wire_pictures(shell, pictures)
        keep = guarded(partial(form_part.kept_upload, ctx.store))
        form.upload.upload(keep, form.upload, form.recipe["text"], api_name="upload_text", **ACT)


def lay_out_pictures() -> Pictures:
    """The right column, below the job."""
    picked, view = (gr.Textbox(text, visible=False) for text in ("", "bands"))
    with gr.Row(elem_id="shown-of"):
        criterion = gr.Radio([], label="Criterion shown", elem_id="shown-criterion", scale=3, min_width=300)
        kind = gr.Radio(
            kinds_of(None), value=CHANNELS, label="Groups shown", elem_id="shown-kind", scale=1, min_width=240
        )
        scales = [(scale.label, name) for name, scale in SCALES.items()]
        scale = gr.Radio(scales, value=SHARE, label="Scores as", elem_id="shown-scale", scale=2, min_width=300)
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
    about: dict[str, Any] = {"empty": scores_view.UNMEASURED, "elem_id": "plot-influence", "height": 190}
    hosts["influence"] = PlotlyHost("How much each block changes what passes", CAPTIONS["influence_rows"], **about)
    return Pictures(picked, view, criterion, kind, tabs, tab, ratio, block, scale, note, hosts, group)


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
    inputs, fn = [shell.run, *on.inputs], answering(partial(draw, shell.ctx.store, on))
    redraw: dict[str, Any] = {"fn": fn, "inputs": inputs, "outputs": on.outputs, **QUIET}
    drawn = [
        on.criterion.input(lambda label: label, on.criterion, on.picked, **QUIET).then(**redraw),
        # One event for the three, lest the answer to an earlier move come last.
        gr.on([move.input for move in (on.kind, on.ratio, on.block, on.scale)], trigger_mode="always_last", **redraw),
    ]
    for name, tab in on.tab.items():
        drawn.append(tab.select(None, None, on.view, js=f"() => '{name}'", **QUIET).then(**redraw))
    block_view = [on.block, on.view, on.tabs]
    for name, axis in (("bands", "x"), ("sorted", "y"), ("kept", "y")):
        drawn.append(on.hosts[name].select(block_at(on, axis), None, block_view, **QUIET).success(**redraw))
    for event in drawn:
        remembered(event.then, on.addressed)

    def facts(run_id: str, picked: str, kind: str, block: float, event: gr.EventData) -> str:
        group = event.customdata[0] if isinstance(event.customdata, list) else event.customdata
        look = scores_view.board(shell.ctx.store, run_id)
        alike = scores_view.first(look.scores, look.shown(picked) or "")
        return scores_view.group_facts(alike, int(block), kind, int(group))

    asked = [shell.run, on.picked, on.kind, on.block]
    on.hosts["block"].select(guarded(facts), asked, on.group, api_visibility="private", **ACT)


def block_at(on: Pictures, axis: str) -> Callable[[gr.EventData], Answer]:
    """A handler of clicks on a picture whose blocks stand along an axis: that block, in the view that shows it."""

    def clicked(event: gr.EventData) -> Answer:
        block = round(float(getattr(event, axis)))
        return {on.block: block, on.view: "block", on.tabs: gr.Tabs(selected="block")}

    return clicked


def progress(store: Store, panel: job_panel.Panel, run_id: str) -> Answer:
    """The job panel: a row for each criterion."""
    look = scores_view.board(store, run_id)
    rows = job_panel.table(look.preparing, "first") if look.preparing else ""
    rows += job_panel.table(look.rows, "criterion") if look.rows else ""
    return panel.show(store, look.job, rows)


def view_in_address(store: Store, on: Pictures, run_id: str, options: dict[str, str]) -> Answer:
    """What the address says is to be shown, as far as it can be read."""
    view = choice(options, "view", VIEWS, "bands")
    return {
        on.picked: options.get("criterion", ""),
        on.view: view,
        on.tabs: gr.Tabs(selected=view),
        on.kind: gr.Radio(kinds_in(store, run_id), value=choice(options, "kind", KINDS, CHANNELS)),
        on.ratio: number(options, "ratio", STANDARD, 0.01, MOST),
        on.block: number(options, "block", 8, 0, 10_000),
        on.scale: choice(options, "scale", SCALES, SHARE),
    }


def draw(
    store: Store, on: Pictures, run_id: str, picked: str, view: str, kind: str, ratio: float, block: float, scale: str
) -> Answer:
    """The open view, and the choices above it."""
    if not run_id:
        return {}
    look = scores_view.board(store, run_id)
    label, blocks = look.shown(picked) or "", look.known_blocks or 32
    layer, scores = min(int(block or 0), blocks - 1), look.scores.get(label)
    plan, note = scores_view.plan_at(scores, ratio) if scores and view in CUTTING else (None, "")
    makers: dict[str, Callable[[], Any]] = {
        "bands": lambda: scores_view.bands(look, label, kind, scale),
        "sorted": lambda: scores_view.in_order(look, label, kind, plan, scale),
        "kept": lambda: scores_view.kept(look, label, kind, plan),
        "block": lambda: scores_view.one_block(look, label, kind, plan, layer, scale),
        "peaks": lambda: scores_view.peaks(look),
        "timeline": lambda: scores_view.timeline(look, label),
    }
    return {
        on.criterion: gr.Radio(choices=look.labels, value=label or None),
        on.scale: gr.Radio(visible=view in SCALED),
        on.ratio: gr.Slider(visible=view in CUTTING),
        on.block: gr.Slider(maximum=blocks - 1, value=layer, visible=view == "block"),
        on.note: scores_view.shared_walks(look) if view == "memory" else note,
        **{on.hosts[name]: makers[name]() for name in PLOTS[view]},
        on.hosts["influence"]: scores_view.influence(store, run_id),
    }
