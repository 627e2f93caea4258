"""A model's weights: found by name, read from any format, placed, kept, and written again."""
