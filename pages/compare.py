"""Compare criteria (the paper's Figure 2): how far their cuts agree, at any ratio, from stored scores alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from minillm.errors import BadInput
from minillm.groups import CHANNELS, HEADS
from minillm.scores import Scores

from ._address import link, opening, remembered, saved
from ._compare import KEPT, PRUNED, REFERENCE, compare, csv_text, in_order
from ._compare_pictures import pictures
from ._frame import ACT, QUIET, Context, Shell, frame, guarded
from ._host import PlotlyHost
from ._plans import read_blocks
from ._plots import CAPTIONS

TITLE = "Compare"
CLOSER = ("fms-zo", "fms-bp", "wanda")
"""Which of these is looked at more closely, where nobody has chosen: the paper's own first."""
MOST, STANDARD = 0.6, 0.2

ABOUT = """
Every criterion ranks the head groups and the channels **inside each block** and cuts the lowest. How often do two of
them cut the *same* ones? Share = |A ∩ B| / |A|, block by block, at the same ratio: **Figure 2** of the MINI-LLM paper,
where LLM-Pruner is the reference A. (Its formula in Section 4.2 names the pruned sets, its text the kept ones: choose.)

Two criteria that know nothing of each other still meet by chance, in as large a share as the block gives up. Read every
curve against the grey **chance line**; `random` lies on it by construction.

**Try:** move the ratio to 0.05, then to 0.5. A curve that rises only as fast as the chance line does not agree more, it
merely cuts more.
"""

FEW = "Score two criteria first, then their choices can be compared here."


@dataclass(frozen=True)
class Page:
    """What is on the page. `controls` and `shown` stand in the order in which handlers take and give values."""

    opened: gr.Textbox
    empty: gr.HTML
    body: gr.Column
    controls: dict[str, Any]
    notice: gr.HTML
    shown: dict[str, Any]
    csv: gr.Button
    text: gr.Textbox


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        page = _layout()
        _wire(ctx, shell, page)


def _layout() -> Page:
    opened = gr.Textbox(visible=False, elem_id="compare-opened")
    gr.Markdown("# Compare criteria")
    empty = gr.HTML(elem_id="compare-empty")
    with gr.Column(visible="hidden", elem_id="compare-body") as body:
        controls = _controls()
        notice = gr.HTML(elem_id="compare-notice")
        shown = _overlaps() | _closer(controls) | _cut()
        with gr.Row():
            shown["use"] = gr.HTML(elem_id="compare-use")
            csv = gr.Button("Save all overlaps (CSV)", elem_id="compare-csv", size="sm", scale=0, min_width=220)
    with gr.Accordion("What am I looking at?", open=False, elem_id="about-compare"):
        gr.Markdown(ABOUT)
    text = gr.Textbox(visible=False, elem_id="compare-csv-text", label="CSV")
    return Page(opened, empty, body, controls, notice, shown, csv, text)


def _controls() -> dict[str, Any]:
    with gr.Group(elem_id="compare-controls"):
        with gr.Row():
            reference = gr.Dropdown(
                [],
                label="Reference",
                info="All others are measured against its choice.",
                elem_id="compare-reference",
                min_width=300,
            )
            of = gr.Radio(
                [("what is pruned", PRUNED), ("what is kept", KEPT)],
                value=PRUNED,
                label="Compare",
                elem_id="compare-of",
                min_width=300,
            )
        others = gr.CheckboxGroup([], label="With", elem_id="compare-others")
        with gr.Row():
            ratio = gr.Slider(
                0,
                MOST,
                STANDARD,
                step=0.01,
                label="Ratio",
                elem_id="compare-ratio",
                info="Share of all parameters cut.",
                min_width=300,
            )
            blocks = gr.Textbox(
                "",
                label="Blocks that give",
                elem_id="compare-blocks",
                info="Such as 3-27 or 0-5, 8; empty: default.",
                min_width=300,
            )
    return {"reference": reference, "others": others, "of": of, "ratio": ratio, "blocks": blocks}


