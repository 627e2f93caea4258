"""What changes weights: cutting, what makes up for a cut, zeros in patterns, recovery."""
