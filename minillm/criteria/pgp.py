"""PGP: keep-probabilities of groups, learned from forward passes alone (Gao et al. 2024).

Every step draws masks from the probabilities, asks for the loss of the model under each, and moves the probabilities by
the policy gradient. See `scoring/learned_masks.py` for the steps.
"""

from .base import NORM, Criterion, Look
from .settings import POLICY
from .wanda import mean_over_rows

PGP = Criterion(
    name="pgp",
    label="PGP (masks that learn)",
    look=Look("#A24E8A", "longdashdot", "diamond-tall"),
    paper="Gao et al. 2024 (PGP, 2406.10576)",
    equation="p, by Σ (L(m) − b)·(m − p)/√(p(1 − p)) over masks m ~ p",
    element=mean_over_rows,
    cost="1 forward over the activation rows; each step 1 over a batch as large as the gradient rows for each mask",
    idea="Draws masks from keep-probabilities and moves these by how the masked models fare: REINFORCE on groups.",
    structures=("o", "down"),
    observes=NORM,
    gradient=POLICY,
    differs=(
        "Head groups, or attentions and FFNs as wholes; channels keep the scores it starts from, for masks of them "
        "hardly converge. 100 steps instead of 15,000, at a learning rate higher in return; the budget counts "
        "parameters, in one projection over all that is masked, each moved by its size; a step whose loss is not a "
        "number is passed over whole; groups are ranked within their block unless an allocation lets them compete."
    ),
)
