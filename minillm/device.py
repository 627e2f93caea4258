"""Where to compute and in which number format, chosen so that the reason can be shown; free memory.

"auto" never guesses silently: it takes a GPU where there is one, and half precision only where the hardware multiplies
it faster than float32. The tensor library is imported on use, so that `free_memory` is had without it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import BadInput, UnknownName

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
CPU_BFLOAT16 = ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16")
CGROUP = Path("/sys/fs/cgroup")


class DtypeChoice(NamedTuple):
    """A number format, and in a few words why it was taken."""

    dtype: "torch.dtype"
    reason: str


def pick_device(device: "str | torch.device | None" = None) -> "torch.device":
    """The device named, or for None and "auto" a GPU where there is one, else the CPU. Raises BadInput."""
    import torch

    if device is None or device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as fault:
        raise BadInput(f"“{device}” names no device; give auto, cpu, cuda or cuda:0.") from fault
    gpus = torch.cuda.device_count()
    if chosen.type == "cuda" and (chosen.index or 0) >= gpus:
        there = f"{gpus} GPUs (cuda:0 to cuda:{gpus - 1})" if gpus else "no GPU that torch can use"
        raise BadInput(f"There is no {chosen} on this machine: it has {there}. Give auto or cpu.")
    if chosen.type not in ("cpu", "cuda"):
        raise BadInput(f"Devices of type {chosen.type} are not handled; give auto, cpu, cuda or cuda:0.")
    return chosen


def pick_dtype(name: "str | torch.dtype | None" = "auto", device: "str | torch.device | None" = None) -> DtypeChoice:
    """The number format named (a name or torch's own), or for None and "auto" the fastest sound one on the device.

    Raises UnknownName for anything but float32, bfloat16 and float16.
    """
    import torch

    if name is None or name == "auto":
        return _fastest(pick_device(device))
    short = str(name).removeprefix("torch.")
    if short not in DTYPES:
        raise UnknownName("dtype", short, (*DTYPES, "auto"))
    return DtypeChoice(getattr(torch, short), "as asked")


def _fastest(device: "torch.device") -> DtypeChoice:
    import torch

    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return DtypeChoice(torch.bfloat16, "this GPU multiplies bfloat16")
        return DtypeChoice(torch.float16, "this GPU multiplies float16 but not bfloat16")
    has = torch.cpu.get_capabilities()
    found = next((feature for feature in CPU_BFLOAT16 if has.get(feature)), None)
    if found:
        return DtypeChoice(torch.bfloat16, f"this CPU multiplies bfloat16 ({found})")
    return DtypeChoice(torch.float32, "this CPU has no bfloat16 arithmetic")


def free_memory(device: "str | torch.device" = "cpu") -> int:
    """Bytes still to be had: on a GPU what its driver reports, else main memory within the container's limit."""
    if str(device).startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0]
    import psutil

    return min(psutil.virtual_memory().available, _container_room(CGROUP))


def _container_room(cgroup: Path) -> float:
    """What a container's own limit leaves, page cache not counted as used; infinite where there is no limit."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        lines = (cgroup / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return float("inf")
    cache = next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
    return float("inf") if limit == "max" else max(int(limit) - used + cache, 0)
