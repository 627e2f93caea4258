"""Runs with something in them, made without a job."""

from pathlib import Path

import made_scores
import numpy as np

from minillm.families.groups import BlockGroups, Groups
from minillm.plan.plan import make_plan
from minillm.plan.scores import Scores
from minillm.recipes.recipe import RunRecipe
from minillm.recipes.requests import PruneRequest
from minillm.store.records import Variant
from minillm.store.store import Store


def weighty(store: Store, run_id: str, name: str, kind: str = "pruned", size: int = 1000) -> None:
    """A variant with weights of some bytes beside it."""
    store.add_variant(run_id, Variant(name, kind, "original", {"compensate": "bias"}, {"parameters": 7}))
    folder = store.weights_folder(run_id, name)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(size))


def full_run(store: Store, title: str, seed: int = 0, ratio: float = 0.2) -> str:
    """A run with scores, a cut and a recovery, as jobs leave them."""
    run_id = store.create_run(RunRecipe(seed=seed), title)
    for place, label in enumerate(("wanda", "fms-zo")):
        store.save_scores(run_id, made_scores.scores(made_scores.shape(), label, seed + place))
    plan = make_plan(store.scores(run_id)["wanda"], ratio)
    asked = PruneRequest(criterion="wanda", ratio=ratio).to_json()
    store.add_variant(run_id, Variant("pruned-1", "pruned", "original", asked, {"parameters": plan.parameters}), plan)
    points = [{"step": 0, "perplexity": 40.0 + seed}, {"step": 1, "loss": 2.0}, {"step": 2, "perplexity": 30.0 + seed}]
    store.add_result(run_id, "curve", {"variant": "recovered-1", "points": points})
    return run_id


ROOT = Path(__file__).parents[1]


def some_scores(criterion: str = "wanda", seed: int = 0) -> Scores:
    rng, blocks = np.random.default_rng(seed), range(4)
    block = BlockGroups(4, 1, 8, 32, 100, 10, 100, 10, 50)
    groups = Groups("llama", "llama", 16, 64, 4 * block.parameters + 1000, 1024, (block,) * 4)
    heads = {i: rng.random(4).astype(np.float32) for i in blocks}
    channels = {i: rng.random(32).astype(np.float32) for i in blocks}
    return Scores(heads, channels, groups, {"criterion": criterion})
