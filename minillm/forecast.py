"""How much memory scoring will take, before a weight is loaded: arithmetic on what a walk holds at once.

    total = weights + the largest phase of: streams + what the phase needs on top

Streams are hidden states [samples, length, width]; what comes on top is one batch inside a block, noise and one version
of a block's weights (zeroth order), kept block inputs (backprop), second moments, or one chunk of logits. Held against
the allocator's measured peaks by a test; the difference is stated there.
"""

from dataclasses import dataclass

from .criteria import BACKPROP, SUBMODELS, ZEROTH_ORDER, Criterion
from .criteria.base import FLUCTUATION, MOMENTS, NORM
from .errors import DoesNotFit
from .groups import BlockGroups, Groups
from .settings import Settings

BATCH_TOKENS, TAIL_TOKENS, LOSS_TOKENS, AT_ONCE = 2048, 128, 32, 16
FLOAT32 = 4


@dataclass(frozen=True)
class Forecast:
    """Bytes that scoring will take.

    weights: the model; phases: {name: peak above the weights}; above: the largest of them; total: both.
    """

    weights: int
    phases: dict[str, int]

    @property
    def above(self) -> int:
        """Peak above the weights."""
        return max(self.phases.values())

    @property
    def total(self) -> int:
        """Peak with the weights."""
        return self.weights + self.above


