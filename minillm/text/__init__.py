"""Text as token ids: for calibration, recovery and evaluation, never the same tokens for two of them."""
