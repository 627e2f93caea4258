"""The guided lesson: a question at each step, asked of the reader and answered from the sample run's own numbers."""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.store.as_folder import BUNDLED
from minillm.store.store import Store

from ..plots.style import titled
from ..shell.handlers import ACT, QUIET, Answer, guarded
from ..shell.plotly_host import PlotlyHost
from ..views.picture import Picture
from ..views.sample_run import OPEN, open_sample
from .questions import QUESTIONS, Question

ABOUT = """
Steps through a finished run: the embedded model, scored under every criterion, cut and recovered. Each asks about the
picture beside it; answer before you look closer, then open the page it comes from and move its controls. The answers
are worked out from that run's scores. Come back with the browser's Back button; your place is kept.
"""
NONE = "The sample run is not bundled with this copy of the app, so there is nothing to ask about."
ELSEWHERE = "This step has no picture here: open the page it names."
AGAIN = "Not that one. Look again, or show the answer."


@dataclass(frozen=True)
class Lesson:
    """What is on the page."""

    step: gr.Number
    told: gr.Markdown
    path: gr.Textbox
    opened: gr.Button
    choices: gr.Radio
    verdict: gr.HTML
    back: gr.Button
    onward: gr.Button
    host: PlotlyHost

    @property
    def shown(self) -> list[Any]:
        """What `show` changes."""
        return [
            self.step,
            self.told,
            self.path,
            self.opened,
            self.choices,
            self.verdict,
            self.back,
            self.onward,
            self.host,
        ]


@cache
def question(step: int) -> Question:
    """The question of a step, computed once."""
    return QUESTIONS[step]()


def settled(step: Any) -> int:
    """A step that exists: what cannot be read is the first."""
    try:
        return min(max(int(float(step)), 0), len(QUESTIONS) - 1)
    except (TypeError, ValueError, OverflowError):
        return 0


def show(on: Lesson, step: Any) -> Answer:
    """A step with nothing chosen yet."""
    step = settled(step)
    asked = question(step)
    told = f"### Step {step + 1} of {len(QUESTIONS)}: {asked.title}\n\n{asked.text}\n\n**{asked.asked}**"
    return {
        on.step: step,
        on.told: told,
        on.path: f"{asked.page}{'&' if '?' in asked.page else '?'}lesson={step + 1}",
        on.opened: f"Open the sample run on its {asked.place.capitalize()} page",
        on.choices: gr.Radio(choices=list(asked.choices), value=None),
        on.verdict: "",
        on.back: gr.Button(interactive=step > 0),
        on.onward: gr.Button(interactive=step < len(QUESTIONS) - 1),
        on.host: drawn(asked.picture),
    }


def drawn(picture: Picture | None) -> Any:
    """The picture of a question with its own words; none where it asks about words alone."""
    return titled(picture.figure, picture.heading, picture.caption) if picture else None


def judged(step: float, chosen: str | None) -> str:
    """What is said of a choice: right, and why; or not that one."""
    asked = question(settled(step))
    if chosen is None:
        return ""
    if chosen == asked.answer:
        return answered(step)
    return Markup('<p class="notice is-cancelled" role="status">{}</p>').format(AGAIN)


def answered(step: float) -> str:
    """The answer, and what the numbers say."""
    asked = question(settled(step))
    return Markup('<p class="notice" role="status"><b>{}.</b> {}</p>').format(asked.answer.capitalize(), asked.because)


def section(store: Store) -> Lesson | None:
    """Lay the lesson out and wire it. Drawn when its page opens (see `learn`); None without a sample run."""
    if not BUNDLED.is_dir():
        gr.Markdown(NONE)
        return None
    gr.Markdown(ABOUT)
    step = gr.Number(0, visible=False, precision=0, label="Step")
    path, run = gr.Textbox(visible=False), gr.Textbox(visible=False, label="Run")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=320):
            told = gr.Markdown(elem_id="lesson-told")
            choices = gr.Radio([], label="Your answer", elem_id="lesson-choices")
            verdict = gr.HTML(elem_id="lesson-verdict")
            with gr.Row():
                back = gr.Button("Back", elem_id="lesson-back", size="sm", min_width=90)
                reveal = gr.Button("Show the answer", elem_id="lesson-reveal", size="sm", min_width=90)
                onward = gr.Button("Next", variant="primary", elem_id="lesson-next", size="sm", min_width=90)
            opened = gr.Button("Open the sample run", elem_id="lesson-open", size="sm")
        with gr.Column(scale=3, min_width=320):
            host = PlotlyHost("What is asked about", empty=ELSEWHERE, elem_id="lesson-picture")
    lesson = Lesson(step, told, path, opened, choices, verdict, back, onward, host)
    choices.input(judged, [step, choices], verdict, **QUIET)
    reveal.click(answered, step, verdict, **QUIET)
    found = opened.click(guarded(partial(open_sample, store)), None, run, api_visibility="private", **ACT)
    found.success(None, [run, path], None, js=OPEN, **QUIET)
    return lesson
