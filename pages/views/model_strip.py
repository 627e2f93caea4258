"""A model drawn to scale: embedding, blocks, head from left to right, each as wide as its share of the parameters; in
a block attention stands above the FFN, each as high as its share of the block."""

from dataclasses import dataclass

from markupsafe import Markup

from minillm.families.groups import CHANNELS, HEADS, BlockGroups, Groups

from ..shell.phrases import count
from ..shell.templates import html


@dataclass(frozen=True)
class Piece:
    """A surface of one kind. share: of the part it stands in."""

    kind: str
    share: float
    said: str


@dataclass(frozen=True)
class Part:
    """What stands beside others. share: of the model's parameters."""

    share: float
    said: str
    pieces: tuple[Piece, ...]


def parts(groups: Groups) -> list[Part]:
    """Embedding, blocks, and what comes after them, as far as it has parameters of its own."""
    whole, blocks = groups.parameters, sum(block.parameters for block in groups.blocks)
    # A head that is tied to the embedding has no parameters of its own; of one that is not, half lies on each side.
    outside = whole - blocks
    tied = outside < 2 * groups.vocabulary * groups.width
    embedding = outside if tied else outside // 2
    said = f"embedding{' and head, which are one' if tied else ''}: {count(embedding)} parameters"
    found = [Part(embedding / whole, said, (Piece("outside", 1.0, said),))]
    found += [_block(i, block, whole) for i, block in enumerate(groups.blocks)]
    if not tied:
        said = f"head: {count(outside - embedding)} parameters"
        found.append(Part((outside - embedding) / whole, said, (Piece("outside", 1.0, said),)))
    return found


def _block(number: int, block: BlockGroups, whole: int) -> Part:
    heads, channels = block.heads * block.head_parameters, block.channels * block.channel_parameters
    held = {HEADS: (heads, f"{block.heads} head groups"), CHANNELS: (channels, f"{block.channels:,} {block.ffn}")}
    pieces = tuple(
        Piece(kind, each / block.parameters, f"block {number}: {said}, {count(each)}")
        for kind, (each, said) in held.items()
    )
    return Part(block.parameters / whole, f"block {number}: {count(block.parameters)} parameters", pieces)


def strip(groups: Groups) -> Markup:
    """The drawing, with its legend and a text alternative."""
    found = parts(groups)
    inside = [part for part in found if len(part.pieces) > 1]
    share = sum(part.share for part in inside)
    heads = sum(part.share * part.pieces[0].share for part in inside)
    alt = f"{len(inside)} blocks hold {share:.0%} of {count(groups.parameters)} parameters, attention {heads:.0%}"
    legend = (
        ("heads", "attention (head groups)"),
        ("channels", f"FFN ({groups.named(CHANNELS)})"),
        ("outside", "embedding and head"),
    )
    return html("model_strip", parts=found, alt=alt, legend=legend)