def _overlaps() -> dict[str, Any]:
    found: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        for kind, title in ((CHANNELS, "Channels"), (HEADS, "Head groups")):
            with gr.Column(min_width=340):
                found[f"lines-{kind}"] = PlotlyHost(
                    f"{title}: overlap by block", CAPTIONS["overlap_lines"], elem_id=f"overlap-{kind}", height=340
                )
                found[f"reading-{kind}"] = gr.HTML(elem_id=f"reading-{kind}", elem_classes="reading")
    with gr.Row(equal_height=False):
        for kind, title in ((CHANNELS, "Channels"), (HEADS, "Head groups")):
            with gr.Column(min_width=340):
                found[f"pairs-{kind}"] = PlotlyHost(
                    f"{title}: every pair", CAPTIONS["overlap_matrix"], elem_id=f"pairs-{kind}", height=360
                )
    return found


def _closer(controls: dict[str, Any]) -> dict[str, Any]:
    with gr.Row(equal_height=False):
        with gr.Column(min_width=340):
            gr.Markdown("## Two criteria, rank against rank")
            controls["pair"] = gr.Dropdown([], label="The reference and", elem_id="compare-pair")
            controls["kind"] = gr.Radio(
                [("channels", CHANNELS), ("head groups", HEADS)], value=CHANNELS, label="Of", elem_id="compare-kind"
            )
            correlation = gr.HTML(elem_id="compare-correlation", elem_classes="reading")
        with gr.Column(min_width=340, scale=2):
            density = PlotlyHost("Rank against rank", CAPTIONS["rank_density"], elem_id="compare-density", height=420)
    return {"density": density, "correlation": correlation}


def _cut() -> dict[str, Any]:
    bars = PlotlyHost("What is really cut of each block", CAPTIONS["plan_bars"], elem_id="compare-cut", height=280)
    with gr.Accordion("The same as a table", open=False, elem_id="compare-cut-table"):
        table = gr.HTML(elem_id="compare-cut-rows")
    return {"cut": bars, "cut-table": table}


def _wire(ctx: Context, shell: Shell, page: Page) -> None:
    controls, names = list(page.controls.values()), list(page.shown)
    whole = [page.opened, page.empty, page.body, *controls, page.notice, *page.shown.values()]

    def looked(run_id: str, opened: str, *values: Any) -> list[Any]:
        """Drawn anew only where scores have come: a live job must not disturb who is choosing."""
        if not opened or opened == _state(ctx, run_id):
            return [gr.skip() for _ in whole]
        return _whole(ctx, run_id, names, values)

    shell.live(looked, whole, [page.opened, *controls])
    opening(ctx, lambda run_id, options: _whole(ctx, run_id, names, _from_address(options)), whole)
    for name, control in page.controls.items():
        for trigger in [control.submit, control.blur] if name == "blocks" else [control.input]:
            _wire_control(ctx, shell, page, name, trigger)
            remembered(control.release if name == "ratio" else trigger, page.controls)
    for kind in (CHANNELS, HEADS):
        _wire_matrix(ctx, shell, page, kind)
    event = page.csv.click(guarded(_csv(ctx)), [shell.run, *controls[:5]], page.text, api_name="compare", **ACT)
    saved(event, page.text, "minillm-overlap.csv", "text/csv")


def _wire_control(ctx: Context, shell: Shell, page: Page, name: str, trigger: Any) -> None:
    """The curves and what they say first, then the rest: a slider on the move is followed by what the eye is on."""
    controls, names = list(page.controls.values()), list(page.shown)
    if name == "reference":
        whole = [page.opened, page.empty, page.body, *controls, page.notice, *page.shown.values()]
        trigger(lambda run_id, *values: _whole(ctx, run_id, names, values), [shell.run, *controls], whole, **QUIET)
        return
    first = [name for name in names if name.startswith(("lines", "reading"))]
    rest = [one for one in names if one not in first and (one != "correlation" or name in ("pair", "kind"))]
    event = trigger(*_drawing(ctx, shell, page, first), trigger_mode="always_last", **QUIET)
    event.then(*_drawing(ctx, shell, page, rest), trigger_mode="always_last", **QUIET)


def _drawing(ctx: Context, shell: Shell, page: Page, names: list[str]) -> tuple[Any, list[Any], list[Any]]:
    """Function, inputs and outputs of an event that draws some pictures."""

    def drawn(run_id: str, *values: Any) -> list[Any]:
        return pictures(ctx.store, run_id, names, values)

    return drawn, [shell.run, *page.controls.values()], [page.notice, *(page.shown[name] for name in names)]


