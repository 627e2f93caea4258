"""The one loop over the blocks that every criterion visits.

A walk takes token *streams* through the model block by block. Each block is read once for all streams, so that peak
memory is one block plus the streams, progress and cancelling come for free, and a score can be reduced to groups while
its block is at hand. Weights are never changed: a stream that needs other weights (W ± εz) brings a function that
makes them for one block, and they are dropped after it. What is put on modules is put on a view of the model that is
this walk's own (`view`), so that walks in other threads never meet it.

    forward   embeddings → block 0 → … → block L−1, here
    tail      norm, output head, loss in chunks of 128 tokens: `tail`
    reverse   the same graph from its end, one block recomputed at a time: `reverse`

The keywords a block is called with (mask, positions) are recorded from the model itself, for every block and batch
shape, in a pass in which blocks return their input unchanged: models may mix full and sliding attention.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..batches import BATCH_TOKENS
from ..events import Event, Events, outside_inference
from ..families.groups import EXPERTS
from ..models.loaded import LoadedModel
from ..models.residence import in_turn
from ..models.spill import spilled
from . import ranks
from .routing import Routed
from .view import eval_view

Weights = dict[str, Tensor]
Versions = Callable[[int, nn.Module], Iterator[Weights]]
"""(layer, block) -> for each copy of a stream, the parameters (by name in the block) it wants replaced."""


def _as_they_are(layer: int, block: nn.Module) -> Iterator[Weights]:
    yield {}


@dataclass
class Stream:
    """Tokens on their way through the model.

    tokens: [samples, length], of which every rank walks its own (`ranks`);
    batch: samples pushed at once (default: about 2,048 tokens);
    observe: linear name -> an observer of its input (see `observers`), or None to pass over it; "experts" -> one of
    what is sent to experts (see `routing`);
    copies, versions: how many versions of the weights it meets, and what they are;
    which: layer -> which of a block's versions each copy meets, counted as they first come, where several meet the
    same (`of_copies`; default: each its own);
    float32: run the blocks in float32 whatever the model's dtype; keep_inputs: keep block inputs for a reverse walk
    (of an offloaded model on disk);
    squares: on the way back, gather squared gradients of each batch too (batch 1: the empirical Fisher's diagonal);
    slopes: on the way back, linear name -> an observer of ∂L/∂(its output), or None to pass over it;
    drawn: seed of the words the loss is of, drawn from what the model itself expects to come next (the true Fisher
    information is of these); None: of the words that do come next;
    expected: a batch of tokens -> the distribution of every word to come, as logarithms, [at most 128, vocabulary] at a
    time: what the loss is taken against in place of words (a teacher's);
    sequential: push once more through each block after its visit, from the same inputs, so that what the visit changed
    in the block is what the later ones are fed (Wanda and SparseGPT mask this way: walk the copy that is changed).
    """

    tokens: Tensor
    batch: int = 0
    observe: Callable[[str], Any] | None = None
    copies: int = 1
    versions: Versions = _as_they_are
    which: Callable[[int], Sequence[int]] | None = None
    float32: bool = False
    keep_inputs: bool = False
    squares: bool = False
    slopes: Callable[[str], Any] | None = None
    drawn: int | None = None
    expected: Callable[[Tensor], Iterator[Tensor]] | None = None
    sequential: bool = False
    hidden: list[list[Tensor]] = field(default_factory=list)
    inputs: list[list[Tensor]] = field(default_factory=list)
    calls: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def of_copies(
        cls,
        tokens: Tensor,
        copies: Sequence[Any],
        key: Callable[[int, Any], Hashable],
        weights: Callable[[int, nn.Module, Any], Weights],
        float32: bool = False,
    ) -> "Stream":
        """A stream of one copy for each of what is given, where a block may be the same to many of them.

        key: (layer, one of them) -> what decides its weights there; weights: (layer, block, one of them) -> those.
        Weights of equal keys are made once a block; copies whose keys were equal in all blocks so far walk as one.
        """

        def which(layer: int) -> list[int]:
            numbers: dict[Hashable, int] = {}
            return [numbers.setdefault(key(layer, one), len(numbers)) for one in copies]

        def versions(layer: int, block: nn.Module) -> Iterator[Weights]:
            first: dict[int, Any] = {}
            for number, one in zip(which(layer), copies, strict=True):
                first.setdefault(number, one)
            yield from (weights(layer, block, one) for one in first.values())

        return cls(tokens, copies=len(copies), versions=versions, which=which, float32=float32)

    def batches(self) -> list[Tensor]:
        """The tokens that this rank walks, in pieces of [batch, length]."""
        size = self.batch or max(1, BATCH_TOKENS // self.tokens.shape[1])
        return list(ranks.own(self.tokens).split(size))


Made = dict[int, tuple[Tensor, Tensor]]
"""{id of a block's inputs: the inputs, what it made of them}."""

Observed = dict[str, Any]
Visit = Callable[[int, nn.Module, Observed], Any]
"""(layer, block, {linear: its observer}) -> payload of the block's event."""


@outside_inference
def forward_events(lm: LoadedModel, streams: list[Stream], visit: Visit | None = None, stage: str = "walk") -> Events:
    """Walk all streams through all blocks; after each block call `visit` and yield an event with what it returns.

    Leaves each stream's `hidden` at the last block's output. Yields Event(stage, layer + 1, blocks, payload).
    """
    lm = eval_view(lm)
    blocks = list(lm.family.block_list(lm.model))
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

    named = list(signature(type(blocks[0]).forward).parameters)[2:] if blocks else []

    def note(hidden: Tensor, *args: Any, **keywords: Any) -> Any:
        calls.append((hidden, {**dict(zip(named, args, strict=False)), **keywords}))
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
    if ranks.several():
        for observer in {id(one): one for one in observed.values()}.values():
            observer.pool()
    return observed


def _push(stream: Stream, layer: int, block: nn.Module) -> None:
    """Take every copy of a stream through a block, each under its version of the weights."""
    single = in_float32(block) if stream.float32 else {}
    versions, which = stream.versions(layer, block), stream.which(layer) if stream.which else range(stream.copies)
    unchanged: Made = {}
    for version in dict.fromkeys(which):
        changed = next(versions)
        made: Made = {} if changed else unchanged
        copies = [hidden for hidden, own in zip(stream.hidden, which, strict=True) if own == version]
        for hidden in copies:
            for i, inputs in enumerate(hidden):
                # Copies that have met the same weights so far are one: what is the same is computed once.
                output = made[id(inputs)][1] if id(inputs) in made else None
                if output is None:
                    output = run_block(block, inputs, stream.calls[len(inputs)][layer], {**single, **changed})
                if len(copies) > 1 or not changed and stream.copies > 1:
                    made[id(inputs)] = (inputs, output)
                hidden[i] = output
        # Dropped before the next version is made: each may be as large as the block.
        del changed, made
    assert next(versions, None) is None, "a stream has more versions than copies"


def _outside_float32(body: nn.Module, blocks: list[nn.Module], embed: nn.Module) -> Weights:
    """What the model multiplies with outside its blocks (norms, positions, projections), in float32."""
    inside = {id(p) for part in (*blocks, embed) for p in part.parameters()}
    return {n: p.float() for n, p in body.named_parameters() if id(p) not in inside and p.dtype != torch.float32}


def in_float32(block: nn.Module) -> Weights:
    """The weights of a module that are not float32, in float32."""
    return {name: p.float() for name, p in block.named_parameters() if p.dtype != torch.float32}


def run_block(block: nn.Module, inputs: Tensor, keywords: dict[str, Any], weights: Weights) -> Tensor:
    """What a block makes of its inputs, [batch, length, width], with some of its weights replaced."""
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
    experts = lm.family.experts_in(block)
    router = stream.observe(EXPERTS) if experts is not None else None
    if router is not None:
        handles.append(experts.register_forward_pre_hook(lambda part, args, o=router: o.add(Routed(part, *args))))
        observed[EXPERTS] = router
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    observed.update({name: observed[seen] for name in linears if (seen := lm.family.observed(name)) in observed})
