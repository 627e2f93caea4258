"""Accuracy on the field's tasks, by the field's harness (lm-eval), of a model as it is in memory.

The harness asks a model for all answers in one call, which can neither be watched nor stopped. So it is run twice
around our own reading: once with a model that only notes the questions, then each is answered here, a few at a time,
by the harness's own reader for transformers models, and at last with a model that looks the answers up. Wording,
tokens, metrics and errors are the harness's, to the last bit.
"""

import contextlib
import copy
import io
import logging
import math
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from typing import Any

import torch

from ..alone import alone
from ..checks import as_in
from ..errors import BadInput, NumericalFault, UnknownName
from ..events import NOTE, RESULT, Event, Events, finish
from ..models.loaded import LoadedModel
from ..recipes.requests import EvaluateRequest
from ..recipes.tasks import BENCHMARKS, HUB, Benchmark
from ..text.hub import asking
from ..text.tokens import token_ids
from ..walk.view import eval_view
from .task_rows import local_rows

BATCH = 8
AT_ONCE = 64
"""Questions between two events."""

GROUP = "asked"

MMLU_PARTS = {
    "mmlu_stem_tasks": "STEM",
    "mmlu_humanities_tasks": "Humans",
    "mmlu_social_sciences_tasks": "Social",
    "mmlu_other_tasks": "Other",
}
"""The harness's tags for groups of subjects, and the columns of the paper's Table 4."""

Answer = tuple[float, bool]
"""Log-probability of a continuation in nats, and whether greedy writing would have given it."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on a task, with what makes it comparable.

    acc, acc_norm: shares of questions answered rightly, by likelihood and by likelihood a byte (None where the task
    has none); stderr: of either; items: questions; shots: examples before each; chance: what guessing gives;
    source: "hub" or "local"; parts: {part: acc} where the task has parts; harness: its version; dtype: of the
    weights; note: a sentence about what makes the number doubtful.
    """

    task: str
    acc: float
    acc_stderr: float
    acc_norm: float | None
    acc_norm_stderr: float | None
    items: int
    shots: int
    chance: float
    source: str
    harness: str
    dtype: str
    parts: dict[str, float] = field(default_factory=dict)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold."""
        return asdict(self)


def accuracy(lm: LoadedModel, task: str, limit: int | None = None, data: str = HUB, confined: bool = False) -> Accuracy:
    """Accuracy of a model on a task.

    task: a name in `tasks.BENCHMARKS`; limit: the first so many questions (of each subject of MMLU; None: all);
    data: "hub", or a folder of data sets. Raises UnknownName, BadInput, OutOfReach, and NumericalFault where an answer
    is not a number.
    """
    return finish(accuracy_events(lm, task, limit, data, confined))


def accuracy_events(
    lm: LoadedModel, task: str, limit: int | None = None, data: str = HUB, confined: bool = False
) -> Events:
    """`accuracy` as events: Event("TASK", questions read, questions)."""
    if task not in BENCHMARKS:
        raise UnknownName("task", task, BENCHMARKS)
    as_in(EvaluateRequest, limit=limit, data=data)
    if lm.tokenizer is None:
        raise BadInput(f"Tasks are read as text, and {lm.source} has no tokenizer; give a model that has one.")
    yield Event(f"reading {task}", 0, 1)
    with _quiet():
        given = _tasks(BENCHMARKS[task], data, confined)
        asked = _evaluated(_Asking(), given, limit)[1]
    answers: dict[tuple[str, str], Answer] = {}
    with contextlib.closing(_answered(lm, asked)) as pieces:
        for piece in pieces:
            answers |= piece
            yield Event(task, len(answers), len(asked))
    with _quiet():
        found = _evaluated(_Answering(answers), given, limit)[0]
    summed = _summed(lm, BENCHMARKS[task], found, "hub" if data == HUB else "local")
    if summed.note:
        yield Event(task, len(answers), len(asked), {NOTE: summed.note})
    yield Event(RESULT, 1, 1, summed)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The harness warns of what is asked of it on purpose, and draws bars of steps that take no time."""
    logger = logging.getLogger("lm_eval")
    with alone():
        before = logger.level
        logger.setLevel(logging.ERROR)
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                yield
        finally:
            logger.setLevel(before)


