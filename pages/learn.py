"""Learn: what stands behind the app, to be tried by hand before any model is loaded, and a lesson on a finished run."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from . import _learn_criteria, _learn_estimate, _learn_glossary, _learn_groups, _learn_lesson, _learn_walk
from ._address import choice, remembered
from ._frame import QUIET, Answer, Context, Shell, frame

TITLE = "Learn"

TOPICS: dict[str, tuple[str, Callable[[], None]]] = {
    "groups": ("Groups", _learn_groups.section),
    "criteria": ("Criteria", _learn_criteria.section),
    "estimate": ("Estimated gradient", _learn_estimate.section),
    "walk": ("The walk", _learn_walk.section),
    "glossary": ("Glossary", _learn_glossary.section),
}
"""{name in the address: (title, what lays it out and wires it)}: topics that stand for themselves."""

LESSON = "lesson"
WHAT = """
# Learn

Four things to try by hand, the words, and a lesson of ten questions on a finished run. No model is needed for any of
it.
"""


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx, needs_run=False) as shell:
        gr.Markdown(WHAT)
        choices = [*((title, name) for name, (title, _) in TOPICS.items()), ("Lesson", LESSON)]
        first = choices[0][1]
        topic = gr.Radio(choices, value=first, show_label=False, container=False, elem_id="topics", label="Topic")
        parts = {name: gr.Column(visible=name == first, elem_id=f"topic-{name}") for _, name in choices}
        for name, (_, section) in TOPICS.items():
            with parts[name]:
                section()
        with parts[LESSON]:
            lesson = _learn_lesson.section(ctx.store)
        _wire(shell, topic, parts, lesson)


def _wire(shell: Shell, topic: gr.Radio, parts: dict[str, gr.Column], lesson: _learn_lesson.Lesson | None) -> None:
    """One topic is shown at a time; the address remembers it, and the lesson's step."""
    kept: dict[str, Any] = {"topic": topic} | ({"step": lesson.step} if lesson else {})
    shown = lesson.shown if lesson else []

    def only(name: str) -> Answer:
        return {part: gr.Column(visible=one == name) for one, part in parts.items()}

    def arrive(run_id: str, options: dict[str, str]) -> Answer:
        name = choice(options, "topic", parts, next(iter(parts)))
        return {topic: name, **only(name), **(_learn_lesson.show(lesson, options.get("step")) if lesson else {})}

    shell.opens(arrive, [topic, *parts.values(), *shown])
    topic.input(only, topic, list(parts.values()), **QUIET)
    remembered(topic.input, kept)
    if lesson:
        for button, by in ((lesson.back, -1), (lesson.onward, 1)):
            moved = button.click(lambda step, by=by: _learn_lesson.show(lesson, step + by), lesson.step, shown, **QUIET)
            remembered(moved.then, kept)
