"""What does not add up in the paper, as a topic of its own with an address to point at."""

import gradio as gr

from ..views.paper import paper_table

ABOUT = """
Read as a recipe: every formula runs here, and numbers are worked out again where they can be. This is what did not come
out, where it stands in the MINI-LLM paper, and what is done here instead.
"""
WRAPPED = """
.facts :is(th, td) { white-space: normal; text-align: left; vertical-align: top; min-width: 9rem; }
"""


def section() -> None:
    """Lay this topic out."""
    gr.Markdown(ABOUT)
    gr.HTML(paper_table(), elem_id="paper", css_template=WRAPPED)