@cache
def _manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _tasks(benchmark: Benchmark, data: str, confined: bool) -> dict[str, Any]:
    """{name: a task of the harness}: one, or one for each subject."""
    rows = {} if data == HUB else local_rows(benchmark.name, data, confined)
    names = _subjects() if benchmark.name == "mmlu" else [benchmark.name]
    if rows and benchmark.name == "mmlu":
        _check_subjects(rows, names, benchmark.shots)
    members = []
    for name in names:
        mine = _of_subject(rows, name) if rows and benchmark.name == "mmlu" else rows
        if rows and not mine["test" if benchmark.name == "mmlu" else "validation"]:
            continue
        own = {"custom_dataset": _given(mine), "training_split": None, "metadata": {}} if rows else {}
        members.append({"task": name, "num_fewshot": benchmark.shots, **own})
    with asking(benchmark.label):
        # As members of a group of ours: the harness then lays what is given over each task's own settings.
        loaded: dict[str, Any] = _manager().load([{"group": GROUP, "task": members}])["tasks"]
    return loaded


def _subjects() -> list[str]:
    index = _manager().task_index
    return sorted(name for name, entry in index.items() if name.startswith("mmlu_") and entry.tags & MMLU_PARTS.keys())


def _check_subjects(rows: dict[str, list[dict]], names: list[str], shots: int) -> None:
    """Raise BadInput where a subject is none of the task's, or has fewer examples than are shown: its questions would
    be left out."""
    examples = Counter(row["subject"] for row in rows["dev"])
    for subject in dict.fromkeys(row["subject"] for row in rows["test"]):
        if f"mmlu_{subject}" not in names:
            raise UnknownName("subject", subject, [name.removeprefix("mmlu_") for name in names])
        if examples[subject] < shots:
            raise BadInput(
                f"The subject {subject} has {examples[subject]} examples in the dev file; give the {shots} that are "
                "shown before each question."
            )


def _of_subject(rows: dict[str, list[dict]], name: str) -> dict[str, list[dict]]:
    subject = name.removeprefix("mmlu_")
    return {split: [row for row in found if row["subject"] == subject] for split, found in rows.items()}


def _given(rows: dict[str, list[dict]]) -> Any:
    """What the harness calls for its data."""
    from datasets import Dataset, DatasetDict

    return lambda **_: DatasetDict({split: Dataset.from_list(found) for split, found in rows.items()})


def _evaluated(model: Any, tasks: dict[str, Any], limit: int | None) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """(results by task, what was asked) of one run of the harness."""
    from lm_eval.evaluator import evaluate

    lm = _in_the_harness(model)
    found: Any = evaluate(lm=lm, task_dict={"tasks": tasks, "groups": {}}, limit=limit, log_samples=False)
    counts = {name: n["effective"] for name, n in found["n-samples"].items()}
    return {name: {**one, "items": counts[name]} for name, one in found["results"].items()}, model.seen


class _Asking:
    """Notes every question once, and knows no answer."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], None] = {}

    @property
    def seen(self) -> list[tuple[str, str]]:
        """(context, continuation) in order."""
        return list(self._seen)

    def answer(self, asked: tuple[str, str]) -> Answer:
        """Nothing yet."""
        self._seen[asked] = None
        return 0.0, False


class _Answering(_Asking):
    """Looks every answer up."""

    def __init__(self, answers: dict[tuple[str, str], Answer]) -> None:
        super().__init__()
        self._answers = answers

    def answer(self, asked: tuple[str, str]) -> Answer:
        """What the model said."""
        return self._answers[asked]


def _in_the_harness(model: _Asking) -> Any:
    """The model as the harness takes one. Its class is the harness's, so that it is made where that is imported."""
    from lm_eval.api.model import LM

    class Looked(LM):
        def loglikelihood(self, requests: list[Any], **_: Any) -> list[Answer]:
            return [model.answer(request.args) for request in requests]

        def loglikelihood_rolling(self, requests: list[Any], **_: Any) -> list[float]:
            raise BadInput("Only tasks with choices are measured here.")

        def generate_until(self, requests: list[Any], **_: Any) -> list[str]:
            raise BadInput("Only tasks with choices are measured here.")

    return Looked()


