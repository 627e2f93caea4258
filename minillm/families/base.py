"""What a family must answer: where blocks, heads and channels live. Everything else is family-blind.

A family is a description, not code: paths to modules, and `Structure`s that say which slices of which linears go
together. No forward pass is copied. Numbers of heads that attention modules keep are set after a cut for all families
alike (`models/shape.py`); what else a module remembers of its heads (slopes), the family mends in `mend`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .groups import CHANNELS, EXPERTS, HEADS, BlockGroups, Structure

if TYPE_CHECKING:
    from torch import nn

Mend = Callable[["nn.Module", Sequence[int]], None]
"""mend(block, kept head groups by their number in the uncut model): set what the attention module remembers."""


@dataclass(frozen=True)
class Tensors:
    """What a block of a family holds for one token at its widest: multiples of the FFN's, heads' and model's width.

    wide, residual: forward, of FFN and model width; kept, norms: for a backward pass, of FFN width, and of model width
    in float32; scores: attention scores of all heads and keys, where attention computes them all at once.
    """

    wide: int
    residual: int
    kept: int
    norms: int
    scores: int = 0


@dataclass(frozen=True)
class Experts:
    """Where the experts of an FFN are, in blocks that have any.

    module: path inside a block of what holds the matrices of all experts, one after the other along the first axis;
    weights: {name: which of its parameters, [experts, out, in]}, that which writes to the residual stream last;
    router: path of what sends tokens to them, whose parameters have a row for each; count: what a config calls their
    number. With an expert goes its part of everything that these two modules hold.
    """

    module: str = "mlp.experts"
    weights: dict[str, str] = field(default_factory=lambda: {"gate_up": "gate_up_proj", "down": "down_proj"})
    router: str = "mlp.gate"
    count: str = "num_experts"

    @property
    def parts(self) -> tuple[str, str]:
        """Paths of the modules that an expert has a part of."""
        return self.module, self.router


@dataclass(frozen=True)
class Family:
    """A family of architectures.

    name, label: for code and for people; model_types: transformers' `config.model_type`s it covers.
    blocks: path of the list of blocks; tail: paths of what follows the last block, in order, the output head last
    (a path that is absent or None in a model is left out).
    linears: {name: path inside a block}; structures: the slices a group owns;
    holds: what memory is forecast by;
    inputs: linears that read the same input, by the name of the one whose input is observed;
    norms: norms over all heads of a block at once: {path inside a block: the linear whose rows its weights belong to};
    mend: see `Mend`; tuple_output: whether a block returns a tuple; refuses: why a config does not fit, or None;
    adds_inside: whether the attention module adds the residual, its second argument, to what it returns;
    keeps_blocks: why no block of a config can be dropped, or None;
    key_heads: key/value heads of a config, or None where every query head has its own;
    ready: the same model with plain linears for modules that store their weights otherwise;
    after_head: what a model of a config does to logits after its output head (config, logits -> logits);
    experts: where they are in blocks that have some in place of channels, which then lack the linears of channels;
    square: whether attention is as wide as the model in every config, so that none can name fewer heads.
    """

    name: str
    label: str
    model_types: tuple[str, ...]
    blocks: str
    tail: tuple[str, ...]
    linears: dict[str, str]
    structures: tuple[Structure, ...]
    holds: Tensors
    inputs: dict[str, str] = field(default_factory=dict)
    norms: dict[str, str] = field(default_factory=dict)
    mend: Mend | None = None
    tuple_output: bool = False
    refuses: Callable[[Any], str | None] = lambda config: None
    adds_inside: bool = False
    keeps_blocks: Callable[[Any], str | None] = lambda config: None
    key_heads: Callable[[Any], int | None] = lambda config: getattr(config, "num_key_value_heads", None)
    ready: Callable[[Any], Any] = lambda model: model
    after_head: Callable[[Any, Any], Any] = lambda config, logits: logits
    experts: Experts | None = None
    square: bool = False

    @property
    def attention(self) -> str:
        """The path of the attention module inside a block: what holds the linear that heads write through."""
        return self.linears[self.writing(HEADS)].rpartition(".")[0]

    def writing(self, kind: str) -> str:
        """The linear by which groups of a kind write to the residual stream (o, down)."""
        return next(s.linear for s in self.of_kind(kind) if s.axis == "columns")

    def of_kind(self, kind: str) -> tuple[Structure, ...]:
        """The structures of head groups or of channel groups."""
        return tuple(s for s in self.structures if s.kind == kind)

    def observed(self, linear: str) -> str:
        """The linear whose input stands for this one's (q for k and v)."""
        return self.inputs.get(linear, linear)

    def counts(self, linear: str, structures: tuple[str, ...]) -> bool:
        """Whether a linear holds one of these structures (of all, where none is named)."""
        return not structures or any(s.linear == linear and s.name in structures for s in self.structures)

    def block_list(self, model: "nn.Module") -> "nn.ModuleList":
        """The blocks of a model."""
        return model.get_submodule(self.blocks)  # type: ignore[return-value]

    def block_paths(self, block: "nn.Module") -> dict[str, str]:
        """The linears of a block by name: their paths inside it. A block with experts has those of its heads alone."""
        if self.experts_in(block) is None:
            return self.linears
        of_heads = {s.linear for s in self.of_kind(HEADS)}
        return {name: path for name, path in self.linears.items() if name in of_heads}

    def block_linears(self, block: "nn.Module") -> dict[str, "nn.Linear"]:
        """The linears of a block by name."""
        return {name: block.get_submodule(path) for name, path in self.block_paths(block).items()}  # type: ignore[misc]

    def experts_in(self, block: "nn.Module") -> Any:
        """The module with the experts of a block, None where its FFN has channels."""
        if self.experts is None:
            return None
        parent, _, leaf = self.experts.module.rpartition(".")
        return getattr(block.get_submodule(parent), leaf, None)

    def expert_paths(self, block: "nn.Module") -> dict[str, str]:
        """The matrices of a block's experts by name: paths of parameters [experts, out, in]; none where it has none."""
        if self.experts is None or self.experts_in(block) is None:
            return {}
        return {name: f"{self.experts.module}.{leaf}" for name, leaf in self.experts.weights.items()}

    def tail_modules(self, model: "nn.Module") -> Iterator["nn.Module"]:
        """What follows the last block, the output head last."""
        for path in self.tail:
            parent, _, leaf = path.rpartition(".")
            module = getattr(model.get_submodule(parent), leaf, None)
            if module is not None:
                yield module

    def describe(self, block: "nn.Module", head_dim: int, queries: int) -> BlockGroups:
        """Count the groups of a block and what one of each takes with it. queries: of a block that was not cut."""
        linears = self.block_linears(block)
        heads, queries = self._heads(block, linears, head_dim, queries)
        query = [0, 0]
        cost = {HEADS: [0, 0], CHANNELS: [0, 0]}
        for s in (s for s in self.structures if s.linear in linears):
            linear = linears[s.linear]
            size = 1 if s.kind == CHANNELS else head_dim * (queries if s.per_query else 1)
            across = linear.in_features if s.axis == "rows" else linear.out_features
            # What a row takes with it beside its weights: an entry of the bias, and one of a norm over all heads.
            beside = s.axis == "rows" and (linear.bias is not None) + (s.linear in self.norms.values())
            cost[s.kind][0] += size * (across + beside)
            cost[s.kind][1] += size * across
            if s.per_query and queries > 1:
                query[0] += head_dim * (across + beside)
                query[1] += head_dim * across
            if s.kind == CHANNELS and s.axis == "columns":
                channels = linear.in_features
        routing: dict[str, Any] = {}
        if self.experts_in(block) is not None:
            channels, routing = self._experts(block, cost[CHANNELS])
        everything = sum(p.numel() for p in block.parameters())
        fixed = everything - heads * cost[HEADS][0] - channels * cost[CHANNELS][0]
        return BlockGroups(
            heads=heads,
            queries=queries,
            head_dim=head_dim,
            channels=channels,
            head_parameters=cost[HEADS][0],
            channel_parameters=cost[CHANNELS][0],
            head_macs=cost[HEADS][1],
            channel_macs=cost[CHANNELS][1],
            fixed_parameters=fixed,
            query_parameters=query[0],
            query_macs=query[1],
            key_parameters=cost[HEADS][0] - queries * query[0],
            key_macs=cost[HEADS][1] - queries * query[1],
            **routing,
        )

    def _experts(self, block: "nn.Module", cost: list[int]) -> tuple[int, dict[str, Any]]:
        """(experts of a block, what else its `BlockGroups` says of them).

        Adds to `cost` what an expert takes with it, and what a token costs for each there is: its row of the router.
        """
        assert self.experts is not None
        module, router = (block.get_submodule(path) for path in self.experts.parts)
        rows: Any = router
        count, each = rows.weight.shape[0], sum(p.numel() for p in module.parameters())
        cost[0] += (each + sum(p.numel() for p in router.parameters())) // count
        cost[1] += rows.weight.numel() // count
        matrices = [module.get_parameter(leaf) for leaf in self.experts.weights.values()]
        return count, {
            "ffn": EXPERTS,
            "routed": int(rows.top_k),
            "expert_width": matrices[-1].shape[-1],
            "fixed_macs": rows.top_k * sum(matrix.numel() for matrix in matrices) // count,
        }

    def _heads(
        self, block: "nn.Module", linears: dict[str, "nn.Linear"], head_dim: int, queries: int
    ) -> tuple[int, int]:
        """(head groups, query heads in each) of a block: a cut may have taken some of either."""
        written = linears[self.writing(HEADS)].in_features // head_dim
        known: Any = getattr(block, "kept_heads", None)
        heads = written // queries if known is None else len(known)
        return heads, written // heads if heads else queries
