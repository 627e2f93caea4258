"""The zeroth-order gradient on a loss of two weights, where it can be seen: SPSA, and the heavy tail of dividing by z.

    L(w) = ½ wᵀ A w      c = [L(w + εz) − L(w − εz)] / 2ε      ĝ = c / z  or  c · z, averaged over n draws of z

For a quadratic loss c is the slope along z exactly, so whatever is wrong with ĝ is wrong with the estimator alone.
With Gaussian z, c / z₁ = g₁ + g₂ · (z₂ / z₁) is a Cauchy variable: centre g₁, half-width |g₂|. It has no mean, and the
mean of n of them is as wide as one.
"""

from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from ..plots.style import GREY, SEQUENTIAL, axis, figure
from ..shell.formula import formula
from ..shell.handlers import QUIET
from ..shell.plotly_host import PlotlyHost
from ..shell.templates import html_table, paragraph

A = np.array([[2.0, 1.0], [1.0, 2.0]])
WEIGHTS = np.array([1.0, -0.9])
EPSILON = 1e-3
DRAWS, REACH, BINS = 4000, 8.0, 64
ESTIMATORS = {"divide": ("ĝ = c / z (Eq. 8)", "#D55E00", "solid"), "multiply": ("ĝ = c · z", "#0072B2", "dash")}

ABOUT = """
MINI-LLM never computes the gradient g. It moves **all** weights at once by a random ±εz, reads off two losses, and
says: the slope along z is *c*, so each weight's gradient is about c / z. With two weights one can see what that does.
The slope c is right; the division is the trouble: where a z is near zero, ĝ is huge. **Try:** raise n. The blue curve
narrows like any average; the orange one stays as wide as it was, since such a mean does not settle.
"""
FORMULA = "c = [L(w + εz) − L(w − εz)] / 2ε, and so ĝ = c / z"
PLANE_CAPTION = (
    "Rings: equal loss. Grey: the true gradient. The dotted line is the one direction z that was tried; all "
    "that two losses can tell is the slope along it."
)
TAIL_CAPTION = (
    "Each curve counts 4,000 estimates of the first weight's gradient, on a log scale. Look at the ends: tails "
    "that stay high are rare, enormous errors."
)


def loss(w: np.ndarray) -> np.ndarray:
    """L(w) of weights [..., 2]."""
    return 0.5 * ((w @ A) * w).sum(-1)


def gradient(w: np.ndarray = WEIGHTS) -> np.ndarray:
    """∂L/∂w: [2]."""
    return A @ w


def noise(kind: str, n: int, count: int, seed: int) -> np.ndarray:
    """z of n directions for each of `count` estimates: [count, n, 2], N(0, 1) or ±1."""
    draw = np.random.default_rng(seed)
    return draw.choice([-1.0, 1.0], (count, n, 2)) if kind == "rademacher" else draw.normal(size=(count, n, 2))


def slopes(z: np.ndarray) -> np.ndarray:
    """c of every direction, from two losses: [...]."""
    return (loss(WEIGHTS + EPSILON * z) - loss(WEIGHTS - EPSILON * z)) / (2 * EPSILON)


def estimates(z: np.ndarray, estimator: str) -> np.ndarray:
    """ĝ averaged over the n directions: [count, 2]."""
    c = slopes(z)[..., None]
    return (c / z if estimator == "divide" else c * z).mean(1)


Found = dict[str, np.ndarray]
"""{estimator: ĝ of many z, [count, 2]}."""


def plane(z: np.ndarray) -> go.Figure:
    """The loss, the true gradient, one direction and what each estimator makes of it. z: [n, 2], of one estimate."""
    c = float(slopes(z[:1])[0])
    alt = f"A loss of two weights; slope along z is {c:.2f}; true gradient {gradient()[0]:.2f}, {gradient()[1]:.2f}"
    fig = figure("plane", alt, showlegend=True)
    side = np.linspace(-4, 4, 41, dtype=np.float32)
    grid = loss(np.stack(np.meshgrid(side, side), -1)).astype(np.float32)
    fig.add_contour(
        x=side,
        y=side,
        z=grid,
        colorscale=SEQUENTIAL,
        showscale=False,
        opacity=0.35,
        ncontours=14,
        hoverinfo="skip",
        showlegend=False,
        meta={"columns": {"x": "w₁", "y": "w₂", "z": "loss"}},
    )
    ends = WEIGHTS + np.outer([-9, 9], z[0] / np.linalg.norm(z[0]))
    _way(fig, "direction z", ends, {"color": GREY, "dash": "dot", "width": 2}, "lines")
    _way(fig, "true gradient g", [WEIGHTS, WEIGHTS + gradient()], {"color": GREY, "width": 5})
    for name, (label, colour, dash) in ESTIMATORS.items():
        found = estimates(z[None], name)[0]
        line = {"color": colour, "width": 3, "dash": dash}
        _way(fig, f"{label} = ({found[0]:.2f}, {found[1]:.2f})", [WEIGHTS, WEIGHTS + found], line)
    return fig.update_layout(
        xaxis=axis("first weight", range=[-4, 4], showgrid=False, constrain="domain"),
        yaxis=axis("second weight", range=[-4, 4], showgrid=False, scaleanchor="x"),
    )


