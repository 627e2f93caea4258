"""The heavy half by name, each imported when it is first used: for the edges, whose start must not wait for torch.

The package's public names come from here, and so does what the command line and the worker need besides.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .allocation.evolution import SearchState
    from .allocation.mixed import SEARCH, mixed_patterns, mixed_patterns_events
    from .allocation.structured import FISHER_ROWS, allocate, allocate_events
    from .bench import bench_events
    from .evaluation.ablation import Knife
    from .evaluation.filmstrip import filmstrip, filmstrip_events
    from .evaluation.generation import compare_events, generate, generate_events
    from .evaluation.perplexity import perplexity, perplexity_events
    from .evaluation.tasks import accuracy_events
    from .exports.export import export, export_events
    from .models.checkpoint import TABLE, load_pruned, save_pruned
    from .models.embedded import prepared_events
    from .models.load import load_model, load_model_events, plan_from_config, stored_dtype
    from .models.loaded import wrap
    from .models.zeros import zeros
    from .scoring.learn import learn_masks, learn_masks_events
    from .scoring.learned_masks import Learned
    from .scoring.probing import Study
    from .scoring.score import score, score_events, score_together, score_together_events
    from .surgery.cut import prune, prune_events
    from .surgery.recovery import recover, recover_events, recovery_text_events
    from .surgery.sparsify import sparsify, sparsify_events
    from .text.load import load_text, load_text_events
    from .walk.ranks import joined
    from .worker.kinds import execute_events
    from .worker.pool import Pool

_HOMES = {
    "allocation.evolution": "SearchState",
    "allocation.mixed": "SEARCH mixed_patterns mixed_patterns_events",
    "allocation.structured": "FISHER_ROWS allocate allocate_events",
    "bench": "bench_events",
    "evaluation.ablation": "Knife",
    "evaluation.filmstrip": "filmstrip filmstrip_events",
    "evaluation.generation": "compare_events generate generate_events",
    "evaluation.perplexity": "perplexity perplexity_events",
    "evaluation.tasks": "accuracy_events",
    "exports.export": "export export_events",
    "models.checkpoint": "TABLE load_pruned save_pruned",
    "models.embedded": "prepared_events",
    "models.load": "load_model load_model_events plan_from_config stored_dtype",
    "models.loaded": "wrap",
    "models.zeros": "zeros",
    "scoring.learn": "learn_masks learn_masks_events",
    "scoring.learned_masks": "Learned",
    "scoring.probing": "Study",
    "scoring.score": "score score_events score_together score_together_events",
    "surgery.cut": "prune prune_events",
    "surgery.recovery": "recover recover_events recovery_text_events",
    "surgery.sparsify": "sparsify sparsify_events",
    "text.load": "load_text load_text_events",
    "walk.ranks": "joined",
    "worker.kinds": "execute_events",
    "worker.pool": "Pool",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}
_INSIDE = (
    "TABLE SEARCH FISHER_ROWS SearchState Learned Study Knife Pool accuracy_events bench_events compare_events "
    "execute_events joined zeros prepared_events stored_dtype"
)
PUBLIC = sorted(_HOME.keys() - {*_INSIDE.split(), "recovery_text_events"})
"""Names of `import minillm` that need the tensor library: all but those of the command line and the worker alone."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __package__), name)
