"""Loaded models of a worker, under a byte budget, and how each variant of a run is brought back.

A cache and no more: everything in it can be had again after a kill, bit for bit:

    original      loaded by its name
    pruned        cut again from the original by its plan: cutting copies weights and computes nothing
    compensated   read from its folder: compensation computes, and sums may differ in their last bit elsewhere; where
                  someone dropped the folder here, cut and computed again here
    recovered     read from its folder, for the same reason
"""

import gc
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

from .. import heap
from ..device import free_memory, pick_device
from ..events import RESULT, Event, Events, relay
from ..models.checkpoint import load_pruned
from ..models.load import load_model_events
from ..models.loaded import LoadedModel
from ..recipes.models import PATH, allowed_path, kind_of
from ..recipes.recipe import RunRecipe
from ..store.records import ORIGINAL
from ..store.store import Store
from ..surgery.cut import prune_events
from ..text.load import load_text_events

SHARE = 0.5
"""Of the memory that is free when the worker starts, what the pool may keep; the rest is for work."""


class Pool:
    """Models and token ids by key, the least recently used dropped first.

    budget: bytes (default: half of what is free on the device); confined: read model folders and text files only
    under MINILLM_HOME.
    """

    def __init__(self, budget: int | None = None, device: str = "auto", confined: bool = False) -> None:
        self.budget = int(SHARE * free_memory(pick_device(device))) if budget is None else budget
        self.device, self.confined = device, confined
        self._kept: OrderedDict[tuple, Any] = OrderedDict()

    def events(self, key: tuple, make: Callable[[], Events]) -> Events:
        """What is kept under a key, made first (with its events) where it is not there."""
        if key not in self._kept:
            self.keep(key, (yield from relay(make())))
        self._kept.move_to_end(key)
        yield Event(RESULT, 1, 1, self._kept[key])

    def keep(self, key: tuple, thing: Any) -> None:
        """Keep a model or token ids, and drop the oldest others until the budget holds."""
        self._kept[key] = thing
        full = False
        while len(self._kept) > 1 and sum(map(size, self._kept.values())) > self.budget:
            self._kept.popitem(last=False)
            full = True
        if full:
            _give_back()

    def clear(self) -> None:
        """Drop everything."""
        self._kept.clear()
        _give_back()

    def original_events(self, store: Store, run_id: str) -> Events:
        """The model a run starts from."""
        recipe = store.run(run_id).recipe
        device = self.device if recipe.device == "auto" else recipe.device
        if kind_of(recipe.model) == PATH:
            allowed_path(recipe.model, self.confined)
        key = (recipe.model, recipe.dtype, device)
        yield from self.events(key, lambda: load_model_events(recipe.model, recipe.dtype, device))

    def variant_events(self, store: Store, run_id: str, name: str) -> Events:
        """A variant of a run."""
        if store.variant(run_id, name).kind == ORIGINAL:
            yield from self.original_events(store, run_id)
        else:
            yield from self.events((run_id, name), lambda: self._brought_back_events(store, run_id, name))

    def text_events(self, recipe: RunRecipe, lm: LoadedModel) -> Events:
        """A run's calibration text: int64 [samples, length]."""
        key = ("calibration", recipe.model, recipe.text, recipe.samples, recipe.length, recipe.seed)
        size = (recipe.samples, recipe.length, recipe.seed)
        yield from self.events(key, lambda: load_text_events(recipe.text, lm, *size, confined=self.confined))

    def _brought_back_events(self, store: Store, run_id: str, name: str) -> Events:
        original: LoadedModel = yield from relay(self.original_events(store, run_id))
        folder = store.weights_folder(run_id, name)
        if folder.is_dir():
            yield Event("load", 0, 1)
            found = load_pruned(folder, original.device)
            yield Event("load", 1, 1)
            yield Event(RESULT, 1, 1, found)
        else:
            store.check_at_hand(run_id, name)
            compensate, tokens = store.variant(run_id, name).request.get("compensate") or None, None
            if compensate:
                tokens = yield from relay(self.text_events(store.run(run_id).recipe, original))
            yield from prune_events(original, store.plan(run_id, name), compensate, tokens)


def size(thing: Any) -> int:
    """Bytes that the weights of a model, or token ids, take in memory."""
    tensors = [thing] if isinstance(thing, torch.Tensor) else thing.model.parameters()
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if not tensor.is_meta)


def _give_back() -> None:
    gc.collect()
    heap.give_back()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
