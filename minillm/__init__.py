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
    )
    from .heavy import (
        allocate_events as allocate_events,
    )
    from .heavy import (
        filmstrip as filmstrip,
    )
    from .heavy import (
        filmstrip_events as filmstrip_events,
    )
    from .heavy import (
        generate as generate,
    )
    from .heavy import (
        generate_events as generate_events,
    )
    from .heavy import (
        load_model as load_model,
    )
    from .heavy import (
        load_model_events as load_model_events,
    )
    from .heavy import (
        load_pruned as load_pruned,
    )
    from .heavy import (
        load_text as load_text,
    )
    from .heavy import (
        load_text_events as load_text_events,
    )
    from .heavy import (
        mixed_patterns as mixed_patterns,
    )
    from .heavy import (
        mixed_patterns_events as mixed_patterns_events,
    )
    from .heavy import (
        perplexity as perplexity,
    )
    from .heavy import (
        perplexity_events as perplexity_events,
    )
    from .heavy import (
        plan_from_config as plan_from_config,
    )
    from .heavy import (
        prune as prune,
    )
    from .heavy import (
        prune_events as prune_events,
    )
    from .heavy import (
        recover as recover,
    )
    from .heavy import (
        recover_events as recover_events,
    )
    from .heavy import (
        save_pruned as save_pruned,
    )
    from .heavy import (
        score as score,
    )
    from .heavy import (
        score_events as score_events,
    )
    from .heavy import (
        score_together as score_together,
    )
    from .heavy import (
        score_together_events as score_together_events,
    )
    from .heavy import (
        sparsify as sparsify,
    )
    from .heavy import (
        sparsify_events as sparsify_events,
    )
    from .heavy import (
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
