"""What variants wrote, as the Generate page shows and exports it: one exhibit a prompt, one column a variant.

Finished texts come from the run's results, those being written from the live job's events; both become the same
columns, so nothing moves when a text is done, after a reload, or for someone else who looks.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from minillm.recipe import GenerateRequest
from minillm.store import Job, Result, Store

from ._phrases import escape
from ._words import agreement, compared, marked

ORIGINAL = "original"
WAITING, WRITING, DONE, CUT_OFF = "waiting", "writing", "done", "cut off"
FACTS = ("tokens", "prompt_tokens", "stopped", "seconds", "tokens_per_second", "prompt_perplexity")


STYLE = """
.exhibit { margin-bottom: 1.4rem; }
.exhibit .prompt { font-size: var(--text-lg); margin: 0 0 .15rem; overflow-wrap: anywhere; white-space: pre-wrap; }
.exhibit .quiet { color: var(--body-text-color-subdued); font-size: var(--text-sm); margin: 0 0 .5rem; }
.exhibit .columns { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.exhibit .column { background: var(--background-fill-primary); border: 1px solid var(--border-color-primary);
  border-radius: var(--radius-lg); border-top: 4px solid #d55e00; display: flex; flex-direction: column;
  min-width: 0; padding: .7rem .9rem; }
.exhibit .column.is-original { border-top-color: #0072b2; }
.exhibit .column.is-sparse { border-top-color: #cc79a7; }
.exhibit .column.is-recovered { border-top-color: #009e73; }
.exhibit h4 { font-size: var(--text-md); margin: 0; }
.exhibit .text { flex: 1; line-height: 1.6; min-height: 3.2em; overflow-wrap: anywhere; white-space: pre-wrap; }
.exhibit .differs { background: color-mix(in srgb, #e69f00 16%, transparent); }
.exhibit .column .quiet:last-child { border-top: 1px solid var(--border-color-primary); margin: .6rem 0 0;
  padding-top: .45rem; }
.exhibit .quiet:empty { min-height: 1.2em; }
"""
"""Of the exhibits alone; what marks words is in assets/style.css."""


@dataclass(frozen=True)
class Column:
    """One variant's text. facts: what was measured (see `FACTS`), empty until it is done."""

    variant: str
    text: str = ""
    state: str = WAITING
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Exhibit:
    """One prompt of one job with what every variant made of it."""

    job: int
    number: int
    prompt: str
    settings: dict[str, Any]
    columns: tuple[Column, ...]

    @property
    def original(self) -> Column | None:
        """The column all others are compared with; None where the original was not asked."""
        return next((column for column in self.columns if column.variant == ORIGINAL), None)


def exhibits(store: Store, run_id: str) -> list[Exhibit]:
    """All exhibits of a run, the newest job first, its prompts in their order."""
    kept: dict[int, list[Result]] = {}
    for result in store.results(run_id, "generation"):
        kept.setdefault(result.job_id or 0, []).append(result)
    jobs = {job.id: job for job in store.jobs(run_id) if job.kind == "generate"}
    found = []
    for number in sorted({*kept, *jobs}, reverse=True):
        job = jobs.get(number)
        found += _of_job(store, job, kept.get(number, [])) if job else _kept_only(number, kept[number])
    return found


def _of_job(store: Store, job: Job, kept: list[Result]) -> list[Exhibit]:
    request = job.request
    assert isinstance(request, GenerateRequest)
    done = {(r.data["variant"], r.data["number"]): _done(r) for r in kept}
    begun = {} if len(done) == len(request.variants) * len(request.prompts) else _begun(store, job)
    settings = {name: getattr(request, name) for name in ("max_new_tokens", "temperature", "top_p", "seed", "chat")}
    found = []
    for number, prompt in enumerate(request.prompts):
        places = [(variant, number) for variant in request.variants]
        columns = tuple(done.get(place) or begun.get(place) or Column(place[0], state=_idle(job)) for place in places)
        found.append(Exhibit(job.id, number, prompt, settings, columns))
    return found if job.live else [one for one in found if any(column.text for column in one.columns)]


def _idle(job: Job) -> str:
    return WAITING if job.live else CUT_OFF


def _begun(store: Store, job: Job) -> dict[tuple[str, int], Column]:
    """{(variant, number of the prompt): its column} from the latest event of each."""
    state = WRITING if job.live else CUT_OFF
    payloads = [event.payload for event in store.events(job.id, stages=["generate:"]) if event.payload]
    return {(p["variant"], p["prompt"]): Column(p["variant"], p["text"], state) for p in payloads}


def _done(result: Result) -> Column:
    facts = {name: result.data.get(name) for name in FACTS}
    return Column(result.data["variant"], result.data["text"], DONE, facts)


def _kept_only(job: int, kept: list[Result]) -> list[Exhibit]:
    """Exhibits whose job is not there any more (an imported run)."""
    numbers = sorted({result.data["number"] for result in kept})
    return [_of_results(job, [result for result in kept if result.data["number"] == number]) for number in numbers]


def _of_results(job: int, kept: list[Result]) -> Exhibit:
    data = kept[0].data
    return Exhibit(job, data["number"], data["prompt"], data["settings"], tuple(_done(result) for result in kept))


def settings_in_words(settings: dict[str, Any]) -> str:
    """How the texts were written: “greedy, 64 new tokens at most, chat format, seed 0”."""
    temperature = float(settings["temperature"])
    drawn = "greedy" if temperature == 0 else f"temperature {temperature:g}, top-p {float(settings['top_p']):g}"
    shape = "chat format" if settings["chat"] else "as it stands"
    return f"{drawn}, {settings['max_new_tokens']:,} new tokens at most, {shape}, seed {settings['seed']}"


def facts_in_words(column: Column) -> str:
    """What was measured of a text: tokens, speed, perplexity of the prompt, why it ended."""
    if column.state != DONE:
        return {WAITING: "waiting for its turn", WRITING: "writing …", CUT_OFF: "stopped before its end"}[column.state]
    found = column.facts
    parts = [f"{found['tokens']:,} tokens"]
    if found.get("tokens_per_second"):
        parts.append(f"{found['tokens_per_second']:.1f} tokens/s")
    if found.get("prompt_perplexity") is not None:
        parts.append(f"perplexity of the prompt {found['prompt_perplexity']:.1f}")
    parts.append("ended by itself" if found.get("stopped") == "eos" else "cut at the limit")
    return ", ".join(parts)


def as_html(shown: list[Exhibit], kinds: dict[str, str]) -> str:
    """Exhibits as HTML. kinds: {variant: original, pruned, sparse or recovered}, for the colour of its column."""
    return "".join(_exhibit(one, kinds) for one in shown)


def _exhibit(one: Exhibit, kinds: dict[str, str]) -> str:
    columns = "".join(_column(one, column, kinds.get(column.variant, "pruned")) for column in one.columns)
    return (
        f'<section class="exhibit" aria-label="{escape(one.prompt[:80])}"><h3 class="prompt">{escape(one.prompt)}</h3>'
        f'<p class="quiet">{escape(settings_in_words(one.settings))}</p><div class="columns">{columns}</div></section>'
    )


def _column(one: Exhibit, column: Column, kind: str) -> str:
    first = one.original
    text, said = escape(column.text), ""
    if column is first and len(one.columns) > 1:
        said = "what the others are compared with"
    elif first is not None and column is not first and column.text:
        text = marked(compared(first.text, column.text, ended=first.state != WRITING))
        said = agreement(first.text, column.text, WRITING not in (first.state, column.state))
    busy = ' aria-busy="true"' if column.state == WRITING else ""
    return (
        f'<article class="column is-{kind}" data-variant="{escape(column.variant)}"{busy}>'
        f'<h4>{escape(column.variant)}</h4><p class="quiet">{escape(said)}</p><div class="text">{text}</div>'
        f'<p class="quiet">{escape(facts_in_words(column))}</p></article>'
    )


def as_markdown(shown: list[Exhibit], title: str) -> str:
    """Exhibits as one Markdown text, to hand in or to mail."""
    lines = [f"# {title}", ""]
    for one in shown:
        lines += [f"## {' '.join(one.prompt.split())}", "", f"_{settings_in_words(one.settings)}_", ""]
        for column in one.columns:
            lines += [f"### {column.variant}", "", *_quoted(column.text), "", facts_in_words(column), ""]
    return "\n".join(lines)


def _quoted(text: str) -> list[str]:
    return [f"> {line}".rstrip() for line in (text.strip() or "(nothing)").split("\n")]


def as_json(shown: list[Exhibit], run_id: str) -> str:
    """Exhibits as JSON: a list with one entry a prompt."""
    entries = [
        {
            "run": run_id,
            "prompt": one.prompt,
            "settings": one.settings,
            "texts": [
                {"variant": c.variant, "state": c.state, "text": c.text, **c.facts} for c in one.columns if c.text
            ],
        }
        for one in shown
    ]
    return json.dumps(entries, ensure_ascii=False, indent=2)