def _answered(lm: LoadedModel, asked: list[tuple[str, str]]) -> Generator[dict[tuple[str, str], Answer], None, None]:
    """The model's answers, the longest questions first, those with one context together (it is then read once)."""
    from lm_eval.api.instance import Instance

    reader = _reader(lm)
    ordered = sorted(asked, key=lambda one: (-len(one[0]), one[0]))
    for start in range(0, len(ordered), AT_ONCE):
        piece = ordered[start : start + AT_ONCE]
        requests = [Instance("loglikelihood", {}, one, 0) for one in piece]
        with torch.inference_mode(), _answers_checked():
            found = reader.loglikelihood(requests, disable_tqdm=True)
        if any(math.isnan(value) for value, _ in found):
            raise NumericalFault("An answer's likelihood is not a number; load the model in float32.")
        yield dict(zip(piece, [(float(value), bool(greedy)) for value, greedy in found], strict=True))


def _reader(lm: LoadedModel) -> Any:
    """The harness's reader of this model, with a tokenizer of its own (it adds a word for padding where there is none)
    and our door to it."""
    from lm_eval.models.huggingface import HFLM

    class Reader(HFLM):
        def tok_encode(self, string: str, *given: Any, **named: Any) -> list[int]:
            token_ids(string, lm)
            return super().tok_encode(string, *given, **named)

    model, words = eval_view(lm).model, copy.deepcopy(lm.tokenizer)
    with _quiet():
        return Reader(pretrained=model, tokenizer=words, batch_size=BATCH, device=str(lm.device))


@contextlib.contextmanager
def _answers_checked() -> Iterator[None]:
    """The harness asserts that each answer has a token and fits into the model's window."""
    try:
        yield
    except AssertionError as fault:
        raise BadInput(
            "An answer among the questions has no token of its own, or more than this model takes at once; leave that "
            "question out, or give a model with a longer window."
        ) from fault


def _summed(lm: LoadedModel, benchmark: Benchmark, found: dict[str, Any], source: str) -> Accuracy:
    """One accuracy of one task, or of all subjects, each question counting alike."""
    sizes = [one["items"] for one in found.values()]
    acc, spread = _pooled(found, "acc", sizes)
    norm, norm_spread = _pooled(found, "acc_norm", sizes)
    assert acc is not None and spread is not None
    return Accuracy(
        task=benchmark.name,
        acc=acc,
        acc_stderr=spread,
        acc_norm=norm,
        acc_norm_stderr=norm_spread,
        items=sum(sizes),
        shots=benchmark.shots,
        chance=benchmark.chance,
        source=source,
        harness=f"lm-eval {metadata.version('lm-eval')}",
        dtype=str(lm.dtype).removeprefix("torch."),
        parts=_parts(found) if benchmark.name == "mmlu" else {},
        note=_doubt(benchmark, acc, sum(sizes)),
    )


def _doubt(benchmark: Benchmark, acc: float, items: int) -> str:
    if acc or items < 2:
        return ""
    return (
        f"None of {items:,} answers to {benchmark.label} is right, where guessing gets {benchmark.chance:.0%} of them; "
        "check that the labels are those of this task."
    )


def _pooled(found: dict[str, Any], metric: str, sizes: list[int]) -> tuple[float | None, float | None]:
    """Mean over all questions, and its standard error, from those of each subject."""
    from lm_eval.api.metrics import aggregate_subtask_metrics, pooled_sample_stderr

    values = [one.get(f"{metric},none") for one in found.values()]
    if None in values:
        return None, None
    errors = [one.get(f"{metric}_stderr,none") for one in found.values()]
    known = all(isinstance(error, float) for error in errors)
    spread = errors[0] if len(errors) == 1 else pooled_sample_stderr(errors, sizes) if known else math.nan
    return float(aggregate_subtask_metrics(values, sizes)), float(spread) if isinstance(spread, float) else math.nan


def _parts(found: dict[str, Any]) -> dict[str, float]:
    index, parts = _manager().task_index, {}
    for tag, label in MMLU_PARTS.items():
        mine = {name: one for name, one in found.items() if tag in index[name].tags}
        if mine:
            parts[label] = float(_pooled(mine, "acc", [one["items"] for one in mine.values()])[0] or 0.0)
    return parts
