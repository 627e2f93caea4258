"""The accuracy tasks of the paper's tables, as data: how many examples are shown, what guessing gives, where rows lie.

The questions themselves, their wording and how answers are scored are lm-eval's (`evaluation.tasks`), never copied.
"""

from dataclasses import dataclass

from ..checks import Take, line, several
from ..errors import BadInput, UnknownName


@dataclass(frozen=True)
class Benchmark:
    """One task.

    shots: examples shown before each question; chance: accuracy of guessing; files: {split: pattern of its file in a
    folder of data sets}; about: what is asked, in a few words; questions: how many there are; tokens: that one takes
    with all its answers, for the time that is left; subjects: parts that a limit of questions counts for each.
    """

    name: str
    label: str
    shots: int
    chance: float
    files: dict[str, str]
    about: str
    questions: int
    tokens: int
    subjects: int = 1

    def cost(self, limit: int | None) -> float:
        """Tokens pushed through a model for the first so many questions of each subject (None: all)."""
        return float(self.tokens * min(self.questions, (limit or self.questions) * self.subjects))


BENCHMARKS: dict[str, Benchmark] = {
    one.name: one
    for one in (
        Benchmark("boolq", "BoolQ", 0, 0.5, {"validation": "boolq/*.jsonl"}, "yes or no, about a passage", 3270, 180),
        Benchmark("piqa", "PIQA", 0, 0.5, {"validation": "piqa/*.jsonl"}, "which of two ways works", 1838, 100),
        Benchmark(
            "hellaswag",
            "HellaSwag",
            0,
            0.25,
            {"validation": "hellaswag/*.jsonl"},
            "which of four goes on",
            10_042,
            400,
        ),
        Benchmark(
            "winogrande",
            "WinoGrande",
            0,
            0.5,
            {"validation": "winogrande/*.jsonl"},
            "whom a pronoun means",
            1267,
            60,
        ),
        Benchmark(
            "mmlu",
            "MMLU",
            5,
            0.25,
            {"dev": "mmlu/dev.jsonl", "test": "mmlu/test.jsonl"},
            "exams in 57 subjects",
            14_042,
            700,
            57,
        ),
    )
}
"""Every task, in the order of the paper's columns."""

HUB = "hub"
"""Where rows come from unless a folder is named."""


def tasks(name: str, value: object) -> tuple[str, ...]:
    """Names of tasks; none means no task."""
    if isinstance(value, tuple | list) and not value:
        return ()
    return several(_task, len(BENCHMARKS))(name, value)


def _task(name: str, value: object) -> str:
    if value not in BENCHMARKS:
        raise UnknownName("task", str(value), BENCHMARKS)
    return str(value)


def source(empty_is: str = HUB) -> Take:
    """“hub”, or a folder of data sets; whether it is there is known once it is read."""

    def check(name: str, value: object) -> str:
        return line(empty=True)(name, value) or empty_is

    return check


def measured(names: tuple[str, ...], text: str) -> None:
    """Raise BadInput where neither a text nor a task is given."""
    if not names and not text:
        raise BadInput("Nothing is asked for: give a text for perplexity, or tasks, or both.")
