"""Bonsai: importance by forward passes alone, from how random sub-models fare (Dery et al. 2024).

Sub-models drop a share of the groups that a prior holds for unimportant; a ridge regression of their loss on their
masks says what each group is worth. See `submodels.py` for the steps.
"""

from .base import NORM, Criterion, Look
from .settings import SUBMODELS
from .wanda import mean_over_rows

BONSAI = Criterion(
    name="bonsai",
    label="Bonsai",
    look=Look("#B4000C", "longdash", "pentagon"),
    paper="Dery et al. 2024 (Bonsai)",
    equation="ridge of log-perplexity on masks",
    element=mean_over_rows,
    cost="1 forward over the activation rows, 1 over the gradient rows for each sub-model",
    idea="Drops random groups, regresses the loss on what was dropped; the prior is Wanda-sp.",
    structures=("o", "down"),
    observes=NORM,
    gradient=SUBMODELS,
    differs=(
        "Ridge in closed form instead of early-stopped Adam; log-perplexity as target; one round by default, and "
        "between rounds groups are masked, not cut, with the prior taken once; heads and channels are drawn within "
        "each block at the same share and ranked within it, where the original cuts by one ranking of all blocks; a "
        "block of one or two head groups keeps its prior."
    ),
)
