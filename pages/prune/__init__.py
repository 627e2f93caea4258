"""Prune and recover: see what a cut costs before it is made, cut, measure, and train what is left."""

from functools import partial
from typing import Any

import gradio as gr

from minillm.errors import BadInput, MiniLLMError
from minillm.jobs.submit import submit
from minillm.recipes.presets import find_cut, find_recovery
from minillm.recipes.recipe import EvaluateRequest, PruneRequest, RecoverRequest
from minillm.store.allocations import allocations
from minillm.store.store import Store

from ..shell import job_panel
from ..shell.address import link, number, remembered
from ..shell.controls import takes
from ..shell.cut_controls import MOST, SAME, STANDARD, UNIFORM
from ..shell.frame import QUIET, Context, Shell, frame
from ..shell.templates import notice, paragraph
from ..views import cut as cut_view
from ..views.cut import Cut
from ..views.variants import curve, curve_in_words, curve_points, groups_of, variants_table
from .form import MEASURED, TRAINED, Page, layout
from .zeros import begin_sparsify, usable

TITLE = "Prune & recover"
CHOSEN = ("variant", "preset")
"""Controls of a recovery that no preset sets."""


def build(ctx: Context) -> None:
    """Lay the page out and wire it."""
    with frame(ctx) as shell:
        page = layout()
        _wire(ctx, shell, page)


def _wire(ctx: Context, shell: Shell, page: Page) -> None:
    store, cut = ctx.store, list(page.cut.values())
    measured = [page.evaluate[name] for name in MEASURED]
    whole = [page.opened, page.empty, *cut, *page.preview, page.recover["variant"], page.evaluate["warning"]]
    chosen = [*cut, page.recover["variant"], page.evaluate["evaluate_text"]]

    def looked(run_id: str, opened: str, *values: Any) -> list[Any]:
        """Drawn anew only where there are new scores or variants: a live job must not disturb who is choosing."""
        if not opened or opened == _state(store, run_id):
            return [gr.skip() for _ in whole]
        *others, variant, text = values
        newest = store.variants(run_id)[-1] if run_id else None
        fresh = newest is not None and newest.kind == "pruned"
        return _whole(store, run_id, [*others, None if fresh else variant, text])

    shell.live(looked, whole, [page.opened, *chosen])
    shell.live(partial(_jobs_shown, store, page), _live_outputs(page))
    shell.opens(lambda run_id, options: _whole(store, run_id, _from_address(options)), whole)
    _wire_controls(store, shell, page)
    settings = _settings(page)
    shell.starts(page.prune.click, partial(begin_prune, store), [*cut, page.evaluate["compensate"], *measured], "prune")
    shell.starts(page.sparsify.click, partial(begin_sparsify, store), [*page.zeros.values(), *measured], "sparsify")
    shell.starts(page.measure.click, partial(begin_evaluate, store), measured, "evaluate")
    shell.starts(page.start.click, partial(begin_recover, store), [page.recover["variant"], *settings], "recover")
    for panel in _panels(page):
        shell.runs_again(panel)


def _wire_controls(store: Store, shell: Shell, page: Page) -> None:
    """What follows from moving a control, without a job: the preview, a warning, the values of a preset."""
    cut, text = list(page.cut.values()), page.evaluate["evaluate_text"]
    shell.follows(page.cut, partial(_previewed, store), page.preview)
    chosen = [*(page.cut[name] for name in ("criterion", "channels", "allocation")), page.evaluate["compensate"]]
    taken = page.way.input(way_of, page.way, chosen, **QUIET)
    remembered(taken.then(partial(_previewed, store), [shell.run, *cut], page.preview, **QUIET).then, page.cut)
    text.input(partial(cut_view.warning, store), [shell.run, text], page.evaluate["warning"], **QUIET)
    zeros, preset = page.zeros, page.recover["preset"]
    zeros["allocation"].input(usable, zeros["allocation"], [zeros["pattern"], zeros["sparsity"]], **QUIET)
    preset.input(recovery_of, preset, _settings(page), **QUIET)


def way_of(name: str) -> list[str]:
    """Criterion, channels, allocation and compensation of a way to cut that is known by name."""
    way = find_cut(name)
    return [way.heads, SAME if way.channels == way.heads else way.channels, way.allocation, way.compensate]


def recovery_of(name: str) -> list[Any]:
    """Values of a recovery's controls, in a way that is known by name."""
    way = find_recovery(name)
    asked = RecoverRequest(variant="any", text=way.text, **way.training.to_json())
    return [getattr(asked, name) for name in TRAINED]


def _settings(page: Page) -> list[Any]:
    """The controls of a recovery that a preset sets."""
    return [control for name, control in page.recover.items() if name not in CHOSEN]


def _panels(page: Page) -> list[job_panel.Panel]:
    return [page.pruning, page.sparsifying, page.measuring, page.recovering]


def _live_outputs(page: Page) -> list[Any]:
    panels = [output for panel in _panels(page) for output in panel.outputs]
    return [*panels, page.variants, page.measure, *page.curve]


