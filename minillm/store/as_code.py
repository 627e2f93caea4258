"""A run as code: all that was done in it, from scoring to exports, as Python of the public API and as commands.

The one idea: a `Course` is read from what the store holds (scores carry their own settings, variants the request they
were made by), so that a run that was imported, and has no jobs, can be written down as well. Both ways of writing give
the same numbers to the last bit on the same machine. Texts that models wrote are left
out: Generate saves them.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from ..criteria.pgp import PGP
from ..criteria.settings import LEARNED, Settings
from ..errors import BadInput
from ..plan.filmstrip import Filmstrip, filmstrip_of
from ..plan.scores import Scores
from ..recipes.requests import ExportRequest, PruneRequest, RecoverRequest, SparsifyRequest
from ..recipes.texts import parse
from .hand_plans import hand_plans
from .records import ORIGINAL, PRUNED, RECOVERED, SPARSE, Run, Variant
from .store import Store

WIDE = 100


@dataclass(frozen=True)
class Scoring:
    """Criteria that were scored on the same text with the same settings.

    folder: where the commands put the scores; text: its name; settings: those that are not the defaults, and the seed
    of the noise; labels: {label in the run: criterion}.
    """

    folder: str
    text: str
    settings: dict[str, Any]
    labels: dict[str, str]


@dataclass(frozen=True)
class Learning:
    """Masks that were learned from scores of the run.

    label: of what was learned; begun: of the scores they began at; folder, settings: as of a `Scoring`; caveat: where
    it comes out otherwise when it is done again, or nothing.
    """

    label: str
    begun: str
    folder: str
    settings: dict[str, Any]
    caveat: str = ""


@dataclass(frozen=True)
class Course:
    """What was done in a run, in an order in which it can be done again.

    dtype, device: as it was scored, else as asked for; measured: {(text, window, tokens): variants};
    by_hand: {name: cut in words}; filmstrip: the latest strips of scores that are there; exports: of variants that are;
    learned: masks, after the scorings.
    """

    run: Run
    dtype: str
    device: str
    scorings: tuple[Scoring, ...]
    variants: tuple[Variant, ...]
    measured: dict[tuple[str, int, int | None], list[str]]
    by_hand: dict[str, str]
    filmstrip: Filmstrip | None = None
    exports: tuple[ExportRequest, ...] = ()
    learned: tuple[Learning, ...] = ()

    @property
    def files(self) -> dict[str, str]:
        """{label: the file the commands put its scores in}."""
        scored = {label: f"{s.folder}/{criterion}" for s in self.scorings for label, criterion in s.labels.items()}
        return scored | {one.label: f"{one.folder}/{PGP.name}" for one in self.learned}

    @property
    def title(self) -> str:
        """The run in a line of comment."""
        title = "".join(c for c in self.run.title if c.isprintable())
        return f"# Run {self.run.id}{': ' if title else ''}{title}"


def course(store: Store, run_id: str) -> Course:
    """What was done in a run. Raises BadInput where nothing was that could be done again, or there is no such run."""
    run, scores = store.run(run_id), store.scores(run_id)
    made = tuple(v for v in store.variants(run_id) if v.kind != ORIGINAL)
    if not scores and not made:
        raise BadInput(f"Nothing was scored in run “{run.title or run.id}” yet, so there is nothing to repeat.")
    by_settings: dict[str, Scoring] = {}
    for label, found in scores.items():
        if "begun" in found.recipe:
            continue
        settings, text = _changed(run, found), str(found.recipe.get("text", run.recipe.text))
        key = json.dumps([text, settings], sort_keys=True)
        folder = "scores" + (f"-{len(by_settings) + 1}" if by_settings else "")
        by_settings.setdefault(key, Scoring(folder, text, settings, {})).labels[label] = found.criterion
    first = next((one.recipe for one in scores.values()), {})
    dtype, device = (str(first.get(name) or getattr(run.recipe, name)) for name in ("dtype", "device"))
    strip = filmstrip_of([result.data for result in store.results(run_id, "filmstrip")])
    strip = strip if strip and strip.criteria and set(strip.criteria) <= set(scores) else None
    about = (_measured(store, run_id), hand_plans(store, run_id), strip, _exports(store, run_id))
    learned = tuple(_learned(run, scores))
    return Course(run, dtype, device, tuple(by_settings.values()), made, *about, learned)


def _exports(store: Store, run_id: str) -> tuple[ExportRequest, ...]:
    """What was exported, each once; exports of variants that have been removed cannot be made again."""
    there = {variant.name for variant in store.variants(run_id)}
    names = [field.name for field in fields(ExportRequest)]
    asked = (ExportRequest(**{name: r.data[name] for name in names}) for r in store.results(run_id, "export"))
    return tuple(dict.fromkeys(one for one in asked if one.variant in there))


def _changed(run: Run, found: Scores) -> dict[str, Any]:
    """The settings of scores that are not the defaults, and the seed."""
    default = Settings().to_json() | {"seed": None}
    asked = {"seed": run.recipe.seed, **found.recipe.get("settings", {})}
    return {name: value for name, value in asked.items() if value != default.get(name)}


def _learned(run: Run, scores: dict[str, Scores]) -> Iterator[Learning]:
    known = {label: found for label, found in scores.items() if "begun" in found.recipe}
    for number, (label, found) in enumerate(known.items(), 1):
        settings = {name: value for name, value in _changed(run, found).items() if name in (*LEARNED, "seed")}
        done, asked = found.recipe["steps_done"], found.recipe["settings"]["steps"]
        caveat = f"{label} was stopped at step {done} of {asked}; to its end it comes out otherwise."
        begun = str(found.recipe["begun"].get("label", ""))
        yield Learning(label, begun, f"masks-{number}", settings, caveat if done < asked else "")


def _measured(store: Store, run_id: str) -> dict[tuple[str, int, int | None], list[str]]:
    found: dict[tuple[str, int, int | None], list[str]] = {}
    for result in store.results(run_id, "perplexity"):
        way = (result.data["text"], result.data["length"], result.data.get("asked_tokens"))
        found.setdefault(way, []).append(result.data["variant"])
    return found


def as_python(course: Course) -> str:
    """The run as Python that leaves `scores` {label: Scores}, `models` {variant: LoadedModel}, `perplexities`
    {(variant, text): value}, and `filmstrip`, its frames."""
    r = course.run.recipe
    rows = {"samples": r.samples, "length": r.length, "seed": r.seed}
    lines = [
        course.title,
        "import minillm",
        "",
        f"lm = minillm.load_model({_call(r.model, dtype=course.dtype, device=course.device)})",
        f"calibration = minillm.load_text({_call(r.text, _Name('lm'), **rows)})",
        "",
        "scores = {}",
    ]
    read = {r.text: "calibration"}
    for scoring in course.scorings:
        if scoring.text not in read:
            read[scoring.text] = f"calibration_{len(read) + 1}"
            lines.append(f"{read[scoring.text]} = minillm.load_text({_call(scoring.text, _Name('lm'), **rows)})")
        for label, criterion in scoring.labels.items():
            given = _call(criterion, _Name(read[scoring.text]), gradient_samples=r.gradient_samples, **scoring.settings)
            lines.append(f"scores[{_literal(label)}] = minillm.score(lm, {given})")
    for masks in course.learned:
        given = _call(
            _Name(f"scores[{_literal(masks.begun)}]"), _Name("calibration"), r.gradient_samples, **masks.settings
        )
        lines += [f"# {masks.caveat}"] * bool(masks.caveat)
        lines.append(f"scores[{_literal(masks.label)}] = minillm.learn_masks(lm, {given}).scores")
    lines += ["", 'models = {"original": lm}']
    for variant in course.variants:
        lines += _MADE_IN_PYTHON.get(variant.kind, _not_repeated)(course, variant)
    lines += ["", "perplexities = {}"] if course.measured else []
    for (text, length, tokens), names in course.measured.items():
        given = _call(text, length=length, tokens=tokens)
        lines.append(f"for name in {_literal(names)}:")
        lines.append(f"    perplexities[name, {_literal(text)}] = minillm.perplexity(models[name], {given})")
    if course.filmstrip:
        lines += ["", *_filmstrip_in_python(course.filmstrip)]
    lines += [""] if course.exports else []
    for one in course.exports:
        given = _call(one.to, one.name, **({"numbers": one.numbers} if one.numbers else {}))
        lines.append(f"minillm.export(models[{_literal(one.variant)}], {given})")
    return "\n".join(lines) + "\n"


def _filmstrip_in_python(found: Filmstrip) -> list[str]:
    given = {"ratios": found.ratios, "compensate": found.treatments, **found.asked}
    return [
        f"chosen = {{label: scores[label] for label in {_literal(found.criteria)}}}",
        f"filmstrip = minillm.filmstrip(lm, chosen, calibration, {_call(**given)})",
    ]


class _Name(str):
    """A name in the code, where a plain string is a value."""


def _literal(value: Any) -> str:
    if isinstance(value, _Name):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_literal, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _call(*values: Any, **named: Any) -> str:
    """Arguments as they stand between the brackets of a call."""
    return ", ".join([*map(_literal, values), *(f"{name}={_literal(value)}" for name, value in named.items())])


def least_of(asked: PruneRequest) -> dict[str, int]:
    """What every block keeps, where a request says other than the default."""
    return {name: value for name, value in asked.changed().items() if name in ("min_heads", "min_channels")}


def _pruned_in_python(course: Course, variant: Variant) -> list[str]:
    asked = PruneRequest.from_json(variant.request)
    given: dict[str, Any] = {"ratio": asked.ratio}
    given |= {"layers": asked.layers} if asked.layers is not None else {}
    given |= {"allocation": asked.allocation} if asked.allocation != "uniform" else {}
    given |= least_of(asked)
    if asked.channels_from:
        given["channels_from"] = _Name(f"scores[{_literal(asked.channels_from)}]")
    text = f", {_call(compensate=asked.compensate, text=_Name('calibration'))}" if asked.compensate else ""
    plan = f"minillm.make_plan(scores[{_literal(asked.criterion)}], {_call(**given)})"
    if asked.criterion in course.by_hand:
        plan = f"minillm.plan_by_hand({_call(_Name('lm.groups'), course.by_hand[asked.criterion])})"
    return [
        f"plan = {plan}",
        f"models[{_literal(variant.name)}] = minillm.prune(lm, plan{text})",
    ]


def _sparse_in_python(course: Course, variant: Variant) -> list[str]:
    """The patterns that were found, not the search for them."""
    r, patterns = course.run.recipe, variant.details["patterns"]
    found: Any = patterns[0] if len(set(patterns)) == 1 else dict(enumerate(patterns))
    how = {"gradient_samples": r.gradient_samples, "seed": r.seed}
    given = _call(variant.request["criterion"], found, _Name("calibration"), **how)
    return [f"models[{_literal(variant.name)}] = minillm.sparsify(lm, {given})"]


def _recovered_in_python(course: Course, variant: Variant) -> list[str]:
    asked = RecoverRequest.from_json(variant.request)
    given: dict[str, Any] = {"length": asked.length, **asked.training.to_json()}
    given |= {"teacher": _Name("lm")} if asked.loss == "distill" else {}
    small = f"models[{_literal(asked.variant)}]"
    made = f"models[{_literal(variant.name)}] = minillm.recover({small}, {_call(asked.text, **given)})"
    return [*_caveats(variant), made]


def _not_repeated(course: Course, variant: Variant) -> list[str]:
    return [f"# {variant.name} ({variant.kind}) is not written down here."]


def _caveats(variant: Variant) -> list[str]:
    """Where a recovery comes out otherwise when it is done again."""
    asked, found = variant.request, variant.details
    said = []
    if found.get("stopped"):
        said.append(f"was stopped at step {found.get('steps')} of {asked['steps']}; to its end it comes out otherwise.")
    if parse(asked["text"]).written and asked["loss"] != "distill":
        said.append("had its text from the original; without a teacher the pruned model writes it.")
    return [f"# {variant.name} {one}" for one in said]


_MADE_IN_PYTHON = {PRUNED: _pruned_in_python, SPARSE: _sparse_in_python, RECOVERED: _recovered_in_python}


def as_commands(course: Course) -> str:
    """The run as commands that leave folders of scores and a folder for each variant."""
    r = course.run.recipe
    where = {"--dtype": course.dtype, "--device": course.device}
    text = {"--text": r.text, "--samples": r.samples, "--length": r.length, "--seed": r.seed}
    lines = [course.title]
    for scoring in course.scorings:
        names = list(dict.fromkeys(scoring.labels.values()))
        own = {_option(name): value for name, value in scoring.settings.items() if name != "seed"}
        if scoring.settings.get("seed", r.seed) != r.seed:
            own["--noise-seed"] = scoring.settings["seed"]
        rows = {**text, "--text": scoring.text, "--gradient-samples": r.gradient_samples}
        lines.append(_command("score", *names, **{"--model": r.model, **rows, **own, **where, "--out": scoring.folder}))
    for masks in course.learned:
        own = {_option(name): value for name, value in masks.settings.items() if name != "seed"}
        rows = {**text, "--batch": r.gradient_samples, "--seed": masks.settings.get("seed", r.seed)}
        lines += [f"# {masks.caveat}"] * bool(masks.caveat)
        begun = course.files.get(masks.begun, masks.begun)
        lines.append(_command("masks", begun, **{"--model": r.model, **rows, **own, **where, "--out": masks.folder}))
    for variant in course.variants:
        lines += _MADE_BY_COMMAND.get(variant.kind, _not_repeated)(course, variant)
    for (name, length, tokens), variants in course.measured.items():
        models = [word for v in variants for word in ("--model", r.model if v == ORIGINAL else v)]
        how = {"--text": name, "--length": length, **({"--tokens": tokens} if tokens else {}), **where}
        lines.append(_command("evaluate", *models, **how))
    if course.filmstrip:
        lines.append(_filmstrip_by_command(course, course.filmstrip))
    for one in course.exports:
        numbers = {"--numbers": one.numbers} if one.numbers else {}
        model = r.model if one.variant == ORIGINAL else one.variant
        lines.append(_command("export", model, **{"--to": one.to, **numbers, "--out": one.name}))
    return "\n".join(lines) + "\n"


def _filmstrip_by_command(course: Course, found: Filmstrip) -> str:
    r, asked = course.run.recipe, found.asked
    words = [word for prompt in asked["prompts"] for word in ("--prompt", prompt)]
    how: dict[str, Any] = {"--model": r.model, "--ratios": ",".join(f"{ratio:g}" for ratio in found.ratios)}
    how |= {"--compensate": "both" if len(found.treatments) > 1 else found.treatments[0] or "none"}
    how |= {"--layers": ",".join(map(str, asked["layers"]))} if asked["layers"] is not None else {}
    how |= {_option(name): asked[name] for name in ("max_new_tokens", "text", "tokens", "length") if asked[name]}
    how |= {"--calibration": r.text, "--samples": r.samples, "--row": r.length, "--seed": r.seed}
    how |= {"--dtype": course.dtype, "--device": course.device}
    plain = [] if asked["chat"] else ["--no-chat"]
    return _command("filmstrip", *(course.files[label] for label in found.criteria), *words, *plain, **how)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _command(verb: str, *words: Any, **options: Any) -> str:
    """A command, broken before its options where it is long."""
    parts = [shlex.join(["python", "-m", "minillm", verb, *map(str, words)])]
    parts += [f"{name} {shlex.quote(str(value))}" for name, value in options.items()]
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) > WIDE:
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return " \\\n".join(lines)


def _pruned_by_command(course: Course, variant: Variant) -> list[str]:
    r, asked = course.run.recipe, PruneRequest.from_json(variant.request)
    options: dict[str, Any] = {"--model": r.model}
    if asked.criterion in course.by_hand:
        options |= {"--cut": course.by_hand[asked.criterion]}
    else:
        options |= {"--ratio": asked.ratio}
    options |= {"--layers": ",".join(map(str, asked.layers))} if asked.layers is not None else {}
    options |= {"--allocation": asked.allocation} if asked.allocation != "uniform" else {}
    options |= {_option(name): value for name, value in least_of(asked).items()}
    options |= {"--channels-from": course.files[asked.channels_from]} if asked.channels_from else {}
    if asked.compensate:
        options |= {"--compensate": asked.compensate, "--text": r.text}
        options |= {"--samples": r.samples, "--length": r.length, "--seed": r.seed}
    options |= {"--dtype": course.dtype, "--device": course.device, "--out": variant.name}
    scores = [course.files[asked.criterion]] if asked.criterion in course.files else []
    return [_command("prune", *scores, **options)]


def _sparse_by_command(course: Course, variant: Variant) -> list[str]:
    r, asked = course.run.recipe, SparsifyRequest.from_json(variant.request)
    uniform = asked.allocation == "uniform"
    options: dict[str, Any] = {"--model": r.model}
    names = ("pattern",) if uniform else ("allocation", "sparsity", "generations")
    options |= {_option(name): getattr(asked, name) for name in names}
    options |= {"--text": r.text, "--samples": r.samples, "--length": r.length}
    options |= {"--gradient-samples": r.gradient_samples, "--seed": r.seed}
    options |= {"--dtype": course.dtype, "--device": course.device, "--out": variant.name}
    return [_command("sparsify", asked.criterion, **options)]


def _recovered_by_command(course: Course, variant: Variant) -> list[str]:
    asked = RecoverRequest.from_json(variant.request)
    teacher = course.run.recipe.model if asked.loss == "distill" else ""
    options = {"--teacher": teacher, "--text": asked.text, "--length": asked.length}
    options |= {_option(name): value for name, value in asked.training.to_json().items()}
    options |= {"--dtype": course.dtype, "--device": course.device, "--out": variant.name}
    return [*_caveats(variant), _command("recover", asked.variant, **options)]


_MADE_BY_COMMAND = {PRUNED: _pruned_by_command, SPARSE: _sparse_by_command, RECOVERED: _recovered_by_command}
