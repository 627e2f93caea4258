"""Will it fit? The peak memory of scoring, foretold from sizes alone, before anything is loaded.

A criterion passes through phases (walk, losses, reverse walk); what is held in each follows from how the walk works:

    streams          hidden states of all rows on their way, every copy of them
    one batch        what a block makes of about 2,048 tokens: the FFN's three wide tensors, or attention's
    block            W ± εz and z, or the gradients of one block, or what one linear's scores need
    logits           128 tokens × vocabulary, with what the loss makes of them

The largest phase is the forecast. It counts the allocator's bytes as `memory.MemoryMeter` does, and is meant to be
within a quarter of them; libraries' own buffers and the process itself come on top.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from .criteria import BACKPROP, SUBMODELS, ZEROTH_ORDER, Criterion, find
from .criteria.base import FLUCTUATION, MOMENTS
from .errors import DoesNotFit
from .groups import Groups
from .settings import Settings

BATCH_TOKENS, TAIL_TOKENS, LOSS_TOKENS, AT_ONCE = 2048, 128, 32, 16
"""As in `walk` and `group_masks`, which this module may not import: they need the tensor library."""

SINGLE = 4
"""Bytes of a float32."""

EAGER = ("bloom",)
"""Families whose attention computes all its scores at once."""

LEAST = 1 << 20
"""Below this the small change (norms, positions, sums) counts as much as what is foretold; it is added once."""

Parts = dict[str, int]
Phases = dict[str, Parts]


@dataclass(frozen=True)
class Job:
    """What would be scored: sizes of the model, criterion, rows × length, bytes of a weight, settings."""

    groups: Groups
    criterion: Criterion
    samples: int = 128
    length: int = 128
    gradient_samples: int = 10
    bytes_each: int = 2
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True)
class Forecast:
    """Peak bytes of a job. weights: of the model; above: on top of them, at the end the sum of `parts`, which are those
    of the largest phase; phases: bytes above the weights of every phase."""

    job: Job
    weights: int
    phase: str
    parts: Parts
    phases: dict[str, int]

    @property
    def above(self) -> int:
        """Peak bytes above the weights."""
        return sum(self.parts.values())

    @property
    def total(self) -> int:
        """Weights and what comes on top of them."""
        return self.weights + self.above


def forecast(
    groups: Groups,
    criterion: str | Criterion,
    samples: int = 128,
    length: int = 128,
    gradient_samples: int = 10,
    bytes_each: int = 2,
    settings: Settings | None = None,
) -> Forecast:
    """The peak memory of scoring a model of these groups under a criterion.

    samples, length, gradient_samples: as for `score`; bytes_each: of a weight (4 for float32). Raises UnknownName.
    """
    chosen = find(criterion) if isinstance(criterion, str) else criterion
    rows = min(gradient_samples, samples)
    return _forecast(Job(groups, chosen, samples, length, rows, bytes_each, settings or Settings()))


def _forecast(job: Job) -> Forecast:
    phases = _PHASES.get(job.criterion.gradient or "", _forward)(job)
    sums = {name: sum(parts.values()) for name, parts in phases.items()}
    largest = max(sums, key=lambda name: sums[name])
    parts = {name: size for name, size in phases[largest].items() if size}
    return Forecast(job, job.groups.parameters * job.bytes_each, largest, parts, sums)


def check_fits(expected: Forecast, free: int, loaded: bool = False) -> None:
    """Raise DoesNotFit, with the numbers and a way out, where a job needs more than is free.

    free: bytes to be had; loaded: whether the weights are in memory already (and so not free).
    """
    if _needs(expected, loaded) <= free:
        return
    job, way = expected.job, "use a smaller model, shorter or fewer samples, or a machine with more memory"
    for changed, words in _ways_out(job):
        smaller = _forecast(changed)
        # Another number format means other weights: they are loaded anew.
        if _needs(smaller, loaded and changed.bytes_each == job.bytes_each) <= free:
            way = f"{words}, which needs {_amount(_needs(smaller, loaded))}"
            break
    there = "" if loaded else f"{_amount(expected.weights)} of weights and "
    raise DoesNotFit(
        f"Scoring by {job.criterion.name} would need {_amount(_needs(expected, loaded))} ({there}"
        f"{_amount(expected.above)} of work, most of it for {max(expected.parts, key=lambda p: expected.parts[p])}), "
        f"but {_amount(free)} are free; {way}."
    )


def _needs(expected: Forecast, loaded: bool) -> int:
    return expected.above if loaded else expected.total


def _ways_out(job: Job) -> Iterator[tuple[Job, str]]:
    """Smaller jobs, those that change the result least first."""
    if job.bytes_each > 2:
        yield replace(job, bytes_each=2), "load the model in bfloat16"
    for rows in (job.samples // 2, job.samples // 4, job.samples // 8):
        if rows >= 1:
            fewer = min(job.gradient_samples, rows)
            yield replace(job, samples=rows, gradient_samples=fewer), f"give {rows} samples instead of {job.samples}"
    for name in ("wanda", "magnitude-l1"):
        yield replace(job, criterion=find(name)), f"score by {name}"


def _amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _forward(job: Job) -> Phases:
    """Criteria that read weights, and perhaps inputs."""
    if not job.criterion.activations:
        return {"weights": {"scores of one linear": 2 * SINGLE * _linear(job)}}
    return {"forward walk": _observing(job)}


def _observing(job: Job) -> Parts:
    """The activation rows on their way, and what is noted of each linear's input."""
    blocks = job.groups.blocks
    wide = max(b.channels for b in blocks)
    tokens, copies = _tokens(job, job.samples), {FLUCTUATION: 2}.get(job.criterion.observes or "", 1)
    noting = tokens * wide * (job.bytes_each + copies * SINGLE) + _residual(job, tokens, job.bytes_each)
    batch = max(_batch(job, job.samples, job.bytes_each), noting)
    parts = {"streams": _hidden(job, job.samples, job.bytes_each), "one batch": batch}
    if job.criterion.observes == MOMENTS:
        seen = (job.groups.width, job.groups.width, max(_attention(job)), wide)
        kept, inverse = SINGLE * sum(n * n for n in seen), 4 * SINGLE * max(seen) ** 2
        parts |= {"second moments": kept, "one batch": max(batch, inverse)}
    return parts


