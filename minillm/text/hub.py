"""Data sets of the hub, through `datasets`: rows of one part, up to a number of characters.

A split of its own is a part's; a split that several parts share is dealt out in runs of neighbouring rows, so that no
row is in two parts and context stays whole. Loading scripts are never executed: `datasets` refuses them.
"""

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from typing import Any
from urllib.parse import urlsplit

from ..alone import alone
from ..errors import BadInput, OutOfReach, reason
from ..recipes.texts import HubSet, Source
from .documents import JOINT, left_out, row_texts
from .rows import Row

STREAM_RUN = 1000
"""Rows a part gets in a turn where the length of a split is not known."""


def read_hub(
    source: Source, part: str, whole: bool = False, tokenizer: Any = None, notes: list[str] | None = None
) -> str:
    """One part of a hub data set as one string, rows joined with a blank line.

    whole: all rows of the part's split instead of its share; notes: as for `read_file`. Raises OutOfReach (no network,
    nothing cached) and BadInput (no such set, config, split or column; a set that is a script).
    """
    hub = source.hub
    assert hub is not None
    rows = _rows(hub, part)
    mine = rows if whole else _dealt(rows, hub.turns(part), part)
    numbered, skipped = (Row(f"row {i:,}", row) for i, row in enumerate(mine, 1)), list[str]()
    with _translated(_named(hub)):
        texts = list(_up_to(row_texts(numbered, hub.column, hub.repository, tokenizer, skipped), hub.characters))
    if notes is not None:
        notes += left_out(skipped, hub.repository)
    if not any(text.strip() for text in texts):
        raise BadInput(f"The {part} part of {source.name} holds no text; name another split or column.")
    return JOINT.join(texts)


def _rows(hub: HubSet, part: str) -> Iterable[dict[str, Any]]:
    import datasets

    keywords = {"revision": hub.revision} if hub.revision else {}
    with asking(_named(hub)):
        return datasets.load_dataset(
            hub.repository, hub.config, split=hub.split(part), streaming=hub.stream, **keywords
        )


def _dealt(rows: Any, turns: tuple[str, ...], part: str) -> Iterator[dict[str, Any]]:
    """The rows whose turn is this part's."""
    run = -(-len(rows) // len(turns)) if hasattr(rows, "__len__") else STREAM_RUN
    for number, row in zip(count(), rows, strict=False):
        if turns[number // run % len(turns)] == part:
            yield row


def _up_to(texts: Iterable[str], characters: int) -> Iterator[str]:
    for text in texts:
        yield text[:characters]
        characters -= len(text)
        if characters <= 0:
            return


def _resolvable() -> bool:
    """Whether the hub's name resolves: asked first, because the client retries for 23 s where it does not."""
    from huggingface_hub import constants

    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    try:
        return bool(socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443))
    except OSError:
        return False


@contextmanager
def _offline() -> Iterator[None]:
    """Only what is cached, while open."""
    import datasets
    from huggingface_hub import constants

    with alone():
        before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


@contextmanager
def asking(named: str) -> Iterator[None]:
    """While open, `datasets` may be asked for a set: only the cache where the hub is out of reach, and what goes wrong
    is one sentence about the set `named`."""
    with _translated(named), nullcontext() if _resolvable() else _offline():
        yield


def _named(hub: HubSet) -> str:
    return hub.repository + (f" ({hub.config})" if hub.config else "")


@contextmanager
def _translated(named: str) -> Iterator[None]:
    """Turn what `datasets` raises into one sentence."""
    from datasets.exceptions import DatasetNotFoundError, DatasetsError

    try:
        yield
    except DatasetNotFoundError as fault:
        raise BadInput(f"The hub has no public data set {named}; check the name, or use python-docs.") from fault
    except (FileNotFoundError, ValueError, DatasetsError) as fault:
        raise BadInput(f"The data set {named} cannot be read: {reason(fault)}.") from fault
    except RuntimeError as fault:
        if "script" not in str(fault):
            raise
        raise BadInput(
            f"The data set {named} is a loading script, and remote code is never executed; download its files and "
            "give them as file:PATH."
        ) from fault
    except OSError as fault:
        raise OutOfReach(
            f"The data set {named} cannot be fetched ({reason(fault)}); without a network use python-docs, self "
            "or file:PATH."
        ) from fault