def _way(fig: go.Figure, name: str, points: Any, line: dict[str, Any], mode: str = "lines+markers") -> None:
    x, y = np.array(points, np.float32).T
    arrow = {"symbol": "arrow", "angleref": "previous", "size": [0, 14], "color": line["color"], "opacity": 1}
    fig.add_scatter(
        x=x,
        y=y,
        name=name,
        mode=mode,
        line=line,
        marker=arrow,
        hoverinfo="name",
        meta={"columns": {"x": "w₁", "y": "w₂"}},
    )


def tails(found: Found) -> go.Figure:
    """How ĝ₁ spreads over many z under both estimators."""
    total = len(found["divide"])
    true = float(gradient()[0])
    edges = np.linspace(true - REACH, true + REACH, BINS + 1)
    middles = ((edges[:-1] + edges[1:]) / 2).astype(np.float32)
    fig = figure("tails", f"Estimates of the first gradient, which is {true:.2f}; {_beyond(found)}", showlegend=True)
    for name, (label, colour, dash) in ESTIMATORS.items():
        counts = np.histogram(found[name][:, 0], edges)[0].astype(np.float32)
        fig.add_scatter(
            x=middles,
            y=np.where(counts > 0, counts, np.nan).astype(np.float32),
            name=label,
            mode="lines",
            connectgaps=False,
            line={"color": colour, "width": 2.5, "shape": "hvh", "dash": dash},
            hovertemplate=f"{label}<br>around %{{x:.2f}}: %{{y}} of {total:,}<extra></extra>",
            meta={"columns": {"x": "estimate, middle of the bin", "y": "how often"}},
        )
    fig.add_vline(x=true, line={"color": GREY, "width": 2, "dash": "dot"})
    fig.add_annotation(
        x=true, y=1, yref="paper", text=f"true g₁ = {true:.2f} ", showarrow=False, xanchor="right", yanchor="top"
    )
    return fig.update_layout(
        xaxis=axis("estimate of the first weight's gradient", range=[edges[0], edges[-1]], showgrid=False),
        yaxis=axis(f"of {total:,} estimates (log)", type="log", dtick=1),
    )


def _beyond(found: Found) -> str:
    shares = {name: float((np.abs(g[:, 0] - gradient()[0]) > REACH).mean()) for name, g in found.items()}
    return ", ".join(f"{100 * share:.1f} % of {name} lie beyond ± {REACH:g}" for name, share in shares.items())


def told(found: Found, n: int) -> str:
    """Both estimators in numbers. n: directions averaged in each estimate."""
    rows = []
    for name, g in found.items():
        off = np.abs(g[:, 0] - gradient()[0])
        cosine = g @ gradient() / np.linalg.norm(g, axis=1).clip(1e-12) / np.linalg.norm(gradient())
        numbers = np.median(off), np.quantile(off, 0.99), off.max()
        rows.append((ESTIMATORS[name][0], *(f"{number:,.2f}" for number in numbers), f"{cosine.mean():.2f}"))
    head = ("estimator", "median error", "99 % below", "largest error", "mean cosine with g")
    return html_table(head, rows, f"{DRAWS:,} estimates, each the mean over n = {n} direction{'s' * (n > 1)}")


def drawn(kind: str, n: float, seed: float) -> list[Any]:
    """Values for both pictures and the table."""
    z = noise(kind, int(n or 1), DRAWS, int(seed or 0))
    found = {name: estimates(z, name) for name in ESTIMATORS}
    return [plane(z[0]), tails(found), told(found, z.shape[1])]


def section() -> None:
    """Lay this topic out and wire it."""
    gr.Markdown(ABOUT)
    gr.HTML(paragraph(formula(FORMULA)), elem_id="estimate-formula")
    kinds = [("Gaussian (the paper)", "gaussian"), ("Rademacher, ±1", "rademacher")]
    with gr.Row():
        kind = gr.Radio(kinds, value="gaussian", label="Noise z", elem_id="estimate-noise", min_width=260)
        n = gr.Slider(1, 64, 1, step=1, label="n, directions averaged", elem_id="estimate-n", min_width=240)
        seed = gr.Slider(0, 50, 0, step=1, label="Seed", elem_id="estimate-seed", min_width=180)
    first, second, words = drawn("gaussian", 1, 0)
    with gr.Row(equal_height=False):
        with gr.Column(min_width=340):
            left = PlotlyHost("One estimate", PLANE_CAPTION, first, 380, elem_id="estimate-plane")
        with gr.Column(min_width=340):
            right = PlotlyHost("4,000 estimates", TAIL_CAPTION, second, 380, elem_id="estimate-tails")
    table = gr.HTML(words, elem_id="estimate-table")
    for control in (kind, n, seed):
        control.input(drawn, [kind, n, seed], [left, right, table], trigger_mode="always_last", **QUIET)
