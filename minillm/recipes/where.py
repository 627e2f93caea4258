"""Where the cells of a sweep are made, by name: in the process that was asked, or on a Ray cluster. Nothing connects.

The one idea: where is no part of what is asked for. A sweep is the same sweep wherever its cells are made, so that one
that was begun here goes on there.
"""

import re
from importlib.util import find_spec
from typing import Any

from ..checks import Check
from ..errors import BadInput, shown

HERE, RAY = "here", "ray"
PORT = 10_001
"""Where the head of a Ray cluster answers to clients, unless it was started otherwise."""
ADDRESS = re.compile(r"ray://((?:\[[0-9a-fA-F:]{2,45}\]|[A-Za-z0-9.-]{1,253}))(?::(\d{1,5}))?", re.ASCII)


def _where(name: str, value: Any) -> str:
    if value in (HERE, RAY) or isinstance(value, str) and ADDRESS.fullmatch(value):
        return str(value)
    raise BadInput(f"Cells cannot be made on {shown(value)}; give here, ray, or ray://HOST:PORT.")


where = Check(_where)
"""here, ray (the cluster this machine is part of, else one of its own), or ray://HOST:PORT of a cluster's head."""


def host_and_port(place: str) -> tuple[str, int] | None:
    """What an address names; None where the place has none."""
    found = ADDRESS.fullmatch(place)
    return (found[1].strip("[]"), int(found[2] or PORT)) if found else None


def ray_is_there() -> bool:
    """Whether Ray is installed. Costs no import of it."""
    found = find_spec("ray")
    return found is not None and found.origin is not None  # any folder of that name would do for a package without
