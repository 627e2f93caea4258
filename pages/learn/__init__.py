"""Learn: what stands behind the app, to be tried by hand before any model is loaded, and a lesson on a finished run."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from ..shell.address import choice, remembered
from ..shell.frame import Context, Shell, frame
from ..shell.handlers import QUIET, Answer
from . import criteria, estimate, glossary, groups, handout, lesson as lesson_part, paper, talk, walk

TITLE = "Learn"

TOPICS: dict[str, tuple[str, Callable[[], None]]] = {
    "groups": ("Groups", groups.section),
    "criteria": ("Criteria", criteria.section),
    "estimate": ("Estimated gradient", estimate.section),
    "walk": ("The walk", walk.section),
    "glossary": ("Glossary", glossary.section),
    "paper": ("The paper", paper.section),
    "talk": ("A talk", talk.section),
}
"""{name in the address: (title, what lays it out and wires it)}: topics that stand for themselves."""

LESSON, HANDOUT = "lesson", "handout"
WHAT = """
# Learn

Four things to try by hand, the words, a lesson of thirteen questions on a finished run, exercises for a class, and a
talk made of the app's own pictures. No model is needed for any of it.
"""


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx, needs_run=False) as shell:
        gr.Markdown(WHAT)
        choices = [*((title, name) for name, (title, _) in TOPICS.items())]
        choices += [("Lesson", LESSON), ("Hand-out", HANDOUT)]
        first = choices[0][1]
        topic = gr.Radio(choices, value=first, show_label=False, container=False, elem_id="topics", label="Topic")
        parts = {name: gr.Column(visible=name == first, elem_id=f"topic-{name}") for _, name in choices}
        for name, (_, section) in TOPICS.items():
            with parts[name]:
                section()
        with parts[LESSON]:
            lesson = lesson_part.section(ctx.store, {path: title for _, there in ctx.pages for title, path in there})
        with parts[HANDOUT]:
            handout.section(ctx.store, shell)
        _wire(shell, topic, parts, lesson)


def _wire(shell: Shell, topic: gr.Radio, parts: dict[str, gr.Column], lesson: lesson_part.Lesson | None) -> None:
    """One topic is shown at a time; the address remembers it, and the lesson's step."""
    kept: dict[str, Any] = {"topic": topic} | ({"step": lesson.step} if lesson else {})
    shown = lesson.shown if lesson else []

    def only(name: str) -> Answer:
        return {part: gr.Column(visible=one == name) for one, part in parts.items()}

    def arrive(run_id: str, options: dict[str, str]) -> Answer:
        name = choice(options, "topic", parts, next(iter(parts)))
        return {topic: name, **only(name), **(lesson_part.show(lesson, options.get("step")) if lesson else {})}

    shell.opens(arrive, [topic, *parts.values(), *shown])
    topic.input(only, topic, list(parts.values()), **QUIET)
    remembered(topic.input, kept)
    if lesson:
        for button, by in ((lesson.back, -1), (lesson.onward, 1)):
            moved = button.click(lambda step, by=by: lesson_part.show(lesson, step + by), lesson.step, shown, **QUIET)
            remembered(moved.then, kept)
