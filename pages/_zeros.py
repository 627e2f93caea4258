"""N:M zeros on the Prune page: a small form, and the request that a job takes. Nothing gets smaller by them."""

from typing import Any

import gradio as gr

from minillm import jobs
from minillm.criteria import CRITERIA
from minillm.patterns import LEVELS, MASKING
from minillm.recipe import SparsifyRequest
from minillm.store import Store

ABOUT = """
Of every M consecutive input features of an output row, N weights stay and the others become **zeros**: the model is as
large as before, and what is gained is where its zeros lie (some GPUs multiply 2:4 faster). *Mixed* gives each block its
own N of 8 under one average: where it is searched for, candidates are tried on the calibration text, which takes longer
than all the rest.
"""
COMMON = ("2:4", "4:8", "1:4", "2:8", "1:8")
FIRST = "sparsegpt"
ALLOCATIONS = [
    ("the pattern in every block", "uniform"),
    ("mixed N:8, by sensitivity", "sensitivity"),
    ("mixed N:8, searched for", "evolutionary"),
]


def controls() -> tuple[dict[str, Any], gr.Button]:
    """Lay the form out here: controls by name, in the order in which `begin_sparsify` takes them, and its button."""
    with gr.Accordion("Zeros in an N:M pattern instead", open=False, elem_id="zeros"):
        gr.Markdown(ABOUT)
        with gr.Row():
            criterion = gr.Dropdown(
                [(CRITERIA[name].label, name) for name in MASKING],
                value=FIRST,
                label="Criterion",
                info="Chooses the weights that stay. SparseGPT also updates them.",
                elem_id="zeros-criterion",
            )
            pattern = gr.Dropdown(
                list(COMMON),
                value=COMMON[0],
                allow_custom_value=True,
                label="Pattern N:M",
                info="N of M weights stay.",
                elem_id="zeros-pattern",
            )
        allocation = gr.Radio(ALLOCATIONS, value="uniform", label="In each block", elem_id="zeros-allocation")
        sparsity = gr.Slider(
            0,
            1 - 1 / LEVELS,
            0.5,
            step=0.005,
            label="Average share of zeros",
            info="Of the weights in blocks.",
            interactive=False,
            elem_id="zeros-sparsity",
        )
        button = gr.Button("Put zeros", elem_id="sparsify")
    found = {"criterion": criterion, "pattern": pattern, "allocation": allocation, "sparsity": sparsity}
    return found, button


def usable(allocation: str) -> list[Any]:
    """The pattern belongs to one allocation, the average to the others."""
    uniform = allocation == "uniform"
    return [gr.Dropdown(interactive=uniform), gr.Slider(interactive=not uniform)]


def begin_sparsify(
    store: Store,
    run_id: str,
    criterion: str,
    pattern: str,
    allocation: str,
    sparsity: float,
    evaluate_text: str,
    evaluate_tokens: float,
    evaluate_length: float,
) -> int:
    """Put zeros into a run's model in an N:M pattern and measure perplexity before and after; returns the job's
    number."""
    asked = {
        "criterion": criterion,
        "pattern": pattern or "",
        "allocation": allocation,
        "sparsity": sparsity,
        "evaluate_text": evaluate_text or "",
        "evaluate_tokens": evaluate_tokens or None,
        "evaluate_length": evaluate_length,
    }
    return jobs.submit(store, run_id, SparsifyRequest.from_json(asked))