@dataclass(frozen=True)
class _Sizes:
    """What the arithmetic is made of: widths and counts of the largest block, bytes of a number."""

    groups: Groups
    each: int
    samples: int
    length: int
    gradient_samples: int

    @property
    def block(self) -> BlockGroups:
        return max(self.groups.blocks, key=lambda b: b.parameters)

    @property
    def block_weights(self) -> int:
        b = self.block
        return b.heads * b.head_macs + b.channels * b.channel_macs

    @property
    def largest_linear(self) -> int:
        b, width = self.block, self.groups.width
        return max(b.channels * width, b.heads * b.queries * b.head_dim * width)

    def hidden(self, samples: int, each: int | None = None) -> int:
        """Bytes of one stream's hidden states."""
        return samples * self.length * self.groups.width * (each or self.each)

    def inside(self, samples: int, copies: int = 0, each: int | None = None) -> int:
        """Bytes of one batch's temporaries inside a block; copies: float32 ones that an observer makes of an input."""
        tokens = min(samples, max(1, BATCH_TOKENS // self.length)) * self.length
        ffn, width, e = self.block.channels, self.groups.width, each or self.each
        return tokens * max((3 * ffn + 2 * width) * e, (ffn + 2 * width) * e + copies * FLOAT32 * ffn)

    def observing(self, criterion: Criterion) -> int:
        """How many float32 copies of an input the criterion's observer makes."""
        return {None: 0, NORM: 1, MOMENTS: 1, FLUCTUATION: 1}[criterion.observes] + (
            criterion.observes == FLUCTUATION and self.each < FLOAT32
        )

    def elements(self) -> int:
        """Bytes of the element scores of the largest linear and a temporary."""
        return (2 if self.each < FLOAT32 else 1) * FLOAT32 * self.largest_linear

    def losses(self, single: bool = False) -> int:
        """Bytes of a chunk of logits and the loss of a piece of it; single: the head is turned to float32 too."""
        rows, each = min(TAIL_TOKENS, self.length - 1), FLOAT32 if single else self.each
        head = FLOAT32 * self.groups.output_macs if single and self.each < FLOAT32 else 0
        return self.groups.vocabulary * (rows * each + 2 * min(LOSS_TOKENS, rows) * FLOAT32) + head

    def loss_gradients(self) -> int:
        """Bytes of a chunk of logits on the way back: in float32, their softmax, the gradient."""
        narrow = self.each if self.each < FLOAT32 else 0
        return min(TAIL_TOKENS, self.length - 1) * self.groups.vocabulary * (3 * FLOAT32 + narrow)


def forecast(
    groups: Groups,
    criterion: Criterion,
    samples: int = 128,
    length: int = 128,
    gradient_samples: int = 10,
    bytes_each: int = 4,
    settings: Settings | None = None,
) -> Forecast:
    """What scoring under a criterion will take.

    samples, length, gradient_samples: as for `score`; bytes_each: of a weight (4 for float32, 2 for half formats).
    """
    s = _Sizes(groups, bytes_each, samples, length, min(gradient_samples, samples))
    given = settings or Settings()
    phases = {"weights": s.elements()}
    if criterion.activations:
        phases["forward walk"] = s.hidden(samples) + s.inside(samples, s.observing(criterion)) + _moments(s, criterion)
    if criterion.gradient == BACKPROP:
        phases |= _backprop(s, criterion)
    elif criterion.gradient == SUBMODELS or (criterion.gradient == ZEROTH_ORDER and given.scope == "groups"):
        phases |= _masks(s, single=criterion.gradient == ZEROTH_ORDER, count=_copies(criterion, given))
    elif criterion.gradient == ZEROTH_ORDER:
        phases |= _zeroth_order(s, criterion, given)
    return Forecast(groups.parameters * bytes_each, phases)


def _moments(s: _Sizes, criterion: Criterion) -> int:
    if criterion.observes != MOMENTS:
        return 0
    b, width = s.block, s.groups.width
    features = (width, b.heads * b.queries * b.head_dim, width, b.channels)
    return FLOAT32 * (sum(f * f for f in features) + 3 * max(features) ** 2)


def _backprop(s: _Sizes, criterion: Criterion) -> dict[str, int]:
    rows, clean = s.gradient_samples, s.hidden(s.samples) if criterion.activations else 0
    kept = s.hidden(rows) * (len(s.groups) + 1)
    graph = rows * s.length * (6 * s.block.channels + 10 * s.groups.width) * s.each
    return {
        "forward walk": clean + kept + max(s.inside(s.samples, s.observing(criterion)) if clean else 0, s.inside(rows)),
        "reverse walk": kept
        + s.hidden(rows)
        + max(s.loss_gradients(), graph + s.block_weights * s.each + s.elements()),
    }


def _zeroth_order(s: _Sizes, criterion: Criterion, given: Settings) -> dict[str, int]:
    minibatch = given.minibatch or s.gradient_samples
    many = given.directions > 1 or minibatch < s.gradient_samples
    each = FLOAT32 if many else s.each
    streams = 2 * given.directions * s.hidden(s.gradient_samples, each)
    streams += s.hidden(s.samples) if criterion.activations else 0
    noise, version = FLOAT32 * s.block_weights, each * s.block_weights * (2 if many and s.each < FLOAT32 else 1)
    inside = s.inside(min(minibatch, s.gradient_samples), each=each)
    phases = {
        "forward walk": streams + noise + version + max(version + FLOAT32 * s.largest_linear, inside),
        "losses": streams + s.losses(single=many),
    }
    if criterion.activations:
        phases["clean rows"] = streams + s.inside(s.samples, s.observing(criterion))
    return phases


def _copies(criterion: Criterion, given: Settings) -> int:
    return min(AT_ONCE, given.submodels if criterion.gradient == SUBMODELS else 2 * given.directions)


def _masks(s: _Sizes, single: bool, count: int) -> dict[str, int]:
    each = FLOAT32 if single else s.each
    streams = count * s.hidden(s.gradient_samples, each)
    block = FLOAT32 * s.block_weights if single and s.each < FLOAT32 else 0
    scaled = 2 * FLOAT32 * s.largest_linear
    return {
        "group masks": streams + block + scaled + s.inside(s.gradient_samples, each=each),
        "losses": streams + s.losses(single=single),
    }


def check_fits(wanted: Forecast, free: int, what: str = "This") -> None:
    """Raise DoesNotFit, with the numbers and a way out, where a forecast exceeds the bytes that are free."""
    if wanted.total > free:
        raise DoesNotFit(
            f"{what} needs about {wanted.total / 1e9:.1f} GB ({wanted.weights / 1e9:.1f} of it weights), but "
            f"{free / 1e9:.1f} GB are free; take a half-precision dtype, fewer or shorter samples, or a smaller model."
        )
