"""Prune and recover: see what a cut costs before it is made, cut, measure, and train what is left."""

from functools import partial
from typing import Any

import gradio as gr

from minillm.errors import BadInput, MiniLLMError
from minillm.jobs.checks import check
from minillm.jobs.submit import submit
from minillm.recipes.presets import RECOVERIES, find_recovery
from minillm.recipes.requests import EvaluateRequest, PruneRequest, RecoverRequest
from minillm.store.allocations import allocations
from minillm.store.store import Store

from ..shell import job_panel
from ..shell.address import fetched, moves_of, number, remembered
from ..shell.controls import asked_in, fields_of, preset, takes, way_in
from ..shell.cut_controls import MOST, SAME, STANDARD, UNIFORM
from ..shell.frame import Context, Shell, frame
from ..shell.handlers import ACT, QUIET, Answer, answering, guarded
from ..shell.templates import notice, paragraph
from ..views import best as best_view, cut as cut_view
from ..views.cut import Cut
from ..views.exports import Exports, begin_export, forms, packed_export, shown
from ..views.usual import usual_steps
from ..views.variants import curve, curve_in_words, curve_points, groups_of, recovery_in_words, variants_table
from .form import FIRST, LEAST, MEASURED, TRAINED, WAYS, Page, layout
from .zeros import begin_sparsify, usable

TITLE = "Prune & recover"
MOST_GROUPS = 1_000_000
SLOW: dict[str, Any] = {**ACT, "show_progress": "minimal"}
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
    settings = _settings(page)
    chosen = [*cut, page.evaluate["evaluate_text"], page.recover["variant"], *settings]

    def anew(run_id: str, *values: Any) -> Answer:
        """What has just been cut is what one would recover next."""
        given, (variant, *training) = values[: len(cut) + 1], values[len(cut) + 1 :]
        newest = store.variants(run_id)[-1] if run_id else None
        fresh = newest is not None and newest.kind == "pruned"
        return _whole(store, page, run_id, *given, None if fresh else variant, *training)

    whole = [page.empty, page.best_takes, page.ways, *page.preview, page.evaluate["warning"], page.takes]
    draw, asked = partial(_whole, store, page), partial(_from_address, store, page)
    shell.opens(partial(_as_asked, store, page), _asked_controls(page))
    shell.redraws_when(partial(_state, store), draw, whole, chosen, asked, anew)
    shell.live(partial(_jobs_shown, store, page), _live_outputs(page))
    wire_exports(store, shell, page.exports)
    _wire_controls(store, shell, page)
    shell.starts(page.prune.click, partial(begin_prune, store), [*cut, page.evaluate["compensate"], *measured], "prune")
    chosen_best = [page.cut["ratio"], page.cut["blocks"], *measured]
    shell.starts(page.best.click, partial(begin_best, store), chosen_best, "best")
    shell.starts(page.sparsify.click, partial(begin_sparsify, store), [*page.zeros.values(), *measured], "sparsify")
    shell.starts(page.measure.click, partial(begin_evaluate, store), measured, "evaluate")
    shell.starts(page.start.click, partial(begin_recover, store), [page.recover["variant"], *settings], "recover")
    for panel in _panels(page):
        shell.runs_again(panel)


def _wire_controls(store: Store, shell: Shell, page: Page) -> None:
    """What follows from moving a control, without a job: the preview, a warning, the values of a preset."""
    cut, text, previewed = list(page.cut.values()), page.evaluate["evaluate_text"], partial(_previewed, store, page)
    shell.follows(page.cut, previewed, [page.best_takes, page.ways, *page.preview])
    chosen = [*(page.cut[name] for name in ("criterion", "channels", "allocation")), page.evaluate["compensate"]]
    taken = preset(page.way, WAYS, chosen)
    few = {"fn": partial(cut_view.too_few, store), "inputs": [shell.run, chosen[-1]], "outputs": page.evaluate["few"]}
    taken.then(**few, **QUIET)
    chosen[-1].input(**few, **QUIET)
    remembered(
        taken.then(answering(previewed), [shell.run, *cut], [page.best_takes, page.ways, *page.preview], **QUIET).then,
        page.cut,
    )
    text.input(partial(cut_view.warning, store), [shell.run, text], page.evaluate["warning"], **QUIET)
    zeros = page.zeros
    asked = [page.recover["variant"], *_settings(page)]
    told = {"fn": answering(partial(_takes, store, page)), "inputs": [shell.run, *asked], "outputs": page.takes}
    gr.on([move for control in asked for move in moves_of(control)], trigger_mode="always_last", **told, **QUIET)
    zeros["allocation"].input(usable, zeros["allocation"], [zeros["pattern"], zeros["sparsity"]], **QUIET)
    taken = preset(page.recover["preset"], {name: recovery_of(name) for name in RECOVERIES}, _settings(page))
    taken.then(**told, **QUIET)


