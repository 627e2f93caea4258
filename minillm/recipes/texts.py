"""Text names: what each means, where it comes from, and when two of them are the same. Nothing is read here.

A name is one of the table `TEXTS`, or `file:PATH[#column]`, or `hub:NAME[:config[:split[:column]]]`, or several of
these in equal shares, `instructions + python-docs`. Every text has three parts that never overlap: calibration (what
scores are measured on), recovery (what is trained on) and evaluation. `parse` turns a name into a `Source`; the modules
of `text` read it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import python_version
from typing import Any

from ..errors import BadInput, UnknownName
from .models import allowed_path

PARTS = ("calibration", "recovery", "evaluation")
DEAL = ("calibration", "calibration", "recovery", "evaluation")
SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")
MOST_BYTES = 16 * 2**20
"""Of a text's file, also of an upload: about 4 million tokens; tokenising a text as a whole takes some 140 bytes of
memory for each of its own."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_PIECE = re.compile(r"[A-Za-z0-9][\w.-]{0,95}")
PLUS = " + "


@dataclass(frozen=True)
class HubSet:
    """A data set on the hub.

    repository, config, revision: what `datasets.load_dataset` is given; splits: of calibration, recovery and
    evaluation; deal: how the rows of a split that several parts share are dealt to them; column: where the text is
    (None: text, content or Alpaca's three); stream: read as far as needed instead of fetched whole;
    characters: a part is read up to here; licence; about: one line for people.
    """

    repository: str
    config: str | None = None
    splits: tuple[str, str, str] = ("train", "train", "train")
    column: str | None = None
    revision: str | None = None
    stream: bool = False
    deal: tuple[str, ...] = DEAL
    characters: int = 8_000_000
    licence: str = ""
    about: str = ""

    def split(self, part: str) -> str:
        """The split a part is read from."""
        return self.splits[PARTS.index(part)]

    def turns(self, part: str) -> tuple[str, ...]:
        """Whose turn it is in the split of this part: `deal` without the parts that read another split."""
        return tuple(p for p in self.deal if self.split(p) == self.split(part))


_OWN_SPLITS = ("train", "validation", "test")

HUB_SETS: dict[str, HubSet] = {
    "wikitext2": HubSet(
        "Salesforce/wikitext",
        "wikitext-2-raw-v1",
        _OWN_SPLITS,
        "text",
        licence="CC BY-SA 3.0",
        about="WikiText-2, raw (the paper's tables)",
    ),
    "ptb": HubSet(
        "ptb-text-only/ptb_text_only",
        splits=_OWN_SPLITS,
        column="sentence",
        revision="refs/convert/parquet",
        licence="LDC's, not free to redistribute",
        about="Penn Treebank, Mikolov's form (the paper's tables)",
    ),
    "bookcorpus": HubSet(
        "rojagtap/bookcorpus",
        column="text",
        stream=True,
        licence="not stated",
        about="BookCorpus, novels (the paper's calibration text)",
    ),
    "c4": HubSet(
        "allenai/c4",
        "en",
        ("train", "train", "validation"),
        "text",
        stream=True,
        licence="ODC-BY",
        about="C4, English web pages",
    ),
    "alpaca-cleaned": HubSet(
        "yahma/alpaca-cleaned",
        deal=("calibration", *["recovery"] * 8, "evaluation"),
        characters=16_000_000,
        licence="CC BY-NC 4.0",
        about="Alpaca-cleaned, instructions with answers (the paper's recovery text)",
    ),
}
"""Short names of the paper's data sets. Two hub originals are loading scripts, which are never executed here: `ptb` is
read from the hub's own parquet conversion of it, `bookcorpus` from a parquet copy."""

BUILT_IN = {
    "python-docs": "Python's own documentation, on every machine",
    "python-code": "the code of Python's standard library, on every machine",
    "self": "sampled from the model itself",
    "stories": "stories begun here and told by the model itself",
    "instructions": "bundled instructions answered by the model itself",
}

TEXTS: dict[str, str] = {**BUILT_IN, **{name: hub.about for name, hub in HUB_SETS.items()}}
"""Every built-in name with one line about it, in display order."""

SAMPLED = ("self", "stories")
"""Texts the model writes as long as it is asked to."""

FROM_MODEL = (*SAMPLED, "instructions")
"""Texts the model writes: they need a model, and cannot evaluate one."""

