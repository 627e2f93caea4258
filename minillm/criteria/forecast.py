"""How much memory scoring will take, before a weight is loaded: arithmetic on what a walk holds at once.

A criterion passes through phases (walk, losses, reverse walk); the largest is the forecast. What a phase holds:

    streams        hidden states of all rows on their way, every copy of them
    one batch      what a block makes of about 2,048 tokens: its wide FFN tensors, and what is noted of them
    one block      W ± εz and z, or gradients, or scores of the weights of one linear
    logits         128 tokens × vocabulary, and what the loss makes of them

It counts what `memory.MemoryMeter` measures, held against it by a test: 0.8 to 1.25 of the measured peak. The process
itself, libraries' buffers and what an allocator wastes come on top.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..batches import BATCH_TOKENS, COPIES_AT_ONCE, LOSS_TOKENS, TAIL_TOKENS
from ..errors import DoesNotFit
from ..families import FAMILIES
from ..families.base import Tensors
from ..families.groups import EXPERTS, BlockGroups, Groups
from . import BACKPROP, CURVATURE, POLICY, SUBMODELS, ZEROTH_ORDER, Criterion, find
from .base import FLUCTUATION, SECOND_MOMENTS
from .settings import Settings

FLOAT32 = 4

Parts = dict[str, int]
"""{what is held: bytes}, all at the same time."""


@dataclass(frozen=True)
class Job:
    """What would be scored: a model's sizes, a criterion, rows × length, bytes of a weight, settings."""

    groups: Groups
    criterion: Criterion
    samples: int
    length: int
    gradient_samples: int
    bytes_each: int
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Forecast:
    """Bytes that scoring will take.

    weights: the model; phases: {name: {part: bytes}}, above the weights; above: the largest phase; total: both.
    """

    job: Job
    weights: int
    phases: dict[str, Parts]

    @property
    def peak(self) -> str:
        """The name of the largest phase."""
        return max(self.phases, key=lambda name: sum(self.phases[name].values()))

    @property
    def parts(self) -> Parts:
        """What the largest phase holds."""
        return {part: size for part, size in self.phases[self.peak].items() if size}

    @property
    def above(self) -> int:
        """Peak above the weights."""
        return sum(self.parts.values())

    @property
    def total(self) -> int:
        """Peak with the weights."""
        return self.weights + self.above


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
    rows = min(gradient_samples, samples)
    return _forecast(Job(groups, criterion, samples, length, rows, bytes_each, criterion.using(settings or Settings())))


def _forecast(job: Job) -> Forecast:
    phases: dict[str, Parts] = {"weights": {"scores of one linear": _elements(job)}}
    if job.criterion.activations:
        phases["forward walk"] = _observing(job)
    if job.criterion.gradient == BACKPROP:
        phases |= _backprop(job)
    elif job.criterion.gradient == CURVATURE:
        phases |= _curvature(job)
    elif job.criterion.by_masks or job.settings.scope == "groups" and job.criterion.gradient:
        phases |= _masked(job)
    elif job.criterion.gradient == ZEROTH_ORDER:
        phases |= _zeroth_order(job)
    return Forecast(job, job.groups.parameters * job.bytes_each, phases)


def check_fits(wanted: Forecast, free: int, loaded: bool = False) -> None:
    """Raise DoesNotFit, with the numbers and a way out, where a job needs more than is free.

    free: bytes to be had; loaded: whether the weights are in memory already, and so not among them.
    """
    have = free + loaded * wanted.weights
    if wanted.total <= have:
        return
    way = next((words for smaller, words in _ways_out(wanted.job) if _forecast(smaller).total <= have), "")
    needed = amount(wanted.above) + " beside the weights" if loaded else amount(wanted.total)
    raise DoesNotFit(
        f"Scoring by {wanted.job.criterion.name} would need {needed} (at its largest for the {wanted.peak}), "
        f"but {amount(free)} are free; {way or 'take a smaller model, or a machine with more memory'}."
    )


