"""Start: what this is, the way through it, a finished sample at once, and the latest runs."""

from functools import partial

import gradio as gr

from minillm.recipes.models import EMBEDDED, MODELS
from minillm.recipes.recipe import RunRecipe
from minillm.store.as_folder import BUNDLED, bundled_id
from minillm.store.store import Store

from .plots import CAPTIONS
from .shell.drawers import drawer
from .shell.frame import Context, frame
from .shell.handlers import ACT, QUIET, guarded
from .shell.plotly_host import PlotlyHost
from .shell.templates import html, paragraph
from .shell.xray_host import XrayHost, shown
from .views.filmstrip import FilmstripHost
from .views.runs import latest_table
from .views.sample_run import OPEN, RATIO, open_sample, overlap_at_once, strip_at_once

TITLE = "Start"
LATEST = 8
XRAY = "The sample run, group by group: move the ratio"
HEADING = f"The sample run: who cuts the same channels at a ratio of {RATIO:g}"

AT_FIRST = {"one": "fms-bp", "other": "random", "how": "least-squares", "prompt": 1}
"""What the slider shows at first: the best and the worst of the criteria, on a question with a short answer."""

WHAT = """
# See what pruning criteria cut from a language model

Score its attention heads and FFN channels under several criteria while you watch, see where the criteria agree and what
they cost in memory, cut, recover, and read the original, the pruned and the recovered model side by side.
"""

STEPS = (
    ("model", "Model", "what it is made of, and what fits"),
    ("score", "Score", "every head and channel, block by block"),
    ("compare", "Compare", "which criteria choose alike"),
    ("prune", "Prune & recover", "cut, and train what is left"),
    ("generate", "Generate", "read before and after"),
)


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx, needs_run=False) as shell:
        gr.Markdown(WHAT, elem_id="what")
        XrayHost(
            XRAY, value=shown(bundled_id(), bundled_id()), brief=True, elem_id="sample-xray", visible=BUNDLED.is_dir()
        )
        steps = gr.HTML(stepper(""), elem_id="stepper")
        with gr.Row(elem_id="ways-in"):
            bundled = BUNDLED.is_dir()
            sample = gr.Button("Open the sample run", variant="primary", elem_id="open-sample", visible=bundled)
            label = f"Start with {MODELS[EMBEDDED].label}"
            embedded = gr.Button(label, variant="secondary" if bundled else "primary", elem_id="start-embedded")
        with gr.Column(visible=bundled):
            sample_plot = PlotlyHost(HEADING, CAPTIONS["overlap_lines"], height=320, elem_id="sample-overlap")
            sample_said = gr.HTML(elem_id="sample-reading", elem_classes="reading")
        strip = FilmstripHost(begin=AT_FIRST, visible=bundled and bool(strip_at_once()), elem_id="sample-filmstrip")
        gr.Markdown("## Latest runs")
        latest = gr.HTML(elem_id="latest-runs")
        drawer("start")
        made = gr.Textbox(visible=False, label="Run")
        to_compare, to_score = (gr.Textbox(path, visible=False) for path in ("compare", "score"))

        if bundled:
            ctx.app.load(at_once, None, [sample_plot, sample_said], **QUIET)
            ctx.app.load(strip_at_once, None, strip, **QUIET)
        shell.live(stepper, [steps], without_run=True)
        shell.live(lambda run_id: latest_table(ctx.store, LATEST), [latest], without_run=True)
        opened = sample.click(guarded(partial(open_sample, ctx.store)), None, made, api_name="open_sample", **ACT)
        opened.success(None, [made, to_compare], None, js=OPEN, **QUIET)
        begun = embedded.click(guarded(partial(begin_embedded, ctx.store)), None, made, api_name="begin", **ACT)
        begun.success(None, [made, to_score], None, js=OPEN, **QUIET)


def stepper(run_id: str) -> str:
    """The way through the app as numbered links, which carry the run."""
    return html("stepper", steps=STEPS, run=run_id)


def at_once() -> tuple[str, str]:
    """The sample run's overlap as a picture and in words, with no run open."""
    figure, said = overlap_at_once()
    return figure, paragraph(said)


def begin_embedded(store: Store) -> str:
    """A new run of the embedded model with the default recipe; returns its id."""
    return store.create_run(RunRecipe(model=EMBEDDED), MODELS[EMBEDDED].label)
