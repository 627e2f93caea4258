"""Two sections of a report: what the gradient adds, and the search for how much each block gives up."""

from markupsafe import Markup

from minillm.families.groups import KINDS
from minillm.store.allocations import sensitivities
from minillm.store.records import Run
from minillm.store.store import Store

from ..plots import CAPTIONS, plan_bars, search_curve, sensitivity_panels
from ..shell.templates import paragraph
from ..views import fidelity
from ..views.allocations import plan_shown, search_of
from ..views.picture import Picture
from ..views.variants import groups_of


def gradient_added(store: Store, run: Run) -> list[Picture | Markup]:
    """How near estimated gradients come to the exact one, channels and heads; empty where nobody measured it."""
    found = fidelity.findings(store, run.id)
    if found is None:
        return []
    parts: list[Picture | Markup] = [fidelity.measured_on(found)]
    for kind in reversed(KINDS):
        parts.append(Markup("<h3>{}</h3>{}").format(kind.capitalize(), fidelity.said(found, kind, fidelity.STANDARD)))
        for name, title, draw in (
            ("lines", "Fidelity against directions", fidelity.lines),
            ("dots", "Who cuts the same groups", fidelity.dots),
        ):
            figure = draw(found, kind, fidelity.STANDARD)
            parts.append(Picture(f"{title}: {kind}", CAPTIONS[f"fidelity_{name}"], figure))
    return parts


def allocation_found(store: Store, run: Run) -> list[Picture | Markup]:
    """Sensitivities of the blocks, and the search that ended last with the best it found."""
    groups, measured = groups_of(store, run.id), sensitivities(store, run.id)
    if groups is None:
        return []
    parts: list[Picture | Markup] = []
    if measured:
        figure = sensitivity_panels(measured, len(groups))
        parts.append(Picture("Sensitivity by block", CAPTIONS["sensitivity_panels"], figure))
    search = search_of(store, run.id, None, [])
    if search is not None:
        curve = search_curve(search.points, search.measure, search.generations)
        parts.append(paragraph(search.in_words()))
        parts.append(Picture("Fitness by generation", CAPTIONS["search_curve"], curve))
        plan = plan_shown(groups, search.allocation)
        parts.append(Picture("The best allocation found", CAPTIONS["plan_bars"], plan_bars(plan)))
    return parts
