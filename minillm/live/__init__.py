"""The live process: one model under masks, asked again and again by pages. Started by `jobs.live`."""
