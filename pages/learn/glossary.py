"""The glossary: the words of this app in one list."""

import gradio as gr

from ..shell.templates import html
from ..shell.terms import WORDS


def section() -> None:
    """Lay the glossary out."""
    gr.HTML(html("glossary", words=WORDS), elem_id="glossary")