def _ways_out(job: Job) -> Iterator[tuple[Job, str]]:
    """Smaller jobs, those that change the result least first."""
    if job.bytes_each > 2:
        yield replace(job, bytes_each=2), "a half-precision dtype would fit"
    for rows in (job.samples // 2, job.samples // 4, job.samples // 8):
        if rows:
            fewer = min(rows, job.gradient_samples)
            yield (
                replace(job, samples=rows, gradient_samples=fewer),
                f"{rows} samples instead of {job.samples} would fit",
            )
    for name in ("wanda", "magnitude-l1"):
        yield replace(job, criterion=find(name)), f"{name} would fit"


def amount(size: float) -> str:
    """Bytes in the words of a sentence."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _observing(job: Job) -> Parts:
    """The activation rows on their way, and what is noted of each linear's input."""
    block, tokens, width = _largest(job), _batch_tokens(job, job.samples), job.groups.width
    # An observer works on a float32 copy of what goes into a linear; fluctuation subtracts the mean in another.
    copies = 1 + (job.criterion.observes == FLUCTUATION and job.bytes_each < FLOAT32)
    noting = tokens * (block.ffn_width * (job.bytes_each + copies * FLOAT32) + _residual(job) * job.bytes_each)
    parts = {
        "streams": _hidden(job, job.samples, job.bytes_each),
        "one batch": max(_inside(job, job.samples, job.bytes_each), noting),
    }
    if job.criterion.observes in SECOND_MOMENTS:
        written = (_queries(block), block.channels)
        features = written if job.criterion.structures else (width, width, *written)
        parts["second moments"] = FLOAT32 * sum(n * n for n in features)
        # H is inverted when a block's batches are through.
        parts["one batch"] = max(parts["one batch"], 4 * FLOAT32 * max(features) ** 2)
    return parts


def _zeroth_order(job: Job) -> dict[str, Parts]:
    """W + εz and W − εz, beside the activation rows where they are read."""
    minibatch = min(job.settings.minibatch or job.gradient_samples, job.gradient_samples)
    many = job.settings.directions > 1 or minibatch < job.gradient_samples
    each = FLOAT32 if many else job.bytes_each
    probes = 2 * job.settings.directions * _hidden(job, job.gradient_samples, each)
    observing = _observing(job) if job.criterion.activations else {"streams": 0}
    streams = {"streams": observing["streams"] + probes}
    weights = _weights(job)
    perturbed = {
        **streams,
        "z of one block": FLOAT32 * weights,
        "W ± εz of one block": each * weights,
        "the block in float32": FLOAT32 * weights if each > job.bytes_each else 0,
        "one batch": max(_inside(job, minibatch, each), _elements(job)),
    }
    phases = {"perturbed walk": perturbed, "losses": {**streams, **_losses(job, each)}}
    return {**phases, "forward walk": {**observing, **streams}} if job.criterion.activations else phases


def _backprop(job: Job) -> dict[str, Parts]:
    """Block inputs kept on the way forward, one block with its gradients at a time on the way back."""
    rows, each = job.gradient_samples, job.bytes_each
    second = job.criterion.squared(job.settings)
    at_once = 1 if second else rows
    several = _batch_tokens(job, at_once) < rows * job.length
    kept = {"block inputs": len(job.groups) * _hidden(job, rows, each), "hidden states": _hidden(job, rows, each)}
    clean = _observing(job) if job.criterion.activations else {}
    # Of several batches the sums wait for the last; of one, each linear's gradient goes before the next is made.
    back = ((_weights(job) if several else 0) + _linear(job)) * (each + FLOAT32 * second)
    return {
        "forward walk": {**kept, **clean, "one batch": max(clean.get("one batch", 0), _inside(job, at_once, each))},
        "loss": {**kept, "its gradient": 2 * _hidden(job, rows, each), "logits": 3 * FLOAT32 * _chunk(job)},
        "reverse walk": {
            **kept,
            "gradients of hidden states": _hidden(job, rows, each),
            "gradients of one block": back,
            "one batch": max(_recomputed(job, at_once), _elements(job) + FLOAT32 * _linear(job)),
        },
    }


def _curvature(job: Job) -> dict[str, Parts]:
    """The way there and back of backprop, and what is kept of it while the activation rows walk by themselves."""
    clean = _observing(job)
    roots = {"curvature": 2 * len(job.groups) * FLOAT32 * job.groups.width**2 * (job.settings.curvature != "trace")}
    alone = _backprop(replace(job, criterion=replace(job.criterion, observes=None)))
    back = {**alone.pop("reverse walk"), **roots}
    there = {f"{name}, gradient rows": parts for name, parts in alone.items()}
    return {**there, "reverse walk": back, "forward walk": {**clean, **roots}}


def _masked(job: Job) -> dict[str, Parts]:
    """Models with scaled groups, sixteen at once."""
    drawn = {SUBMODELS: job.settings.submodels, POLICY: job.settings.masks}
    copies = min(COPIES_AT_ONCE, drawn.get(job.criterion.gradient or "", 2 * job.settings.directions))
    each = job.bytes_each if job.criterion.by_masks else FLOAT32
    streams = {"streams": copies * _hidden(job, job.gradient_samples, each)}
    block = _largest(job)
    walk = {
        **streams,
        "the block in float32": FLOAT32 * _weights(job) if each > job.bytes_each else 0,
        "masked columns": each * job.groups.width * (block.channels + _queries(block)),
        "one batch": max(_inside(job, job.gradient_samples, each), 2 * FLOAT32 * _linear(job)),
    }
    return {"masked walk": walk, "losses": {**streams, **_losses(job, each)}}


def _losses(job: Job, each: int) -> Parts:
    """The output head on 128 tokens, the loss on 32 of them."""
    head = job.groups.output_macs * FLOAT32 if each > job.bytes_each else 0
    some = min(LOSS_TOKENS, job.length - 1) * job.groups.vocabulary
    rows = min(TAIL_TOKENS, job.length - 1) * job.groups.vocabulary
    return {"the output head in float32": head, "logits": each * rows + 2 * FLOAT32 * some}


def _chunk(job: Job) -> int:
    """Numbers in a chunk of logits on the way back, where rows of a batch are taken together."""
    rows = _batch_tokens(job, job.gradient_samples) // job.length
    return min(TAIL_TOKENS, rows * (job.length - 1)) * job.groups.vocabulary


def _largest(job: Job) -> BlockGroups:
    return max(job.groups.blocks, key=lambda b: b.parameters)


def _tensors(job: Job) -> Tensors:
    return FAMILIES[job.groups.family].holds


def _queries(block: BlockGroups) -> int:
    return block.heads * block.queries * block.head_dim


def _weights(job: Job) -> int:
    """Weights of a block's linears."""
    block = _largest(job)
    if block.ffn == EXPERTS:
        return block.heads * block.head_macs + block.channels * block.channel_parameters
    return block.heads * block.head_macs + block.channels * block.channel_macs + block.fixed_macs


def _linear(job: Job) -> int:
    """Weights of the largest linear: of experts, of gate and up of all of them."""
    block = _largest(job)
    if block.ffn == EXPERTS:
        return max(job.groups.width * 2 * block.expert_width * block.channels, job.groups.width * _queries(block))
    return job.groups.width * max(block.channels, _queries(block))


def _elements(job: Job) -> int:
    """Bytes of the scores of the largest linear's weights, and of its weights in float32; experts are scored one by
    one."""
    block = _largest(job)
    each = job.groups.width * max(2 * block.expert_width, _queries(block)) if block.expert_width else _linear(job)
    return (1 + (job.bytes_each < FLOAT32)) * FLOAT32 * each


def _hidden(job: Job, rows: int, each: int) -> int:
    return rows * job.length * job.groups.width * each


def _batch_tokens(job: Job, rows: int) -> int:
    return min(rows, max(1, BATCH_TOKENS // job.length)) * job.length


def _residual(job: Job) -> int:
    return _tensors(job).residual * job.groups.width


def _attention(job: Job) -> int:
    """Numbers a token costs in attention: queries, keys and values, turned ones, and scores."""
    block = _largest(job)
    scores = _tensors(job).scores * block.heads * block.queries * job.length
    return 3 * _queries(block) + 3 * block.key_heads * block.head_dim + scores


def _inside(job: Job, rows: int, each: int) -> int:
    """Bytes of one batch inside a block: before experts each token is copied once for each that it is sent to, and what
    they write is there as often, weighted and not."""
    block = _largest(job)
    wide = max(_tensors(job).wide * block.ffn_width + 3 * block.routed * job.groups.width, _attention(job))
    return _batch_tokens(job, rows) * (wide + _residual(job)) * each


def _recomputed(job: Job, rows: int) -> int:
    """Bytes a block keeps of one batch for its backward pass, and their gradients."""
    kept = _tensors(job).kept * _largest(job).ffn_width + _attention(job)
    return _batch_tokens(job, rows) * (kept * job.bytes_each + _tensors(job).norms * job.groups.width * FLOAT32)
