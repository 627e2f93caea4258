"""Model: choose one, see what it is made of and what scoring it would take, before anything is scored."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm.jobs.submit import submit
from minillm.recipes.models import EMBEDDED, MODELS, PATH, allowed_path, kind_of
from minillm.recipes.recipe import DTYPES, RunRecipe
from minillm.recipes.requests import InspectRequest
from minillm.store.store import Store

from .plots import CAPTIONS
from .shell import job_panel
from .shell.address import choice, link, remembered
from .shell.drawers import drawer
from .shell.frame import Context, frame
from .shell.handlers import QUIET, Answer
from .shell.plotly_host import PlotlyHost
from .shell.templates import paragraph
from .views import model as model_view
from .views.model_strip import strip
from .views.usual import usual_steps

TITLE = "Model"
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Page:
    """What is on the page. asked: controls by field of a `RunRecipe`."""

    asked: dict[str, Any]
    panel: job_panel.Panel
    onward: gr.HTML
    drawn: gr.HTML
    facts: gr.HTML
    forecast: gr.HTML
    bars: PlotlyHost


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx, needs_run=False) as shell:
        gr.Markdown("# Model")
        drawn = gr.HTML(elem_id="model-strip")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                asked = lay_out_choice(ctx.confined)
                button = gr.Button("Inspect", variant="primary", elem_id="inspect")
                panel = job_panel.panel("inspect")
                onward = gr.HTML(elem_id="onward")
            with gr.Column(scale=3, min_width=320):
                facts = gr.HTML(elem_id="model-facts")
        gr.Markdown("## What scoring it would take")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                forecast = gr.HTML(elem_id="forecast")
            with gr.Column(min_width=320):
                heading = "Peak memory, foretold (as Figure 1)"
                bars = PlotlyHost(heading, CAPTIONS["peak_bars"], elem_id="plot-forecast")
        drawer("model")

        page = Page(asked, panel, onward, drawn, facts, forecast, bars)
        controls, shown = list(asked.values()), [drawn, facts, forecast, bars]
        shell.opens(partial(arrive, ctx.store, page), controls)
        again = partial(show, ctx, page)
        for control in controls:
            control.change(again, [shell.run, *controls], shown, trigger_mode="always_last", **QUIET)
            remembered(control.input, asked)
        shell.live(partial(progress, ctx.store, page), [*panel.outputs, onward])
        shell.live(again, shown, controls, without_run=True)
        shell.starts(button.click, partial(begin, ctx), controls, api_name="inspect", without_run=True)
        shell.runs_again(panel)


def lay_out_choice(confined: bool) -> dict[str, Any]:
    """Controls for model, dtype and device."""
    place = "a folder under MINILLM_HOME" if confined else "a folder or .gguf file on this machine"
    default = RunRecipe()
    model = gr.Dropdown(
        [(f"{entry.label} (built in)", name) for name, entry in MODELS.items()],
        value=EMBEDDED,
        allow_custom_value=True,
        label="Model",
        info=f"Built in, or type the path of {place}, or a hub name such as HuggingFaceTB/SmolLM2-360M.",
        elem_id="model-name",
    )
    with gr.Row():
        dtype = gr.Dropdown(list(DTYPES), value=default.dtype, label="Number format", elem_id="dtype", min_width=120)
        device = gr.Dropdown(list(DEVICES), value=default.device, label="Device", elem_id="device", min_width=120)
    return {"model": model, "dtype": dtype, "device": device}


def arrive(store: Store, page: Page, run_id: str, options: dict[str, str]) -> Answer:
    """The choice as the address has it, else as the run has it."""
    recipe = store.run(run_id).recipe if run_id else RunRecipe()
    given = {"model": options.get("model", recipe.model), "dtype": choice(options, "dtype", DTYPES, recipe.dtype)}
    given |= {"device": choice(options, "device", DEVICES, recipe.device)}
    return {page.asked[name]: value for name, value in given.items()}


def begin(ctx: Context, run_id: str, model: str, dtype: str, device: str) -> int:
    """Load a model and report what it is made of; returns the job's number. Another model than the run's, or no run,
    makes a new one."""
    recipe = RunRecipe(model=model or "", dtype=dtype, device=device)
    if kind_of(recipe.model, ctx.confined) == PATH:
        allowed_path(recipe.model, ctx.confined)
    here = ctx.store.run(run_id).recipe if run_id else None
    if here is None or (here.model, here.dtype, here.device) != (recipe.model, dtype, device):
        label = MODELS[recipe.model].label if recipe.model in MODELS else recipe.model.rstrip("/").rpartition("/")[2]
        run_id = ctx.store.create_run(recipe, label)
    return submit(ctx.store, run_id, InspectRequest())


def progress(store: Store, page: Page, run_id: str) -> Answer:
    """The inspection as a row, and the way on once the run has a model."""
    job = job_panel.current(store, run_id, "inspect")
    usual = usual_steps(store, store.run(run_id).recipe.model)
    rows = job_panel.steps(job, store.events(job.id), usual=usual) if job and job.live else []
    onward = f'<a class="onward" href="{link("score", run=run_id)}">Go on to Score</a>'
    return {**page.panel.show(store, job, job_panel.table(rows, "step") if rows else ""), page.onward: onward}


def show(ctx: Context, page: Page, run_id: str, model: str, dtype: str, device: str) -> Answer:
    """What is known of the run's model, or of the built-in one chosen: facts, the memory forecast, its picture."""
    store, run = ctx.store, ctx.store.run(run_id) if run_id else None
    recipe = run.recipe if run else RunRecipe(model=model or EMBEDDED, dtype=dtype, device=device)
    known = (model_view.inspected(store, run) if run else None) or model_view.beforehand(recipe.model, recipe.dtype)
    if known is None:
        said = '<p class="notice">Inspect the model to see what it is made of and what scoring it takes.</p>'
        return {page.drawn: "", page.facts: said, page.forecast: "", page.bars: None}
    expected = model_view.forecasts(known, recipe)
    facts = [model_view.facts(known), f"<p>{model_view.group_costs(known.groups.blocks[0])}</p>"]
    facts += [model_view.block_table(known.groups), model_view.provenance(known)]
    table = model_view.memory_table(known, expected, model_view.free_for(known, recipe))
    about = {page.drawn: strip(known.groups), page.facts: "".join(facts)}
    table += paragraph(model_view.knife_memory(known, ctx.live.memory))
    return {**about, page.forecast: table, page.bars: model_view.peaks(known, expected)}
