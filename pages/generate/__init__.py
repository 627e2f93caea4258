"""Generate: the same prompt for two to four variants, side by side as they write; marked, shaded, or read blind."""

from functools import partial
from typing import Any

import gradio as gr

from minillm.errors import BadInput
from minillm.jobs.submit import submit
from minillm.plain import markdown
from minillm.recipes.prompts import paper_prompts
from minillm.recipes.requests import GenerateRequest
from minillm.store.records import ORIGINAL
from minillm.store.store import Store

from ..shell import job_panel
from ..shell.address import remembered, saved
from ..shell.controls import asked_in, takes
from ..shell.frame import Context, Shell, frame
from ..shell.handlers import ACT, QUIET, Answer, answering, guarded
from ..views.generations import Exhibit, exhibits
from ..views.generations_html import as_csv, as_html, as_json, as_markdown, has_surprise
from . import filmstrip
from .blind import ballot, tally_html, vote
from .form import HOW, Page, Poll, layout

TITLE = "Generate"
MOST_SHOWN = 20
MOST_COLUMNS = 4
MOST_RUNS = 30
"""How many of the latest other runs offer their variants."""

UNSHADED = "The texts below were kept without their probabilities; what is generated from now on is shaded."

COPY = "(text) => { navigator.clipboard.writeText(text); }"


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        page = layout()
        strip = filmstrip.layout()
        filmstrip.draws(ctx.store, shell, strip)
        _wire(ctx, shell, page)
        filmstrip.starts(ctx.store, shell, strip)


def _wire(ctx: Context, shell: Shell, page: Page) -> None:
    store, controls = ctx.store, page.controls
    choices = [controls["variants"], controls["others"]]
    texts = [page.shaded, *page.panel.outputs, page.now, page.tally, page.earlier]
    drawn = partial(_shown, store, page)

    def asked(run_id: str, options: dict[str, str]) -> Answer:
        request = job_panel.request_of(store, run_id, "generate")
        latest = list(request.variants) if request else []
        return dict.fromkeys(choices, [ORIGINAL, *options["variants"].split("|")] if "variants" in options else latest)

    shell.opens(lambda run_id, _: as_asked(store, page, run_id), list(controls.values()))
    shell.opens(lambda run_id, _: {page.form: gr.Accordion(open=not answered(store, run_id))}, [page.form])
    shell.redraws_when(partial(_state, store), partial(_choices, store, page), [], choices, asked)
    shell.live(drawn, texts, [page.shaded])
    shell.opens(lambda run_id, options: {page.shaded: options.get("shaded") != "false"}, [page.shaded])
    page.shaded.input(answering(drawn), [shell.run, page.shaded], texts, **QUIET)
    remembered(page.shaded.input, {"shaded": page.shaded})
    _wire_poll(store, shell, page.poll)
    shell.starts(page.button.click, partial(begin, store), list(controls.values()), "generate")
    shell.runs_again(page.panel)
    _wire_exports(store, shell, page)


def _wire_poll(store: Store, shell: Shell, poll: Poll) -> None:
    shell.live(partial(_balloted, store, poll), poll.outputs, [poll.name])
    answers = [shell.run, poll.name, poll.best, poll.pruned]
    voted = poll.button.click(guarded(partial(vote, store)), answers, None, api_name="vote", **ACT)
    shell.looks_again(voted)


def _wire_exports(store: Store, shell: Shell, page: Page) -> None:
    writers = {"markdown": (markdown_of, "text/markdown", "md"), "csv": (csv_of, "text/csv", "csv")}
    writers["json"] = (json_of, "application/json", "json")
    for kind, (write, mime, suffix) in writers.items():
        name = "generations" if kind == "json" else f"generations_{kind}"
        event = page.exports[kind].click(guarded(partial(write, store)), shell.run, page.text, api_name=name, **ACT)
        saved(event, page.text, f"minillm-generations.{suffix}", mime)
    markdown = guarded(partial(markdown_of, store))
    copied = page.exports["copy"].click(markdown, shell.run, page.text, api_visibility="private", **ACT)
    copied.success(None, page.text, None, js=COPY, api_visibility="private")


def _state(store: Store, run_id: str) -> str:
    return ";".join(_names(store, run_id)) if run_id else "no run"


def _names(store: Store, run_id: str) -> dict[str, str]:
    """{name: kind} of the variants of a run that can be brought back."""
    return {v.name: v.kind for v in store.variants(run_id) if store.at_hand(run_id, v.name)}


def _choices(store: Store, page: Page, run_id: str, variants: list[str], others: list[str]) -> Answer:
    """The variants to choose from; at first the original and the latest of each other kind."""
    if not run_id:
        return {}
    chosen = [*(variants or []), *(others or [])]
    made, elsewhere = _names(store, run_id), _elsewhere(store, run_id)
    here = [name for name in chosen if name in made]
    there = [name for name in dict(elsewhere).values() if name in chosen]
    latest = {kind: name for name, kind in made.items()}
    ticked = here if here or there else list(latest.values())
    return {
        page.controls["variants"]: gr.CheckboxGroup(choices=list(made), value=ticked, info=_who(store, run_id, made)),
        page.controls["others"]: gr.Dropdown(choices=elsewhere, value=there, multiselect=True),
    }