def _zeroth_order(job: Job) -> Phases:
    """W + εz and W − εz, beside the activation rows where they are read."""
    if job.settings.scope == "groups":
        probes = min(2 * job.settings.directions, AT_ONCE)
        return {**_walked(job), "group masks": _masked(job, probes, SINGLE), "losses": _losses(job, probes, SINGLE)}
    minibatch = job.settings.minibatch or job.gradient_samples
    single = job.settings.directions == 1 and minibatch >= job.gradient_samples
    number, copies = job.bytes_each if single else SINGLE, 2 * job.settings.directions
    streams = _walked(job).get("forward walk", {}).get("streams", 0)
    rows = min(minibatch, job.gradient_samples)
    running = {
        "streams": streams + _hidden(job, copies * job.gradient_samples, number),
        "z of one block": _block(job) * SINGLE,
        "W ± εz of one block": _block(job) * number,
        "the block in float32": _block(job) * SINGLE if number != job.bytes_each else 0,
        "one batch": _batch(job, rows, number),
    }
    losses = _losses(job, copies, number)
    losses["streams"] += streams
    return {**_walked(job), "forward walk": _larger(running, _walked(job).get("forward walk", {})), "losses": losses}


def _backprop(job: Job) -> Phases:
    """Block inputs kept on the way forward, one block with its gradients at a time on the way back."""
    number, rows, blocks = job.bytes_each, job.gradient_samples, len(job.groups)
    second = job.settings.taylor in ("param_second", "param_mix")
    at_once = 1 if second else rows
    kept = {"block inputs": blocks * _hidden(job, rows, number), "last hidden states": _hidden(job, rows, number)}
    walked = _walked(job).get("forward walk", {})
    forward = {
        **kept,
        "streams": walked.get("streams", 0),
        "one batch": max(walked.get("one batch", 0), _batch(job, at_once, number)),
    }
    tail = {**kept, "gradient of the last hidden states": 2 * _hidden(job, rows, number)}
    gradients = _block(job) * (number + SINGLE * second)
    back = {
        **kept,
        "gradients of one block": gradients,
        "gradients of hidden states": _hidden(job, rows, number),
        "one batch": max(_recomputed(job, at_once), 3 * SINGLE * _linear(job)),
    }
    return {"forward walk": forward, "last logits": {**tail, "logits": 3 * SINGLE * _chunk(job)}, "reverse walk": back}


