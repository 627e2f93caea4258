"""What all are given: a model in memory with what the engine asks about it, and `wrap` for one that is there already.

A `LoadedModel` is a transformers model with its family, its groups, and where it came from. It says what it is and
leaves the weights alone; how a name becomes one is told in `load`.
"""

import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel

from ..errors import BadInput
from ..families import Family, family_of, family_of_type, groups_of
from ..families.groups import Groups
from ..plan.patterns import Patterns
from ..plan.plan import Plan


@dataclass
class LoadedModel:
    """A model in memory (or offloaded by accelerate) and what is known about it.

    model: transformers' PreTrainedModel; source: the name it was asked for by;
    provenance: package, version, licence and notes, where they are known;
    plan, history: of a model cut here, what was cut and every step since;
    patterns: of a model with N:M zeros, the pattern of each block.
    """

    model: Any
    tokenizer: Any
    family: Family
    source: str
    provenance: dict[str, Any] = field(default_factory=dict)
    plan: Plan | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    patterns: Patterns | None = None

    @cached_property
    def groups(self) -> Groups:
        """The coupled groups of the model as it is now."""
        return groups_of(self.model, self.family)

    def counted_in(self, unit: str) -> "LoadedModel":
        """The same model, its heads counted in "groups" or query "slots". Raises BadInput (`Groups.counted_in`)."""
        if unit == self.groups.unit:
            return self
        other = copy.copy(self)
        other.groups = self.groups.counted_in(unit)
        return other

    @property
    def parameters(self) -> int:
        """How many parameters the model has, tied ones counted once."""
        return self.groups.parameters

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return next(self.model.parameters()).dtype

    @property
    def offloaded(self) -> bool:
        """Whether weights wait somewhere until they are used."""
        return any(p.is_meta for p in self.model.parameters())

    @property
    def device(self) -> torch.device:
        """Where it computes: of a model with offloaded parts, the device of the parts that are at hand."""
        devices = (p.device for p in self.model.parameters() if not p.is_meta)
        return next(devices, torch.device("cpu"))


def wrap(model: PreTrainedModel, tokenizer: Any = None, source: str = "in memory") -> LoadedModel:
    """A `LoadedModel` around a transformers model already in memory, which is left as it is (mode, gradients, device).

    Where a type stores its linears turned (GPT-2) they are seen through plain ones, and the weights shared.
    Raises UnsupportedModel for an architecture of no family, quantised linears or adapters.
    """
    if not hasattr(getattr(model, "config", None), "model_type"):
        raise BadInput(f"wrap needs a transformers model with a config; given was a {type(model).__name__}.")
    model = family_of_type(model.config.model_type).ready(model)
    return LoadedModel(model, tokenizer, family_of(model), source)
