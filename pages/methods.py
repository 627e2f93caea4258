"""Methods: what each criterion computes, reads and costs, and what does not add up in the paper. All from the records
that the form, the command line and docs/criteria.md are made of; what no record holds stands in `PAPER` here."""

from dataclasses import Field, fields

import gradio as gr

from minillm.criteria import CRITERIA
from minillm.criteria.settings import Settings
from minillm.plan.methods import METHODS
from minillm.recipes.requests import COMPENSATIONS

from .shell.drawers import drawer
from .shell.frame import Context, frame
from .shell.templates import html, html_table

TITLE = "Methods"

INTRO = """
# Methods

A **group** is what must be cut together: a key/value head with the query heads it serves, or one FFN channel. Every
criterion gives each weight a score; the scores are summed over the slices a group owns, one sum for each structure
(q, k, v, o or gate, up, down), and the group's score is the largest of these sums. Groups compete inside their block
only, heads with heads and channels with channels. The **ratio** is the share of *all* the model's parameters that goes.

In the formulas W is a weight [out, in], X the norm of each input feature over the calibration tokens, g = ∂L/∂W the
gradient of the mean token loss, ĝ its estimate from forward passes, H = Σ x xᵀ.
"""

WRAPPED = """
.facts :is(th, td) { white-space: normal; text-align: left; vertical-align: top; min-width: 7rem; }
.facts :is(th, td):nth-child(2) { min-width: 11rem; }
"""

HEAD = ("criterion", "score of a weight", "reads", "costs", "source")

PAPER: tuple[tuple[str, str, str], ...] = (
    (
        "Equation 8 with one z holds no gradient: c is one number for all weights and cancels in every ranking.",
        "MINI-LLM, Eqs. 7–9 with n = 1 as default, Section 3.2; algebra, and the Gradient page",
        "The default is as printed, but that only the blocks' linears are perturbed, and no |z| is below 1e-6; "
        "directions, minibatch, scope and the exact gradient are settings.",
    ),
    (
        "The scale ε of the perturbation is never given.",
        "MINI-LLM, Algorithm 1 and Section 4.1",
        f"{Settings().epsilon:g}, as in MeZO (Malladi et al. 2023).",
    ),
    (
        "The text keeps the “first four and last three” blocks; the ablation cuts blocks 4 to 29, which keeps two.",
        "MINI-LLM, Sections 4.1 and 4.3; the 5.42 B parameters of Table 5 are 25 % off blocks 4–29",
        "Blocks 4–29 of 32; in general all but the first eighth and the last sixteenth.",
    ),
    (
        "Table 5 prints 279.37 G MACs at 50 %, where 3.39 B parameters are left: proportion gives about 213 G.",
        "MINI-LLM, Table 5",
        "MACs are counted from the plan.",
    ),
    (
        "The overlap of Figure 2 is of pruned groups by its formula, of retained groups by its text.",
        "MINI-LLM, Section 4.2",
        "Pruned; the Compare page offers both.",
    ),
    (
        "BLOOM at 10 % by |W·g| has the numbers that Table 2 gives for MINI-LLM, and not those of its LLM-Pruner row.",
        "MINI-LLM, Tables 2 and 9: 38.12 / 86.23 against 35.32 / 75.21",
        "One of them is a copying error; neither is used here.",
    ),
    (
        "LLM-Pruner's perplexity differs between two tables of the same model.",
        "MINI-LLM, Tables 1 and 7: 17.58 and 17.79 at 20 %, 38.12 and 39.48 at 50 %",
        "Starred rows are copied from LLM-Pruner's paper; only numbers measured in one run are compared here.",
    ),
    (
        "All evaluations are said to have a context of 128 tokens, in which questions with five examples cannot fit.",
        "MINI-LLM, Section 4.1, and Table 4",
        "Perplexity at 128; tasks are asked at the model's full context, with Tables 1, 2 and 4, too.",
    ),
    (
        "MMLU is at chance level (25 %) for every pruned model.",
        "MINI-LLM, Table 4",
        "Nothing is concluded from it.",
    ),
    (
        "SparseGPT's 40 GB come from keeping every weight's score.",
        "MINI-LLM, footnote in Section 4.2",
        "Scores are reduced to groups block by block, under every criterion.",
    ),
    (
        "Table 3 is measured at a window of 2,048 tokens, Table 1 at 128.",
        "MINI-LLM, Tables 1 and 3",
        "Window, tokens and dtype stand beside every perplexity.",
    ),
)
"""(what does not add up, where, what is done here)."""


def build(ctx: Context) -> None:
    """Lay the page out; it needs no run."""
    with frame(ctx, needs_run=False):
        gr.Markdown(INTRO, elem_id="methods-intro")
        gr.HTML(criteria(), elem_id="methods-criteria", css_template=WRAPPED)
        gr.Markdown("## One by one")
        gr.HTML(one_by_one(), elem_id="methods-each")
        gr.Markdown("## Settings of scoring")
        gr.HTML(settings(), elem_id="methods-settings", css_template=WRAPPED)
        gr.Markdown("## From scores to a smaller model")
        gr.HTML(cutting(), elem_id="methods-cutting", css_template=WRAPPED)
        gr.Markdown("## What does not add up in the paper")
        gr.HTML(
            html_table(("what", "where", "here"), PAPER, name="paper"), elem_id="methods-paper", css_template=WRAPPED
        )
        drawer("methods")


def criteria() -> str:
    """Every criterion in a row, in the order of the table."""
    rows = [(c.titled, c.equation, c.needs, c.cost, c.paper) for c in CRITERIA.values()]
    return html_table(HEAD, rows, name="criteria-records")


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
    return ", ".join(c.name for c in CRITERIA.values() if c.gradient in sources) if sources else "all"


def cutting() -> str:
    """Allocations and compensations, by name."""
    rows = [("allocation", name, method.about) for name, method in METHODS.items()]
    rows += [("compensation", name or "none", words) for name, words in COMPENSATIONS.items()]
    return html_table(("step", "name", "what it means"), rows, name="cutting-records")
