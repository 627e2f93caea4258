"""Methods: what each criterion computes, reads and costs, and what does not add up in the paper. All from the records
that the form, the command line and docs/criteria.md are made of."""

from dataclasses import Field, fields

import gradio as gr
from markupsafe import Markup

from minillm.criteria import CRITERIA
from minillm.criteria.settings import Settings
from minillm.plan.methods import METHODS
from minillm.recipes.requests import COMPENSATIONS

from .shell.address import link
from .shell.drawers import drawer
from .shell.formula import formula
from .shell.frame import Context, frame
from .shell.templates import html, html_table, paragraph
from .views.paper import PAPER, paper_table

TITLE = "Methods"

INTRO = """
# Methods

A **group** is what must be cut together: a key/value head with the query heads it serves, one FFN channel, or one
expert of a model that has some. Every criterion gives each weight a score; the scores are summed over the slices a
group owns, one sum for each structure (q, k, v, o or gate, up, down), and the group's score is the largest of these
sums. Groups compete inside their block only, heads with heads and channels with channels. The **ratio** is the share of
*all* the model's parameters that goes.
"""

LETTERS = (
    ("W", "a weight [out, in]"),
    ("X", "the norm of each input feature over the calibration tokens"),
    ("g = ∂L / ∂W", "the gradient of the mean token loss"),
    ("F", "the mean over samples of their squared gradients"),
    ("c = [L(W + εz) − L(W − εz)] / 2ε", "the slope of the loss along noise z, from two forward passes"),
    ("ĝ = c / z", "the gradient as it is estimated from these"),
    ("H = Σ x xᵀ", "the second moments of the inputs"),
    ("G", "the second moments of the loss's gradient at a linear's output, with words drawn as the model expects them"),
)
"""What stands in the formulas, and what it is."""

WRAPPED = """
.facts :is(th, td) { white-space: normal; text-align: left; vertical-align: top; min-width: 7rem; }
.facts :is(th, td):nth-child(2) { min-width: 11rem; }
"""

HEAD = ("criterion", "score of a weight", "reads", "costs", "source")


def build(ctx: Context) -> None:
    """Lay the page out; it needs no run."""
    with frame(ctx, needs_run=False):
        gr.Markdown(INTRO, elem_id="methods-intro")
        gr.HTML(to_the_paper(), elem_id="methods-to-paper")
        gr.HTML(criteria(), elem_id="methods-criteria", css_template=WRAPPED)
        gr.HTML(letters(), elem_id="methods-letters", css_template=WRAPPED)
        gr.Markdown("## One by one")
        gr.HTML(one_by_one(), elem_id="methods-each")
        gr.Markdown("## Settings of scoring")
        gr.HTML(settings(), elem_id="methods-settings", css_template=WRAPPED)
        gr.Markdown("## From scores to a smaller model")
        gr.HTML(cutting(), elem_id="methods-cutting", css_template=WRAPPED)
        gr.Markdown("## What does not add up in the paper")
        gr.HTML(paper_table(), elem_id="methods-paper", css_template=WRAPPED)
        drawer("methods")


def to_the_paper() -> str:
    """The way to what does not add up in the paper, which stands far below and has an address of its own."""
    there = Markup('<a class="onward" href="{}">What does not add up in the paper: {} points</a>')
    return paragraph(there.format(link("learn", topic="paper"), len(PAPER)))


def criteria() -> str:
    """Every criterion in a row, in the order of the table."""
    rows = [(c.titled, formula(c.equation), c.needs, c.cost, c.paper) for c in CRITERIA.values()]
    return html_table(HEAD, rows, name="criteria-records")


def letters() -> str:
    """What stands in the formulas."""
    rows = [(formula(letter), what) for letter, what in LETTERS]
    return html_table(("in the formulas", "what it is"), rows, name="letters")


def one_by_one() -> str:
    """What each criterion is about, and where it differs from its original."""
    return html("methods", criteria=CRITERIA.values())


def settings() -> str:
    """Every setting with its meaning, its choices, its default, and the criteria that use it."""
    rows = [(one.name, one.metadata["help"], _choices(one), str(one.default), users(one)) for one in fields(Settings)]
    return html_table(("setting", "what it means", "choices", "default", "used by"), rows, name="settings-records")


def _choices(setting: Field) -> str:
    return ", ".join(setting.metadata["check"].choices) or "a number"


def users(setting: Field) -> str:
    """Which criteria a setting matters to."""
    sources = setting.metadata["used_by"]
    able = [c.name for c in CRITERIA.values() if c.gradient in sources and setting.name not in c.deaf]
    return ", ".join(able) if sources else "all"


def cutting() -> str:
    """Allocations and compensations, by name."""
    rows = [("allocation", name, method.about) for name, method in METHODS.items()]
    rows += [("compensation", name or "none", words) for name, words in COMPENSATIONS.items()]
    return html_table(("step", "name", "what it means"), rows, name="cutting-records")
