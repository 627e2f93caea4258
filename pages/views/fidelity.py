"""What the Gradient page shows, as pure functions of the run's fidelity results: pictures, a table, what the data say.

Every sentence is computed: whichever way the numbers go, it says so, with the range over seeds beside it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from minillm.plan.fidelity import CONTROL, EXACT, NOISE, PRUNER, SHARES, WANDA, derivative_error, over_seeds, table
from minillm.recipes.requests import DRAWS
from minillm.store.store import Store

from ..plots import fidelity_dots, fidelity_lines
from ..shell.templates import html_table, paragraph
from .variants import USUALLY, kinds_in

KIND = "fidelity"
PRINTED, UNIT, BY_GROUPS = "fms-zo", "fms-zo (noise rademacher)", "zo (noise rademacher, scope groups)"
WORDS = {
    PRINTED: "as printed, c / z",
    "fms-zo (estimator multiply)": "c · z",
    UNIT: "z = ±1",
    "fms-zo (minibatch 1)": "own z for each row",
    "zo": "c / z, without X",
    BY_GROUPS: "own z for each group",
}
"""Settings of the estimate as people call them, in the order in which they are drawn."""

RIGHT = 0.1
"""Directional derivatives that are off by less are called right."""

DRAW_WORDS = {
    "gaussian": "every weight, z ~ N(0, 1)",
    "rademacher": "every weight, z = ±1",
    "minibatch": "every weight, anew for each row",
    "groups": "every group's mask, z = ±1",
}
assert DRAW_WORDS.keys() == DRAWS.keys()


STANDARD = 0.25
"""Share of each block at which the sentences are read first: that of a quarter of the channels."""


@dataclass(frozen=True)
class Findings:
    """What is known of a run's gradients.

    trials: as `minillm.plan.fidelity.table`; results: the data they are from, the latest rows of text only; words:
    what groups of a kind are called.
    """

    trials: pd.DataFrame
    results: list[dict[str, Any]]
    words: dict[str, str] = field(default_factory=lambda: USUALLY)

    def chance(self, kind: str, share: float) -> float | None:
        """Overlap of two choices that know nothing of each other; None where nothing goes."""
        return self.results[-1]["chance"][kind][SHARES.index(share)]

    def derivatives(self, *draws: str) -> list[list[float]]:
        """Pairs of c and ⟨g, z⟩ of some draws."""
        return [pair for found in self.results if found["draw"] in draws for pair in found["derivatives"]]

    @property
    def how(self) -> str:
        """How it was measured, in words."""
        one, seeds = self.results[-1], {found["seed"] for found in self.results if found["draw"] != EXACT}
        return (
            f"{one['samples']} × {one['length']} tokens for activations, "
            f"{one['gradient_samples']} × {one['length']} for gradients, {one['dtype']}, "
            f"{len(seeds)} seed{'s' * (len(seeds) != 1)} of z"
        )


def findings(store: Store, run_id: str) -> Findings | None:
    """What was measured on a run so far; None before the first draw is through.

    Results that used other rows than the latest ones are left out: they are not comparable.
    """
    found = [result.data for result in store.results(run_id, KIND)] if run_id else []
    rows = ("samples", "gradient_samples", "length")
    same = [one for one in found if all(one[name] == found[-1][name] for name in rows)]
    words = {kind: said for said, kind in kinds_in(store, run_id)}
    return Findings(table(same), same, words) if any(one["draw"] != EXACT for one in same) else None


def lines(found: Findings, kind: str, share: float) -> go.Figure:
    """Fidelity against the number of directions."""
    return fidelity_lines(over_seeds(found.trials, share), kind, WORDS)


def dots(found: Findings, kind: str, share: float) -> go.Figure:
    """Overlaps, setting by setting."""
    return fidelity_dots(over_seeds(found.trials, share), kind, WORDS, share, found.chance(kind, share))


@dataclass(frozen=True)
class _Look:
    """One kind of group at one share, ready to be read from."""

    found: Findings
    kind: str
    share: float
    summary: pd.DataFrame

    def at(self, label: str, directions: int, against: str) -> pd.Series | None:
        """The row of one setting against one other; None where it was not measured."""
        s = self.summary
        rows = s[(s["label"] == label) & (s["directions"] == directions) & (s["against"] == against)]
        return None if rows.empty else rows.iloc[0]

    def most(self, label: str) -> int:
        """The most directions tried under a setting, 0 without any."""
        tried = self.summary[self.summary["label"] == label]["directions"]
        return int(tried.max()) if len(tried) else 0

    @property
    def words(self) -> str:
        """What the groups are called."""
        return self.found.words[self.kind]

    @property
    def chance(self) -> str:
        """Chance in words."""
        share = self.found.chance(self.kind, self.share)
        return "chance undefined" if share is None else f"chance {100 * share:.0f} %"


def said(found: Findings, kind: str, share: float) -> Markup:
    """What the data say, as paragraphs."""
    summary = over_seeds(found.trials, share)
    look = _Look(found, kind, share, summary[summary["kind"] == kind])
    parts = [*_cancels(look), *_more(look), *_by_groups(look), *_derivatives(look)]
    return Markup("").join(map(paragraph, parts))


def measured_on(found: Findings) -> Markup:
    """What was measured, small."""
    return Markup("<p><small>Measured on {}.</small></p>").format(found.how)


def _per_cent(row: pd.Series | None) -> str:
    if row is None or pd.isna(row["overlap"]):
        return "–"
    return f"{100 * row['overlap']:.0f} %"


def _ranged(row: pd.Series) -> str:
    """Spearman with its range over seeds, where there are several."""
    low, high = (_two(row[f"spearman_{end}"]) for end in ("low", "high"))
    over = (
        f" with each of {int(row['seeds'])} seeds"
        if low == high
        else f" ({low} to {high} over {int(row['seeds'])} seeds)"
    )
    return _two(row["spearman"]) + (over if row["seeds"] > 1 else "")


def _two(value: float, sign: str = "") -> str:
    """Two decimals, with a minus that is one."""
    return f"{value:{sign}.2f}".replace("-0.00", "0.00").replace("-", "−")


def _cancels(look: _Look) -> Iterator[str]:
    """One direction, one minibatch: what the algebra says, and whether these numbers agree with it."""
    noise = look.at(PRINTED, 1, NOISE)
    if noise is None:
        return
    wanda, exact = look.at(PRINTED, 1, WANDA), look.at(PRINTED, 1, EXACT)
    cancels = noise["spearman_low"] > 0.999
    begin = (
        "With one direction and one minibatch the loss cancels" if cancels else "With one direction and one minibatch"
    )
    yield (
        f"{begin}: of the {look.words} that “as printed” (but that only the blocks' linears are perturbed) cuts at "
        f"{100 * look.share:.0f} % of each block, its "
        f"noise-only control, which sees no loss, cuts {_per_cent(noise)} too, Wanda {_per_cent(wanda)}, and the same "
        f"formula with the exact gradient {_per_cent(exact)} ({look.chance})."
    )
    unit = look.at(UNIT, 1, WANDA)
    if unit is not None:
        same = "is Wanda" if unit["spearman_low"] > 0.999 else "is not quite Wanda here"
        yield f"With z = ±1 it {same}: rank correlation {_ranged(unit)}."


def _more(look: _Look) -> Iterator[str]:
    """Whether more directions tell more than noise, and more than Wanda."""
    n = look.most(PRINTED)
    most, control = look.at(PRINTED, n, EXACT), look.at(PRINTED, n, CONTROL)
    if n < 2 or most is None or control is None:
        return
    added = most["spearman"] - control["spearman"]
    apart = most["spearman_low"] > control["spearman_high"] or most["spearman_high"] < control["spearman_low"]
    verdict = (
        f"so the losses change it by {_two(added, '+')}"
        if apart
        else "so the losses add nothing beyond the spread of the seeds"
    )
    yield (
        f"With {n} directions its rank correlation with the exact scores is {_ranged(most)}, that of its control "
        f"{_ranged(control)}: {verdict}."
    )
    reference = look.at("wanda", 0, EXACT)
    if reference is not None:
        yield _against_wanda(look, float(reference["spearman"]))


def _against_wanda(look: _Look, reference: float) -> str:
    s, over_weights = look.summary, [label for label in WORDS if label.startswith("fms-zo")]
    tried = s[(s["against"] == EXACT) & (s["directions"] > 1) & s["label"].isin(over_weights)]
    best = tried.loc[tried["spearman"].idxmax()]
    margin = best["spearman"] - reference
    equal = _two(best["spearman"]) == _two(reference)  # what reads alike is not called more or less
    than = "level with it" if equal else f"{'above' if margin > 0 else 'below'} it"
    return (
        f"Wanda, which has no gradient, stands at {_two(reference)}; the best of the estimates over weights "
        f"in which losses count ({WORDS[best['label']]}, {best['directions']} z) is {than}, at {_ranged(best)}."
    )


def _by_groups(look: _Look) -> Iterator[str]:
    """One unknown a group: does it converge?"""
    n = look.most(BY_GROUPS)
    found, control = look.at(BY_GROUPS, n, EXACT), look.at(BY_GROUPS, n, CONTROL)
    if found is None or control is None:
        return
    begins = (
        "sees the gradient" if found["spearman_low"] > max(control["spearman_high"], 0.1) else "does not see it yet"
    )
    yield (
        f"With one unknown a group instead of one a weight, {n} directions reach {_ranged(found)} with the exact "
        f"derivative of these masks, without the loss {_ranged(control)}: for {look.words} the estimate {begins}."
    )


def _derivatives(look: _Look) -> Iterator[str]:
    """Whether c itself is right."""
    draws = {"weights": ("gaussian", "rademacher"), "masks": ("groups",)}
    pairs = {what: found for what, names in draws.items() if (found := look.found.derivatives(*names))}
    if not pairs:
        return
    errors = {what: derivative_error(found) for what, found in pairs.items()}
    told = ", ".join(f"over {what} by {100 * errors[what]:.2g} % ({len(pairs[what])} directions)" for what in pairs)
    right = max(errors.values()) < RIGHT
    verdict = (
        "So c is right; what is wrong with the estimate is that one right number must fill as many unknowns as z has."
        if right
        else "So c itself is off here: measure in float32, or on more rows."
    )
    yield (
        "Each c is a directional derivative, and backprop knows the truth of it, ⟨g, z⟩. They differ "
        f"{told}, root mean square. {verdict}"
    )


HEAD = (
    "setting",
    "z",
    "seeds",
    "Spearman, exact",
    "its control",
    "overlap with exact",
    "with wanda",
    "with llm-pruner",
    "with control",
)


def trial_table(found: Findings, kind: str, share: float) -> str:
    """Every setting and number of directions: medians over the seeds, ranges in parentheses."""
    summary = over_seeds(found.trials, share)
    look = _Look(found, kind, share, summary[summary["kind"] == kind])
    names = {**{name: name for name in ("wanda", "fms-bp", "llm-pruner")}, **WORDS}
    rows = [
        _cells(look, label, name, n)
        for label, name in names.items()
        for n in sorted(look.summary[look.summary["label"] == label]["directions"].unique())
    ]
    return html_table(HEAD, rows, f"{look.words.capitalize()}, {100 * share:.0f} % of each block ({look.chance})")


def _cells(look: _Look, label: str, name: str, n: int) -> tuple[str, ...]:
    exact, control = look.at(label, n, EXACT), look.at(label, n, CONTROL)
    correlations = ["" if row is None else _short(row, "spearman", 1, "") for row in (exact, control)]
    overlaps = [
        "" if (row := look.at(label, n, against)) is None else _short(row, "overlap", 100, " %")
        for against in (EXACT, WANDA, PRUNER, NOISE)
    ]
    seeds = look.summary[(look.summary["label"] == label) & (look.summary["directions"] == n)]["seeds"].max()
    return (name, str(n) if n else "–", str(seeds) if n else "–", *correlations, *overlaps)


def _short(row: pd.Series, column: str, scale: int, unit: str) -> str:
    """A median with its range in a few characters."""
    if pd.isna(row[column]):
        return "–"
    digits = 2 if scale == 1 else 0
    values = (scale * row[name] for name in (column, f"{column}_low", f"{column}_high"))
    middle, low, high = (f"{value:.{digits}f}".replace("-", "−") for value in values)
    return f"{middle}{unit}" + (f" ({low} to {high})" if row["seeds"] > 1 else "")
