"""How good candidate plans are, many at once: masked models as streams of one walk, against the dense model.

The one idea: a row of text is walked once for each candidate. What was found of it is kept, so that a candidate judged
on few rows first, and on more later, is walked on those that are new.

`kl`: KL(dense ‖ candidate) of the next-word distributions, nats a token, which needs no labels and says how far the
candidate is from the model it comes from. `perplexity`: of the text itself.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..errors import BadInput, UnknownName
from ..events import RESULT, Event, Events, relay
from ..families.groups import KINDS
from ..models.loaded import LoadedModel
from ..plan.plan import Plan
from ..scoring.group_masks import Mask, mask_key, masked_losses_events, masked_stream
from ..walk.forward import Stream, forward_events
from ..walk.tail import tail_divergences

KL, PERPLEXITY = "kl", "perplexity"
FITNESSES = (KL, PERPLEXITY)


class Candidates:
    """A model and the rows its candidates are judged on.

    rows: [samples, length]; measure: "kl" or "perplexity"; made: how candidates become a stream, where they are no
    masks of groups; after: what made up for the cut in candidates so made, "" for nothing; stages: numbers of rows at
    which judging may pause. Rows between two of them are always walked together, so that a candidate's fitness is the
    same to the last bit whenever it is asked for.
    """

    def __init__(
        self,
        lm: LoadedModel,
        rows: Tensor,
        measure: str = KL,
        made: Callable[..., Stream] = masked_stream,
        stages: Sequence[int] = (),
    ) -> None:
        if measure not in FITNESSES:
            raise UnknownName("fitness", measure, FITNESSES)
        self.lm, self.rows, self.measure, self.made, self.after = lm, rows, measure, made, ""
        self._stages = sorted({0, *stages})
        self._dense: Tensor | None = None
        self._found: dict[tuple[bytes, int, int], Tensor] = {}

    def fitness_events(self, masks: Sequence[Any], rows: int | None = None) -> Events:
        """One float a mask, lower is better, on the first so many rows: Event("candidates", block visits, in all)."""
        few = len(self.rows[:rows])
        if not few:
            raise BadInput("There is no text to judge candidates on; give at least one row.")
        names, parts = list(map(_digest, masks)), []
        for first, last in pairwise([*(stage for stage in self._stages if stage < few), few]):
            new = [i for i, name in enumerate(names) if (name, first, last) not in self._found]
            if new:
                losses = yield from relay(self._losses_events([masks[i] for i in new], slice(first, last)))
                self._found |= {(names[i], first, last): own for i, own in zip(new, losses, strict=True)}
            parts.append(torch.stack([self._found[name, first, last] for name in names]))
        means = torch.cat(parts, 1).mean(1)
        yield Event(RESULT, 1, 1, (means.exp() if self.measure == PERPLEXITY else means).tolist())

    def _losses_events(self, masks: Sequence[Any], some: slice) -> Events:
        """What is averaged over rows, of each mask on each of some rows: float64 [masks, rows]."""
        asked: dict[str, Any] = {"made": self.made}
        if self.measure == KL:
            if self._dense is None:
                self._dense = yield from relay(self._dense_events())
            asked["measure"] = partial(tail_divergences, reference=self._dense[some])
        losses = yield from relay(masked_losses_events(self.lm, self.rows[some], masks, **asked), "candidates")
        yield Event(RESULT, 1, 1, losses)

    def _dense_events(self) -> Events:
        """The dense model's last block output: kept, where logits would be a hundred times as large."""
        stream = Stream(self.rows)
        yield from forward_events(self.lm, [stream], stage="dense")
        yield Event(RESULT, 1, 1, torch.cat(stream.hidden[0]))


def _digest(candidate: Any) -> bytes:
    """What tells candidates apart: masks by what they hold, others by what they are called."""
    if not isinstance(candidate, Mapping):
        return repr(candidate).encode()
    digest = blake2b(digest_size=16)
    for layer in sorted(candidate):
        digest.update(repr((layer, mask_key(layer, candidate))).encode())
    return digest.digest()


def plan_mask(plan: Plan) -> Mask:
    """A plan as a mask: 0 for every group that is cut, blocks that lose nothing left out."""
    cut = plan.cut_masks
    return {
        layer: {kind: torch.from_numpy(~cut[kind][layer]).float() for kind in KINDS if cut[kind][layer].any()}
        for layer in range(len(plan.groups))
        if any(cut[kind][layer].any() for kind in KINDS)
    }
