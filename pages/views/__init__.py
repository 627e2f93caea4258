"""What the store holds, as it is shown: for pages and reports alike."""