DOMAINS = ("python-docs", "stories", "python-code")
"""Texts of different kinds that are there without a network: prose that explains, prose that tells, code."""

_NEXT = re.compile(r" \+ (?=file:|hub:|(?:" + "|".join(map(re.escape, TEXTS)) + r")(?: \+ |$))")
"""Where the next text of a mixture begins: a file's own name may hold a plus."""


@dataclass(frozen=True)
class Source:
    """What a text name means: one of `BUILT_IN`, or a file with an optional column, or a hub set.

    explicit: a hub name that says its split, which is then read whole for evaluation, as a file is.
    parts: of a mixture, its texts.
    """

    name: str
    path: Path | None = None
    column: str | None = None
    hub: HubSet | None = None
    explicit: bool = False
    parts: tuple["Source", ...] = ()

    @property
    def each(self) -> tuple["Source", ...]:
        """The texts it is made of: itself, where it is no mixture."""
        return self.parts or (self,)

    @property
    def written(self) -> bool:
        """Whether the model writes it, or some of it."""
        return any(one.name in FROM_MODEL for one in self.each)


def parse(name: str) -> Source:
    """Read a text name. Raises UnknownName (near names) or BadInput (a malformed file or hub name, a text twice)."""
    if not isinstance(name, str):
        raise UnknownName("text", name, TEXTS)
    names = _NEXT.split(name)
    if len(names) == 1:
        return _one(name)
    parts = tuple(_one(part.strip()) for part in names)
    named = [part.name for part in parts]
    if len(set(named)) < len(named):
        raise BadInput(f"“{name}” mixes a text with itself; name each once, such as instructions{PLUS}python-docs.")
    return Source(PLUS.join(named), parts=parts)


def _one(name: str) -> Source:
    if name in BUILT_IN:
        return Source(name)
    if name in HUB_SETS:
        return Source(name, hub=HUB_SETS[name])
    kind, colon, rest = name.partition(":")
    if colon and kind == "file":
        return _file(name, rest)
    if colon and kind == "hub":
        return Source(name, hub=HUB_SETS[rest]) if rest in HUB_SETS else _hub(name, rest)
    more = f"Also file:PATH ({', '.join(SUFFIXES)}), hub:NAME, and several of these: one{PLUS}another."
    raise UnknownName("text", name, TEXTS, more)


def is_name(text: str) -> bool:
    """Whether a string given where text is expected names a text instead of being one.

    It does where it has a known form, or is a single word of up to 40 characters (a misspelt name, not a text).
    """
    if text in TEXTS or text.startswith(("file:", "hub:")):
        return True
    return (len(text) <= 40 and len(text.split()) == 1) or text.partition(PLUS)[0] in TEXTS


def _file(name: str, rest: str) -> Source:
    if not rest:
        raise BadInput(f"“{name}” names no file; write file:PATH with a path to a {', '.join(SUFFIXES)} file.")
    path, _, column = rest.rpartition("#")
    if path.lower().endswith(SUFFIXES):
        return Source(name, path=Path(path), column=column)
    if not rest.lower().endswith(SUFFIXES):
        raise BadInput(f"The file {Path(rest).name} is no text that is read here; give one of {', '.join(SUFFIXES)}.")
    return Source(name, path=Path(rest))


def _hub(name: str, rest: str) -> Source:
    repository, *more = rest.split(":")
    if len(more) > 3 or not _REPOSITORY.fullmatch(repository) or ".." in rest:
        raise BadInput(f"“{name}” is no data set name; write hub:NAME[:config[:split[:column]]], NAME like owner/set.")
    for piece in more:
        if piece and not _PIECE.fullmatch(piece):
            raise BadInput(f"“{piece}” in “{name}” has characters that no config, split or column has.")
    config, split, column = (piece or None for piece in (more + [""] * 3)[:3])
    chosen = split or "train"
    hub = HubSet(repository, config, (chosen, chosen, chosen), column, about=repository)
    return Source(name, hub=hub, explicit=split is not None)


