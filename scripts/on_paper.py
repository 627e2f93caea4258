"""What scoring a model far larger than one GPU would take on eight of them, reckoned and not measured: docs/scale.md.

    python -m scripts.on_paper            # prints the tables of the page

The one idea: a walk reads each block once, so that a block's turn costs the longer of bringing its weights (the next
block's come while it computes) and computing its share of rows, and after that what the ranks exchange and what every
rank does again for itself. Constants are the data sheets' of an H100 SXM, times the share of them that is assumed to
be reached; bytes and operations are counted from what the code does.
"""

from dataclasses import dataclass

from transformers import LlamaConfig

from minillm.families import groups_from_config
from minillm.families.groups import Groups

RANKS = 8
ROWS, GRADIENT_ROWS, LENGTH = 128, 16, 2048
HALF, SINGLE, KEPT = 2, 4, 2

BFLOAT16, FLOAT32, REACHED = 989e12, 67e12, 0.4
"""Operations a second of matrix products (data sheet: H100 SXM, dense), and the share of them assumed to be reached."""
HBM, NVLINK, PCIE, DISK = 3.35e12, 450e9, 64e9, 24e9
"""Bytes a second: GPU memory, NVLink and PCIe gen 5 ×16 in one direction (data sheets), and four NVMe drives read side
by side (assumed, 6 GB/s each)."""
COPIED = 0.4
"""Of PCIe, the share assumed to be reached: pages of a mapped file are not pinned."""

SCORED, PERTURBED = 30, 120
"""Bytes of GPU memory that scoring a weight moves, and making z and both W ± εz and ĝ of it: float32 and bfloat16 reads
and writes, counted in `criteria/fms.py` and `scoring/zeroth_order.py`."""

MODELS = {
    "70B": {
        "hidden_size": 8192,
        "intermediate_size": 28_672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
    },
    "405B": {
        "hidden_size": 16_384,
        "intermediate_size": 53_248,
        "num_hidden_layers": 126,
        "num_attention_heads": 128,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
    },
}
CRITERIA = ("wanda", "sparsegpt", "fms-zo", "fms-bp")


@dataclass(frozen=True)
class Turn:
    """One block's turn, all walks of the criterion together. Seconds: brought, computed, exchanged, repeated (on every
    rank alike); traffic: bytes that the ranks add up; held: bytes of a GPU's memory."""

    brought: float
    computed: float
    exchanged: float
    repeated: float
    traffic: float
    held: float

    @property
    def seconds(self) -> float:
        """What the turn takes."""
        return max(self.brought, self.computed) + self.exchanged + self.repeated

    @property
    def most(self) -> str:
        """What dominates it."""
        parts = {
            "bringing the weights": self.brought * (self.brought >= self.computed),
            "computing": self.computed * (self.computed > self.brought),
            "sums over ranks": self.exchanged,
            "noise and inverses, on every rank": self.repeated,
        }
        return max(parts, key=lambda name: parts[name])


def turn(groups: Groups, criterion: str) -> Turn:
    """A block's turn under a criterion."""
    block, width, length = groups.blocks[0], groups.width, LENGTH
    inputs = (width, block.heads * block.queries * block.head_dim, width, block.channels)
    weights, rows, few = block.parameters, -(-ROWS // RANKS) * length, -(-GRADIENT_ROWS // RANKS) * length
    attention = 2 * block.heads * block.queries * block.head_dim * length
    forward = 2 * (weights + attention) / (BFLOAT16 * REACHED)
    brought, computed, repeated = HALF * weights / (PCIE * COPIED), rows * forward, SCORED * weights / HBM
    traffic, held = SINGLE * sum(inputs), 2 * HALF * weights + HALF * rows * width + SINGLE * block.channels * width
    if criterion == "sparsegpt":
        computed += rows * 2 * sum(n * n for n in inputs) / (FLOAT32 * REACHED)
        repeated += sum(n**3 for n in inputs) / (FLOAT32 * REACHED)
        traffic = SINGLE * sum(n * n for n in inputs)
        held += traffic + 3 * SINGLE * max(inputs) ** 2
    if criterion == "fms-zo":
        computed += 2 * few * forward
        repeated += PERTURBED * weights / HBM
        held += (SINGLE + HALF) * weights
    if criterion == "fms-bp":
        computed, brought = computed + 4 * few * forward, 2 * brought
        traffic += SINGLE * weights
        held += HALF * weights
    moved = 2 * (RANKS - 1) / RANKS * traffic
    return Turn(brought, computed, moved / NVLINK, repeated, traffic, held)


def table() -> list[list[str]]:
    """The rows of the page's table."""
    found = []
    for name, sizes in MODELS.items():
        groups = groups_from_config(LlamaConfig(**sizes))
        outside = HALF * KEPT * groups.vocabulary * groups.width
        for criterion in CRITERIA:
            one, blocks = turn(groups, criterion), len(groups)
            parts = (one.brought, one.computed, one.exchanged, one.repeated)
            found.append(
                [
                    name,
                    f"`{criterion}`",
                    *(f"{1000 * seconds:,.0f}" for seconds in parts),
                    _bytes(one.traffic),
                    f"{blocks * one.seconds:,.0f} s",
                    f"{(one.held + outside) / 1e9:.0f} GB",
                    one.most,
                ]
            )
    return found


def sizes() -> list[list[str]]:
    """The rows of the table of what there is to read."""
    found = []
    for name, config in MODELS.items():
        groups = groups_from_config(LlamaConfig(**config))
        block = HALF * groups.blocks[0].parameters
        whole = HALF * groups.parameters
        found.append(
            [name, str(len(groups)), f"{block / 1e9:.2f} GB", f"{whole / 1e9:,.0f} GB", f"{whole / DISK:,.0f} s"]
        )
    return found


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


def main() -> None:
    """Print both tables as Markdown."""
    print("| model | blocks | a block | all weights | read from disk, once |\n|---|---|---|---|---|")
    print("\n".join(f"| {' | '.join(row)} |" for row in sizes()), end="\n\n")
    print(
        "| model | criterion | brought | computed | summed | on every rank | summed | whole | a GPU holds | dominates |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(f"| {' | '.join(row)} |" for row in table()))


if __name__ == "__main__":
    main()