def wire_exports(store: Store, shell: Shell, exports: Exports) -> None:
    """The form of exports: what it says follows the run and the variant; its job; the file. Call it before other jobs
    are wired, after all other `live`."""
    asked, outputs = list(exports.asked.values()), [exports.asked["variant"], exports.told, exports.table]
    outputs += [exports.made, exports.save]
    shell.live(partial(shown, store, exports), outputs, [exports.asked["variant"], exports.made])
    chosen = {"fn": answering(partial(_of_variant, store, exports)), "inputs": [shell.run, asked[0]]}
    asked[0].input(**chosen, outputs=exports.told, **QUIET)
    shell.starts(exports.start.click, partial(begin_export, store), asked, "export")
    packed = guarded(partial(packed_export, store))
    event = exports.save.click(packed, [shell.run, exports.made], exports.file, api_visibility="private", **SLOW)
    fetched(event, str(exports.file.elem_id))


def _of_variant(store: Store, exports: Exports, run_id: str, variant: str) -> Answer:
    return {exports.told: forms(store, run_id, variant)} if run_id and variant else {}


def _takes(store: Store, page: Page, run_id: str, *values: Any) -> Answer:
    """What the recovery that is chosen would take, or why it cannot be."""
    given = dict(zip(("variant", *TRAINED), values, strict=True))
    if not run_id or not given["variant"]:
        return {page.takes: ""}
    try:
        asked = RecoverRequest.from_json(given)
        check(asked, store, run_id)
        return {page.takes: paragraph(recovery_in_words(store, run_id, asked))}
    except MiniLLMError as fault:
        return {page.takes: notice(str(fault), "failed")}


def recovery_of(name: str) -> list[Any]:
    """Values of a recovery's controls, in a way that is known by name."""
    way = find_recovery(name)
    asked = RecoverRequest(variant="any", text=way.text, **way.training.to_json())
    return [getattr(asked, name) for name in TRAINED]


def _settings(page: Page) -> list[Any]:
    """The controls of a recovery that a preset sets."""
    return [control for name, control in page.recover.items() if name not in CHOSEN]


def _panels(page: Page) -> list[job_panel.Panel]:
    return [page.pruning, page.sparsifying, page.measuring, page.recovering, page.exporting]


def _live_outputs(page: Page) -> list[Any]:
    panels = [output for panel in _panels(page) for output in panel.outputs]
    return [*panels, page.variants, page.measure, *page.curve]


def _jobs_shown(store: Store, page: Page, run_id: str) -> Answer:
    """The panels, the table of variants, the learning curve."""
    found: Answer = {}
    usual = usual_steps(store, store.run(run_id).recipe.model)
    for panel in _panels(page):
        job: Any = job_panel.current(store, run_id, panel.kind)
        found |= panel.show(store, job, cut_view.rows(job, store.events(job.id), usual) if job else "")
    recovery = job_panel.current(store, run_id, "recover")
    points, live = curve_points(store, run_id, recovery), recovery is not None and recovery.live
    said, host = page.curve
    return {
        **found,
        page.variants: variants_table(store, run_id),
        page.measure: gr.Button(interactive=len(store.variants(run_id)) > 1),
        said: paragraph(curve_in_words(points, live)),
        host: curve(points, recovery),
    }


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


def _whole(
    store: Store,
    page: Page,
    run_id: str,
    criterion: str | None,
    channels: str,
    ratio: float,
    blocks: str,
    allocation: str,
    min_heads: int,
    min_channels: int,
    text: str | None,
    variant: str | None,
    *training: Any,
) -> Answer:
    """Whether the model is known, the choices of the cut, its preview, variants to recover, a warning."""
    if not run_id or groups_of(store, run_id) is None:
        return {page.empty: cut_view.needs_model(run_id)}
    choices = cut_view.criteria_choices(store, run_id)
    criterion = cut_view.first_choice(store, run_id, criterion)
    channels = channels if channels in [label for _, label in choices] else SAME
    ways = cut_view.allocation_choices(store, run_id)
    allocation = allocation if allocation in [name for _, name in ways] else UNIFORM
    made = [v.name for v in store.variants(run_id) if v.parent]
    variant = variant if variant in made else _newest_pruned(store, run_id)
    return {
        page.empty: "",
        page.cut["criterion"]: gr.Dropdown(choices=choices, value=criterion),
        page.cut["channels"]: gr.Dropdown(choices=[("the same", SAME), *choices], value=channels),
        page.cut["allocation"]: gr.Dropdown(choices=ways, value=allocation),
        **_previewed(store, page, run_id, criterion, channels, ratio, blocks, allocation, min_heads, min_channels),
        page.recover["variant"]: gr.Dropdown(choices=made, value=variant),
        **_takes(store, page, run_id, variant, *training),
        page.evaluate["warning"]: cut_view.warning(store, run_id, text),
    }


