"""Verbs that list what there is: models, criteria."""

from typing import Annotated

import typer

from .. import heavy
from ..criteria import CRITERIA
from ..families import FAMILIES
from ..recipes.models import MODELS
from .progress import Json, follow, show


def add_to(app: typer.Typer) -> None:
    """Add the verbs of this module."""
    app.command()(models)
    app.command()(criteria)


Prepare = Annotated[bool, typer.Option("--prepare", help="Unpack and convert the embedded model, unless it is ready.")]


def models(as_json: Json = False, prepare: Prepare = False) -> None:
    """List the built-in models and the families that any other model must belong to."""
    if prepare:
        print(follow(heavy.prepared_events(), "the embedded model"))
        return
    rows = [(name, entry.label, entry.licence, entry.note) for name, entry in MODELS.items()]
    data = {
        "models": {name: {"label": e.label, "licence": e.licence, "note": e.note} for name, e in MODELS.items()},
        "families": {f.name: {"label": f.label, "model_types": list(f.model_types)} for f in FAMILIES.values()},
    }
    show(as_json, data, ("model", "what it is", "licence", "note"), rows, "Built in")
    if not as_json:
        families = [(f.label, ", ".join(f.model_types)) for f in FAMILIES.values()]
        show(False, None, ("family", "model types"), families, "Any folder or hub model of these families")


def criteria(as_json: Json = False) -> None:
    """List the criteria: what each one computes, reads and costs."""
    names = ("name", "label", "equation", "needs", "cost", "paper", "idea", "differs")
    data = [{name: getattr(c, name) for name in names} for c in CRITERIA.values()]
    rows = [(c.name, c.equation, c.needs, c.cost, c.idea) for c in CRITERIA.values()]
    show(as_json, data, ("criterion", "score of a weight", "reads", "cost", "idea"), rows)
