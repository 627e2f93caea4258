"""Generate: the same prompt for the original, the pruned and the recovered model, side by side as they write."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from minillm import jobs
from minillm.errors import BadInput
from minillm.recipe import GenerateRequest
from minillm.store import Store
from minillm.text import paper_prompts

from . import _jobs
from ._address import opening, saved
from ._frame import ACT, Context, Shell, frame, guarded
from ._generations import ORIGINAL, STYLE, Exhibit, as_html, as_json, as_markdown, exhibits

TITLE = "Generate"
MOST_SHOWN = 20

ABOUT = """
Perplexity is a mean; what a cut did to a model shows when it speaks. All variants answer the same prompt with the same
seed, and each word is shown as it is written, as in **Table 12** of the MINI-LLM paper, whose five instructions are
offered here. *Greedy* always takes the likeliest word, so that every difference is the cut's doing; with a temperature
words are drawn, and one early difference changes all that follows.

Words that the original did not write are underlined, and a bar stands where the two first part. **Perplexity of the
prompt** says how surprised a variant is by the question itself: it rises with the cut before the answers fall apart.

**Try:** ask something with a short, certain answer, then something that needs a long one. Which breaks first?
"""

SMALL: dict[str, Any] = {"size": "sm", "scale": 0, "min_width": 190}
COPY = "(text) => { navigator.clipboard.writeText(text); }"


@dataclass(frozen=True)
class Page:
    """What is on the page. controls: by name, in the order in which `begin` takes them."""

    opened: gr.Textbox
    controls: dict[str, Any]
    button: gr.Button
    panel: _jobs.Panel
    now: gr.HTML
    earlier: gr.HTML
    exports: dict[str, gr.Button]
    text: gr.Textbox


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        page = _layout()
        _wire(ctx, shell, page)


def _layout() -> Page:
    opened = gr.Textbox(visible=False, elem_id="generate-opened")
    gr.Markdown("# Generate")
    controls = _controls()
    button = gr.Button("Generate", variant="primary", elem_id="generate")
    panel = _jobs.panel("generate")
    now = gr.HTML(elem_id="written", css_template=STYLE)
    with gr.Row():
        exports = {
            "copy": gr.Button("Copy all as Markdown", elem_id="copy-markdown", **SMALL),
            "markdown": gr.Button("Save as Markdown", elem_id="save-markdown", **SMALL),
            "json": gr.Button("Save as JSON", elem_id="save-json", **SMALL),
        }
    with gr.Accordion("Earlier", open=False, elem_id="written-earlier"):
        earlier = gr.HTML(elem_id="written-before", css_template=STYLE)
    with gr.Accordion("What am I looking at?", open=False, elem_id="about-generate"):
        gr.Markdown(ABOUT)
    text = gr.Textbox(visible=False, elem_id="generate-export", label="Text")
    return Page(opened, controls, button, panel, now, earlier, exports, text)


def _controls() -> dict[str, Any]:
    """Who is asked what, and how."""
    prompts = paper_prompts()
    with gr.Group():
        chosen = gr.CheckboxGroup(
            prompts, value=prompts[:1], label="The paper's instructions", elem_id="generate-prompts"
        )
        own = gr.Textbox("", lines=2, label="Your own", info="Asked as well, if there is any.", elem_id="generate-own")
        variants = gr.CheckboxGroup(
            [ORIGINAL],
            value=[ORIGINAL],
            label="Who answers",
            elem_id="generate-variants",
            info="Make variants on the page Prune & recover.",
        )
    with gr.Accordion("How", open=False, elem_id="generate-settings"):
        return {"prompts": chosen, "own": own, "variants": variants, **_settings()}


def _settings() -> dict[str, Any]:
    with gr.Row():
        tokens = gr.Number(64, label="New tokens at most", precision=0, elem_id="generate-tokens", min_width=140)
        seed = gr.Number(0, label="Seed, the same for all", precision=0, elem_id="generate-seed", min_width=140)
    with gr.Row():
        temperature = gr.Slider(
            0, 2, 0, step=0.1, label="Temperature", info="0: greedy.", elem_id="generate-temperature", min_width=240
        )
        top_p = gr.Slider(
            0.05, 1, 1, step=0.05, label="Top-p", info="With a temperature.", elem_id="generate-top-p", min_width=240
        )
    forms = [("chat format, where the model has one", True), ("as it stands, to be continued", False)]
    chat = gr.Radio(forms, value=True, label="The prompt", elem_id="generate-chat")
    return {"max_new_tokens": tokens, "temperature": temperature, "top_p": top_p, "seed": seed, "chat": chat}


def _wire(ctx: Context, shell: Shell, page: Page) -> None:
    store, variants = ctx.store, page.controls["variants"]
    choices = [page.opened, variants]

    def looked(run_id: str, opened: str, chosen: list[str]) -> list[Any]:
        """New choices only where there are other variants: a live job must not disturb who is choosing."""
        if not opened or opened == _state(store, run_id):
            return [gr.skip() for _ in choices]
        return _choices(store, run_id, chosen)

    shell.live(looked, choices, [page.opened, variants])
    shell.live(partial(_shown, store, page), [*page.panel.outputs, page.now, page.earlier])
    opening(ctx, lambda run_id, options: _choices(store, run_id, options.get("variants", "").split("|")), choices)
    shell.starts(page.button.click, partial(begin, store), list(page.controls.values()), "generate")
    shell.runs_again(page.panel)
    markdown, plain = guarded(partial(markdown_of, store)), guarded(partial(json_of, store))
    copied = page.exports["copy"].click(markdown, shell.run, page.text, api_visibility="private", **ACT)
    copied.success(None, page.text, None, js=COPY, api_visibility="private")
    event = page.exports["markdown"].click(markdown, shell.run, page.text, api_name="generations_markdown", **ACT)
    saved(event, page.text, "minillm-generations.md", "text/markdown")
    event = page.exports["json"].click(plain, shell.run, page.text, api_name="generations", **ACT)
    saved(event, page.text, "minillm-generations.json", "application/json")


def _state(store: Store, run_id: str) -> str:
    return ";".join(variant.name for variant in store.variants(run_id)) if run_id else "no run"


def _choices(store: Store, run_id: str, chosen: list[str]) -> list[Any]:
    """State, and the variants to choose from; at first the original and the latest of each other kind."""
    if not run_id:
        return ["no run", gr.skip()]
    made = {variant.name: variant.kind for variant in store.variants(run_id)}
    kept = [name for name in chosen or [] if name in made and name != ORIGINAL]
    latest = {kind: name for name, kind in made.items()}
    return [
        _state(store, run_id),
        gr.CheckboxGroup(choices=list(made), value=[ORIGINAL, *kept] if kept else list(latest.values())),
    ]


def _shown(store: Store, page: Page, run_id: str) -> list[Any]:
    """The panel, the latest job's texts, and those before."""
    job = _jobs.current(store, run_id, "generate")
    found = exhibits(store, run_id)
    kinds = {variant.name: variant.kind for variant in store.variants(run_id)}
    newest = [one for one in found if one.job == found[0].job] if found else []
    before = found[len(newest) :]
    earlier = as_html(before[:MOST_SHOWN], kinds) or "<p>Nothing yet.</p>"
    return [*page.panel.show(job), as_html(newest, kinds), earlier]


