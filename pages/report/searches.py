"""Two sections of a report: what the gradient adds, and the search for how much each block gives up."""

from minillm.families.groups import KINDS
from minillm.store.allocations import sensitivities
from minillm.store.records import Run
from minillm.store.store import Store

from ..plots import CAPTIONS, plan_bars, search_curve, sensitivity_panels
from ..shell.phrases import escape
from ..views import fidelity
from ..views.allocations import plan_shown, search_of
from ..views.picture import Picture
from ..views.variants import groups_of


def gradient_added(store: Store, run: Run) -> list[Picture | str]:
    """How near estimated gradients come to the exact one, channels and heads; empty where nobody measured it."""
    found = fidelity.findings(store, run.id)
    if found is None:
        return []
    parts: list[Picture | str] = [f"<p><small>Measured on {escape(found.how)}.</small></p>"]
    for kind in reversed(KINDS):
        parts.append(f"<h3>{kind.capitalize()}</h3>{fidelity.said(found, kind, fidelity.STANDARD)}")
        for name, title, draw in (
            ("lines", "Fidelity against directions", fidelity.lines),
            ("dots", "Who cuts the same groups", fidelity.dots),
        ):
            figure = draw(found, kind, fidelity.STANDARD)
            parts.append(Picture(f"{title}: {kind}", CAPTIONS[f"fidelity_{name}"], figure))
    return parts


def allocation_found(store: Store, run: Run) -> list[Picture | str]:
    """Sensitivities of the blocks, and the search that ended last with the best it found."""
    groups, measured = groups_of(store, run.id), sensitivities(store, run.id)
    if groups is None:
        return []
    parts: list[Picture | str] = []
    if measured:
        figure = sensitivity_panels(measured, len(groups))
        parts.append(Picture("Sensitivity by block", CAPTIONS["sensitivity_panels"], figure))
    search = search_of(store, run.id, None, [])
    if search is not None:
        curve = search_curve(search.points, search.measure, search.generations)
        parts.append(f"<p>{escape(search.in_words())}</p>")
        parts.append(Picture("Fitness by generation", CAPTIONS["search_curve"], curve))
        plan = plan_shown(groups, search.allocation)
        parts.append(Picture("The best allocation found", CAPTIONS["plan_bars"], plan_bars(plan)))
    return parts
