"""Reading blind: a ballot for one exhibit at a time, votes kept with the run, and their tally.

A vote says which answer is best and which the reader takes for the pruned model's; it lifts the veil for everyone who
looks at the run. Whether pruned answers are told apart is then a count, beside what guessing would give. Counts are
small here, so each share stands with an interval.
"""

import math
from dataclasses import dataclass

from minillm.errors import BadInput
from minillm.store.records import PRUNED
from minillm.store.store import Store

from ..shell.templates import html_table, paragraph
from ..views.generations import LETTERS, Exhibit, Names, shuffled, unveiled

TIE, BAD = "tie", "bad"
"""In place of a best answer: they are equally good, or none is any good."""
UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Ballot:
    """What a reader is asked about one exhibit. name: of the ballot, "JOB:NUMBER"; letters: of its columns."""

    name: str
    prompt: str
    letters: list[str]


def ballot(shown: list[Exhibit]) -> Ballot | None:
    """The ballot of the first exhibit that has ended and is still veiled; None where there is none."""
    for one in shown:
        if one.veiled and one.ended:
            return Ballot(f"{one.job}:{one.number}", one.prompt, [column.variant for column in one.columns])
    return None


def vote(store: Store, run_id: str, name: str, best: str, pruned: str) -> None:
    """Vote on a blind exhibit and lift its veil.

    name: of the ballot; best: the letter of the best answer, "tie" where they are equally good, "bad" where none is any
    good; pruned: the letter of the answer taken for the pruned model's, or "cannot tell".
    """
    one = _asked(store, run_id, name)
    order = shuffled(run_id, one)
    letters = dict(zip(LETTERS, order, strict=False))
    for what, given, others in (("the best answer", best, (TIE, BAD)), ("the pruned one", pruned, (UNKNOWN,))):
        if given not in (*letters, *others):
            raise BadInput(f"Say which is {what}: {', '.join(letters)}, or “{'” or “'.join(others)}”.")
    data = {
        "job": one.job,
        "number": one.number,
        "shown": [column.variant for column in order],
        "pruned": [column.variant for column in order if column.kind == PRUNED],
        "best": letters[best].variant if best in letters else "",
        "bad": best == BAD,
        "guess": letters[pruned].variant if pruned in letters else "",
    }
    store.add_result(run_id, "vote", data, one.job)


def _asked(store: Store, run_id: str, name: str) -> Exhibit:
    """The exhibit a ballot is about. Raises BadInput where there is none to vote on."""
    job, _, number = name.partition(":")
    if not (job.isdigit() and number.isdigit()):
        raise BadInput("There is nothing to vote on; let variants answer blind first.")
    one = unveiled(store, run_id, int(job), int(number))
    votes = [result.data for result in store.results(run_id, "vote")]
    if not one.veiled or not one.ended or any((v["job"], v["number"]) == (one.job, one.number) for v in votes):
        raise BadInput("That answer was voted on already, or was not written blind; nothing was changed.")
    return one


@dataclass(frozen=True)
class Tally:
    """All votes of a run. bad of votes: none was any good; shown, best, taken: {variant: how often it was on a ballot,
    was best, was taken for pruned}; right of guesses: how often the pruned one was told; chance: how often guessing
    would have."""

    votes: int
    bad: int
    shown: dict[str, int]
    best: dict[str, int]
    taken: dict[str, int]
    right: int
    guesses: int
    chance: float


def tally(store: Store, run_id: str) -> Tally:
    """Count the votes of a run."""
    votes = [result.data for result in store.results(run_id, "vote")]
    names = dict.fromkeys(name for vote in votes for name in vote["shown"])
    guessed = [vote for vote in votes if vote["guess"] and vote["pruned"]]
    return Tally(
        votes=len(votes),
        bad=sum(vote.get("bad", False) for vote in votes),
        shown={name: sum(name in vote["shown"] for vote in votes) for name in names},
        best={name: sum(vote["best"] == name for vote in votes) for name in names},
        taken={name: sum(vote["guess"] == name for vote in votes) for name in names},
        right=sum(vote["guess"] in vote["pruned"] for vote in guessed),
        guesses=len(guessed),
        chance=sum(len(vote["pruned"]) / len(vote["shown"]) for vote in guessed),
    )


def tally_html(store: Store, run_id: str) -> str:
    """The tally as a sentence and a table; empty before the first vote."""
    found, names = tally(store, run_id), Names(store, run_id)
    if not found.votes:
        return ""
    rows = [(names.of(one)[0], *_counted(found, one)) for one in found.shown]
    head = ("variant", "on a ballot", "best", "share, 95 % interval", "taken for the pruned one")
    return paragraph(_sentence(found)) + html_table(head, rows, "Blind votes in this run", "votes")


def _counted(found: Tally, one: str) -> tuple[str, ...]:
    shown, best = found.shown[one], found.best[one]
    return f"{shown}", f"{best}", f"{100 * best / shown:.0f} %, {_between(best, shown)}", f"{found.taken[one]}"


def _sentence(found: Tally) -> str:
    ties = found.votes - found.bad - sum(found.best.values())
    said = f"{found.votes} blind vote{'' if found.votes == 1 else 's'} in this run: {ties} a tie, {found.bad} for none."
    if not found.guesses:
        return said
    told = f"The pruned one was told {found.right} of {found.guesses} times ({_between(found.right, found.guesses)})"
    return f"{said} {told}; guessing gives {found.chance:.1f} ({100 * found.chance / found.guesses:.0f} %)."


def _between(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"{100 * low:.0f}–{100 * high:.0f} %"


def wilson(count: int, of: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share that was seen `count` times in `of` > 0 (Wilson 1927, without a correction for
    continuity): within 0 … 1, and no point even where all or none were. z: of the normal distribution, 95 % at first.
    """
    share, pull = count / of, z * z / of
    middle = (share + pull / 2) / (1 + pull)
    half = z * math.sqrt(share * (1 - share) / of + pull / (4 * of)) / (1 + pull)
    return max(0.0, middle - half), min(1.0, middle + half)
