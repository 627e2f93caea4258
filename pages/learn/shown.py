"""The pictures that stand beside the lesson's questions, drawn from the sample run as the app's pages draw them."""

from minillm.families.groups import CHANNELS
from minillm.plan.plan import make_plan

from ..plots import CAPTIONS, drill_down, peak_bars, plan_bars, score_bands
from ..views.comparison import compare, lines
from ..views.model import BYTES
from ..views.picture import Picture
from ..views.sample_run import sample_scores


def bands(label: str) -> Picture:
    """Channel scores of every block."""
    figure = score_bands(sample_scores()[label], CHANNELS, label)
    return Picture(f"Channels under {label}, block by block", CAPTIONS["score_bands"], figure)


def block(label: str, layer: int) -> Picture:
    """The channels of one block in the order of a criterion, with every criterion's ranks."""
    caption = CAPTIONS["drill_down"].replace("; click for its exact scores", "")
    figure = drill_down(sample_scores(), layer, CHANNELS, None, label)
    return Picture(f"Every channel of block {layer}, sorted by {label}", caption, figure)


def overlaps(reference: str, others: tuple[str, ...], ratio: float) -> Picture:
    """Who cuts what the reference cuts, beside chance."""
    found = compare(sample_scores(), reference, others, ratio)
    return Picture(
        f"Overlap with {reference} at a ratio of {ratio:g}", CAPTIONS["overlap_lines"], lines(found, CHANNELS)
    )


def plan(label: str, ratio: float) -> Picture:
    """What is really cut of each block."""
    figure = plan_bars(make_plan(sample_scores()[label], ratio))
    return Picture(f"What is really cut at a ratio of {ratio:g}", CAPTIONS["plan_bars"], figure)


def peaks() -> Picture:
    """Peak memory of every criterion."""
    every = sample_scores()
    first = next(iter(every.values()))
    weights = first.groups.parameters * BYTES[first.recipe["dtype"]]
    figure = peak_bars({label: scores.peak_bytes for label, scores in every.items()}, weights)
    return Picture("Peak memory by criterion", CAPTIONS["peak_bars"], figure)
