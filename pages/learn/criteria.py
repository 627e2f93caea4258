"""Each criterion acted out on two matrices of four rows and columns: scores of weights, sums, the largest, who goes."""

from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from minillm.criteria import BY_WEIGHT, CRITERIA

from ..plots.style import CUT, SEQUENTIAL, axis, figure, hatched
from ..shell.handlers import QUIET, guarded
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import html
from .formulas import ELEMENTS, FOUR, LINEARS, STRUCTURES, Change, Facts, channel_scores, sheet, structure_sums
from .matrices import Matrix, matrices

ABOUT = """
A criterion scores every **weight**; the scores are **summed** over each slice of a group; the **largest** sum is the
group's score; and the group with the **lowest** score goes. Here a group is one of four channels: row *i* of up and
column *i* of down. Choose a weight (or click its cell), move it, and watch who goes.
"""
ELEMENTS_CAPTION = "Every number is the score of one weight. Framed in orange: the channel that would go first."
SUMS_CAPTION = (
    "Each bar is the sum over one slice. The diamond is the larger of them, the channel's score; the lowest goes."
)
LOOKS = {"up": ("#0072B2", ""), "down": ("#56B4E9", "/")}
STEPS = {"weight": (-3.0, 3.0), "norm": (0.1, 5.0), "gradient": (-1.0, 1.0)}
PLACES = [(linear, row, column) for linear in LINEARS for row in range(FOUR) for column in range(FOUR)]

REMARKS = {
    "zo": "c is one number for all weights: move the gradient and every score grows or shrinks alike. Who goes depends "
    "on the weights and on the noise z alone.",
    "fms-zo": "c is one number for all weights: move the gradient and every score grows or shrinks alike. Who goes "
    "depends on weights, inputs and the noise z alone.",
    "bonsai": "Bonsai has no formula for a weight: it drops whole groups and regresses the loss on what was dropped. "
    "Drawn here is its prior, which is that of Wanda-sp.",
    "pgp": "PGP has no formula for a weight: it draws masks of whole groups and makes likelier what the better ones "
    "kept. Drawn here is where it begins, Wanda-sp, which is also what channels keep.",
    "ziplm": "Columns go one after the other, the others making up for each: the number in a column is what its "
    "removal costs when its turn comes. Only down counts.",
    "random": "Nothing you move changes this one.",
}


def elements(criterion: str, known: dict[str, Facts]) -> go.Figure:
    """The scores of all weights as numbers, the channel that goes framed."""
    goes = int(channel_scores(criterion, known).argmin())
    line = []
    for s in STRUCTURES:
        facts = known[s.linear]
        given = np.stack([facts.weight, np.broadcast_to(facts.norm, (FOUR, FOUR)), facts.gradient], -1)
        scores = ELEMENTS[criterion](facts)
        line.append(Matrix(s.linear, scores, np.round(given, 3), ("W", "X", "g"), "%{z:.2f}", marked=((s.axis, goes),)))
    alt = f"Scores of the weights of up and down under {criterion}; channel {goes} goes"
    top = max(float(m.values.max()) for m in line)
    return matrices(f"elements-{criterion}", alt, [line], "score", colorscale=SEQUENTIAL, cmin=0, cmax=top)


def sums(criterion: str, known: dict[str, Facts]) -> go.Figure:
    """A bar for each structure of each channel, and the largest as a diamond."""
    parts, scores = structure_sums(criterion, known), channel_scores(criterion, known)
    goes, channels = int(scores.argmin()), np.arange(FOUR, dtype=np.int16)
    alt = f"Sums over the slices of four channels under {criterion}; the lowest largest sum has channel {goes}"
    fig = figure(f"sums-{criterion}", alt, barmode="group", bargap=0.35, showlegend=True)
    for name, values in parts.items():
        fig.add_bar(
            x=channels,
            y=values.astype(np.float32),
            name=f"sum over {name}",
            marker=hatched(*LOOKS[name]),
            hovertemplate=f"channel %{{x}}<br>sum over {name}: %{{y:.3g}}<extra></extra>",
            meta={"columns": {"x": "channel", "y": "score"}},
        )
    fig.add_scatter(
        x=channels,
        y=scores.astype(np.float32),
        name="the channel's score",
        mode="markers",
        marker={"symbol": "diamond", "size": 11, "color": CUT, "line": {"width": 1, "color": "white"}},
        hovertemplate="channel %{x}: %{y:.3g}<extra></extra>",
        meta={"columns": {"x": "channel", "y": "score"}},
    )
    fig.add_annotation(x=goes, y=float(scores[goes]), text="<b>goes</b>", showarrow=False, yshift=18)
    top = 1.2 * float(scores.max())
    return fig.update_layout(
        xaxis=axis("channel", dtick=1, showgrid=False), yaxis=axis("sum of scores", range=[0, top], exponentformat="e")
    )


