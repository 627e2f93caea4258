"""The engine's public names. What needs torch is imported when its name is first used (PEP 562, see `heavy`).

`import minillm` costs pandas but not torch: the app's process shows scores and plans and never needs the rest.
"""

from typing import TYPE_CHECKING, Any

from . import heavy
from .plan.budget import Allocation
from .plan.overlap import overlap
from .plan.plan import Plan, make_plan
from .plan.scores import Scores

if TYPE_CHECKING:
    from .heavy import (
        allocate,
        allocate_events,
        generate,
        generate_events,
        load_model,
        load_model_events,
        load_pruned,
        load_text,
        load_text_events,
        mixed_patterns,
        mixed_patterns_events,
        perplexity,
        perplexity_events,
        plan_from_config,
        prune,
        prune_events,
        recover,
        recover_events,
        save_pruned,
        score,
        score_events,
        score_together,
        score_together_events,
        sparsify,
        sparsify_events,
        wrap,
    )

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
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(heavy, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
