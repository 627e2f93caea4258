"""What is on the Generate page: who is asked what and how, the texts, the ballot of a blind reading, the exports."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from minillm.paths import ASSETS
from minillm.recipes.prompts import paper_prompts
from minillm.recipes.requests import GenerateRequest
from minillm.store.records import ORIGINAL

from ..shell import job_panel
from ..shell.choices import OpenCheckboxGroup, OpenDropdown
from ..shell.controls import control, fields_of
from ..shell.templates import paragraph
from ..views.generations_html import READING, STYLE
from .blind import BAD, TIE, UNKNOWN

ABOUT = """
Perplexity is a mean; what a cut did to a model shows when it speaks. All variants answer the same prompt with the same
seed, and each word is shown as it is written, as in **Table 12** of the MINI-LLM paper, whose five instructions are
offered here. *Greedy* always takes the likeliest word, so that every difference is the cut's doing; with a temperature
words are drawn, and one early difference changes all that follows.

Words that the original did not write are underlined, and a bar stands where the two first part. The **shading** says
how much each token surprises the original, −log p in nats: a pruned model may differ at once and still say what the
original holds likely, or go on fluently with what it would never say. (Low is not good: what goes round in circles
surprises nobody.) **Perplexity of the prompt** says how surprised a
variant is by the question itself: it rises with the cut before the answers fall apart.

**Blind**, answers come shuffled and unnamed. Say which is best, that they are equal or that none is any good, and which
you take for the pruned one; the tally sets your guesses beside chance, each share with its 95 % interval: a few votes
tell little.

