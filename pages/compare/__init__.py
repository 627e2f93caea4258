"""Compare criteria (the paper's Figure 2): how far their cuts agree, at any ratio, from stored scores alone."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gradio as gr
from markupsafe import Markup

from minillm.errors import BadInput, MiniLLMError
from minillm.families.groups import CHANNELS, HEADS
from minillm.plan.scores import Scores
from minillm.store.store import Store

from ..shell.address import choice, link, moves_of, number, remembered, remembers, saved
from ..shell.frame import Context, Shell, frame
from ..shell.handlers import ACT, QUIET, Answer, answering, guarded
from ..shell.templates import notice
from ..views.comparison import FAMILY, KEPT, LIKENESS, PRUNED, REFERENCE, compare, csv_text, in_order, usual
from ..views.comparison_pictures import pictures
from ..views.plans import read_blocks
from ..views.variants import kinds_in
from . import domains
from .form import MOST, STANDARD, Page, about, layout

TITLE = "Compare"
CLOSER = ("fms-zo", "fms-bp", "wanda")
"""Which of these is looked at more closely, where nobody has chosen: the paper's own first."""
CLOSER_LOOK = "() => document.querySelector('#compare-density').scrollIntoView({block: 'center'})"
"""Where a click on a cell leads: to the two criteria it is about."""
FEW = "Score two criteria first, then their choices can be compared here."


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        page = layout()
        section = domains.lay_out()
        about()
        _wire(ctx, shell, page)
        domains.wire(ctx, shell, section)


def _wire(ctx: Context, shell: Shell, page: Page) -> None:
    controls = list(page.controls.values())
    draw, asked = partial(_whole, ctx, page), partial(_from_address, ctx.store, page)
    shell.redraws_when(partial(_state, ctx), draw, page.whole, controls, asked)
    _wire_controls(ctx, shell, page)
    for kind in (CHANNELS, HEADS):
        _wire_matrix(ctx, shell, page, kind)
    event = page.csv.click(guarded(_csv(ctx)), [shell.run, *controls[:5]], page.text, api_name="compare", **ACT)
    saved(event, page.text, "minillm-overlap.csv", "text/csv")


def _wire_controls(ctx: Context, shell: Shell, page: Page) -> None:
    """The curves and what they say first, then the rest: a slider on the move is followed by what the eye is on.

    One event for all that change the same pictures, lest the answer to an earlier move come last. The correlation of
    two criteria costs more than all else, and depends on which two alone.
    """
    names = list(page.shown)
    first = [name for name in names if name.startswith(("lines", "reading"))]
    rest = [name for name in names if name not in first]
    given = [shell.run, *page.controls.values()]
    page.controls["reference"].input(partial(_whole, ctx, page), given, page.whole, **QUIET)
    cheap = [name for name in rest if name != "correlation"]
    for chosen, then in ((("pair", "kind"), rest), (("others", "of", "ratio", "blocks", "order"), cheap)):
        moves = [move for name in chosen for move in moves_of(page.controls[name])]
        event = gr.on(moves, *_drawing(ctx, shell, page, first), trigger_mode="always_last", **QUIET)
        event.then(*_drawing(ctx, shell, page, then), trigger_mode="always_last", **QUIET)
    remembers(page.controls)


def _drawing(ctx: Context, shell: Shell, page: Page, names: list[str]) -> tuple[Any, list[Any], list[Any]]:
    """Function, inputs and outputs of an event that draws some pictures."""
    outputs = [page.notice, *(page.shown[name] for name in names)]
    return partial(_drawn, ctx, page, names), [shell.run, *page.controls.values()], outputs


def _wire_matrix(ctx: Context, shell: Shell, page: Page, kind: str) -> None:
    """A click on a cell makes its row the reference and takes a closer look at its column."""

    def clicked(event: gr.EventData, run_id: str, *values: Any) -> Answer:
        if event.x == event.y:
            return {}
        given = dict(zip(page.controls, values, strict=True))
        shown = [one for one in (given["reference"], *given["others"], event.x) if one != event.y]
        given |= {"reference": event.y, "pair": event.x, "others": list(dict.fromkeys(shown))}
        return _whole(ctx, page, run_id, *given.values())

    host, inputs = page.shown[f"pairs-{kind}"], [shell.run, *page.controls.values()]
    taken = host.select(answering(clicked), inputs, page.whole, **QUIET)
    remembered(taken.success, page.controls)
    taken.success(None, None, None, js=CLOSER_LOOK, api_visibility="private")


