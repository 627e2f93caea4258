"""How good candidate plans are, many at once: masked models as streams of one walk, against the dense model.

`kl`: KL(dense ‖ candidate) of the next-word distributions, nats a token, which needs no labels and says how far the
candidate is from the model it comes from. `perplexity`: of the text itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput, UnknownName
from ..events import RESULT, Event, Events, relay
from ..families.groups import KINDS
from ..models.loaded import LoadedModel
from ..plan.plan import Plan
from ..scoring.group_masks import Mask, masked_losses_events, masked_stream
from ..walk.forward import Stream, forward_events
from ..walk.tail import tail_divergences

KL, PERPLEXITY = "kl", "perplexity"
FITNESSES = (KL, PERPLEXITY)


class Candidates:
    """A model and the rows its candidates are judged on.

    rows: [samples, length]; measure: "kl" or "perplexity"; made: how candidates become a stream, where they are no
    masks of groups; after: what made up for the cut in candidates so made, "" for nothing.
    """

    def __init__(
        self, lm: LoadedModel, rows: Tensor, measure: str = KL, made: Callable[..., Stream] = masked_stream
    ) -> None:
        if measure not in FITNESSES:
            raise UnknownName("fitness", measure, FITNESSES)
        self.lm, self.rows, self.measure, self.made, self.after = lm, rows, measure, made, ""
        self._dense: Tensor | None = None

    def fitness_events(self, masks: Sequence[Any], rows: int | None = None) -> Events:
        """One float a mask, lower is better, on the first so many rows: Event("candidates", block visits, in all)."""
        few = self.rows[:rows]
        if not len(few):
            raise BadInput("There is no text to judge candidates on; give at least one row.")
        if self.measure == PERPLEXITY:
            losses = yield from relay(masked_losses_events(self.lm, few, masks, made=self.made), "candidates")
            yield Event(RESULT, 1, 1, losses.mean(1).exp().tolist())
            return
        if self._dense is None:
            self._dense = yield from relay(self._dense_events())
        measure = partial(tail_divergences, reference=self._dense)
        events = masked_losses_events(self.lm, few, masks, measure=measure, made=self.made)
        found = yield from relay(events, "candidates")
        yield Event(RESULT, 1, 1, found.mean(1).tolist())

    def _dense_events(self) -> Events:
        """The dense model's last block output: kept, where logits would be a hundred times as large."""
        stream = Stream(self.rows)
        yield from forward_events(self.lm, [stream], stage="dense")
        yield Event(RESULT, 1, 1, torch.cat(stream.hidden[0]))


def plan_mask(plan: Plan) -> Mask:
    """A plan as a mask: 0 for every group that is cut, blocks that lose nothing left out."""
    cut = plan.cut_masks
    return {
        layer: {kind: torch.from_numpy(~cut[kind][layer]).float() for kind in KINDS if cut[kind][layer].any()}
        for layer in range(len(plan.groups))
        if any(cut[kind][layer].any() for kind in KINDS)
    }
