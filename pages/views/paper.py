"""What does not add up in the MINI-LLM paper, point by point, and what is done here instead."""

from markupsafe import Markup

from minillm.criteria.settings import Settings

from ..shell.templates import html_table

PAPER: tuple[tuple[str, str, str], ...] = (
    (
        "Equation 8 with one z holds no gradient: c is one number for all weights and cancels in every ranking.",
        "MINI-LLM, Eqs. 7–9 with n = 1 as default, Section 3.2; algebra, and the Gradient page",
        "The default is as printed, but that only the blocks' linears are perturbed, and no |z| is below 1.9e-5; "
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


def paper_table() -> Markup:
    """Every point in a row."""
    return html_table(("what", "where", "here"), PAPER, name="paper")