def _state(ctx: Context, run_id: str) -> str:
    """Changes whenever the scores of the run do."""
    scores = ctx.store.scores(run_id) if run_id else {}
    return ";".join(f"{label} {s.seconds}" for label, s in scores.items())


def _whole(ctx: Context, page: Page, run_id: str, *values: Any) -> Answer:
    """What stands in place of the body or the body: its controls, notice and pictures."""
    scores = ctx.store.scores(run_id) if run_id else {}
    if len(scores) < 2:
        return {page.empty: _nothing_yet(run_id), page.body: gr.Column(visible=False)}
    reference, others, *more, pair, kind = _settled(scores, values)
    labels = in_order(scores)
    rest = [name for name in labels if name != reference]
    on = page.controls
    return {
        page.empty: "",
        page.body: gr.Column(visible=True),
        on["reference"]: gr.Dropdown(choices=labels, value=reference),
        on["others"]: gr.CheckboxGroup(choices=rest, value=others),
        on["pair"]: gr.Dropdown(choices=rest, value=pair),
        **_drawn(ctx, page, list(page.shown), run_id, reference, others, *more, pair, kind),
    }


def _drawn(ctx: Context, page: Page, names: list[str], run_id: str, *values: Any) -> Answer:
    """The pictures named; where there can be none, why, and every picture stays."""
    try:
        found = pictures(ctx.store, run_id, names, values)
    except MiniLLMError as fault:
        return {page.notice: notice(str(fault), "failed")}
    return {page.notice: "", **{page.shown[name]: value for name, value in found.items()}}


def _nothing_yet(run_id: str) -> str:
    """What stands in place of the body."""
    there = Markup('{} <a href="{}">Go to the Score page</a>').format(FEW, link("score", run=run_id))
    return notice(there) if run_id else ""


def _settled(scores: Mapping[str, Scores], values: Sequence[Any]) -> list[Any]:
    """The controls' values, with defaults where they name scores that are not there."""
    reference, others, of, ratio, blocks, order, pair, kind = values
    if reference not in scores:
        reference = REFERENCE if REFERENCE in scores else in_order(scores)[0]
    rest = [name for name in in_order(scores) if name != reference]
    others = [name for name in others or [] if name in rest] or usual(rest)
    closer = next((name for name in (pair, *CLOSER) if name in rest), others[0])
    return [reference, others, of, ratio, blocks, order, closer, kind]


def _csv(ctx: Context) -> Callable[..., str]:
    def overlap_csv(run_id: str, reference: str, others: list[str], of: str, ratio: float, blocks: str) -> str:
        """Overlap of what criteria cut with what a reference criterion cuts, block by block, as CSV."""
        scores = ctx.store.scores(run_id)
        if reference not in scores:
            raise BadInput(FEW if len(scores) < 2 else f"There are no scores under {reference}; choose from the list.")
        layers = read_blocks(blocks, len(scores[reference].groups))
        return csv_text(compare(scores, reference, others or [], ratio, layers, of), ratio)

    return overlap_csv


def _from_address(store: Store, page: Page, run_id: str, options: dict[str, str]) -> Answer:
    """The controls, as far as the address gives any; what cannot be read is left at its default."""
    others = [name for name in options.get("others", "").split("|") if name]
    of, kind = choice(options, "of", (PRUNED, KEPT), PRUNED), choice(options, "kind", (CHANNELS, HEADS), CHANNELS)
    ratio, blocks = number(options, "ratio", STANDARD, 0, MOST), options.get("blocks", "")
    order = choice(options, "order", (LIKENESS, FAMILY), LIKENESS)
    given = (options.get("reference"), others, of, ratio, blocks, order, options.get("pair"), kind)
    kinds = gr.update(choices=kinds_in(store, run_id), value=kind)
    return {**dict(zip(page.controls.values(), given, strict=True)), page.controls["kind"]: kinds}
