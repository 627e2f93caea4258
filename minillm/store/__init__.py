"""What stays: runs with all they found, on disk; and a run as tables, as code, as a folder."""
