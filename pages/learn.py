"""Learn: what stands behind the app, to be tried by hand before any model is loaded, and a lesson on a finished run."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from . import (
    _learn_criteria,
    _learn_estimate,
    _learn_glossary,
    _learn_groups,
    _learn_lesson,
    _learn_walk,
)
from ._address import opening, remembered
from ._frame import QUIET, Context, frame

TITLE = "Learn"

TOPICS: dict[str, tuple[str, Callable[[], None]]] = {
    "groups": ("Groups", _learn_groups.section),
    "criteria": ("Criteria", _learn_criteria.section),
    "estimate": ("Estimated gradient", _learn_estimate.section),
    "walk": ("The walk", _learn_walk.section),
}
"""{name in the address: (title, what lays it out and wires it)}: topics that stand for themselves."""

LESSON, GLOSSARY = "lesson", "glossary"
WHAT = """
# Learn

Four things to try by hand, a lesson of ten questions on a finished run, and the words. No model is needed for any of
it.
"""


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx, needs_run=False):
        gr.Markdown(WHAT)
        topic = gr.Textbox(next(iter(TOPICS)), visible=False, label="Topic")
        tabs: dict[str, gr.Tab] = {}
        with gr.Tabs(elem_id="topics") as topics:
            for name, (title, section) in TOPICS.items():
                with gr.Tab(title, id=name, elem_id=f"topic-{name}") as tabs[name]:
                    section()
            with gr.Tab("Lesson", id=LESSON, elem_id="topic-lesson") as tabs[LESSON]:
                lesson = _learn_lesson.section(ctx.store)
            with gr.Tab("Glossary", id=GLOSSARY, elem_id="topic-glossary") as tabs[GLOSSARY]:
                _learn_glossary.section()
        _wire(ctx, topics, topic, tabs, lesson)


def _wire(
    ctx: Context, topics: gr.Tabs, topic: gr.Textbox, tabs: dict[str, gr.Tab], lesson: _learn_lesson.Lesson | None
) -> None:
    """The address remembers the topic and the lesson's step."""
    kept: dict[str, Any] = {"topic": topic} | ({"step": lesson.step} if lesson else {})
    shown = lesson.shown if lesson else []

    def arrive(run_id: str, options: dict[str, str]) -> list[Any]:
        name = options.get("topic", "")
        name = name if name in tabs else next(iter(tabs))
        return [gr.Tabs(selected=name), name, *(_learn_lesson.show(options.get("step")) if lesson else [])]

    opening(ctx, arrive, [topics, topic, *shown])
    for name, tab in tabs.items():
        remembered(tab.select(None, None, topic, js=f"() => '{name}'", **QUIET).then, kept)
    if lesson:
        for button, by in ((lesson.back, -1), (lesson.onward, 1)):
            moved = button.click(lambda step, by=by: _learn_lesson.show(step + by), lesson.step, shown, **QUIET)
            remembered(moved.then, kept)
