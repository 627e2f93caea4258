"""Where the knife stands, below an X-ray: a `gr.HTML` that assets/knife.js fills, and the app's functions it calls.

They are called directly and not as events, because the newest question alone counts and the script knows which it is.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from minillm.paths import ASSETS
from minillm.recipes.live import LONGEST_SENTENCE, LiveRequest

from .controls import fields_of
from .templates import html

SCRIPT, STYLE = ASSETS / "knife.js", ASSETS / "knife.css"
EXAMPLE = "The capital of France is"

ON_LOAD = """
(async () => {
  while (!window.MiniKnife) await new Promise(done => setTimeout(done, 30));
  window.MiniKnife(element, props, server, watch);
})();
"""


class KnifeHost(gr.HTML):
    """The knife. value: JSON {run, problem}, as assets/knife.js has it; functions: which it
    calls."""

    def __init__(self, functions: list[Callable[..., Any]], **settings: Any) -> None:
        (sentence,) = (field.metadata for field in fields_of(LiveRequest, ("sentence",)))
        template = html("knife", sentence=sentence, longest=LONGEST_SENTENCE, example=EXAMPLE)
        script = f'<script src="/gradio_api/file={SCRIPT}"></script>'
        given: dict[str, Any] = {"html_template": template, "js_on_load": ON_LOAD, "head": script}
        super().__init__(None, server_functions=functions, **given, **settings)
