"""Reading blind: a ballot for one exhibit at a time, votes kept with the run, and their tally.

A vote says which answer is best and which the reader takes for the pruned model's; it lifts the veil for everyone who
looks at the run. Whether pruned answers are told apart is then a count, beside what guessing would give.
"""

from dataclasses import dataclass

from minillm.errors import BadInput
from minillm.store.records import PRUNED
from minillm.store.store import Store

from ..shell.templates import html_table, paragraph
from ..views.generations import LETTERS, Exhibit, Names, shuffled, unveiled

NONE = "no difference"
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

    name: of the ballot; best: the letter of the best answer, or "no difference"; pruned: the letter of the answer taken
    for the pruned model's, or "cannot tell".
    """
    one = _asked(store, run_id, name)
    order = shuffled(run_id, one)
    letters = dict(zip(LETTERS, order, strict=False))
    for given, other in ((best, NONE), (pruned, UNKNOWN)):
        if given != other and given not in letters:
            raise BadInput(f"Choose one of {', '.join(letters)}, or “{other}”.")
    data = {
        "job": one.job,
        "number": one.number,
        "shown": [column.variant for column in order],
        "pruned": [column.variant for column in order if column.kind == PRUNED],
        "best": letters[best].variant if best in letters else "",
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
    """All votes of a run. shown, best, taken: {variant: how often it was on a ballot, was best, was taken for pruned};
    right of guesses: how often the pruned one was told; chance: how often guessing would have."""

    votes: int
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
    rows = [
        (names.of(one)[0], f"{found.shown[one]}", f"{found.best[one]}", f"{found.taken[one]}") for one in found.shown
    ]
    head = ("variant", "on a ballot", "best", "taken for the pruned one")
    return paragraph(_sentence(found)) + html_table(head, rows, "Blind votes in this run", "votes")


def _sentence(found: Tally) -> str:
    undecided = found.votes - sum(found.best.values())
    said = f"{found.votes} blind vote{'' if found.votes == 1 else 's'} in this run, {undecided} without a best answer."
    if not found.guesses:
        return said
    return f"{said} The pruned one was told {found.right} of {found.guesses} times; guessing gives {found.chance:.1f}."
