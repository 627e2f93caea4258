"""What a recovery can train, which blocks of it an update trains, and where a sparse change puts its numbers.

The one idea: everything that is said of these by name stands here as small records and needs no tensor library, so that
a form, a forecast of memory and a page of reference are made of it. What is put on a model for each name, and how it is
merged, is told in `surgery.trained`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput
from ..families import FAMILIES
from ..families.groups import BlockGroups, Groups

Numbers = Callable[[Groups, BlockGroups, Any], int]
"""(sizes of a model, of one of its blocks, settings of a recovery) -> how many numbers it trains there."""

LEARNING = 16
"""Bytes for each trained number: its gradient, Adam's two moments, the best so far."""


@dataclass(frozen=True)
class Trainable:
    """One thing that a recovery can train.

    label, about, source: for people; numbers: how many it trains of a block; bytes_each: of memory for each of them,
    learning included; remade: how many copies of the largest linear are there at once while its weights are made for an
    update; adapter: whether it stands beside weights that stand still, so that an update may train some blocks alone;
    keeps_zeros: whether a weight that is zero stays zero.
    """

    name: str
    label: str
    about: str
    source: str
    numbers: Numbers
    bytes_each: int = LEARNING
    remade: int = 0
    adapter: bool = True
    keeps_zeros: bool = False


def linears_in(groups: Groups, block: BlockGroups) -> dict[str, tuple[int, int]]:
    """{linear: (outputs, inputs)} of a block of these sizes. Fused linears are one; those of which nothing is left are
    not in it."""
    sizes: dict[str, tuple[int, int]] = {}
    for s in FAMILIES[groups.family].structures:
        rows, columns = sizes.get(s.linear, (0, 0))
        size = s.indices(block).size
        sizes[s.linear] = (rows + size, groups.width) if s.axis == "rows" else (groups.width, columns + size)
    return {name: size for name, size in sizes.items() if all(size)}


def _pairs(groups: Groups, block: BlockGroups, settings: Any) -> int:
    """A rank-r pair for every linear: r times its inputs and its outputs."""
    return settings.rank * sum(map(sum, linears_in(groups, block).values()))


def _scales(groups: Groups, block: BlockGroups, settings: Any) -> int:
    """r rows as long as the inputs of a linear, and one number for each of its outputs."""
    return sum(rows + settings.rank * columns for rows, columns in linears_in(groups, block).values())


def _outputs(groups: Groups, block: BlockGroups, settings: Any) -> int:
    """The weights of o and down; their biases are not counted."""
    columns = (s for s in FAMILIES[groups.family].structures if s.axis == "columns")
    return groups.width * sum(s.indices(block).size for s in columns)


def _everything(groups: Groups, block: BlockGroups, settings: Any) -> int:
    return block.parameters


LORA, SPP, SPARSE, OUTPUTS, BLOCKS = "lora", "spp", "sparse", "outputs", "blocks"

_ALL = (
    Trainable(
        LORA,
        "LoRA adapters",
        "W + α/r·BA for every linear: A has r rows, B r columns",
        "Hu et al. 2022; the paper, Eq. 10",
        _pairs,
    ),
    Trainable(
        SPP,
        "SPP: scales of weights",
        "W ⊙ (1 + α/r·β_row·A_part) for every linear: β has a number a row; the rows lie in r parts, each with its row "
        "of A",
        "Lu et al. 2024 (SPP)",
        _scales,
        bytes_each=LEARNING + 4,
        remade=5,
        keeps_zeros=True,
    ),
    Trainable(
        SPARSE,
        "sparse changes",
        "W + a change at the weights that score highest: as many as LoRA of this rank would train",
        "Liu et al. 2024 (SPEFT)",
        _pairs,
        bytes_each=LEARNING + 4 + 8,
        remade=3,
        keeps_zeros=True,
    ),
    Trainable(OUTPUTS, "weights of o and down", "all weights of o and down", "here", _outputs, adapter=False),
    Trainable(BLOCKS, "all weights of the blocks", "all weights of the blocks", "here", _everything, adapter=False),
)
TRAINS: dict[str, Trainable] = {one.name: one for one in _ALL}
"""What a recovery can train, by name."""

ALL, IST, RST = "all", "ist", "rst"
DRAWN = {
    ALL: "all blocks",
    IST: "a quarter of the blocks, drawn by how much their adapters were found to matter (Yao et al. 2024, IST)",
    RST: "a quarter of the blocks, drawn by chance: the control of ist",
}
"""Which blocks an update trains."""

GRADIENT, SNIP, FORCE, FISHER, MAGNITUDE, RANDOM = "gradient", "snip", "force", "fisher", "magnitude", "random"
PLACES = {
    GRADIENT: "|g|",
    SNIP: "|w·g|",
    FORCE: "−w·g",
    FISHER: "the mean of g² over rows",
    MAGNITUDE: "|w|",
    RANDOM: "by chance",
}
"""How the places of a sparse change are chosen; g is the gradient of the recovery's own loss."""

GLOBAL, LOCAL = "global", "local"
SHARED = {GLOBAL: "the highest of all linears", LOCAL: "the same share of every linear"}
"""How the places of a sparse change are shared out."""


def check_keeps_zeros(trains: str) -> None:
    """Raise BadInput where training this would fill the N:M zeros of a model."""
    if not TRAINS[trains].keeps_zeros:
        able = " or ".join(one.name for one in _ALL if one.keeps_zeros)
        raise BadInput(f"Training {trains} would fill the N:M zeros of this model; train {able}, which keep them.")


def check_drawn(trains: str, drawn: str) -> None:
    """Raise BadInput where an update cannot train the blocks that are asked for alone."""
    if drawn != ALL and not TRAINS[trains].adapter:
        able = ", ".join(one.name for one in _ALL if one.adapter)
        raise BadInput(
            f"Blocks are drawn ({drawn}) for adapters, and {trains} trains the weights themselves; train one of "
            f"{able}, or all blocks at every update."
        )
