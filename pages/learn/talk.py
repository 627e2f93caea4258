"""A talk: views of the app, one picture large each, gone through with the arrow keys.

The list lives in the reader's browser (assets/present.js keeps it, assets/talk.js shows it), so that a talk needs no
name, no login and no server that remembers it; as a text of links it can be sent to others.
"""

import gradio as gr

from minillm.paths import ASSETS

from ..shell.templates import html

ABOUT = """
Show any picture alone and large with **Present** above it; arrow keys go on to the page's next one, Escape leaves. For
a talk, open each view as you want it, bring its picture to the middle of the window and press **Add to talk** beside
*Copy link*. The list is kept in this browser. While it runs, arrow keys and a clicker go from view to view.
"""


def section() -> None:
    """Lay this topic out."""
    gr.Markdown(ABOUT)
    gr.HTML(html("talk"), elem_id="talk", js_on_load=(ASSETS / "talk.js").read_text(encoding="utf-8"))
