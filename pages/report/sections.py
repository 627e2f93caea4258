"""What a report shows: each section a heading with pictures and tables, as the app's pages draw them from the store."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from markupsafe import Markup

from minillm.errors import BadInput, MiniLLMError
from minillm.families.groups import KINDS
from minillm.store.as_code import as_commands, as_python, course
from minillm.store.as_tables import RATIO
from minillm.store.records import Run
from minillm.store.store import Store

from ..plots import CAPTIONS, kept_map, memory_timeline, plan_bars, recovery_curve
from ..shell.phrases import seconds, size
from ..shell.templates import html, html_table, notice, paragraph
from ..views import scores as scores_view
from ..views.comparison import REFERENCE, compare, in_order, lines, pairs, reading
from ..views.filmstrip import HEADING, as_document, strips_of
from ..views.generations import exhibits
from ..views.generations_html import as_html
from ..views.picture import Picture
from ..views.plans import columns, in_a_sentence, really_cut
from ..views.runs import job_notes
from ..views.variants import kinds_of, variants_table
from .searches import allocation_found, gradient_added, masks_learned, texts_compared

Section = tuple[str, list["Picture | Markup"]]
"""A heading, and what stands below it: pictures, or HTML."""


def settings(store: Store, run: Run) -> list[tuple[str, str]]:
    """The recipe, and what each group of criteria was scored with beside the defaults."""
    rows = [(name.replace("_", " "), str(value)) for name, value in run.recipe.to_json().items()]
    with suppress(BadInput):
        for scoring in course(store, run.id).scorings:
            told = ", ".join(f"{name} {value}" for name, value in scoring.settings.items())
            rows.append((", ".join(scoring.labels), told or "the defaults"))
    return rows


def sections(store: Store, run: Run) -> Iterator[Section]:
    """All there is to show, in the order of the app's pages."""
    look = scores_view.board(store, run.id)
    labels = in_order(look.scores)
    yield "Numbers", _numbers(store, run, look)
    yield "What its jobs noted", _noted(store, run)
    yield "Scores by block", _bands(look, labels)
    yield "Where criteria agree", _overlaps(store, run, look, labels)
    yield "How much of the cut depends on the text", texts_compared(store, run)
    yield "What the gradient adds", gradient_added(store, run)
    yield "Memory", _memory(look, labels)
    yield "How much each block gives up", allocation_found(store, run)
    yield "Masks that learn", masks_learned(store, run)
    yield "What was cut", _cuts(store, run)
    yield "Recovery", _curves(store, run)
    texts = as_html(exhibits(store, run.id))
    yield "What the models write", [texts] if texts else []
    strip = strips_of(store, run.id)
    yield HEADING, [as_document(strip)] if strip else []
    if labels:
        code = course(store, run.id)
        shown = (("as Python", as_python(code)), ("as commands", as_commands(code)))
        yield "The same run again", [Markup("<h3>{}</h3><pre>{}</pre>").format(*one) for one in shown]


def _numbers(store: Store, run: Run, look: scores_view.Board) -> list[Picture | Markup]:
    if not look.scores and not store.results(run.id):
        return []
    parts: list[Picture | Markup] = [variants_table(store, run.id)]
    if look.scores:
        rows = [
            (label, seconds(look.scores[label].seconds), size(look.scores[label].peak_bytes)) for label in look.scores
        ]
        parts.append(html_table(("criterion", "took", "peak above the weights"), rows, "What scoring took"))
    return parts


def _noted(store: Store, run: Run) -> list[Picture | Markup]:
    told = job_notes(store, run.id)
    return [told] if told else []


def _bands(look: scores_view.Board, labels: list[str]) -> list[Picture | Markup]:
    found: list[Picture | Markup] = []
    for label in labels:
        for name, kind in kinds_of(look.scores[label].groups):
            figure = scores_view.bands(look, label, kind)
            if figure is not None:
                found.append(Picture(f"{label}: {name}", CAPTIONS["score_bands"], figure))
    return found


def _overlaps(store: Store, run: Run, look: scores_view.Board, labels: list[str]) -> list[Picture | Markup]:
    """Overlap at the ratio the run was first cut at, else at the usual one."""
    if len(labels) < 2:
        return []
    cuts = [v.request for v in store.variants(run.id) if v.kind == "pruned" and "ratio" in v.request]
    asked: dict[str, Any] = cuts[0] if cuts else {"ratio": RATIO}
    reference = REFERENCE if REFERENCE in labels else labels[0]
    try:
        found = compare(look.scores, reference, labels, asked["ratio"], asked.get("layers"))
    except MiniLLMError as fault:
        return [notice(str(fault))]
    parts: list[Picture | Markup] = [paragraph(f"At a ratio of {asked['ratio']:g}; the reference is {reference}.")]
    every = CAPTIONS["overlap_matrix"].partition(" Click")[0]
    for kind in reversed(KINDS):
        parts.append(
            Picture(f"Overlap with {reference}: {found.words(kind)}", CAPTIONS["overlap_lines"], lines(found, kind))
        )
        parts.append(Picture(f"Every pair: {found.words(kind)}", every, pairs(found, kind)))
    said = [reading(found, other, kind) for other in labels if other != reference for kind in KINDS[1:]]
    return [*parts, html("list", said=filter(None, said))]


def _memory(look: scores_view.Board, labels: list[str]) -> list[Picture | Markup]:
    peaks = scores_view.peaks(look)
    if peaks is None:
        return []
    found: list[Picture | Markup] = [Picture("Peak memory by criterion (Figure 1)", CAPTIONS["peak_bars"], peaks)]
    for label in labels:
        scores = look.scores[label]
        if scores.timeline:
            figure = memory_timeline(scores.timeline, [(t, b) for t, b in scores.samples], None, label)
            name = f"Memory while scoring: {label}"
            found.append(Picture(name, CAPTIONS["memory_timeline"], figure))
    return found


def _cuts(store: Store, run: Run) -> list[Picture | Markup]:
    parts: list[Picture | Markup] = []
    for variant in store.variants(run.id):
        with suppress(BadInput):
            plan = store.plan(run.id, variant.name)
            parts.append(Markup("<h3>{}</h3>").format(variant.name) + paragraph(in_a_sentence(plan)))
            parts.append(Picture(f"{variant.name}: what is really cut", CAPTIONS["plan_bars"], plan_bars(plan)))
            parts.append(Picture(f"{variant.name}: what stays", CAPTIONS["kept_map"], kept_map(plan)))
            rows = html_table(columns(plan), really_cut(plan), name=f"{variant.name}, block by block")
            parts.append(Markup("<details><summary>Block by block</summary>{}</details>").format(rows))
    return parts


def _curves(store: Store, run: Run) -> list[Picture | Markup]:
    return [
        Picture(result.data["variant"], CAPTIONS["recovery_curve"], recovery_curve(result.data["points"]))
        for result in store.results(run.id, "curve")
    ]
