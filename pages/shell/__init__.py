"""What stands around every page: its frame, its address, its drawer, the panel of its job."""
