"""Coupled groups: which weights must go together, and what each group costs. Plain data, no tensors.

One LLaMA-like block, and the two kinds of group in it:

    head group h (a key/value head and the query heads it serves)      channel group c
      q  rows  [h·Q·d, (h+1)·Q·d)     ┐                                  gate  row c      ┐
      k  rows  [h·d, (h+1)·d)         ├ go together                      up    row c      ├ go together
      v  rows  [h·d, (h+1)·d)         │                                  down  column c   ┘
      o  columns [h·Q·d, (h+1)·Q·d)   ┘     Q query heads a group, d the size of a head

Where several query heads share a key/value head, heads may be counted the other way: a *query slot* j is the j-th
query head of every key/value head, rows of q and columns of o, so that as many are left to each of them
(`Groups.counted_in`).

Where a router sends each token to a few of many FFNs, no channel is one of all tokens, and what an FFN is counted in is
its *experts*: with expert e go its matrices, and its row of the router.

A `Structure` says where one of those slices lies inside a linear; a `BlockGroups` says how many groups a block has
and what one of them costs; a `Groups` does so for a model. They are all a plan needs: weights stay out of it.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from ..checks import optional, whole
from ..errors import BadInput

HEADS, CHANNELS, EXPERTS = "heads", "channels", "experts"
KINDS = (HEADS, CHANNELS)
"""Of attention, and of the FFN. What an FFN is counted in, channels or experts, each block says itself
(`BlockGroups.ffn`): a block has the one or the other, and whatever is kept for its channels is then its experts'."""

ONE = {HEADS: "head group", CHANNELS: "channel", EXPERTS: "expert"}
"""What one group is called."""

GROUPS, SLOTS = "groups", "slots"
"""What a block's heads are counted in: key/value heads with the query heads they serve, or query slots."""

MIN_HEADS, MIN_CHANNELS = 1, 8
"""What a block keeps unless a cut asks for less."""
FEWEST_HEADS, FEWEST_CHANNELS = whole(0, 4_096), whole(0, 1_048_576)
"""What a cut may ask to be left of a block, whoever asks."""


@dataclass(frozen=True)
class BlockGroups:
    """The groups of one block.

    heads: head groups, or query slots where `unit` says so; queries: query heads in each; head_dim: rows of one head;
    channels: channel groups, or experts where `ffn` says so.
    head_parameters, channel_parameters: what one group takes with it (weights and biases).
    head_macs, channel_macs: multiplications per token in one group's weights. fixed_parameters: of no group; they go
    only with the whole block, once none of its groups is left.
    min_heads, min_channels: what a cut must leave (`Groups.at_least`); no part of what a block is.
    unit: what heads are counted in, "groups" or "slots"; query_parameters, query_macs: as above, of one query head, 0
    where every head has its own key/value head; key_parameters, key_macs: of one key/value head without its queries;
    fixed_macs: multiplications per token of weights in no group; of experts all but the router's, for a token meets
    as many of them whatever number there are.
    ffn: what the FFN is counted in, "channels" or "experts"; routed: experts that a token is sent to, who must stay;
    expert_width: channels inside each.
    """

    heads: int
    queries: int
    head_dim: int
    channels: int
    head_parameters: int
    channel_parameters: int
    head_macs: int
    channel_macs: int
    fixed_parameters: int
    min_heads: int = field(default=MIN_HEADS, compare=False)
    min_channels: int = field(default=MIN_CHANNELS, compare=False)
    unit: str = GROUPS
    query_parameters: int = field(default=0, compare=False)
    query_macs: int = field(default=0, compare=False)
    key_parameters: int = field(default=0, compare=False)
    key_macs: int = field(default=0, compare=False)
    fixed_macs: int = field(default=0, compare=False)
    ffn: str = CHANNELS
    routed: int = 0
    expert_width: int = field(default=0, compare=False)

    @property
    def ffn_width(self) -> int:
        """How many channels of its FFN a token meets."""
        return self.routed * self.expert_width if self.ffn == EXPERTS else self.channels

    @property
    def parameters(self) -> int:
        """All parameters of the block."""
        return self.fixed_parameters + self.heads * self.head_parameters + self.channels * self.channel_parameters

    def count(self, kind: str) -> int:
        """How many groups of a kind the block has."""
        return self.heads if kind == HEADS else self.channels

    def counts(self, kind: str) -> str:
        """What its groups of a kind are: "heads", and "channels" or "experts"."""
        return HEADS if kind == HEADS else self.ffn

    @property
    def key_heads(self) -> int:
        """Key/value heads, whatever heads are counted in."""
        return self.queries if self.unit == SLOTS else self.heads

    def at_least(self, min_heads: int | None = None, min_channels: int | None = None) -> "BlockGroups":
        """The same block where a cut must leave so many of its groups; None: as before."""
        heads = self.min_heads if min_heads is None else max(min_heads, int(self.unit == SLOTS))
        channels = self.min_channels if min_channels is None else max(min_channels, 0)
        return replace(self, min_heads=heads, min_channels=channels)

    def turned(self) -> "BlockGroups":
        """The same block, its heads counted the other way: by groups keys and values go with their group, by slots they
        belong to none."""
        to_slots = self.unit == GROUPS
        sign, keys = (1, self.heads) if to_slots else (-1, self.queries)
        own, macs = (0, 0) if to_slots else (self.key_parameters, self.key_macs)
        return replace(
            self,
            unit=SLOTS if to_slots else GROUPS,
            heads=self.queries if self.heads else 0,
            queries=self.heads or self.queries,
            head_parameters=own + self.heads * self.query_parameters,
            head_macs=macs + self.heads * self.query_macs,
            fixed_parameters=self.fixed_parameters + sign * keys * self.key_parameters,
            fixed_macs=self.fixed_macs + sign * keys * self.key_macs,
            min_heads=max(self.min_heads, int(to_slots)),
        )


