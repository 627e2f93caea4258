"""How much of a cut depends on the text: one criterion scored on several texts, cut at one ratio, compared set by set.

Read-ME (Cai et al. 2024, 2410.19123) keeps what every domain keeps as an always-on residual, and makes an expert of
what a domain keeps beside it. Here these sets are data, no router chooses between them, and they are taken of any
criterion, heads as well as channels, where the original thresholds mean activations of channels:

    residual     what every text keeps
    expert of t  what text t keeps, less the residual
    always cut   what no text keeps

What n choices that know nothing of each other would have in common stands beside each: the product of their shares.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import BadInput
from ..families.groups import KINDS
from .overlap import matrix, overlap
from .plan import Plan

Masks = dict[int, np.ndarray]
"""{layer: bool [groups]}."""


@dataclass(frozen=True)
class Domains:
    """Plans of the same model and ratio, one a text, two or more of them. plans: {text: plan}.

    Raises BadInput for fewer, and for plans of models of different shape.
    """

    plans: Mapping[str, Plan]

    def __post_init__(self) -> None:
        if len(self.plans) < 2:
            raise BadInput(f"There is {len(self.plans)} text; a cut is compared on two or more.")
        if len({plan.groups.blocks for plan in self.plans.values()}) > 1:
            raise BadInput("The plans are for models of different shape; what texts keep is compared on one model.")

    def kept(self, text: str, kind: str) -> Masks:
        """What a text keeps."""
        return {layer: ~cut for layer, cut in enumerate(self.plans[text].cut_masks[kind])}

    def residual(self, kind: str) -> Masks:
        """What every text keeps."""
        return {i: np.all([self.kept(t, kind)[i] for t in self.plans], axis=0) for i in self._layers}

    def always_cut(self, kind: str) -> Masks:
        """What no text keeps."""
        return {i: ~np.any([self.kept(t, kind)[i] for t in self.plans], axis=0) for i in self._layers}

    def expert(self, text: str, kind: str) -> Masks:
        """What a text keeps beside the residual."""
        residual = self.residual(kind)
        return {i: kept & ~residual[i] for i, kept in self.kept(text, kind).items()}

    def only(self, text: str, kind: str) -> Masks:
        """What a text keeps and no other does."""
        others = [other for other in self.plans if other != text]
        taken = {i: np.any([self.kept(o, kind)[i] for o in others], axis=0) for i in self._layers}
        return {i: kept & ~taken[i] for i, kept in self.kept(text, kind).items()}

    def table(self) -> pd.DataFrame:
        """One row a block and kind: layer, kind, groups; residual, always_cut, depends: shares of the groups, which add
        up to 1; chance_residual, chance_cut: what choices that know nothing of each other would have of the first
        two. Blocks without groups of a kind, and those that no text cuts, are left out."""
        rows = []
        for kind in KINDS:
            residual, gone = self.residual(kind), self.always_cut(kind)
            for i in self._layers:
                kept = np.array([self.kept(text, kind)[i].mean() if len(residual[i]) else 1.0 for text in self.plans])
                if (kept == 1).all():
                    continue
                parts = (residual[i], gone[i], ~residual[i] & ~gone[i])
                chances = float(kept.prod()), float((1 - kept).prod())
                rows.append((i, kind, len(residual[i]), *(float(part.mean()) for part in parts), *chances))
        columns = ["layer", "kind", "groups", "residual", "always_cut", "depends", "chance_residual", "chance_cut"]
        return pd.DataFrame(rows, columns=columns)

    def texts(self) -> pd.DataFrame:
        """One row a text and kind: text, kind; kept, expert, only: how many groups of all blocks."""
        rows = [
            (text, kind, *(_count(of(text, kind)) for of in (self.kept, self.expert, self.only)))
            for kind in KINDS
            for text in self.plans
        ]
        return pd.DataFrame(rows, columns=["text", "kind", "kept", "expert", "only"])

    def overlaps(self, reference: str, of: str = "pruned") -> dict[str, pd.DataFrame]:
        """{other text: overlap of what the reference cuts (or keeps) with what it does} (see `overlap.overlap`)."""
        first = self.plans[reference]
        return {name: overlap(first, plan, of) for name, plan in self.plans.items() if name != reference}

    def pairs(self, kind: str, of: str = "pruned") -> pd.DataFrame:
        """Mean overlap of every two texts over the blocks that give something (see `overlap.matrix`)."""
        return matrix(self.plans, kind, of)

    @property
    def _layers(self) -> range:
        return range(len(next(iter(self.plans.values())).groups))


def _count(masks: Masks) -> int:
    return sum(int(mask.sum()) for mask in masks.values())
