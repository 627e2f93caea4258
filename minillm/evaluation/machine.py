"""Where and with what a number was measured: without it no time means anything elsewhere."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..models.loaded import LoadedModel


def machine(lm: LoadedModel) -> dict[str, Any]:
    """Where and with what it was measured."""
    device = torch.cuda.get_device_name(lm.device) if lm.device.type == "cuda" else _processor()
    return {
        "model": lm.source,
        "parameters": lm.parameters,
        "dtype": str(lm.dtype).removeprefix("torch."),
        "device": device,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }


def _processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or "CPU"