def _jobs_shown(store: Store, page: Page, run_id: str) -> list[Any]:
    """Values for `_live_outputs`: the panels, the table of variants, the learning curve."""
    found: list[Any] = []
    for panel in _panels(page):
        job: Any = job_panel.current(store, run_id, panel.kind)
        found += panel.show(job, cut_view.rows(job, store.events(job.id)) if job else "")
    recovery = job_panel.current(store, run_id, "recover")
    points, live = curve_points(store, run_id, recovery), recovery is not None and recovery.live
    several = gr.Button(interactive=len(store.variants(run_id)) > 1)
    said = paragraph(curve_in_words(points, live))
    return [*found, variants_table(store, run_id), several, said, curve(points, recovery)]


def _state(store: Store, run_id: str) -> str:
    """Changes whenever there are other scores or variants to choose from."""
    if not run_id:
        return "no run"
    made = [*store.score_labels(run_id), *(v.name for v in store.variants(run_id)), *allocations(store, run_id)]
    return ";".join([*made, _known(store, run_id)])


def _newest_pruned(store: Store, run_id: str) -> str | None:
    return next((v.name for v in reversed(store.variants(run_id)) if v.kind == "pruned"), None)


def _known(store: Store, run_id: str) -> str:
    return "known" if groups_of(store, run_id) else "unknown"


def _whole(store: Store, run_id: str, values: Any) -> list[Any]:
    """State, empty state, controls of the cut, preview, variants to recover, warning."""
    state = _state(store, run_id)
    if not run_id or groups_of(store, run_id) is None:
        there = link("model", run=run_id)
        notice = f'<p class="notice">{cut_view.NEEDS_MODEL} <a href="{there}">Go to the Model page</a></p>'
        return [state, notice if run_id else "", *[gr.skip() for _ in range(11)]]
    criterion, channels, ratio, blocks, allocation, variant, text = values
    choices = cut_view.criteria_choices(store, run_id)
    criterion = cut_view.first_choice(store, run_id, criterion)
    channels = channels if channels in [label for _, label in choices] else SAME
    ways = cut_view.allocation_choices(store, run_id)
    allocation = allocation if allocation in [name for _, name in ways] else UNIFORM
    made = [v.name for v in store.variants(run_id) if v.parent and v.kind != "sparse"]
    variant = variant if variant in made else _newest_pruned(store, run_id)
    return [
        state,
        "",
        gr.Dropdown(choices=choices, value=criterion),
        gr.Dropdown(choices=[("the same", SAME), *choices], value=channels),
        ratio,
        blocks,
        gr.Dropdown(choices=ways, value=allocation),
        *_previewed(store, run_id, criterion, channels, ratio, blocks, allocation),
        gr.Dropdown(choices=made, value=variant),
        cut_view.warning(store, run_id, text),
    ]


def _previewed(
    store: Store, run_id: str, criterion: str, channels: str, ratio: float, blocks: str, allocation: str
) -> list[Any]:
    """The preview; where there can be no such plan, why, and the last picture stays."""
    if not run_id:
        return [gr.skip() for _ in range(4)]
    try:
        return cut_view.preview(store, run_id, Cut(criterion, channels or SAME, ratio, blocks, allocation))
    except MiniLLMError as fault:
        return [notice(str(fault), "failed"), gr.skip(), gr.skip(), gr.skip()]


def _from_address(options: dict[str, str]) -> list[Any]:
    """Criterion, channels, ratio, blocks, allocation, variant and evaluation text, as far as the address gives any."""
    ratio = number(options, "ratio", STANDARD, 0, MOST)
    asked = [options.get("criterion"), options.get("channels", SAME), ratio, options.get("blocks", "")]
    asked.append(options.get("allocation", UNIFORM))
    return [*asked, options.get("variant"), "python-docs"]


@takes((PruneRequest, ("compensate", *MEASURED)))
def begin_prune(
    store: Store,
    run_id: str,
    criterion: str,
    channels_from: str,
    ratio: float,
    blocks: str,
    allocation: str,
    **how: Any,
) -> int:
    """Cut a run's model and measure perplexity before and after; returns the job's number. Scores that are missing are
    made first."""
    cut = Cut(criterion, channels_from, ratio, blocks, allocation)
    return submit(store, run_id, cut_view.prune_request(store, run_id, cut, **how))


@takes((PruneRequest, MEASURED))
def begin_evaluate(store: Store, run_id: str, **given: Any) -> int:
    """Measure perplexity of every variant of a run that is at hand on one text, in one way; returns the job's
    number."""
    names = tuple(variant.name for variant in store.variants(run_id) if store.at_hand(run_id, variant.name))
    if not given["evaluate_text"]:
        raise BadInput("No evaluation text is chosen; choose one under “Perplexity before and after”.")
    how = {name.removeprefix("evaluate_"): value for name, value in {**given, **cut_view.measuring(given)}.items()}
    return submit(store, run_id, EvaluateRequest.from_json({"variants": names, **how}))


@takes((RecoverRequest, ("variant", *TRAINED)))
def begin_recover(store: Store, run_id: str, **given: Any) -> int:
    """Train LoRA on a pruned variant of a run and merge it; returns the job's number. Stopped, it keeps the best so
    far."""
    if not given["variant"]:
        raise BadInput("No variant is chosen; prune the model first, then choose what is to be recovered.")
    return submit(store, run_id, RecoverRequest.from_json(given))
