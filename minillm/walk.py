"""The one loop over the blocks that every criterion visits.

A walk takes token *streams* through the model block by block. Each block is read once for all streams, so that peak
memory is one block plus the streams, progress and cancelling come for free, and a score can be reduced to groups while
its block is at hand. Weights are never changed: a stream that needs other weights (W ± εz) brings a function that
makes them for one block, and they are dropped after it.

    forward   embeddings → block 0 → … → block L−1 → tail (norm, head, loss in chunks of 128 tokens)
    reverse   the same graph from its end: block inputs kept on the way forward, one block recomputed at a time

The keywords a block is called with (mask, positions) are recorded from the model itself, for every block and batch
shape, in a pass in which blocks return their input unchanged: models may mix full and sliding attention.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .errors import NumericalFault
from .events import Event, Events
from .models import LoadedModel
from .residence import in_turn, resident
from .spill import spilled

TAIL_TOKENS, LOSS_TOKENS = 128, 32
BATCH_TOKENS = 2048

Weights = dict[str, Tensor]
Versions = Callable[[int, nn.Module], Iterator[Weights]]
"""(layer, block) -> for each copy of a stream, the parameters (by name in the block) it wants replaced."""


def _as_they_are(layer: int, block: nn.Module) -> Iterator[Weights]:
    yield {}


@dataclass
class Stream:
    """Tokens on their way through the model.

    tokens: [samples, length]; batch: samples pushed at once (default: about 2,048 tokens);
    observe: linear name -> an observer of its input (see `statistics`), or None to pass over it;
    copies, versions: how many versions of the weights it meets, and what they are;
    float32: run the blocks in float32 whatever the model's dtype; keep_inputs: keep block inputs for a reverse walk
    (of an offloaded model on disk);
    squares: on the way back, gather squared gradients of each batch too (batch 1: the empirical Fisher's diagonal);
    sequential: push once more through each block after its visit, from the same inputs, so that what the visit changed
    in the block is what the later ones are fed (Wanda and SparseGPT mask this way: walk the copy that is changed).
    """

    tokens: Tensor
    batch: int = 0
    observe: Callable[[str], Any] | None = None
    copies: int = 1
    versions: Versions = _as_they_are
    float32: bool = False
    keep_inputs: bool = False
    squares: bool = False
    sequential: bool = False
    hidden: list[list[Tensor]] = field(default_factory=list)
    inputs: list[list[Tensor]] = field(default_factory=list)
    calls: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def batches(self) -> list[Tensor]:
        """The tokens in pieces of [batch, length]."""
        size = self.batch or max(1, BATCH_TOKENS // self.tokens.shape[1])
        return list(self.tokens.split(size))


Observed = dict[str, Any]
Visit = Callable[[int, nn.Module, Observed], Any]
"""(layer, block, {linear: its observer}) -> payload of the block's event."""


@dataclass(frozen=True)
class Slope:
    """What the way back found for one linear.

    gradient: ∂L/∂W, the model's dtype [out, in]; squares: mean over the batches of their squared gradients, float32
    [out, in], of streams that ask for it, else None.
    """

    gradient: Tensor
    squares: Tensor | None = None


Reduce = Callable[[int, str, Tensor, Slope], Any]
"""(layer, linear, its weight, its slope) -> what the visit of the block will need of it."""

Reduced = dict[str, Any]
"""{linear: what `Reduce` returned}."""

VisitReduced = Callable[[int, nn.Module, Reduced], Any]
"""(layer, block, what was reduced of each linear) -> payload of the block's event."""


def whole(layer: int, name: str, weight: Tensor, slope: Slope) -> Slope:
    """Keep all of a linear's slope until its block is visited."""
    return slope


Tail = Callable[[Tensor], Tensor]
"""Hidden states [tokens, width] -> logits [tokens, vocabulary]."""


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Eval mode, restored afterwards: dropout would change what is measured."""
    training = {name: module.training for name, module in model.named_modules()}
    model.eval()
    try:
        yield
    finally:
        for name, module in model.named_modules():
            module.training = training[name]


def forward_events(lm: LoadedModel, streams: list[Stream], visit: Visit | None = None, stage: str = "walk") -> Events:
    """Walk all streams through all blocks; after each block call `visit` and yield an event with what it returns.

    Leaves each stream's `hidden` at the last block's output. Yields Event(stage, layer + 1, blocks, payload).
    """
    blocks = list(lm.family.block_list(lm.model))
    with frozen(lm.model):
        for stream in streams:
            _enter(lm, blocks, stream)
        with in_turn(blocks) as next_block:
            for layer in range(len(blocks)):
                # Per block: whoever takes the events between two of them must find gradients as they left them.
                with torch.no_grad(), next_block() as block:
                    entered = [(stream, list(map(list, stream.hidden))) for stream in streams if stream.sequential]
                    observed = _pass(lm, layer, block, streams)
                    payload = visit(layer, block, observed) if visit else None
                    for stream, hidden in entered:
                        stream.hidden = hidden
                        _push(stream, layer, block)
                # Second moments are as large as a block, and a block that was read is one; the next must not meet them.
                del observed, block
                yield Event(stage, layer + 1, len(blocks), payload)


def reverse_events(
    lm: LoadedModel, stream: Stream, visit: VisitReduced, reduce: Reduce = whole, stage: str = "reverse walk"
) -> Events:
    """Backprop through the blocks in reverse order, from a stream that kept its inputs.

    The loss is the mean token cross-entropy over the whole stream. The gradient of a linear, equal to that of a full
    backward, goes to `reduce` the moment it is complete and is freed after it, before those of the linears further in
    are made; `visit` gets what is left of them. Yields Event(stage, blocks done, blocks, payload).
    """
    blocks = list(lm.family.block_list(lm.model))
    with frozen(lm.model):
        upstream = tail_gradients(lm, stream)
        with in_turn(blocks[::-1]) as next_block:
            for layer in reversed(range(len(blocks))):
                with next_block() as block:
                    reduced, upstream = _block_gradients(lm, layer, block, stream, upstream, reduce)
                    with torch.no_grad():
                        payload = visit(layer, block, reduced)
                del reduced, block
                yield Event(stage, len(blocks) - layer, len(blocks), payload)


@torch.no_grad()
def _enter(lm: LoadedModel, blocks: list[nn.Module], stream: Stream) -> None:
    """Embed the stream's tokens and note how the model would call each block."""
    stream.hidden, stream.inputs, stream.calls = [[] for _ in range(stream.copies)], [], {}
    embed, body = lm.model.get_input_embeddings(), lm.model.base_model
    single = _outside_float32(body, blocks, embed) if stream.float32 else {}
    for tokens in stream.batches():
        embedded = embed(tokens.to(lm.device))
        embedded = embedded.float() if stream.float32 else embedded
        with _recording(blocks, lm.family.tuple_output) as calls:
            functional_call(body, single, (), {"inputs_embeds": embedded, "use_cache": False})
        first, keywords = calls[0][0], [_cast(k, embedded.dtype) for _, k in calls]
        stream.calls.setdefault(len(tokens), keywords)
        for copy in stream.hidden:
            copy.append(first)


@contextmanager
def _recording(blocks: list[nn.Module], tuple_output: bool) -> Iterator[list[tuple[Tensor, dict[str, Any]]]]:
    """While open, blocks return their input unchanged and note their arguments instead of computing."""
    calls: list[tuple[Tensor, dict[str, Any]]] = []

    def note(hidden: Tensor, *args: Any, **keywords: Any) -> Any:
        assert not args, "a block was called with positional arguments besides its input"
        calls.append((hidden, keywords))
        return (hidden,) if tuple_output else hidden

    before = [block.__dict__.get("forward") for block in blocks]
    for block in blocks:
        block.forward = note
    try:
        yield calls
    finally:
        for block, forward in zip(blocks, before, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, (tuple, list)):
        return type(value)(_cast(v, dtype) for v in value)
    if isinstance(value, dict):
        return {k: _cast(v, dtype) for k, v in value.items()}
    return value


def _pass(lm: LoadedModel, layer: int, block: nn.Module, streams: list[Stream]) -> Observed:
    """Push every stream through one block; return what was observed."""
    observed: Observed = {}
    for stream in streams:
        if stream.keep_inputs:
            # A model that does not fit in memory: nor need what is kept for as long as the walk goes on.
            stream.inputs.append([spilled(x) for x in stream.hidden[0]] if lm.offloaded else list(stream.hidden[0]))
        with _watching(lm, block, stream, observed) if stream.observe else nullcontext():
            _push(stream, layer, block)
    return observed


def _push(stream: Stream, layer: int, block: nn.Module) -> None:
    """Take every copy of a stream through a block, each under its version of the weights."""
    single = _float32(block) if stream.float32 else {}
    versions = stream.versions(layer, block)
    unchanged: dict[int, tuple[Tensor, Tensor]] = {}
    for hidden in stream.hidden:
        changed = next(versions)
        for i, inputs in enumerate(hidden):
            # Copies that have met no other weights yet are one: what is the same is computed once.
            if changed or id(inputs) not in unchanged:
                output = _run(block, inputs, stream.calls[len(inputs)][layer], {**single, **changed})
                if not changed and stream.copies > 1:
                    unchanged[id(inputs)] = (inputs, output)
                hidden[i] = output
            else:
                hidden[i] = unchanged[id(inputs)][1]
        # Dropped before the next version is made: each may be as large as the block.
        del changed
    assert next(versions, None) is None, "a stream has more versions than copies"


def _outside_float32(body: nn.Module, blocks: list[nn.Module], embed: nn.Module) -> Weights:
    """What the model multiplies with outside its blocks (norms, positions, projections), in float32."""
    inside = {id(p) for part in (*blocks, embed) for p in part.parameters()}
    return {n: p.float() for n, p in body.named_parameters() if id(p) not in inside and p.dtype != torch.float32}


def _float32(block: nn.Module) -> Weights:
    return {name: p.float() for name, p in block.named_parameters() if p.dtype != torch.float32}


def _run(block: nn.Module, inputs: Tensor, keywords: dict[str, Any], weights: Weights) -> Tensor:
    output = functional_call(block, weights, (inputs,), keywords) if weights else block(inputs, **keywords)
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def _watching(lm: LoadedModel, block: nn.Module, stream: Stream, observed: Observed) -> Iterator[None]:
    """Feed an observer from each distinct linear input of the block."""
    assert stream.observe is not None
    linears = lm.family.block_linears(block)
    handles = []
    for name in dict.fromkeys(lm.family.observed(name) for name in linears):
        observer = stream.observe(name)
        if observer is None:
            continue
        handles.append(linears[name].register_forward_pre_hook(lambda _, args, o=observer: o.add(args[0])))
        observed[name] = observer
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    observed.update({name: observed[seen] for name in linears if (seen := lm.family.observed(name)) in observed})


@contextmanager
def _tail(lm: LoadedModel, dtype: torch.dtype) -> Iterator[Tail]:
    """What follows the last block (final norm, output head), its weights brought to hand once and kept while open.

    dtype: of the hidden states; where it is float32, so are the weights.
    """
    with ExitStack() as stack:
        parts = [stack.enter_context(resident(module)) for module in lm.family.tail_modules(lm.model)]
        weights = [_float32(part) if dtype == torch.float32 else {} for part in parts]

        def logits(hidden: Tensor) -> Tensor:
            for part, single in zip(parts, weights, strict=True):
                hidden = functional_call(part, single, (hidden,)) if single else part(hidden)
            return hidden

        yield logits


def _chunks(hidden: Tensor, tokens: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Hidden states and the words they predict, at most 128 at a time, of a batch [batch, length, width]."""
    flat, words = hidden[:, :-1].flatten(0, 1), tokens[:, 1:].flatten().to(hidden.device)
    yield from zip(flat.split(TAIL_TOKENS), words.split(TAIL_TOKENS), strict=True)


def _checked(losses: Tensor) -> Tensor:
    if not losses.isfinite().all():
        raise NumericalFault(
            "The loss is not a finite number on this text; load the model in float32, or give another text."
        )
    return losses


def tail_losses(lm: LoadedModel, stream: Stream) -> list[Tensor]:
    """Mean token cross-entropy of each sample, for each copy of a stream: float64 [samples].

    Raises NumericalFault where a loss is not finite.
    """
    with frozen(lm.model), torch.no_grad(), _tail(lm, stream.hidden[0][0].dtype) as tail:
        return [_sample_losses(tail, copy, stream.batches()) for copy in stream.hidden]


def _sample_losses(tail: Tail, hidden: list[Tensor], batches: list[Tensor]) -> Tensor:
    losses = []
    for states, tokens in zip(hidden, batches, strict=True):
        for sample, row in zip(states, tokens, strict=True):
            parts = [_summed_loss(tail(chunk), words) for chunk, words in _chunks(sample[None], row[None])]
            losses.append(torch.stack(parts).sum() / (len(row) - 1))
    return _checked(torch.stack(losses))


def _summed_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Σ cross-entropy of a chunk, float64; a few tokens at a time, lest the chunk be copied to float32 and once more by
    the softmax. words: what comes next, [tokens], or its distribution, [tokens, vocabulary]."""
    pieces = zip(logits.split(LOSS_TOKENS), words.split(LOSS_TOKENS), strict=True)
    sums = [nn.functional.cross_entropy(piece.float(), some, reduction="sum").double() for piece, some in pieces]
    return torch.stack(sums).sum()


def tail_divergences(lm: LoadedModel, stream: Stream, reference: Tensor) -> list[Tensor]:
    """How far each copy of a stream is from a reference: KL(reference ‖ copy) of the next-word distributions, mean over
    the predicted tokens of each sample, in nats: float64 [samples].

    reference: the last block's output of the model compared with, [at least samples, length, width]; its distributions
    are made again in chunks, so that logits of the whole text are never there. Raises NumericalFault.
    """
    rows = [row for batch in stream.batches() for row in batch]
    copies = [[states for batch in copy for states in batch] for copy in stream.hidden]
    with frozen(lm.model), torch.no_grad(), _tail(lm, stream.hidden[0][0].dtype) as tail:
        found = [_sample_divergences(tail, reference[i], row, [c[i] for c in copies]) for i, row in enumerate(rows)]
    return list(_checked(torch.stack(found, 1)))


def _sample_divergences(tail: Tail, reference: Tensor, row: Tensor, copies: list[Tensor]) -> Tensor:
    """KL of one sample for each copy: float64 [copies]."""
    total = torch.zeros(len(copies), dtype=torch.float64, device=reference.device)
    parts = [[states for states, _ in _chunks(copy[None], row[None])] for copy in copies]
    for place, (states, _) in enumerate(_chunks(reference[None], row[None])):
        logits = tail(states)
        wanted = logits.float().softmax(-1)
        entropy = _summed_loss(logits, wanted)
        total += torch.stack([_summed_loss(tail(part[place]), wanted) for part in parts]) - entropy
    return total / (len(row) - 1)


def tail_gradients(lm: LoadedModel, stream: Stream) -> list[Tensor]:
    """∂L/∂(last block's output) of each batch, L the mean over the stream: like `hidden`, [batch, length, width].

    Raises NumericalFault where the loss is not finite.
    """
    count = sum(tokens[:, 1:].numel() for tokens in stream.batches())
    gradients = []
    with _tail(lm, stream.hidden[0][0].dtype) as tail:
        for hidden, tokens in zip(stream.hidden[0], stream.batches(), strict=True):
            pieces = [_chunk_gradient(tail, chunk, words, count) for chunk, words in _chunks(hidden.detach(), tokens)]
            gradient = torch.zeros_like(hidden)
            gradient[:, :-1] = torch.cat(pieces).view_as(gradient[:, :-1])
            gradients.append(gradient)
    return gradients


def _chunk_gradient(tail: Tail, states: Tensor, words: Tensor, count: int) -> Tensor:
    with torch.enable_grad():
        leaf = states.detach().requires_grad_()
        loss = nn.functional.cross_entropy(tail(leaf).float(), words, reduction="sum") / count
        return torch.autograd.grad(_checked(loss), leaf)[0]


def _block_gradients(
    lm: LoadedModel, layer: int, block: nn.Module, stream: Stream, upstream: list[Tensor], reduce: Reduce
) -> tuple[Reduced, list[Tensor]]:
    """Recompute one block and backpropagate: what is reduced of its linears, and gradients of its inputs."""
    arriving = _Arriving(layer, stream.squares, len(upstream), reduce)
    paths = {name: f"{path}.weight" for name, path in lm.family.linears.items()}
    weights = {path: arriving.watched(name, block.get_parameter(path)) for name, path in paths.items()}
    downstream = []
    for inputs, gradient in zip(stream.inputs[layer], upstream, strict=True):
        with torch.enable_grad():
            leaf = inputs.to(gradient.device).detach().requires_grad_()
            output = _run(block, leaf, stream.calls[len(inputs)][layer], weights)
            torch.autograd.backward(output, gradient, inputs=[leaf, *weights.values()])
        assert leaf.grad is not None
        downstream.append(leaf.grad)
    stream.inputs[layer] = []
    return arriving.reduced, downstream


@dataclass
class _Arriving:
    """Gradients of a block's linears as backprop completes them, batch after batch; after the last, each is reduced.

    batches: how many there will be.
    """

    layer: int
    squares: bool
    batches: int
    reduce: Reduce
    reduced: Reduced = field(default_factory=dict)
    _sums: dict[str, Slope] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)

    def watched(self, name: str, weight: Tensor) -> Tensor:
        """A leaf for the graph that shares the weight's memory and hands on its gradient."""
        leaf = weight.detach().requires_grad_()
        leaf.register_post_accumulate_grad_hook(partial(self._take, name))
        return leaf

    @torch.no_grad()
    def _take(self, name: str, weight: Tensor) -> None:
        piece, weight.grad = weight.grad, None
        assert piece is not None
        # A batch's piece is its share of the mean loss; its own gradient is that times the number of batches.
        own = piece.float().square().mul_(self.batches) if self.squares else None
        before = self._sums.get(name)
        if before is None:
            self._sums[name] = Slope(piece, own)
        else:
            before.gradient.add_(piece)
            if own is not None and before.squares is not None:
                before.squares.add_(own)
        del piece, own, before
        self._seen[name] = self._seen.get(name, 0) + 1
        if self._seen[name] == self.batches:
            self.reduced[name] = self.reduce(self.layer, name, weight.detach(), self._sums.pop(name))