def begin(
    store: Store,
    run_id: str,
    prompts: list[str],
    own: str,
    variants: list[str],
    max_new_tokens: float,
    temperature: float,
    top_p: float,
    seed: float,
    chat: bool,
) -> int:
    """Let variants of a run answer prompts side by side; returns the job's number."""
    asked = [*(prompts or []), *([own] if (own or "").strip() else [])]
    if not asked:
        raise BadInput("No instruction is chosen; tick one of the paper's, or write your own.")
    if not variants:
        raise BadInput("No variant is chosen; tick who is to answer.")
    drawing = {"temperature": temperature, "top_p": top_p, "seed": seed}
    request = {"prompts": asked, "variants": variants, "max_new_tokens": max_new_tokens, "chat": chat, **drawing}
    return jobs.submit(store, run_id, GenerateRequest.from_json(request))


def markdown_of(store: Store, run_id: str) -> str:
    """Everything that variants of a run wrote, as Markdown."""
    run = store.run(run_id)
    return as_markdown(_any(store, run_id), f"Generations of {run.title or run.id} ({run.recipe.model})")


def json_of(store: Store, run_id: str) -> str:
    """Everything that variants of a run wrote, as JSON: one entry a prompt, with settings and measurements."""
    return as_json(_any(store, run_id), run_id)


def _any(store: Store, run_id: str) -> list[Exhibit]:
    found = exhibits(store, run_id) if run_id else []
    if not found:
        raise BadInput("Nothing has been generated in this run yet; press Generate first.")
    return found
