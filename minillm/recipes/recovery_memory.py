"""How much memory a recovery takes, before it begins: arithmetic on a model's sizes and the settings.

Beside the pruned model and its teacher it holds

    a copy          of the pruned model: as it is stored for adapters, in float32 where weights are trained
    learning        of each trained number its gradient, Adam's two moments and the best so far: 16 bytes; with it the
                    number itself and its place, where those lie outside the model
    one piece       what all blocks keep of a piece of a batch for the way back, and its gradients
    one linear      made again for an update, with the gradient of all its weights
    logits          128 tokens × vocabulary, of model and teacher, and what the loss makes of them

and before it, where a gradient chooses what is trained, what a reverse walk holds.
Held against `memory.MemoryMeter` by a test. Adam's moments are what makes training weights dear (Kingma, Ba, 2015).
"""

from dataclasses import replace

from ..batches import BATCH_TOKENS
from ..criteria.forecast import FLOAT32, Parts, amount
from ..errors import DoesNotFit
from ..families import FAMILIES
from ..families.groups import BlockGroups, Groups
from .presets import RecoverySettings
from .trains import ALL, FISHER, FORCE, GRADIENT, SNIP, SPARSE, TRAINS, linears_in

CHUNK = 128
"""Tokens whose logits are there at once."""
PLACE = FLOAT32 + 8
"""Bytes of a candidate: its score, and where it is."""


def trained_numbers(groups: Groups, settings: RecoverySettings) -> int:
    """How many numbers a recovery trains in a model of these sizes (biases of o and down are not counted)."""
    return sum(TRAINS[settings.trains].numbers(groups, block, settings) for block in groups.blocks)


def recovery_memory(groups: Groups, settings: RecoverySettings, length: int, bytes_each: int = FLOAT32) -> Parts:
    """Bytes by what holds them, beside the pruned model (of sizes `groups`) and its teacher, all at the same time.

    length: tokens in a row; bytes_each: of a stored weight.
    """
    phases = [_training(groups, settings, length, bytes_each)]
    if settings.trains == SPARSE:
        phases.append(_choosing(groups, settings, length, bytes_each))
    return max(phases, key=lambda parts: sum(parts.values()))


def _training(groups: Groups, settings: RecoverySettings, length: int, bytes_each: int) -> Parts:
    rows, way = -(-settings.batch // settings.accumulate), TRAINS[settings.trains]
    stored = bytes_each if way.adapter else FLOAT32
    return {
        "a copy of the model": stored * groups.parameters,
        "gradients, Adam's moments, the best so far": way.bytes_each * trained_numbers(groups, settings),
        "one piece of a batch": rows * length * sum(_kept(groups, block, length) for block in groups.blocks) * stored,
        "one linear, made again": way.remade * FLOAT32 * _largest(groups),
        "logits": 5 * FLOAT32 * CHUNK * groups.vocabulary,
    }


def _choosing(groups: Groups, settings: RecoverySettings, length: int, bytes_each: int) -> Parts:
    """While places are chosen, before there is a copy: candidates, and the way back through one block at a time."""
    parts = {"candidates for places": 2 * PLACE * (trained_numbers(groups, settings) + _largest(groups))}
    if settings.places in (GRADIENT, SNIP, FORCE, FISHER):
        tokens, widest = settings.score_rows * length, max(_kept(groups, b, length) for b in groups.blocks)
        parts["inputs of all blocks"] = tokens * (len(groups) + 3) * groups.width * bytes_each
        at_once = length if settings.places == FISHER else min(tokens, max(length, BATCH_TOKENS))
        parts["one batch in a block"] = at_once * widest * bytes_each
        parts["gradients of one linear"] = 3 * FLOAT32 * _largest(groups)
        parts["logits"] = 5 * FLOAT32 * CHUNK * groups.vocabulary
    return parts


def _largest(groups: Groups) -> int:
    """Weights of the largest linear."""
    sizes = (rows * columns for block in groups.blocks for rows, columns in linears_in(groups, block).values())
    return max(sizes, default=0)


def _kept(groups: Groups, block: BlockGroups, length: int) -> int:
    """Numbers that a block keeps of a token for the way back."""
    holds = FAMILIES[groups.family].holds
    queries = block.heads * block.queries
    attention = (4 * queries + 3 * block.heads) * block.head_dim + holds.scores * queries * length
    return holds.kept * block.ffn_width + attention + (1 + holds.norms) * groups.width


def check_recovery_fits(groups: Groups, settings: RecoverySettings, length: int, free: int, bytes_each: int) -> None:
    """Raise DoesNotFit, with the numbers and a way out, where a recovery needs more bytes than are free."""
    needed = _whole(groups, settings, length, bytes_each)
    if needed <= free:
        return
    smaller = _smaller(groups, settings, length, bytes_each)
    fits = (one for one in smaller if _whole(groups, one, length, bytes_each) <= free)
    way = next((f"train {one.trains} with pieces {one.accumulate}" for one in fits), "take a machine with more memory")
    raise DoesNotFit(
        f"This recovery (trains {settings.trains}) would need {amount(needed)} beside the models, but {amount(free)} "
        f"are free; {way}."
    )


def _smaller(groups: Groups, settings: RecoverySettings, length: int, bytes_each: int) -> list[RecoverySettings]:
    """Ways to recover that take less, the largest first, in as many pieces and then in the most; what keeps zeros stays
    with what keeps them."""
    found, zeros = [], TRAINS[settings.trains].keeps_zeros
    for pieces in (settings.accumulate, settings.batch):
        names = [name for name, way in TRAINS.items() if way.keeps_zeros or not zeros]
        names = [name for name in names if settings.drawn == ALL or TRAINS[name].adapter]
        asked = [replace(settings, trains=name, accumulate=pieces) for name in names]
        found += sorted(asked, key=lambda one: -_whole(groups, one, length, bytes_each))
    return found


def _whole(groups: Groups, settings: RecoverySettings, length: int, bytes_each: int) -> int:
    return sum(recovery_memory(groups, settings, length, bytes_each).values())