def _wire_matrix(ctx: Context, shell: Shell, page: Page, kind: str) -> None:
    """A click on a cell makes its row the reference and takes a closer look at its column."""
    chosen = [page.controls["reference"], page.controls["pair"]]
    clicked = page.shown[f"pairs-{kind}"].select(_clicked_pair, None, chosen, **QUIET)
    _wire_control(ctx, shell, page, "reference", clicked.success)
    remembered(clicked.success, page.controls)


def _clicked_pair(event: gr.EventData) -> list[Any]:
    return [gr.skip(), gr.skip()] if event.x == event.y else [event.y, event.x]


def _state(ctx: Context, run_id: str) -> str:
    """Changes whenever the scores of the run do."""
    scores = ctx.store.scores(run_id) if run_id else {}
    return ";".join(["open", *(f"{label} {s.seconds}" for label, s in scores.items())])


def _whole(ctx: Context, run_id: str, names: list[str], values: Sequence[Any]) -> list[Any]:
    """State, empty state, body, controls, notice and pictures."""
    scores = ctx.store.scores(run_id) if run_id else {}
    if len(scores) < 2:
        missing = [gr.skip() for _ in range(len(values) + 1 + len(names))]
        return [_state(ctx, run_id), _nothing_yet(run_id), gr.Column(visible="hidden"), *missing]
    reference, others, of, ratio, blocks, pair, kind = _settled(scores, values)
    labels = in_order(scores)
    rest = [name for name in labels if name != reference]
    controls = [
        gr.Dropdown(choices=labels, value=reference),
        gr.CheckboxGroup(choices=rest, value=others),
        of,
        ratio,
        blocks,
        gr.Dropdown(choices=rest, value=pair),
        kind,
    ]
    drawn = pictures(ctx.store, run_id, names, [reference, others, of, ratio, blocks, pair, kind])
    return [_state(ctx, run_id), "", gr.Column(visible=True), *controls, *drawn]


def _nothing_yet(run_id: str) -> str:
    return (
        f'<p class="notice">{FEW} <a href="{link("score", run=run_id)}">Go to the Score page</a></p>' if run_id else ""
    )


def _settled(scores: Mapping[str, Scores], values: Sequence[Any]) -> list[Any]:
    """The controls' values, with defaults where they name scores that are not there."""
    reference, others, of, ratio, blocks, pair, kind = values
    if reference not in scores:
        reference = REFERENCE if REFERENCE in scores else in_order(scores)[0]
    rest = [name for name in in_order(scores) if name != reference]
    others = [name for name in others or [] if name in rest] or rest
    closer = next((name for name in (pair, *CLOSER) if name in rest), others[0])
    return [reference, others, of, ratio, blocks, closer, kind]


def _csv(ctx: Context) -> Callable[..., str]:
    def overlap_csv(run_id: str, reference: str, others: list[str], of: str, ratio: float, blocks: str) -> str:
        """Overlap of what criteria cut with what a reference criterion cuts, block by block, as CSV."""
        scores = ctx.store.scores(run_id)
        if reference not in scores:
            raise BadInput(FEW if len(scores) < 2 else f"There are no scores under {reference}; choose from the list.")
        layers = read_blocks(blocks, len(scores[reference].groups))
        return csv_text(compare(scores, reference, others or [], ratio, layers, of), ratio)

    return overlap_csv


def _from_address(options: dict[str, str]) -> list[Any]:
    """Values for the controls, as far as the address gives any; what cannot be read is left at its default."""
    others = [name for name in options.get("others", "").split("|") if name]
    of = options.get("of") if options.get("of") in (PRUNED, KEPT) else PRUNED
    kind = options.get("kind") if options.get("kind") in (CHANNELS, HEADS) else CHANNELS
    blocks = options.get("blocks", "")
    return [options.get("reference"), others, of, _ratio(options.get("ratio", "")), blocks, options.get("pair"), kind]


def _ratio(text: str) -> float:
    try:
        return min(max(float(text), 0.0), MOST)
    except ValueError:
        return STANDARD
