"""How much memory a recovery takes, before it begins: arithmetic on a model's sizes and the settings.

Beside the pruned model and its teacher it holds

    a copy          of the pruned model: as it is stored for adapters, in float32 where weights are trained
    learning        of each trained number its gradient, Adam's two moments and the best so far: 16 bytes
    one piece       what all blocks keep of a piece of a batch for the way back, and its gradients
    logits          128 tokens × vocabulary, of model and teacher, and what the loss makes of them

Held against `memory.MemoryMeter` by a test. Adam's moments are what makes training weights dear (Kingma, Ba, 2015).
"""

from dataclasses import replace

from ..criteria.forecast import FLOAT32, Parts, amount
from ..errors import DoesNotFit
from ..families import FAMILIES
from ..families.groups import BlockGroups, Groups
from .presets import BLOCKS, LORA, OUTPUTS, TRAINS, RecoverySettings

LEARNING = 4 * FLOAT32
CHUNK = 128
"""Tokens whose logits are there at once."""


def trained_numbers(groups: Groups, settings: RecoverySettings) -> int:
    """How many numbers a recovery trains in a model of these sizes (biases of o and down are not counted)."""
    return sum(_TRAINED[settings.trains](groups, block, settings) for block in groups.blocks)


def _adapters(groups: Groups, block: BlockGroups, settings: RecoverySettings) -> int:
    """A rank-r pair for every linear: r times its inputs and its outputs. Fused linears are one."""
    structures = FAMILIES[groups.family].structures
    across = len({s.linear for s in structures}) * groups.width
    return settings.rank * (across + sum(s.indices(block).size for s in structures))


def _outputs(groups: Groups, block: BlockGroups, settings: RecoverySettings) -> int:
    columns = (s for s in FAMILIES[groups.family].structures if s.axis == "columns")
    return groups.width * sum(s.indices(block).size for s in columns)


_TRAINED = {LORA: _adapters, OUTPUTS: _outputs, BLOCKS: lambda groups, block, settings: block.parameters}


def recovery_memory(groups: Groups, settings: RecoverySettings, length: int, bytes_each: int = FLOAT32) -> Parts:
    """Bytes by what holds them, beside the pruned model (of sizes `groups`) and its teacher, all at the same time.

    length: tokens in a row; bytes_each: of a stored weight.
    """
    rows = -(-settings.batch // settings.accumulate)
    stored = bytes_each if settings.trains == LORA else FLOAT32
    return {
        "a copy of the model": stored * groups.parameters,
        "gradients, Adam's moments, the best so far": LEARNING * trained_numbers(groups, settings),
        "one piece of a batch": rows * length * sum(_kept(groups, block, length) for block in groups.blocks) * stored,
        "logits": 5 * FLOAT32 * CHUNK * groups.vocabulary,
    }


def _kept(groups: Groups, block: BlockGroups, length: int) -> int:
    """Numbers that a block keeps of a token for the way back."""
    holds = FAMILIES[groups.family].holds
    queries = block.heads * block.queries
    attention = (4 * queries + 3 * block.heads) * block.head_dim + holds.scores * queries * length
    return holds.kept * block.channels + attention + (1 + holds.norms) * groups.width


def check_recovery_fits(groups: Groups, settings: RecoverySettings, length: int, free: int, bytes_each: int) -> None:
    """Raise DoesNotFit, with the numbers and a way out, where a recovery needs more bytes than are free."""
    needed = sum(recovery_memory(groups, settings, length, bytes_each).values())
    if needed <= free:
        return
    fewer = (replace(settings, trains=one) for one in [*TRAINS][: [*TRAINS].index(settings.trains)][::-1])
    smaller = [*fewer, replace(settings, trains=LORA, accumulate=settings.batch)]
    fits = (one for one in smaller if sum(recovery_memory(groups, one, length, bytes_each).values()) <= free)
    way = next((f"train {one.trains} with pieces {one.accumulate}" for one in fits), "take a machine with more memory")
    raise DoesNotFit(
        f"This recovery (trains {settings.trains}) would need {amount(needed)} beside the models, but {amount(free)} "
        f"are free; {way}."
    )
