"""The ways to cut that were measured, the best of them as one button: what each will take here, and what it left.

The one idea: memory is arithmetic and known before; time is not, so it is taken from jobs like this one that have ended
here, and where there are none that is said.
"""

from markupsafe import Markup

from minillm.criteria import find
from minillm.criteria.forecast import forecast
from minillm.families.groups import Groups
from minillm.recipes.presets import CUTS, DENSE, CutPreset
from minillm.recipes.requests import PruneRequest
from minillm.store.records import DONE, Job
from minillm.store.store import Store

from ..shell.cut_controls import SAME
from ..shell.phrases import count, seconds, size
from ..shell.templates import html_table
from .cut import Cut
from .plans import BYTES
from .variants import dtype_of, groups_of

WAY = CUTS["best"]
COMPARED = {name: way for name, way in CUTS.items() if way.left}
"""Ways of which it is known what they left of the embedded model."""
LATEST = 5
"""Jobs whose time counts."""
ALIKE = ("model", "dtype", "device", "samples", "length", "gradient_samples")
"""Fields of a run's recipe that say how long a cut takes."""


def best_cut(ratio: float, blocks: str) -> Cut:
    """The cut of the best preset. blocks: as people write them, empty for the default range."""
    channels = SAME if WAY.channels == WAY.heads else WAY.channels
    return Cut(WAY.heads, channels, ratio, blocks, WAY.allocation)


def in_a_sentence(store: Store, run_id: str, ratio: float) -> str:
    """What the button does at a ratio and what it takes; empty where the run's model is not known yet."""
    groups = groups_of(store, run_id) if run_id else None
    if groups is None:
        return ""
    rows = store.run(run_id).recipe.samples
    fewer = f" (it was measured with {WAY.samples:,} rows of text, this run has {rows:,})" if rows < WAY.samples else ""
    return (
        f"Cuts {100 * ratio:.0f} % of all parameters by “{WAY.label}”{fewer}; takes about "
        f"{size(memory(store, run_id, groups, ratio))} of memory beside the program's own{_how_long(store, run_id)}."
    )


def compared(store: Store, run_id: str, ratio: float) -> Markup:
    """The ways that were measured as a table: rows of text, what each takes here, what it left and took there; empty
    where the run's model is not known yet."""
    groups = groups_of(store, run_id) if run_id else None
    if groups is None:
        return Markup()
    head = [
        "Way",
        "Rows",
        "Memory here",
        "Time here",
        *(f"Left at {100 * one.ratio:.0f} %" for one in WAY.left),
        "Took",
    ]
    rows = []
    for way in COMPARED.values():
        usual = usual_seconds(store, run_id, way)
        here = [size(memory(store, run_id, groups, ratio, way)), seconds(usual[0]) if usual else "not known yet"]
        left = {one.ratio: f"{one.wikitext2:.0f} / {one.ptb:.0f}" for one in way.left}
        rows.append([way.label, f"{way.samples:,}", *here, *(left.get(one.ratio, "–") for one in WAY.left), way.took])
    dense = f"{DENSE.wikitext2:.0f} / {DENSE.ptb:.0f}"
    caption = (
        f"“Here” is this run, with its own rows of text, at {100 * ratio:.0f} %. “Left” is the perplexity of the "
        f"embedded model on WikiText-2 / PTB after the cut, untuned (dense {dense}; docs/measured.md); “Took” is the "
        "time and the memory of the cut at 20 % on two cores."
    )
    return html_table(head, rows, caption, "ways to cut")


def memory(store: Store, run_id: str, groups: Groups, ratio: float, way: CutPreset = WAY) -> int:
    """Bytes at most: the dearer of its criteria, or both models with the second moments that least squares reads. The
    libraries come on top, as in all forecasts."""
    recipe, each = store.run(run_id).recipe, BYTES.get(dtype_of(store, run_id), 4)
    asked = (recipe.samples, recipe.length, recipe.gradient_samples, each)
    scoring = [forecast(groups, find(name), *asked) for name in (way.heads, way.channels)]
    cutting = scoring[-1].total + int((1 - ratio) * groups.parameters * each)
    return max(*(one.total for one in scoring), cutting)


def usual_seconds(store: Store, run_id: str, way: CutPreset = WAY) -> tuple[float, int] | None:
    """What the latest jobs like this one took here on average, and how many they were; None where there were none.

    Alike are those of the same way on a run of the same model and text sizes, which had scores to make if this one has.
    """
    scores = not {way.heads, way.channels} <= set(store.score_labels(run_id))
    found = [job for job in reversed(store.jobs(states=[DONE])) if _alike(store, run_id, job, way)]
    taken = [_took(job) for job in found if bool(store.events(job.id, stages=["score:"])) == scores][:LATEST]
    return (sum(taken) / len(taken), len(taken)) if taken else None


def _alike(store: Store, run_id: str, job: Job, way: CutPreset) -> bool:
    asked = job.request
    if not isinstance(asked, PruneRequest) or not _took(job):
        return False
    cut = (asked.criterion, asked.channels_from or asked.criterion, asked.allocation, asked.compensate)
    here, there = store.run(run_id).recipe, store.run(job.run_id).recipe
    same = all(getattr(here, name) == getattr(there, name) for name in ALIKE)
    return same and cut == (way.heads, way.channels, way.allocation, way.compensate)


def _took(job: Job) -> float:
    return max(0.0, (job.finished or 0.0) - (job.started or 0.0))


def _how_long(store: Store, run_id: str) -> str:
    usual = usual_seconds(store, run_id)
    if usual is None:
        return "; how long is not known yet, as no such job has ended here"
    how_many = "the one such job" if usual[1] == 1 else f"the latest {count(usual[1])} such jobs"
    return f" and about {seconds(usual[0])}, as {how_many} here took"
