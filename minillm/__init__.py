"""The engine's public names. What needs torch is imported when its name is first used (PEP 562).

`import minillm` costs pandas but not torch: the app's process shows scores and plans and never needs the rest.
The function `overlap` shares its name with a module: it is bound here at once, so that a later import of the module,
which would otherwise put itself in the function's place, finds it loaded and changes nothing. What else that module
holds is had by `from minillm.overlap import …`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .overlap import overlap
from .plan import Allocation, Plan, make_plan
from .scores import Scores

if TYPE_CHECKING:
    from .allocation.mixed import mixed_patterns, mixed_patterns_events
    from .allocation.structured import allocate, allocate_events
    from .checkpoint import load_pruned, save_pruned
    from .evaluation.perplexity import perplexity, perplexity_events
    from .generation import generate, generate_events
    from .models import load_model, load_model_events, plan_from_config, wrap
    from .recovery import recover, recover_events
    from .scoring import score, score_events, score_together, score_together_events
    from .sparsification import sparsify, sparsify_events
    from .surgery import prune, prune_events
    from .text import load_text, load_text_events

_LAZY = {
    "allocation.mixed": ("mixed_patterns", "mixed_patterns_events"),
    "allocation.structured": ("allocate", "allocate_events"),
    "checkpoint": ("load_pruned", "save_pruned"),
    "evaluation.perplexity": ("perplexity", "perplexity_events"),
    "generation": ("generate", "generate_events"),
    "models": ("load_model", "load_model_events", "plan_from_config", "wrap"),
    "recovery": ("recover", "recover_events"),
    "scoring": ("score", "score_events", "score_together", "score_together_events"),
    "sparsification": ("sparsify", "sparsify_events"),
    "surgery": ("prune", "prune_events"),
    "text": ("load_text", "load_text_events"),
}
_HOME = {name: module for module, names in _LAZY.items() for name in names}

__all__ = [
    "Allocation",
    "Plan",
    "Scores",
    "allocate",
    "allocate_events",
    "generate",
    "generate_events",
    "load_model",
    "load_model_events",
    "load_pruned",
    "load_text",
    "load_text_events",
    "make_plan",
    "mixed_patterns",
    "mixed_patterns_events",
    "overlap",
    "perplexity",
    "perplexity_events",
    "plan_from_config",
    "prune",
    "prune_events",
    "recover",
    "recover_events",
    "save_pruned",
    "score",
    "score_events",
    "score_together",
    "score_together_events",
    "sparsify",
    "sparsify_events",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
