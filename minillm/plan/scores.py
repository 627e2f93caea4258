"""Scores as data: one vector a block for heads and one for channels, with everything needed to repeat or re-cut them.

Nothing here knows a model or a tensor library: a plan at any ratio, an overlap or a plot is a pure function of this.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from ..errors import BadInput, foreign
from ..families.groups import CHANNELS, HEADS, KINDS, Groups
from ..paths import written_whole

Vectors = Mapping[int, np.ndarray]

CHECKSUM = "blake2b"
"""In a file's metadata, of all else in it; files of earlier versions have none."""


@dataclass(frozen=True)
class Scores:
    """Scores of every group of every block under one criterion.

    heads: {layer: float32 [head groups]}; channels: {layer: float32 [channels, or experts of a block that has some]};
    higher means more important.
    groups: what the model is made of (see `groups.Groups`); config: the model's config as a dictionary.
    recipe: criterion, model, samples, seed, settings: enough to repeat it.
    seconds: wall time; peak_bytes: the allocator's peak above the weights.
    coefficients: c of Eq. 7 for each direction and minibatch of a zeroth-order criterion, else empty.
    spreads: {layer: standard deviation of the scores of o's input features, before heads add them up}, of a criterion
    that scores by features, else empty.
    unjudged: what the criterion does not judge ("heads", "channels" or "experts"): such vectors are NaN, and every plan
    by these scores keeps such groups.
    timeline: the phases of the memory profile, [{"phase", "start", "seconds", "peak_bytes"}]; samples: the profile
    itself, [[seconds, bytes]].
    """

    heads: Vectors
    channels: Vectors
    groups: Groups
    recipe: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    peak_bytes: int = 0
    coefficients: tuple[float, ...] = ()
    spreads: Mapping[int, float] = field(default_factory=dict)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    samples: list[list[float]] = field(default_factory=list)
    unjudged: tuple[str, ...] = ()

    @property
    def criterion(self) -> str:
        """The name of the criterion."""
        return str(self.recipe["criterion"])

    def of(self, kind: str) -> Vectors:
        """`heads` or `channels`."""
        return self.heads if kind == HEADS else self.channels

    def at_least(self, min_heads: int | None = None, min_channels: int | None = None) -> "Scores":
        """The same scores, of groups of which a cut must leave so many in each block (`Groups.at_least`)."""
        return replace(self, groups=self.least(min_heads, min_channels))

    def least(
        self, min_heads: int | None = None, min_channels: int | None = None, channels_from: "Scores | None" = None
    ) -> Groups:
        """The groups, of which a cut must leave so many in each block, and all of those that nobody judged.

        channels_from: whose scores the channels are cut by, if by others.
        """
        groups, other = self.groups.at_least(min_heads, min_channels), channels_from or self
        if not self.unjudged and not other.unjudged:
            return groups
        blocks = tuple(
            b.at_least(
                None if self.judged(HEADS, i) else b.heads,
                None if other.judged(CHANNELS, i) else b.channels,
            )
            for i, b in enumerate(groups.blocks)
        )
        return replace(groups, blocks=blocks)

    def judged(self, kind: str, layer: int) -> bool:
        """Whether a block's groups of a kind have scores."""
        return self.groups.blocks[layer].counts(kind) not in self.unjudged

    def ranks(self, kind: str) -> dict[int, np.ndarray | None]:
        """{layer: rank of each group in its block, 0 the lowest}; None where a score is not finite. Ties: lower index
        first. Computed once, so that a plan at any ratio costs no sorting."""
        return self._ranks[kind]

    @cached_property
    def _ranks(self) -> dict[str, dict[int, np.ndarray | None]]:
        return {kind: {i: _ranked(v) for i, v in self.of(kind).items()} for kind in KINDS}

    def save(self, path: str | Path) -> Path:
        """Write one safetensors file: the vectors as arrays, the rest as JSON in its metadata. Returns the path."""
        path = _named(Path(path))
        arrays = {f"{kind}.{layer}": np.asarray(v, np.float32) for kind in KINDS for layer, v in self.of(kind).items()}
        rest = {
            "groups": self.groups.to_json(),
            "recipe": self.recipe,
            "config": self.config,
            "seconds": self.seconds,
            "peak_bytes": self.peak_bytes,
            "coefficients": list(self.coefficients),
            "spreads": dict(self.spreads),
            "timeline": self.timeline,
            "samples": self.samples,
            "unjudged": list(self.unjudged),
        }
        told = json.dumps(rest)
        with written_whole(path) as scratch:
            save_file(arrays, scratch, metadata={"minillm": told, CHECKSUM: _checksum(arrays, told)})
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Scores":
        """Read what `save` wrote. Raises BadInput where the file is missing or no scores."""
        path = Path(path)
        path = _named(path) if _named(path).is_file() else path.with_suffix(".safetensors")
        if not path.is_file():
            raise BadInput(f"No scores at {path}. Make some with `python -m minillm score`.")
        with foreign(f"{path} holds no scores of ours ({{reason}})."):
            return cls._read(path)

    @classmethod
    def _read(cls, path: Path) -> "Scores":
        with safe_open(path, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            rest = json.loads(metadata["minillm"])
            arrays = {name: stored.get_tensor(name) for name in stored.offset_keys()}
        if metadata.get(CHECKSUM) not in (None, _checksum(arrays, metadata["minillm"])):
            raise ValueError("its checksum is another, so the file is damaged")
        vectors: dict[str, dict[int, np.ndarray]] = {kind: {} for kind in KINDS}
        for name, array in arrays.items():
            kind, layer = name.split(".")
            vectors[kind][int(layer)] = array
        rest["groups"] = Groups.from_json(rest["groups"])
        rest["coefficients"], rest["unjudged"] = tuple(rest["coefficients"]), tuple(rest.get("unjudged", ()))
        rest["spreads"] = {int(layer): spread for layer, spread in rest.get("spreads", {}).items()}
        ordered = {kind: dict(sorted(vectors[kind].items())) for kind in KINDS}
        return cls(heads=ordered[HEADS], channels=ordered[CHANNELS], **rest)


def _checksum(arrays: dict[str, np.ndarray], told: str) -> str:
    mark = blake2b(told.encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        mark.update(f"{name} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return mark.hexdigest()


def _named(path: Path) -> Path:
    return path if path.suffix == ".safetensors" else path.with_name(f"{path.name}.safetensors")


def _ranked(scores: np.ndarray) -> np.ndarray | None:
    if not np.isfinite(scores).all():
        return None
    ranks = np.empty(len(scores), np.int32)
    ranks[np.argsort(scores, kind="stable")] = np.arange(len(scores), dtype=np.int32)
    return ranks
