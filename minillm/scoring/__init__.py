"""Scores of every group under a criterion: what it reads is gathered on a walk over the blocks."""
