"""Block by block through a model, forward and in reverse, with little in memory at once."""
