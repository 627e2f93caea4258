"""How much is worked on at once: what a walk pushes through a block, and what memory is forecast by."""

BATCH_TOKENS = 2048
"""Tokens of a batch that goes through a block."""

TAIL_TOKENS, LOSS_TOKENS = 128, 32
"""Positions whose logits exist at once, and whose loss is computed at once in float32: the vocabulary would decide the
memory otherwise."""

COPIES_AT_ONCE = 16
"""Masked copies of the rows that walk together."""
