"""X-ray: every head group and channel of the model on one sheet, cut as the ratio moves, or by hand."""

from functools import partial
from typing import Any

import gradio as gr

from minillm.store.store import Store

from ..plots import CAPTIONS
from ..shell.drawers import drawer
from ..shell.frame import Context, frame
from ..shell.knife_host import KnifeHost
from ..shell.plotly_host import PlotlyHost
from ..shell.xray_host import XrayHost, shown
from ..views.knife import functions, told
from ..views.scores import UNMEASURED, Board, board, influence

TITLE = "X-ray"
EMPTY = "Nothing is scored in this run yet. Press Score on the Score page; rows light up here as blocks come in."


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        gr.Markdown("# X-ray")
        xray = XrayHost("Every group of the model", elem_id="xray")
        knife = KnifeHost(functions(ctx.store, ctx.live), elem_id="knife")
        about: dict[str, Any] = {"empty": UNMEASURED, "elem_id": "plot-influence", "height": 190}
        passing = PlotlyHost("How much each block changes what passes", CAPTIONS["influence_rows"], **about)
        drawer("xray")
        shell.live(partial(value_of, ctx.store), [xray])
        shell.live(partial(told, ctx.store), [knife])
        shell.live(partial(influence, ctx.store), [passing])


def value_of(store: Store, run_id: str) -> str:
    """What the picture is drawn from: changes when scores or plans do, and block by block while a job scores."""
    look = board(store, run_id)
    made = [variant.name for variant in store.variants(run_id) if variant.kind == "pruned"]
    state = ";".join([*(f"{label} {one.seconds:.3f}" for label, one in look.scores.items()), *made])
    return shown(run_id, state, at_work(look), EMPTY)


def at_work(look: Board) -> dict[str, Any] | None:
    """The criterion being scored, with what is known of its blocks; None where none is."""
    for label in look.running:
        found = look.blocks_of(label)
        known = {layer: one["channel_quantiles"] for layer, one in found.items() if "channel_quantiles" in one}
        blocks = {layer: [abs(value) for value in quantiles] for layer, quantiles in known.items()}
        return {"label": label, "of": look.known_blocks or len(blocks), "blocks": blocks}
    return None