def _who(store: Store, run_id: str, made: dict[str, str]) -> str:
    """Who can answer, and who cannot any more."""
    gone = ", ".join(variant.name for variant in store.variants(run_id) if variant.name not in made)
    told = f" Their weights are not here, so they cannot answer anew: {gone}." if gone else ""
    return f"Up to four. Make variants on the page Prune & recover.{told}"


def as_asked(store: Store, page: Page, run_id: str) -> Answer:
    """The form as the latest job was asked for, but who answers (see `_choices`)."""
    request = job_panel.request_of(store, run_id, "generate")
    if request is None:
        return {}
    papers, how = paper_prompts(), {name: page.controls[name] for name in (*HOW, "blind")}
    own = [prompt for prompt in request.prompts if prompt not in papers]
    prompts = [prompt for prompt in request.prompts if prompt in papers]
    asked = {page.controls["prompts"]: prompts, page.controls["own"]: own[0] if own else ""}
    return {**asked, **asked_in(request, how)}


def answered(store: Store, run_id: str) -> bool:
    """Whether there are answers to read, or on their way."""
    return bool(run_id) and bool(exhibits(store, run_id))


def _elsewhere(store: Store, run_id: str) -> list[tuple[str, str]]:
    """[(what to call it, RUN/NAME)] of what the latest other runs can bring back; an original only where it is another
    model than this run's."""
    here, found = store.run(run_id).recipe, []
    for run in store.runs(limit=MOST_RUNS + 1):
        same = (run.recipe.model, run.recipe.dtype) == (here.model, here.dtype)
        if run.id != run_id:
            names = [name for name, kind in _names(store, run.id).items() if not (same and kind == ORIGINAL)]
            found += [(f"{name} of {run.title or run.id}", f"{run.id}/{name}") for name in names]
    return found


def _shown(store: Store, page: Page, run_id: str, shaded: bool) -> Answer:
    """The panel, the latest job's texts, the tally, and the texts before."""
    if not run_id:
        return {}
    found = exhibits(store, run_id)
    newest = [one for one in found if one.job == found[0].job] if found else []
    before = found[len(newest) :][:MOST_SHOWN]
    return {
        page.shaded: _shading(found),
        **page.panel.show(store, job_panel.current(store, run_id, "generate")),
        page.now: as_html(newest, shaded),
        page.tally: tally_html(store, run_id),
        page.earlier: as_html(before, shaded) or "<p>Nothing yet.</p>",
    }


def _shading(found: list[Exhibit]) -> gr.Checkbox:
    """The tick that asks for shading, where there is something to shade; else why it changes nothing."""
    possible = not found or has_surprise(found)
    return gr.Checkbox(interactive=possible, info="" if possible else UNSHADED)


def _balloted(store: Store, poll: Poll, run_id: str, asked: str) -> Answer:
    """The ballot; left alone while it is the same, lest an answer be lost."""
    found = ballot(exhibits(store, run_id))
    if found is None:
        return {poll.box: gr.Column(visible=False), poll.name: ""}
    if found.name == asked:
        return {}
    return {
        poll.box: gr.Column(visible=True),
        poll.name: found.name,
        poll.question: f"## Your vote\n\n{markdown(' '.join(found.prompt.split()))}",
        **poll.asks(found.letters),
    }


@takes((GenerateRequest, (*HOW, "blind")))
def begin(
    store: Store, run_id: str, prompts: list[str], own: str, variants: list[str], others: list[str], **how: Any
) -> int:
    """Let variants answer prompts side by side: of a run by name, others as RUN/NAME; returns the job's number."""
    asked = [*(prompts or []), *([own] if (own or "").strip() else [])]
    if not asked:
        raise BadInput("No instruction is chosen; tick one of the paper's, or write your own.")
    answering = [*(variants or []), *(others or [])]
    if not answering:
        raise BadInput("No variant is chosen; tick who is to answer.")
    if len(answering) > MOST_COLUMNS:
        raise BadInput(f"{len(answering)} variants are chosen; {MOST_COLUMNS} can be read beside each other.")
    if how["blind"] and len(answering) < 2:
        raise BadInput("One answer cannot be read blind; tick another variant.")
    return submit(store, run_id, GenerateRequest.from_json({**how, "prompts": asked, "variants": answering}))


def markdown_of(store: Store, run_id: str) -> str:
    """Everything that variants of a run wrote, as Markdown."""
    run = store.run(run_id)
    return as_markdown(_any(store, run_id), f"Generations of {run.title or run.id} ({run.recipe.model})")


def csv_of(store: Store, run_id: str) -> str:
    """Everything that variants of a run wrote, as CSV: one row a text, with measurements."""
    return as_csv(_any(store, run_id), run_id)


def json_of(store: Store, run_id: str) -> str:
    """Everything that variants of a run wrote, as JSON: one entry a prompt, with settings, measurements and tokens."""
    return as_json(_any(store, run_id), run_id)


def _any(store: Store, run_id: str) -> list[Exhibit]:
    found = exhibits(store, run_id) if run_id else []
    if not found:
        raise BadInput("Nothing has been generated in this run yet; press Generate first.")
    return found