**Try:** ask something with a short, certain answer, then something that needs a long one. Which breaks first?
"""

HOW = ("max_new_tokens", "temperature", "top_p", "seed", "chat")
"""Fields of a `GenerateRequest` that say how, in the order in which `begin` takes them."""
SMALL: dict[str, Any] = {"size": "sm", "scale": 0, "min_width": 190}
VOTE = (ASSETS / "vote.js").read_text(encoding="utf-8")
KEYS = "By keys: a digit for the best, Shift and a digit for the pruned one, then Enter to vote."
FILES = {"markdown": "Save as Markdown", "csv": "Save as CSV", "json": "Save as JSON"}


@dataclass(frozen=True)
class Poll:
    """The ballot: what it is about (hidden), its question, the two answers, the button."""

    box: gr.Column
    name: gr.Textbox
    question: gr.Markdown
    best: gr.Radio
    pruned: gr.Radio
    button: gr.Button

    @property
    def outputs(self) -> list[Any]:
        """What changes with another ballot."""
        return [self.box, self.name, self.question, self.best, self.pruned]

    def asks(self, letters: list[str]) -> dict[Any, Any]:
        """Both questions about the columns of these letters, nothing chosen for the first."""
        best = gr.Radio(choices=_best(letters), value=None)
        return {self.best: best, self.pruned: gr.Radio(choices=_pruned(letters), value=UNKNOWN)}


def _best(letters: list[str]) -> list[tuple[str, str]]:
    return _numbered([*letters, TIE, BAD], {BAD: "both bad" if len(letters) == 2 else "all bad"})


def _pruned(letters: list[str]) -> list[tuple[str, str]]:
    return _numbered([*letters, UNKNOWN], {})


def _numbered(values: list[str], named: dict[str, str]) -> list[tuple[str, str]]:
    """Choices with the key that stands for each before its name."""
    return [(f"{i}  {named.get(value, value)}", value) for i, value in enumerate(values, 1)]


@dataclass(frozen=True)
class Page:
    """What is on the page. form: closed where there are answers, so that these stand on top; controls: by name, in the
    order in which `begin` takes them."""

    form: gr.Accordion
    controls: dict[str, Any]
    button: gr.Button
    panel: job_panel.Panel
    shaded: gr.Checkbox
    now: gr.HTML
    poll: Poll
    tally: gr.HTML
    earlier: gr.HTML
    exports: dict[str, gr.Button]
    text: gr.Textbox


def layout() -> Page:
    gr.Markdown("# Generate")
    with gr.Accordion("What is asked, and of whom", open=True, elem_id="generate-asked") as form:
        controls = _controls()
        button = gr.Button("Generate", variant="primary", elem_id="generate")
    panel = job_panel.panel("generate")
    shaded = gr.Checkbox(
        True, label="Shade every token by how much it surprises the original", elem_id="generate-shaded"
    )
    now = gr.HTML(elem_id="written", css_template=STYLE, js_on_load=READING)
    poll = _poll()
    tally = gr.HTML(elem_id="votes")
    with gr.Row():
        exports = {"copy": gr.Button("Copy all as Markdown", elem_id="copy-markdown", **SMALL)}
        exports |= {kind: gr.Button(label, elem_id=f"save-{kind}", **SMALL) for kind, label in FILES.items()}
    with gr.Accordion("Earlier", open=False, elem_id="written-earlier"):
        earlier = gr.HTML(elem_id="written-before", css_template=STYLE, js_on_load=READING)
    with gr.Accordion("What am I looking at?", open=False, elem_id="about-generate"):
        gr.Markdown(ABOUT)
    text = gr.Textbox(visible=False, elem_id="generate-export", label="Text")
    return Page(form, controls, button, panel, shaded, now, poll, tally, earlier, exports, text)


def _controls() -> dict[str, Any]:
    """Who is asked what, and how."""
    prompts = paper_prompts()
    with gr.Group():
        chosen = gr.CheckboxGroup(
            prompts, value=prompts[:1], label="The paper's instructions", elem_id="generate-prompts"
        )
        own = gr.Textbox("", lines=2, label="Your own", info="Asked as well, if there is any.", elem_id="generate-own")
        variants = OpenCheckboxGroup(
            [ORIGINAL],
            value=[ORIGINAL],
            label="Who answers",
            elem_id="generate-variants",
            info="Up to four. Make variants on the page Prune & recover.",
        )
        others = OpenDropdown(
            [],
            value=[],
            multiselect=True,
            label="Variants of other runs",
            info="Each reads the prompt with its own tokenizer.",
            elem_id="generate-others",
        )
        blind = control(fields_of(GenerateRequest, ["blind"])[0], "generate")
    asked = {"prompts": chosen, "own": own, "variants": variants, "others": others}
    with gr.Accordion("How", open=False, elem_id="generate-settings"):
        return {**asked, **_settings(), "blind": blind}


def _settings() -> dict[str, Any]:
    tokens, temperature, top_p, seed, chat = fields_of(GenerateRequest, HOW)
    with gr.Row():
        found = {"max_new_tokens": control(tokens, "generate", elem_id="generate-tokens", info=None, precision=0)}
        numbers = control(seed, "generate", precision=0)
    with gr.Row():
        slider: dict[str, Any] = {"kind": gr.Slider, "min_width": 240}
        found["temperature"] = control(temperature, "generate", minimum=0, maximum=2, step=0.1, **slider)
        fractions: dict[str, Any] = {"minimum": 0.05, "maximum": 1, "step": 0.05, "elem_id": "generate-top-p"}
        found["top_p"] = control(top_p, "generate", **fractions, **slider)
    forms = [("chat format, where the model has one", True), ("as it stands, to be continued", False)]
    return found | {"seed": numbers, "chat": control(chat, "generate", kind=gr.Radio, choices=forms, info=None)}


def _poll() -> Poll:
    with gr.Column(visible=False, elem_id="ballot") as box:
        name = gr.Textbox(visible=False, label="Ballot")
        question = gr.Markdown()
        with gr.Row():
            best = gr.Radio(_best([]), label="Which answer is best?", elem_id="vote-best", min_width=240)
            pruned = gr.Radio(_pruned([]), label="Which is the pruned model's?", elem_id="vote-pruned", min_width=240)
        button = gr.Button("Vote, and show who wrote what", elem_id="vote", size="sm")
        gr.HTML(paragraph(KEYS), elem_id="vote-keys", js_on_load=VOTE)
    return Poll(box, name, question, best, pruned, button)