def worked(criterion: str, known: dict[str, Facts], change: Change) -> str:
    """One weight's score worked out in numbers, and what follows for the channels."""
    facts, place, entry = known[change.linear], (change.row, change.column), CRITERIA[criterion]
    terms = [f"W = {facts.weight[place]:.2f}"]
    if entry.observes:
        observed = {"norm": ("X", facts.norm), "fluctuation": ("Var(x)", facts.fluctuation)}
        observed["saliency"] = ("H_jj + 1/[H⁻¹]_jj", facts.saliency)
        name, values = observed.get(entry.observes, ("[H⁻¹]", facts.inverse))
        terms.append(f"{name} = {values[change.column]:.3f}")
    if entry.gradient == "backprop":
        terms.append(f"g = {facts.gradient[place]:.2f}")
    elif entry.gradient == "zeroth-order":
        terms.append(f"ĝ = c / z = {facts.c:.2f} / {facts.z[place]:.2f} = {facts.estimate[place]:.2f}")
    score, scores = ELEMENTS[criterion](facts)[place], channel_scores(criterion, known)
    listed = ", ".join(f"{value:.3g}" for value in scores)
    told: dict[str, Any] = {"where": f"{change.linear}, row {change.row}, column {change.column}", "terms": terms}
    told |= {"score": f"{score:.4g}", "remark": REMARKS.get(criterion)}
    return html("worked", entry=entry, scores=listed, goes=int(scores.argmin()), **told)


def drawn(criterion: str, place: int, weight: float, norm: float, gradient: float) -> list[Any]:
    """Values for both pictures and the words."""
    change = Change(*PLACES[int(place)], weight, norm, gradient)
    known = sheet(change)
    return [elements(criterion, known), sums(criterion, known), worked(criterion, known, change)]


def as_it_was(place: int) -> list[float]:
    """Weight, norm and gradient of a place before anyone moved them."""
    linear, row, column = PLACES[int(place)]
    facts = sheet()[linear]
    numbers = facts.weight[row, column], facts.norm[column], facts.gradient[row, column]
    return [round(float(number), 2) for number in numbers]


def clicked(event: gr.EventData) -> int:
    """The number of the place that was clicked."""
    row, column, *_ = event.customdata
    return PLACES.index((event.name, int(row), int(column)))


def section() -> None:
    """Lay this topic out and wire it."""
    gr.Markdown(ABOUT)
    named = [(f"{linear}, row {row}, column {column}", i) for i, (linear, row, column) in enumerate(PLACES)]
    choices = [(entry.titled, name) for name, entry in BY_WEIGHT.items()]
    with gr.Row():
        criterion = gr.Dropdown(choices, value="fms-bp", label="Criterion", elem_id="acted-criterion", min_width=220)
        place = gr.Dropdown(named, value=0, label="Weight to move", elem_id="acted-place", min_width=220)
    labels = {"weight": "Weight W", "norm": "Norm X of the input it meets", "gradient": "Gradient g"}
    start = as_it_was(0)
    with gr.Row():
        sliders = [
            gr.Slider(*STEPS[name], value, step=0.01, label=labels[name], elem_id=f"acted-{name}", min_width=200)
            for name, value in zip(STEPS, start, strict=True)
        ]
    first, second, words = drawn("fms-bp", 0, *start)
    with gr.Row(equal_height=False):
        with gr.Column(min_width=340):
            cells = PlotlyHost("Scores of the weights", ELEMENTS_CAPTION, first, 300, elem_id="acted-elements")
        with gr.Column(min_width=340):
            bars = PlotlyHost("Sums, and who goes", SUMS_CAPTION, second, 300, elem_id="acted-sums")
    said = gr.HTML(words, elem_id="acted-words", elem_classes="reading")
    controls: list[Any] = [criterion, place, *sliders]
    redraw: dict[str, Any] = {"inputs": controls, "outputs": [cells, bars, said], **QUIET}
    for control in (controls[0], *controls[2:]):
        control.input(drawn, trigger_mode="always_last", **redraw)
    place.change(as_it_was, place, sliders, **QUIET).then(drawn, **redraw)
    cells.select(guarded(clicked), None, place, **QUIET)