def describe(name: str) -> str:
    """Where a text comes from and how its parts are told apart, in a sentence."""
    source = parse(name)
    if source.parts:
        return " ".join(["In equal shares:", *(describe(part.name) for part in source.parts)])
    if source.path is not None:
        column = f", column {source.column}" if source.column else ""
        return (
            f"The file {source.path.name}{column}: its first half calibrates, the third quarter recovers, the last "
            "evaluates; perplexity reads it whole."
        )
    if source.hub is not None:
        return _describe_hub(source.hub)
    return {"python-docs": _describe_docs(), "python-code": _describe_code(), **_DESCRIBED}[name]


_DESCRIBED = {
    "self": "Sampled from the model itself at temperature 1; each part has random numbers of its own.",
    "stories": "Opening words put together at random, and what the model tells from there at temperature 1; each part "
    "has random numbers of its own.",
    "instructions": "The instructions bundled in assets/prompts.json, chat-formatted, answered greedily by the model.",
}


def _describe_docs() -> str:
    return (
        f"The documentation in Python {python_version()}'s standard library (pydoc_data.topics, PSF licence), split by "
        "topic: about half calibrates, a quarter recovers, a quarter evaluates; no paragraph is in two parts."
    )


def _describe_code() -> str:
    return (
        f"The source of Python {python_version()}'s standard library as it lies on this machine (PSF licence; modules "
        "of 2 to 40 kB), split by module: about half calibrates, a quarter recovers, a quarter evaluates."
    )


def _describe_hub(hub: HubSet) -> str:
    config = f", {hub.config}" if hub.config else ""
    splits = ", ".join(f"{part} from {hub.split(part)}" for part in PARTS)
    shared = "" if len(set(hub.splits)) == len(PARTS) else "; parts of one split get different rows"
    licence = f" (licence: {hub.licence})" if hub.licence else ""
    return f"The data set {hub.repository}{config} from the hub{licence}: {splits}{shared}."


def same_text(calibration: str, evaluation: str) -> str:
    """A warning where what calibrates and what evaluates are one text; empty where they are not."""
    said = (_same(one, parse(evaluation)) for one in parse(calibration).each)
    return next((sentence for sentence in said if sentence), "")


def _same(a: Source, b: Source) -> str:
    if a.path is not None and b.path is not None:
        same = allowed_path(a.path, False) == allowed_path(b.path, False)
        return (
            f"{a.path.name} both calibrates and evaluates: perplexity reads it whole, so it has seen the answers."
            if same
            else ""
        )
    if a.hub is not None and b.hub is not None:
        same = (a.hub.repository, a.hub.config) == (b.hub.repository, b.hub.config)
    else:
        same = a.name == b.name
    return (
        f"{b.name} both calibrates and evaluates: no sample is shared, but the style is, which flatters the number."
        if same
        else ""
    )


def text_labels(names: Iterable[str]) -> dict[str, str]:
    """{name: what it is called in a column}: of a file the last folder and the stem, and more where two would be
    alike (ending, column, folders, at last the whole name), so that no two texts are called the same."""
    return told_apart({name: _lengthening(name) for name in names})


def _lengthening(name: str) -> list[str]:
    source = parse(name)
    if source.path is None:
        return [name]
    parts, column = source.path.parts, f"#{source.column}" if source.column else ""
    short = "/".join([*parts[-2:-1], source.path.stem]).lstrip("/")
    longer = ["/".join(parts[-count:]).lstrip("/") for count in range(2, len(parts) + 1)]
    return [short, *longer[:1], *(f"{one}{column}" for one in longer), name]


def told_apart(labels: Mapping[Any, Sequence[str]]) -> dict[Any, str]:
    """{thing: the first of its labels that no other thing has}. labels: of each thing, the shortest first; the last of
    them is its own."""
    level = dict.fromkeys(labels, 0)
    while True:
        found = {thing: labels[thing][at] for thing, at in level.items()}
        alike = {label for label, count in Counter(found.values()).items() if count > 1}
        raised = [thing for thing, label in found.items() if label in alike and level[thing] + 1 < len(labels[thing])]
        if not raised:
            return found
        for thing in raised:
            level[thing] += 1


def checked_text(name: str, confined: bool) -> str:
    """A text name, if it can mean something here; whether it is long enough is known once it is read.

    Raises UnknownName, and BadInput for a file that is not there or may not be read.
    """
    source = parse(name or "")
    if source.path is not None and not allowed_path(source.path, confined).is_file():
        raise BadInput(f"There is no file {source.path}; upload it, or give the path of one on the app's machine.")
    return source.name
