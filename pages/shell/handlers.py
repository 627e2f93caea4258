"""What a page's functions are wrapped in before Gradio calls them: errors as sentences, answers by component.

The one idea: an answer is {component: value}, so that a handler says only what changes, and several answers become one.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any

import gradio as gr
from gradio.blocks import Block

from minillm.errors import MiniLLMError

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For events that only look: not in line behind work, nothing flashing, not in the API's list. An error of such an
event is not shown on the page (Gradio shows those of queued events only), so these must not raise."""

ACT: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
"""For events that do something and may be refused: queued, so that `guarded`'s sentence is shown, but never waiting."""

Answer = dict[Any, Any]
"""{component: value}: what is absent stays as it is."""

Draw = Callable[..., Any]
"""(run id, values of the inputs …) -> an Answer; of one output, its value alone will do."""

Arrive = Callable[[str, dict[str, str]], Answer]
"""(run id, options of the address) -> an Answer."""


def guarded(function: Callable) -> Callable:
    """The function with its errors as one sentence on the page: the engine's own, or a general one and a log entry."""

    @wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        with _told():
            return function(*given, **named)

    @wraps(function)
    async def awaited(*given: Any, **named: Any) -> Any:
        with _told():
            return await function(*given, **named)

    inner = function.func if isinstance(function, partial) else function
    guard = awaited if iscoroutinefunction(inner) else called
    guard.__annotations__ = _annotations(function)
    return guard


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except gr.Error:
        raise
    except MiniLLMError as fault:
        raise gr.Error(str(fault), print_exception=False) from fault
    except Exception as fault:
        raise gr.Error(unexpected(fault), print_exception=False) from fault


def unexpected(fault: Exception) -> str:
    """A sentence for a fault of the app itself, which is logged. Call it where the fault was caught."""
    logging.getLogger(__name__).exception("a page's handler failed")
    return f"Something went wrong in the app ({type(fault).__name__}); its log says more. Your runs are safe."


def by_component(drawn: Any) -> bool:
    """Whether what was drawn is an Answer, not the value of one component."""
    return isinstance(drawn, dict) and all(isinstance(key, Block) for key in drawn)


def answering(draw: Draw) -> Draw:
    """A handler that may have nothing to say: where its answer is empty, Gradio is told that all stays as it is."""

    @wraps(draw)
    def called(*given: Any, **named: Any) -> Any:
        drawn = draw(*given, **named)
        return gr.skip() if isinstance(drawn, dict) and not drawn else drawn

    called.__annotations__ = _annotations(draw)
    return called


def _annotations(function: Callable) -> dict[str, Any]:
    return getattr(function.func if isinstance(function, partial) else function, "__annotations__", {})


def merged(answers: Iterable[Answer]) -> Answer:
    """Several answers as one; of two about one component, the later."""
    return {component: value for answer in answers for component, value in answer.items()}
