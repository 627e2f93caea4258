"""The guided lesson: a question at each step, asked of the reader and answered from the sample run's own numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.store.as_folder import BUNDLED, bundled_id
from minillm.store.store import Store

from ..plots.style import titled
from ..shell.handlers import ACT, QUIET, Answer, guarded
from ..shell.plotly_host import PlotlyHost
from ..shell.xray_host import XrayHost, shown
from ..views.filmstrip import FilmstripHost
from ..views.picture import Picture
from ..views.sample_run import OPEN, open_sample, strip_at_once
from .questions import FORGETS, QUESTIONS, STRIP, XRAY, Question

ABOUT = """
Steps through a finished run: the embedded model, scored under every criterion, cut and recovered. Each asks about the
picture beside it; answer before you look closer, then open the page it comes from and move its controls. The answers
are worked out from that run's scores. Come back with the browser's Back button; your place is kept.
"""
NONE = "The sample run is not bundled with this copy of the app, so there is nothing to ask about."
ELSEWHERE = "Guess first: where there is something to move, it comes here then. Or open the page that the step names."
AGAIN = "Not that one. Look again, or show the answer."
AT_FIRST = {"criterion": "wanda", "ratio": 0}
"""What the X-ray shows before it is moved."""


@dataclass(frozen=True)
class Lesson:
    """What is on the page. titles: {path: title} of the app's pages."""

    titles: Mapping[str, str]

    step: gr.Number
    told: gr.Markdown
    path: gr.Textbox
    opened: gr.Button
    choices: gr.Radio
    verdict: gr.HTML
    back: gr.Button
    onward: gr.Button
    host: PlotlyHost
    xray: XrayHost
    strip: FilmstripHost

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
            *self.moved,
        ]

    @property
    def moved(self) -> list[Any]:
        """What changes once an answer is guessed, beside what is said of it: what a reader may move comes."""
        return [self.host, self.xray, self.strip]


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
    told = f"## Step {step + 1} of {len(QUESTIONS)}: {asked.title}\n\n{asked.text}\n\n**{asked.asked}**"
    return {
        on.step: step,
        on.told: told,
        on.path: f"{asked.page}{'&' if '?' in asked.page else '?'}lesson={step + 1}",
        on.opened: f"Open the sample run on its {on.titles[asked.place]} page",
        on.choices: gr.Radio(choices=list(asked.choices), value=None),
        on.verdict: "",
        on.back: gr.Button(interactive=step > 0),
        on.onward: gr.Button(interactive=step < len(QUESTIONS) - 1),
        on.host: gr.HTML(drawn(asked.picture), visible=True),
        on.xray: gr.HTML(visible=False),
        on.strip: gr.HTML(visible=False),
    }


def drawn(picture: Picture | None) -> Any:
    """The picture of a question with its own words; none where it asks about words alone."""
    return titled(picture.figure, picture.heading, picture.caption) if picture else None


def judged(on: Lesson, step: float, chosen: str | None) -> Answer:
    """What is said of a choice: right, and why; or not that one. From then on what is asked about can be moved."""
    asked = question(settled(step))
    if chosen is None:
        return {on.verdict: ""}
    if chosen == asked.answer:
        return answered(on, step)
    return {
        on.verdict: Markup('<p class="notice is-cancelled" role="status">{}</p>').format(AGAIN),
        **_touched(on, asked),
    }


def answered(on: Lesson, step: float) -> Answer:
    """The answer, and what the numbers say."""
    asked = question(settled(step))
    told = Markup('<p class="notice" role="status"><b>{}.</b> {}</p>').format(asked.answer.capitalize(), asked.because)
    return {on.verdict: told, **_touched(on, asked)}


def _touched(on: Lesson, asked: Question) -> Answer:
    """What a question lets a reader move, in place of its picture."""
    if asked.touch == XRAY:
        return {on.host: gr.HTML(visible=False), on.xray: gr.HTML(shown(bundled_id(), bundled_id()), visible=True)}
    if asked.touch == STRIP:
        return {on.host: gr.HTML(visible=False), on.strip: gr.HTML(strip_at_once(), visible=True)}
    return {}


def section(store: Store, titles: Mapping[str, str]) -> Lesson | None:
    """Lay the lesson out and wire it; titles: {path: title} of the app's pages. Drawn when its page opens (see
    `learn`). None without a sample run."""
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
            xray = XrayHost("Every group of the model", None, True, AT_FIRST, visible=False, elem_id="lesson-xray")
            strip = FilmstripHost({"one": FORGETS, "other": "random"}, visible=False, elem_id="lesson-strip")
    lesson = Lesson(titles, step, told, path, opened, choices, verdict, back, onward, host, xray, strip)
    told_by = [verdict, *lesson.moved]
    choices.input(partial(judged, lesson), [step, choices], told_by, **QUIET)
    reveal.click(partial(answered, lesson), step, told_by, **QUIET)
    found = opened.click(guarded(partial(open_sample, store)), None, run, api_visibility="private", **ACT)
    found.success(None, [run, path], None, js=OPEN, **QUIET)
    return lesson
