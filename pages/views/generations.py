"""What variants wrote, read from the store: one exhibit a prompt, one column a variant.

Finished texts come from the run's results, those being written from the live job's events; both become the same
columns, so nothing moves when a text is done, after a reload, or for someone else who looks. What a job asked to be
shown blind is veiled here, before anything is drawn or exported: a column then knows no more than its letter.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from minillm.errors import BadInput
from minillm.recipes.requests import GenerateRequest
from minillm.store.records import ORIGINAL, PRUNED, Job, Result
from minillm.store.store import Store

WAITING, WRITING, DONE, CUT_OFF = "waiting", "writing", "done", "cut off"
FACTS = ("tokens", "prompt_tokens", "stopped", "seconds", "tokens_per_second", "prompt_perplexity")
LETTERS = "ABCDEFGHIJKLMNOPQRST"
VEILED = "veiled"
"""The kind of a column of which only the letter is known."""


@dataclass(frozen=True)
class Column:
    """One variant's text.

    variant: as the job names it; label: what to call it; kind: original, pruned, recovered, or `VEILED`;
    facts: what was measured (see `FACTS`), empty until it is done; pieces, log_probs: the text token by token, and
    their log-probabilities under the original in nats, empty where they are not known.
    """

    variant: str
    text: str = ""
    state: str = WAITING
    facts: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    kind: str = PRUNED
    pieces: tuple[str, ...] = ()
    log_probs: tuple[float, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more is coming."""
        return self.state in (DONE, CUT_OFF)

    @property
    def surprise(self) -> float | None:
        """Mean surprise of the original over the tokens, in nats; None where it is not known."""
        return -sum(self.log_probs) / len(self.log_probs) if self.log_probs else None


@dataclass(frozen=True)
class Exhibit:
    """One prompt of one job with what every variant made of it. veiled: who wrote what waits for a vote."""

    job: int
    number: int
    prompt: str
    settings: dict[str, Any]
    columns: tuple[Column, ...]
    veiled: bool = False

    @property
    def compared_with(self) -> Column | None:
        """The column all others are held against: the original's, else the first; None where it is not to be known."""
        if self.veiled or len(self.columns) < 2:
            return None
        return next((column for column in self.columns if column.variant == ORIGINAL), self.columns[0])

    @property
    def ended(self) -> bool:
        """Whether all columns have ended."""
        return all(column.ended for column in self.columns)


def exhibits(store: Store, run_id: str) -> list[Exhibit]:
    """All exhibits of a run, the newest job first, its prompts in their order; those to be judged blind are veiled."""
    voted = {(result.data["job"], result.data["number"]) for result in store.results(run_id, "vote")}
    names = Names(store, run_id)
    return [
        names.told(
            veil(run_id, one) if one.veiled and (one.job, one.number) not in voted else replace(one, veiled=False)
        )
        for one in _found(store, run_id)
    ]


def veil(run_id: str, one: Exhibit) -> Exhibit:
    """An exhibit with its columns shuffled, the same way at every look, and nothing that tells who wrote them."""
    columns = shuffled(run_id, one)
    told = [Column(LETTERS[i], c.text, c.state, label=LETTERS[i], kind=VEILED) for i, c in enumerate(columns)]
    return replace(one, columns=tuple(told), veiled=True)


def shuffled(run_id: str, one: Exhibit) -> list[Column]:
    """The columns of an exhibit in the order in which they are shown blind."""
    return random.Random(f"{run_id} {one.job} {one.number}").sample(one.columns, len(one.columns))


def unveiled(store: Store, run_id: str, job: int, number: int) -> Exhibit:
    """An exhibit as it is, voted on or not. Raises BadInput where there is none."""
    for one in _found(store, run_id):
        if (one.job, one.number) == (job, number):
            return Names(store, run_id).told(one)
    raise BadInput("That answer is not there any more; its run may have been deleted.")


def _found(store: Store, run_id: str) -> list[Exhibit]:
    kept: dict[int, list[Result]] = {}
    for result in store.results(run_id, "generation"):
        kept.setdefault(result.job_id or 0, []).append(result)
    jobs = {job.id: job for job in store.jobs(run_id) if job.kind == "generate"}
    read = {_place(result): result.data for result in store.results(run_id, "surprise")}
    found = []
    for number in sorted({*kept, *jobs}, reverse=True):
        done = {_place(result)[1:]: _done(result, read.get(_place(result), {})) for result in kept.get(number, [])}
        job = jobs.get(number)
        found += _of_job(store, job, done) if job else _kept_only(number, kept[number], done)
    return found


Columns = dict[tuple[str, int], Column]
"""{(variant, number of the prompt): its column}"""


def _place(result: Result) -> tuple[int, str, int]:
    return (result.job_id or 0, result.data["variant"], result.data["number"])


def _of_job(store: Store, job: Job, done: Columns) -> list[Exhibit]:
    request = job.request
    assert isinstance(request, GenerateRequest)
    begun = {} if len(done) == len(request.variants) * len(request.prompts) else _begun(store, job)
    idle, found = WAITING if job.live else CUT_OFF, []
    for number, prompt in enumerate(request.prompts):
        places = [(variant, number) for variant in request.variants]
        columns = tuple(done.get(place) or begun.get(place) or Column(place[0], state=idle) for place in places)
        found.append(Exhibit(job.id, number, prompt, request.settings, columns, request.blind))
    return found if job.live else [one for one in found if any(column.text for column in one.columns)]


def _begun(store: Store, job: Job) -> Columns:
    """From the latest event of each."""
    state = WRITING if job.live else CUT_OFF
    payloads = [event.payload for event in store.events(job.id, stages=["generate:"]) if event.payload]
    return {(p["variant"], p["prompt"]): Column(p["variant"], p["text"], state) for p in payloads}


def _done(result: Result, read: dict[str, Any]) -> Column:
    facts = {name: result.data.get(name) for name in FACTS}
    pieces, log_probs = (tuple(read.get(name, ())) for name in ("pieces", "log_probs"))
    return Column(result.data["variant"], result.data["text"], DONE, facts, pieces=pieces, log_probs=log_probs)


def _kept_only(job: int, kept: list[Result], done: Columns) -> list[Exhibit]:
    """Exhibits whose job is not there any more (an imported run)."""
    data = {result.data["number"]: result.data for result in kept}
    return [
        Exhibit(job, n, d["prompt"], d["settings"], tuple(column for place, column in done.items() if place[1] == n))
        for n, d in sorted(data.items())
    ]


class Names:
    """What to call the variants that answered in a run: its own by name, others with the title of their run."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._known = {variant.name: (variant.name, variant.kind) for variant in store.variants(run_id)}

    def told(self, one: Exhibit) -> Exhibit:
        """An exhibit with label and kind of every column that has none yet."""
        named = []
        for column in one.columns:
            label, kind = (column.label, column.kind) if column.label else self.of(column.variant)
            named.append(replace(column, label=label, kind=kind))
        return replace(one, columns=tuple(named))

    def of(self, reference: str) -> tuple[str, str]:
        """(label, kind) of a variant as a job names it; of one that is gone, what can still be said."""
        if reference not in self._known:
            self._known[reference] = self._elsewhere(reference)
        return self._known[reference]

    def _elsewhere(self, reference: str) -> tuple[str, str]:
        try:
            run_id, name = self._store.located(self._run_id, reference)
            run = self._store.run(run_id)
            return f"{name} of {run.title or run.id}", self._store.variant(run_id, name).kind
        except BadInput:
            return f"{reference} (deleted)", PRUNED
