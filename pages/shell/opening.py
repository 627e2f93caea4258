"""What a page opens on: the run its address names, the sample where it names none, ways on where it is not there."""

import gradio as gr
from markupsafe import Markup

from minillm.errors import MiniLLMError
from minillm.store.as_folder import BUNDLED, bundled_id, import_run
from minillm.store.store import Store

from .address import link
from .templates import html, notice


def options_of(request: gr.Request) -> dict[str, str]:
    """Options of the address beside the run."""
    given = dict(request.query_params or {})
    return {str(name): str(value) for name, value in given.items() if name != "run"}


def opened_run(store: Store, request: gr.Request, or_sample: bool) -> tuple[str, str]:
    """(id of the run that ?run=ID names, ""), or ("", what is wrong with it).

    or_sample: an address without a run stands for the sample. It is added to the store when it is first asked for.
    """
    given = str(dict(request.query_params or {}).get("run", "")) or (bundled_id() if or_sample else "")
    if not given:
        return "", ""
    try:
        return (import_run(store, BUNDLED) if given == bundled_id() else store.run(given).id), ""
    except MiniLLMError as fault:
        return "", str(fault)


def ways_on(path: str, said: str) -> str:
    """What the page at a path offers in place of its controls where there is no run. said: why, "" where that is said
    already."""
    sample = bundled_id()
    ways = [(link(path, run=sample), "Open the sample run here")] if sample else []
    ways += [("model", "Choose a model to begin with"), ("runs", "Open one of your runs")]
    return (notice(said) if said else "") + html("ways_on", ways=ways)


def in_lesson(options: dict[str, str]) -> str:
    """That a page was opened by a step of the lesson, and the way back to its question; empty where it was not."""
    step = options.get("lesson", "")
    if not step.isdecimal() or not 0 < int(step) < 100:
        return ""
    there = link("learn", topic="lesson", step=str(int(step) - 1))
    told = Markup('<p class="notice">Step {} of the lesson. <a href="{}">Back to its question</a></p>')
    return told.format(int(step), there)
