"""What a run found as one file to take away."""
