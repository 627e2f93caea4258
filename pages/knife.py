"""The knife: cut groups of the loaded model by hand, and see at once what it says next."""

from functools import partial

import gradio as gr

from .shell.drawers import drawer
from .shell.frame import Context, frame
from .shell.knife_host import KnifeHost
from .views.knife import functions, told

TITLE = "Knife"


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        gr.Markdown("# What does it say without these?")
        knife = KnifeHost(functions(ctx.store, ctx.live), elem_id="knife")
        drawer("knife")
        shell.live(partial(told, ctx.store), [knife])
