"""Sections of a report: what the gradient adds, how much each block gives up, masks that learned, what texts decide."""

from contextlib import suppress

from markupsafe import Markup

from minillm.errors import MiniLLMError
from minillm.families.groups import KINDS
from minillm.store.allocations import sensitivities
from minillm.store.masks import MASKS
from minillm.store.records import Run
from minillm.store.store import Store

from ..plots import CAPTIONS, plan_bars, search_curve, sensitivity_panels
from ..shell.templates import paragraph
from ..views import domains, fidelity
from ..views.allocations import plan_shown, search_of
from ..views.masks import course_of
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


def masks_learned(store: Store, run: Run) -> list[Picture | Markup]:
    """The masks learned last: their probabilities step by step where a job told them, and the exact gradient."""
    jobs = [job for job in store.jobs(run.id) if job.kind == MASKS]
    course = course_of(store, run.id, jobs[-1] if jobs else None)
    if course is None:
        return []
    drawn = {"map": course.map(), "curve": course.curve(), "gradient": course.gradient()}
    titles = {"map": "Keep-probabilities by step", "curve": "Loss by step", "gradient": "Learned and exact"}
    shown = [Picture(titles[name], CAPTIONS[f"masks_{name}"], fig) for name, fig in drawn.items() if fig is not None]
    return [paragraph(course.in_words()), *shown]


TEXTS_AT = 0.3
"""The ratio at which a report compares what texts keep."""


def texts_compared(store: Store, run: Run) -> list[Picture | Markup]:
    """What of a cut depends on the text, channels and heads; empty where nobody compared texts."""
    with suppress(MiniLLMError):
        found = domains.found(store, run.id, TEXTS_AT)
        if found is not None:
            parts: list[Picture | Markup] = []
            for kind in reversed(KINDS):
                said = paragraph(found.in_words(kind))
                bars = Picture(f"Whatever the text: {kind}", CAPTIONS["domain_bars"], found.bars(kind))
                lines = Picture(f"Overlap with the first text: {kind}", CAPTIONS["domain_lines"], found.lines(kind))
                parts += [said, bars, lines]
            return [*parts, found.table()]
    return []