@dataclass(frozen=True)
class Groups:
    """The groups of a model: one `BlockGroups` a block, and the sizes outside the blocks.

    parameters: all of the model, tied embeddings counted once. output_macs: the output head, per token;
    other_macs: linears outside the blocks beside it (the projections into and out of narrower embeddings), per token.
    """

    family: str
    model_type: str
    width: int
    vocabulary: int
    parameters: int
    output_macs: int
    blocks: tuple[BlockGroups, ...]
    other_macs: int = 0

    def __len__(self) -> int:
        return len(self.blocks)

    @property
    def prunable(self) -> int:
        """Parameters that belong to some group."""
        return sum(b.parameters - b.fixed_parameters for b in self.blocks)

    def at_least(self, min_heads: int | None = None, min_channels: int | None = None) -> "Groups":
        """The same groups where a cut must leave so many in each block (None: as before); 0 and 0: whole blocks may go.
        Of query slots one stays: keys and values have nobody else. Raises BadInput for what is no such number."""
        optional(FEWEST_HEADS)("min_heads", min_heads)
        optional(FEWEST_CHANNELS)("min_channels", min_channels)
        return replace(self, blocks=tuple(b.at_least(min_heads, min_channels) for b in self.blocks))

    @property
    def unit(self) -> str:
        """What heads are counted in, "groups" or "slots"."""
        return self.blocks[0].unit if self.blocks else GROUPS

    def counted_in(self, unit: str) -> "Groups":
        """The same model, its heads counted in groups, as they are at first, or in query slots.

        Raises BadInput where no key/value head serves several query heads.
        """
        if unit == self.unit:
            return self
        if unit not in (GROUPS, SLOTS) or not any(b.query_parameters for b in self.blocks):
            raise BadInput(
                f"Heads of this {self.model_type} model cannot be counted in {unit}: query slots are for models in "
                "which a key/value head serves several query heads. Take head groups."
            )
        return replace(self, blocks=tuple(b.turned() for b in self.blocks))

    def macs(self, length: int) -> int:
        """Multiply-accumulates of one forward pass over `length` tokens: all linears, QKᵀ and AV."""
        linears = sum(b.heads * b.head_macs + b.channels * b.channel_macs + b.fixed_macs for b in self.blocks)
        attention = sum(2 * b.heads * b.queries * b.head_dim for b in self.blocks)
        return length * (linears + self.output_macs + self.other_macs) + length * length * attention

    @property
    def experts(self) -> int:
        """The most experts that a block has; 0 where every FFN has channels."""
        return max((b.channels for b in self.blocks if b.ffn == EXPERTS), default=0)

    def refuse_experts(self, what: str, instead: str) -> None:
        """Raise BadInput where a block has experts. what: begins a sentence; instead: what to do."""
        if self.experts:
            raise BadInput(
                f"{what} {HEADS} and {CHANNELS} only, and this {self.model_type} model has {EXPERTS}; {instead}."
            )

    def named(self, kind: str) -> str:
        """What the groups of a kind are called in this model: head groups, channels, experts, or both of these."""
        if kind == HEADS:
            return "head groups"
        return " and ".join(sorted({b.ffn for b in self.blocks} or {CHANNELS}))

    def one(self, kind: str) -> str:
        """What one group of a kind is called in this model."""
        return " or ".join(sorted({ONE[b.counts(kind)] for b in self.blocks} or {ONE[kind]}))

    def cache_bytes(self, bytes_each: int = 2) -> int:
        """Bytes of key/value cache a token needs."""
        return sum(2 * b.key_heads * b.head_dim for b in self.blocks) * bytes_each

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Groups":
        """The inverse of `to_json`."""
        return cls(**{**data, "blocks": tuple(BlockGroups(**b) for b in data["blocks"])})


