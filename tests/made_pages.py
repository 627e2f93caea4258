"""What tests of pages without a browser share."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gradio as gr

from minillm.jobs.submit import submit
from minillm.recipes.requests import ScoreRequest
from minillm.store.store import Store
from pages.shell.frame import Context


def context(store: Store, confined: bool = False) -> Context:
    return Context(store, SimpleNamespace(problem=""), SimpleNamespace(memory=0), SimpleNamespace(), (), confined)  # type: ignore[arg-type]


def laid_out(lay_out: Callable[..., Any], *given: Any) -> Any:
    """What a page's layout gives, outside any app: components that answers can be read by."""
    with gr.Blocks():
        return lay_out(*given)


def score_job(store: Store, run_id: str, *criteria: str, together: bool = False) -> int:
    return submit(store, run_id, ScoreRequest(criteria or ("wanda",), together=together))


def block(layer: int) -> dict[str, Any]:
    return {"layer": layer, "heads": [1.0, 2.0], "channel_quantiles": [1.0, 2.0, 3.0, 4.0, 5.0], "channel_mean": 2.0}
