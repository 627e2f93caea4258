"""The engine's public names. What needs torch is imported when its name is first used (PEP 562, see `heavy`).

`import minillm` costs pandas but not torch: the app's process shows scores and plans and never needs the rest.
"""

from typing import TYPE_CHECKING, Any

from . import heavy
from .plan.budget import Allocation
from .plan.by_hand import plan_by_hand
from .plan.overlap import overlap
from .plan.plan import Plan, make_plan
from .plan.scores import Scores

if TYPE_CHECKING:
    from .heavy import (
        allocate as allocate,
        allocate_events as allocate_events,
        export as export,
        export_events as export_events,
        filmstrip as filmstrip,
        filmstrip_events as filmstrip_events,
        generate as generate,
        generate_events as generate_events,
        learn_masks as learn_masks,
        learn_masks_events as learn_masks_events,
        load_model as load_model,
        load_model_events as load_model_events,
        load_pruned as load_pruned,
        load_text as load_text,
        load_text_events as load_text_events,
        mixed_patterns as mixed_patterns,
        mixed_patterns_events as mixed_patterns_events,
        perplexity as perplexity,
        perplexity_events as perplexity_events,
        plan_from_config as plan_from_config,
        prune as prune,
        prune_events as prune_events,
        recover as recover,
        recover_events as recover_events,
        save_pruned as save_pruned,
        score as score,
        score_events as score_events,
        score_together as score_together,
        score_together_events as score_together_events,
        sparsify as sparsify,
        sparsify_events as sparsify_events,
        wrap as wrap,
    )

__all__ = sorted(
    [*(one.__name__ for one in (Allocation, Plan, Scores, make_plan, overlap, plan_by_hand)), *heavy.PUBLIC]
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(heavy, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