def _previewed(
    store: Store, page: Page, run_id: str, criterion: str, channels: str, ratio: float, *more: Any
) -> Answer:
    """What the best way takes, and the preview; where there can be no such plan, why, and the last picture stays."""
    if not run_id:
        return {}
    best = {page.best_takes: paragraph(best_view.in_a_sentence(store, run_id, ratio))}
    best |= {page.ways: best_view.compared(store, run_id, ratio)}
    try:
        shown = cut_view.preview(store, run_id, Cut(criterion, channels or SAME, ratio, *more))
    except MiniLLMError as fault:
        return {**best, page.preview[0]: notice(str(fault), "failed")}
    return {**best, **dict(zip(page.preview, shown, strict=True))}


def _asked_controls(page: Page) -> list[Any]:
    """What `_as_asked` may set."""
    evaluate = [control for name, control in page.evaluate.items() if name != "warning"]
    return [page.way, *evaluate, *page.zeros.values(), page.recover["preset"], *_settings(page)]


def _as_asked(store: Store, page: Page, run_id: str, options: dict[str, str]) -> Answer:
    """The forms as the latest jobs of the run were asked for, and the presets that say the same."""
    cut, zeros, recovery = (job_panel.request_of(store, run_id, kind) for kind in ("prune", "sparsify", "recover"))
    shown = asked_in(zeros or cut, {name: page.evaluate[name] for name in MEASURED})
    shown |= asked_in(cut, {"compensate": page.evaluate["compensate"], **page.evaluate})
    shown |= asked_in(zeros, page.zeros)
    if zeros:
        uniform = zeros.allocation == UNIFORM
        shown[page.zeros["pattern"]] = gr.Dropdown(value=zeros.pattern, interactive=uniform)
        shown[page.zeros["sparsity"]] = gr.Slider(value=zeros.sparsity, interactive=not uniform)
    shown |= asked_in(recovery, {name: page.recover[name] for name in TRAINED})
    shown[page.evaluate["few"]] = cut_view.too_few(store, run_id, cut.compensate if cut else "")
    if recovery:
        ways = {name: recovery_of(name) for name in RECOVERIES}
        shown[page.recover["preset"]] = way_in(ways, [getattr(recovery, name) for name in TRAINED])
    if cut:
        shown[page.way] = way_in(WAYS, [cut.criterion, cut.channels_from, cut.allocation, cut.compensate])
    return shown


def _from_address(store: Store, page: Page, run_id: str, options: dict[str, str]) -> Answer:
    """The cut, the variant and the evaluation text: as the address says, else as the latest cut was asked for."""
    request = job_panel.request_of(store, run_id, "prune")
    first: dict[str, Any] = {
        "criterion": None,
        "channels": SAME,
        "ratio": STANDARD,
        "blocks": "",
        "allocation": UNIFORM,
    }
    first |= {one.name: one.default for one in fields_of(PruneRequest, LEAST)}
    cut = {page.cut[name]: value for name, value in first.items()} | cut_view.asked_of(request, page.cut)
    cut |= {page.cut[name]: options[name] for name in first if name in options}
    cut[page.cut["ratio"]] = number({"ratio": str(cut[page.cut["ratio"]])}, "ratio", STANDARD, 0, MOST)
    for name in LEAST:
        cut[page.cut[name]] = int(number({name: str(cut[page.cut[name]])}, name, first[name], 0, MOST_GROUPS))
    text = request.evaluate_text if request else "python-docs"
    recovery = job_panel.request_of(store, run_id, "recover")
    values = [getattr(recovery, name) for name in TRAINED] if recovery else recovery_of(FIRST)
    trained = dict(zip(_settings(page), values, strict=True))
    return {**cut, page.evaluate["evaluate_text"]: text, page.recover["variant"]: options.get("variant"), **trained}


@takes((PruneRequest, (*LEAST, "compensate", *MEASURED)))
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
def begin_best(store: Store, run_id: str, ratio: float, blocks: str = "", **measured: Any) -> int:
    """Cut a run's model in the best way measured here, as one job: missing scores, least squares, perplexity before and
    after; returns the job's number."""
    cut, how = best_view.best_cut(ratio, blocks), {"compensate": best_view.WAY.compensate, **measured}
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
    """Train a pruned variant of a run, or one with N:M zeros: adapters that are merged, or its weights; returns the
    job's number. Stopped, it keeps the best so far."""
    if not given["variant"]:
        raise BadInput("No variant is chosen; prune the model first, then choose what is to be recovered.")
    return submit(store, run_id, RecoverRequest.from_json(given))
