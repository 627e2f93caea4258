"""What the walk notes about experts while tokens pass: what each was sent, and what it made of that.

A router hands the module of the experts all tokens of a batch, [tokens, width], with the experts each is sent to and
the weights of their outputs, both [tokens, experts a token]. Each expert is asked for itself, through the module's own
forward, so that no family's arithmetic is copied.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from . import ranks


class Routed(NamedTuple):
    """What the module of a block's experts is called with, and that module.

    hidden: [tokens, width]; chosen: experts of each, int64 [tokens, experts a token]; gates: weights of what they
    write, of the same shape.
    """

    experts: Any
    hidden: Tensor
    chosen: Tensor
    gates: Tensor

    def sent(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """(expert, the tokens sent to it, [n, width], their gate weights, [n]) of all experts that are sent any."""
        for expert in self.chosen.unique().tolist():
            token, place = torch.where(self.chosen == expert)
            yield expert, self.hidden[token], self.gates[token, place]


def inside(experts: Any, expert: int, tokens: Tensor) -> Tensor:
    """What an expert's last matrix reads of some tokens: [n, FFN width]."""
    return experts._apply_gate(nn.functional.linear(tokens, experts.gate_up_proj[expert]))


def written(experts: Any, expert: int, tokens: Tensor) -> Tensor:
    """What an expert makes of some tokens, unweighted: [n, width]."""
    alone = torch.full((len(tokens), 1), expert, device=tokens.device)
    return type(experts).forward(experts, tokens, alone, torch.ones_like(alone, dtype=tokens.dtype))


class ExpertNorms:
    """X of what each expert's matrices read, over the tokens sent to it: {matrix: float32 [experts, features]}.

    0 where an expert is sent none.
    """

    def __init__(self) -> None:
        self.squares: dict[str, Tensor] = {}

    def add(self, routed: Routed) -> None:
        """Take in a batch."""
        for expert, tokens, _ in routed.sent():
            for name, read in (("gate_up", tokens), ("down", inside(routed.experts, expert, tokens))):
                squares = read.to(torch.float32, copy=True).square_().sum(0)
                if name not in self.squares:
                    self.squares[name] = squares.new_zeros(routed.experts.num_experts, len(squares))
                self.squares[name][expert] += squares

    def pool(self) -> None:
        """Add up what the ranks have seen."""
        self.squares = {name: ranks.summed(squares) for name, squares in self.squares.items()}

    def result(self) -> dict[str, Tensor]:
        """X: {matrix: float32 [experts, features]}."""
        return {name: squares.sqrt() for name, squares in self.squares.items()}


class ExpertOutputs:
    """Of something that is known of every token an expert was sent, the mean: float32 [experts]; 0 of no tokens.

    judge: (gate weights [n], what the expert writes of them, unweighted, [n, width]) -> [n].
    """

    def __init__(self, judge: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.judge = judge
        self.total: Tensor | None = None
        self.tokens: Tensor | None = None

    def add(self, routed: Routed) -> None:
        """Take in a batch."""
        if self.total is None or self.tokens is None:
            self.total = torch.zeros(routed.experts.num_experts, device=routed.hidden.device)
            self.tokens = torch.zeros_like(self.total)
        for expert, tokens, gates in routed.sent():
            self.total[expert] += self.judge(gates.float(), written(routed.experts, expert, tokens).float()).sum()
            self.tokens[expert] += len(tokens)

    def pool(self) -> None:
        """Add up what the ranks have seen."""
        assert self.total is not None and self.tokens is not None
        self.total, self.tokens = ranks.summed(self.total), ranks.summed(self.tokens)

    def result(self) -> Tensor:
        """The means: float32 [experts]."""
        assert self.total is not None and self.tokens is not None
        return self.total / self.tokens.clamp(min=1)