@dataclass(frozen=True)
class Structure:
    """One slice that a group owns: rows or columns of one linear.

    name: q, k, v, o, gate, up, down …; linear: the linear it lies in (several may share one);
    axis: "rows" or "columns"; kind: "heads" or "channels"; per_query: sized by all query heads of a group;
    part: where q, k and v of each group lie together, as [group, its query heads + 2, head_dim]: 0 for q, 1 for k,
    2 for v (BLOOM, Falcon); behind: where each of them, or gate and up, fills a whole section of the linear: the
    sections before it, by whether they are sized by all query heads (Phi-3: () for q, (True,) for k, (True, False) for
    v).
    """

    name: str
    linear: str
    axis: str
    kind: str
    per_query: bool = False
    part: int | None = None
    behind: tuple[bool, ...] = ()

    def indices(self, block: BlockGroups) -> np.ndarray:
        """Rows or columns of each group: int64 [groups, size]; of a slot or an expert in what belongs to none,
        [groups, 0]."""
        if not self.owned(block):
            return np.zeros((block.count(self.kind), 0), int)
        if self.kind == CHANNELS:
            return (len(self.behind) * block.channels + np.arange(block.channels))[:, None]
        slots = block.unit == SLOTS
        keys, queries = (block.queries, block.heads) if slots else (block.heads, block.queries)
        rows = self._rows(keys, queries, block.head_dim)
        if not slots:
            return rows.reshape(keys, rows.shape[1] * block.head_dim)
        return rows.swapaxes(0, 1).reshape(queries, -1) if keys else np.zeros((queries, 0), int)

    def size(self, block: BlockGroups) -> int:
        """Rows or columns of all groups, those included that belong to none where heads are counted in slots."""
        if self.kind == CHANNELS:
            return block.channels if block.ffn == CHANNELS else 0
        return block.head_dim * (block.heads * block.queries if self.per_query else block.key_heads)

    def _rows(self, keys: int, queries: int, head_dim: int) -> np.ndarray:
        """Where each query head, or the one key or value head, of each key/value head lies: [keys, heads, head_dim]."""
        own = queries if self.per_query else 1
        apart, first = own, keys * sum(queries if each else 1 for each in self.behind)
        if self.part is not None:
            apart, first = queries + 2, queries + self.part - 1 if self.part else 0
        heads = first + apart * np.arange(keys)[:, None] + np.arange(own)
        return heads[:, :, None] * head_dim + np.arange(head_dim)

    def owned(self, block: BlockGroups) -> bool:
        """Whether the block's groups have a part in it: keys and values are no slot's, and channels no expert's."""
        if self.kind == CHANNELS:
            return block.ffn == CHANNELS
        return self.per_query or block.unit == GROUPS