def _submodels(job: Job) -> Phases:
    """Masked models, sixteen at once."""
    copies = min(job.settings.submodels, AT_ONCE)
    masked = _masked(job, copies, job.bytes_each)
    return {**_walked(job), "sub-models": masked, "losses": _losses(job, copies, job.bytes_each)}


_PHASES = {BACKPROP: _backprop, ZEROTH_ORDER: _zeroth_order, SUBMODELS: _submodels}


def _walked(job: Job) -> Phases:
    return {"forward walk": _observing(job)} if job.criterion.activations else {}


def _larger(a: Parts, b: Parts) -> Parts:
    return a if sum(a.values()) >= sum(b.values()) else b


def _masked(job: Job, copies: int, number: int) -> Parts:
    columns = max(b.channels + max(_attention(job)) for b in job.groups.blocks) * job.groups.width
    return {
        "streams": _hidden(job, copies * job.gradient_samples, number),
        "the block in float32": _block(job) * SINGLE if number != job.bytes_each else 0,
        "masked columns": columns * number + 2 * SINGLE * _linear(job),
        "one batch": _batch(job, job.gradient_samples, number),
    }


def _losses(job: Job, copies: int, number: int) -> Parts:
    """The output head on 128 tokens, the loss on 32 of them."""
    vocabulary, width = job.groups.vocabulary, job.groups.width
    return {
        "streams": _hidden(job, copies * job.gradient_samples, number),
        "the output head in float32": vocabulary * width * SINGLE if number != job.bytes_each else 0,
        "logits": _chunk(job) * number + 2 * SINGLE * min(LOSS_TOKENS, job.length - 1) * vocabulary,
    }


def _chunk(job: Job) -> int:
    """Logits of one chunk, a number."""
    rows = min(job.gradient_samples, BATCH_TOKENS // job.length + 1)
    return min(TAIL_TOKENS, rows * (job.length - 1)) * job.groups.vocabulary


def _block(job: Job) -> int:
    return max(b.parameters - b.fixed_parameters for b in job.groups.blocks)


def _attention(job: Job) -> tuple[int, int]:
    """Width of all query heads, and of all key/value heads, of the largest block."""
    largest = max(job.groups.blocks, key=lambda b: b.heads)
    return largest.heads * largest.queries * largest.head_dim, largest.heads * largest.head_dim


def _linear(job: Job) -> int:
    """Weights of the largest linear."""
    return job.groups.width * max(*(b.channels for b in job.groups.blocks), _attention(job)[0])


def _hidden(job: Job, rows: int, number: int) -> int:
    return rows * job.length * job.groups.width * number


def _tokens(job: Job, rows: int) -> int:
    """Tokens of one batch."""
    return min(rows, max(1, BATCH_TOKENS // job.length)) * job.length


def _residual(job: Job, tokens: int, number: int) -> int:
    return 2 * tokens * job.groups.width * number


def _batch(job: Job, rows: int, number: int) -> int:
    """What a block makes of one batch: gate, up and their product; or queries, keys, values, turned ones and scores."""
    tokens, (queries, values) = _tokens(job, rows), _attention(job)
    scores = 3 * job.length * max(b.heads * b.queries for b in job.groups.blocks) if job.groups.family in EAGER else 0
    wide = max(3 * max(b.channels for b in job.groups.blocks), 3 * queries + 3 * values + scores)
    return tokens * wide * number + _residual(job, tokens, number)


def _recomputed(job: Job, rows: int) -> int:
    """What a block keeps of one batch for its backward pass, and the gradients of that."""
    tokens, (queries, values) = _tokens(job, rows), _attention(job)
    scores = 4 * job.length * max(b.heads * b.queries for b in job.groups.blocks) if job.groups.family in EAGER else 0
    wide = 6 * max(b.channels for b in job.groups.blocks) + 3 * queries + 3 * values + scores
    norms = 2 * job.groups.width * (2 * SINGLE + 2 * job.bytes_each)
    return tokens * (wide * job.bytes_each + norms)
