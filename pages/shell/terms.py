"""The words of this app, one a concept, the same in code, pages and command line; and their explanation in place.

A label or heading in which one of them stands gets a dotted line; pointed at or reached by the keyboard it says what
the word means (assets/terms.js). Nothing is asked of the server for it.
"""

import json

from minillm.paths import ASSETS

SCRIPT = ASSETS / "terms.js"

WORDS: dict[str, str] = {
    "family": "Architectures built alike (LLaMA-like, BLOOM, OPT): a description of where heads and channels live.",
    "block": "One decoder layer: attention, then an FFN. In tables and code its index is called layer.",
    "head group": "A key/value head with the query heads that read it; in plain multi-head attention, one head.",
    "channel": "One number inside the FFN: a row of gate and up, a column of down.",
    "expert": "One of many FFNs of a block, in mixtures of experts; a router sends each token to a few of them.",
    "group": "Weights that must go together: a head group, a channel or an expert.",
    "structure": "One slice that a group owns, such as its rows of q. A group's score is the largest sum over these.",
    "criterion": "A rule that gives every group a score, from weights, inputs, gradients or forward passes.",
    "gradient source": "Where a criterion's gradient comes from: backprop, or the zeroth-order estimate.",
    "zeroth-order": "From losses alone: move all weights by ±εz, and see how the loss changes.",
    "calibration text": "The text whose tokens are pushed through the model while it is scored.",
    "walk": "The one loop over the blocks that every criterion visits, forward and, for backprop, in reverse.",
    "stream": "Token rows on their way through a walk; several share the reading of each block.",
    "scores": "One number for each head group and each channel or expert of every block. Higher means more important.",
    "rank": "A group's place among those of its block, 1 the lowest. Ranks of different criteria can be "
    "compared, scores cannot.",
    "ratio": "The share of the model's parameters that is removed.",
    "allocation": "How much each block gives up of that: all the same (uniform), or some more than others.",
    "plan": "The groups that stay in every block, and what that costs, before anything is cut.",
    "overlap": "The share of the groups one criterion cuts that another cuts too, in the same block, at the "
    "same ratio.",
    "chance line": "The overlap of two choices that know nothing of each other: the share the block gives up.",
    "surgery": "The cut itself: smaller matrices in place of the old ones.",
    "compensation": "Making up for a cut without training: a bias, or kept columns that take over (least squares).",
    "recovery": "A short training of what is left: of small added matrices (LoRA) or of its weights.",
    "perplexity": "How many words the model hesitates between. Comparable only for the same text, window and dtype.",
    "recipe": "Everything that was asked for, seed included: enough to repeat it.",
    "run": "A recipe with its events and results. It has an address.",
    "variant": "The original, a pruned or a recovered model of a run.",
    "job": "Work under way for a run, in a process of its own.",
    "sweep": "Many recipes from one file.",
}


def head_html() -> str:
    """What belongs into the head of every page: the words and the script that explains them where they stand."""
    words = json.dumps(WORDS).replace("<", "\\u003c")
    return f"<script>window.MiniTerms = {words};\n{SCRIPT.read_text(encoding='utf-8')}</script>"
