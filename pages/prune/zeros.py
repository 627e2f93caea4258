"""N:M zeros on the Prune page: a small form, and the request that a job takes. Nothing gets smaller by them."""

from typing import Any

import gradio as gr

from minillm.criteria import CRITERIA
from minillm.jobs.submit import submit
from minillm.plan.methods import METHODS, MIXING
from minillm.plan.patterns import LEVELS, MASKING, SERVED
from minillm.recipes.requests import SparsifyRequest
from minillm.store.store import Store

from ..shell.controls import control, fields_of, in_rows, takes
from ..shell.cut_controls import UNIFORM
from ..views.cut import measuring

ABOUT = """
Of every M consecutive input features of an output row, N weights stay and the others become **zeros**: the model is as
large as before, and what is gained is where its zeros lie. {served} *Mixed* gives each block its own N of 8 under one
average: where it is searched for, candidates are tried on the calibration text, which takes longer than all the rest.
Adapters that keep zeros (SPP, sparse changes) recover such a model below.
"""
COMMON = ("2:4", "4:8", "1:4", "2:8", "1:8")
FIRST = "sparsegpt"
ALLOCATIONS = [
    ("the pattern in every block", UNIFORM),
    *((f"mixed N:8, {METHODS[name].label}", name) for name in MIXING if name != UNIFORM),
]
BOUNDS = ("mapping", "half_width")
ASKED = ("criterion", "pattern", "allocation", "sparsity", *BOUNDS)
"""Fields of a `SparsifyRequest` that the form shows, in the order in which `begin_sparsify` takes them."""


def lay_out_zeros() -> tuple[dict[str, Any], gr.Button]:
    """Lay the form out here: controls by name, and its button."""
    criterion, pattern, allocation, sparsity, *_ = fields_of(SparsifyRequest, ASKED)
    masking = [(CRITERIA[name].titled, name) for name in MASKING]
    with gr.Accordion("Zeros in an N:M pattern instead", open=False, elem_id="zeros"):
        gr.Markdown(ABOUT.format(served=SERVED))
        with gr.Row():
            found = {"criterion": control(criterion, "zeros", kind=gr.Dropdown, choices=masking, value=FIRST)}
            common: dict[str, Any] = {"kind": gr.Dropdown, "choices": list(COMMON), "allow_custom_value": True}
            found["pattern"] = control(pattern, "zeros", **common)
        found["allocation"] = control(allocation, "zeros", kind=gr.Radio, choices=ALLOCATIONS, info=None)
        most: dict[str, Any] = {"minimum": 0, "maximum": 1 - 1 / LEVELS, "step": 0.005, "interactive": False}
        found["sparsity"] = control(sparsity, "zeros", kind=gr.Slider, **most)
        found |= in_rows(SparsifyRequest, BOUNDS, "zeros")
        button = gr.Button("Put zeros", elem_id="sparsify")
    return found, button


def usable(allocation: str) -> list[Any]:
    """The pattern belongs to one allocation, the average to the others."""
    uniform = allocation == UNIFORM
    return [gr.Dropdown(interactive=uniform), gr.Slider(interactive=not uniform)]


@takes((SparsifyRequest, (*ASKED, "evaluate_text", "evaluate_tokens", "evaluate_length")))
def begin_sparsify(store: Store, run_id: str, **given: Any) -> int:
    """Put zeros into a run's model in an N:M pattern and measure perplexity before and after; returns the job's
    number."""
    asked = given | measuring(given) | {"pattern": given["pattern"] or ""}
    return submit(store, run_id, SparsifyRequest.from_json(asked))
