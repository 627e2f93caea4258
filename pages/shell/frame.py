"""What every page has around it: navigation, the title bar, errors as sentences, and one poll while a job is live.

The one idea: the store is the truth. A page holds the id of its run (from ?run=ID in its address) and nothing else
that matters, so a reload, another tab or another person sees the same. A page is laid out inside the frame:

    with frame(ctx) as shell:
        ratio, plot, button = …                                                       the layout first
        shell.live(lambda run, ratio: draw(ctx.store, run, ratio), [plot], [ratio])   the wiring last
        shell.starts(button.click, begin, [ratio], api_name="score")

`shell.live` draws when the page opens, after a job was started here, and whenever a job of the run has got further.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Any

import gradio as gr
from gradio.blocks import Block
from markupsafe import Markup

from minillm.errors import BadInput, MiniLLMError
from minillm.jobs.submit import start_again
from minillm.jobs.supervisor import Supervisor
from minillm.paths import ASSETS
from minillm.store.as_folder import BUNDLED, bundled_id, import_run
from minillm.store.records import Job
from minillm.store.store import Store

from . import job_panel
from .address import link, moves_of, remembers
from .clipboard import adds_to_talk, copies_address
from .templates import notice
from .title_bar import title_bar

STYLE = ASSETS / "app.css"

LOOK_EVERY = 0.5
"""Seconds between two looks at a live job: pictures are redrawn twice a second at most."""

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""For events that only look: not in line behind work, nothing flashing, not in the API's list. An error of such an
event is not shown on the page (Gradio shows those of queued events only), so these must not raise."""

ACT: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
"""For events that do something and may be refused: queued, so that `guarded`'s sentence is shown, but never waiting."""

NO_RUN = "No run is open, so there is nothing to show on this page yet."

OPENED = Markup('<span class="is-open" hidden></span>')
"""Stands in the title bar once the page has opened."""

INERT = """<script>
// Until a page has opened, its controls would act on what it shows at first: none can be used before.
new MutationObserver(() => {
  const body = document.querySelector('#body');
  if (body) body.inert = !document.querySelector('#title-bar .is-open');
}).observe(document, {childList: true, subtree: true});
</script>
<style>
/* Hidden, as Gradio has it, would make this what sticky parts stick to; a style sheet of ours would be prefixed. */
div.gradio-container { overflow: clip !important; }
</style>"""
"""For `launch(head=…)`."""

SKIP = """<script>
{
  // Not by the address: the page has a base of its own, to which a bare #page would lead away.
  const skip = event => {
    event.preventDefault();
    const page = document.querySelector('#page');
    page.tabIndex = -1;
    page.focus();
  };
  const words = {href: '#page', className: 'skip', textContent: 'Skip to the page', onclick: skip};
  const add = () => document.querySelector('a.skip') ||
    document.body.prepend(Object.assign(document.createElement('a'), words));
  document.body ? add() : addEventListener('DOMContentLoaded', add);
}
</script>"""
"""The first stop of the Tab key: past the navigation. For `launch(head=…)`."""

FRESH = """(...values) => {
    document.querySelectorAll('.toast-close').forEach(button => button.click());
    return values;
}"""
"""Takes away what was said of an earlier try, lest the answer to this one stand below it."""

FOLLOW = """(run) => {
    const here = new URL(window.location);
    if (run && here.searchParams.get('run') !== run) { here.searchParams.set('run', run); window.location = here; }
    return run;
}"""
"""Opens this page for the run that a job belongs to, where that is another one than the address says."""


@dataclass(frozen=True)
class Context:
    """What pages are given.

    store: runs and jobs; supervisor: keeps the worker alive; app: the Blocks all pages are in;
    pages: [(title, path)] for the navigation; confined: the app can be reached from other machines, so paths outside
    MINILLM_HOME are refused; path: of the page being built.
    """

    store: Store
    supervisor: Supervisor
    app: gr.Blocks
    pages: tuple[tuple[str, str], ...]
    confined: bool = False
    path: str = ""


def guarded(function: Callable) -> Callable:
    """The function with its errors as one sentence on the page: the engine's own, or a general one and a log entry."""

    @wraps(function)
    def called(*given: Any, **named: Any) -> Any:
        with _told():
            return function(*given, **named)

    @wraps(function)
    async def awaited(*given: Any, **named: Any) -> Any:
        with _told():
            return await function(*given, **named)

    inner = function.func if isinstance(function, partial) else function
    guard = awaited if iscoroutinefunction(inner) else called
    guard.__annotations__ = _annotations(function)
    return guard


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except gr.Error:
        raise
    except MiniLLMError as fault:
        raise gr.Error(str(fault), print_exception=False) from fault
    except Exception as fault:
        raise gr.Error(_unexpected(fault), print_exception=False) from fault


def _unexpected(fault: Exception) -> str:
    logging.getLogger(__name__).exception("a page's handler failed")
    return f"Something went wrong in the app ({type(fault).__name__}); its log says more. Your runs are safe."


Answer = dict[Any, Any]
"""{component: value}: what is absent stays as it is."""

Draw = Callable[..., Any]
"""(run id, values of the inputs …) -> an Answer; of one output, its value alone will do."""

Arrive = Callable[[str, dict[str, str]], Answer]
"""(run id, options of the address) -> an Answer."""


@dataclass(frozen=True)
class _View:
    draw: Draw
    outputs: list[Any]
    inputs: list[Any]
    without_run: bool

    def answer(self, run_id: str, given: Answer) -> Answer:
        drawn = self.draw(run_id, *(given[component] for component in self.inputs))
        return drawn if _by_component(drawn) else {self.outputs[0]: drawn}


def _by_component(drawn: Any) -> bool:
    return isinstance(drawn, dict) and all(isinstance(key, Block) for key in drawn)


def answering(draw: Draw) -> Draw:
    """A handler that may have nothing to say: where its answer is empty, Gradio is told that all stays as it is."""

    @wraps(draw)
    def called(*given: Any, **named: Any) -> Any:
        drawn = draw(*given, **named)
        return gr.skip() if isinstance(drawn, dict) and not drawn else drawn

    called.__annotations__ = _annotations(draw)
    return called


def _annotations(function: Callable) -> dict[str, Any]:
    return getattr(function.func if isinstance(function, partial) else function, "__annotations__", {})


def merged(answers: Iterable[Answer]) -> Answer:
    """Several answers as one; of two about one component, the later."""
    return {component: value for answer in answers for component, value in answer.items()}


@dataclass
class Shell:
    """The frame of one page, while it is being built.

    run: the id of the run the page is about, "" without one: an input for handlers, as shell.run.
    started: the number of the job that was started here last. needs_run: whether the page says so without a run.
    """

    ctx: Context
    needs_run: bool
    run: gr.Textbox
    started: gr.Number
    seen: gr.Textbox
    navbar: gr.Navbar
    bar: gr.HTML
    lesson: gr.HTML
    stop: gr.Button
    timer: gr.Timer
    views: list[_View] = field(default_factory=list)
    arrivals: list[tuple[Arrive, list[Any]]] = field(default_factory=list)

    def opens(self, arrive: Arrive, outputs: list[Any]) -> None:
        """When the page opens, before anything is drawn: arrive(run id, options of the address) -> an Answer.

        The run id is "" where the address names none, or one that is not there (the title bar says so).
        """
        self.arrivals.append((arrive, outputs))

    def live(self, draw: Draw, outputs: list[Any], inputs: list[Any] | None = None, without_run: bool = False) -> None:
        """Keep outputs up to date: draw(run id, *values of inputs) when the page opens and whenever a job of the run
        has got further. Without a run it is called only where `without_run` (its run id is then "")."""
        self.views.append(_View(draw, outputs, inputs or [], without_run))

    def redraws_when(
        self,
        state: Callable[[str], str],
        draw: Draw,
        outputs: list[Any],
        inputs: list[Any],
        asked: Arrive,
        anew: Draw | None = None,
    ) -> None:
        """Draw when the page opens, with what `asked` gives of the inputs, and then only where state(run id) is another
        than when it was drawn last: a live job must not disturb who is choosing.

        draw(run id, *values of inputs) is called without a run as well; anew: draws in its place on a change. Call it
        inside the layout.
        """
        drawn = gr.Textbox(visible=False)

        def mark(run_id: str) -> str:
            return f"as of {state(run_id)}"

        def arrive(run_id: str, options: dict[str, str]) -> Answer:
            given = asked(run_id, options)
            return {drawn: mark(run_id), **given, **draw(run_id, *(given.get(component) for component in inputs))}

        def looked(run_id: str, before: str, *values: Any) -> Answer:
            now = mark(run_id)
            return {} if before in ("", now) else {drawn: now, **(anew or draw)(run_id, *values)}

        self.live(looked, [drawn, *inputs, *outputs], [drawn, *inputs])
        self.opens(arrive, [drawn, *inputs, *outputs])

    def follows(self, controls: dict[str, Any], draw: Draw, outputs: list[Any]) -> None:
        """Draw anew, draw(run id, *values of controls), when a reader has moved one of them; keep all in the address.

        One event for all of them: of several, the answer to an earlier one could come last and show what was chosen
        before. controls: {option in the address: control}.
        """
        moves = [move for control in controls.values() for move in moves_of(control)]
        gr.on(moves, answering(draw), [self.run, *controls.values()], outputs, trigger_mode="always_last", **QUIET)
        remembers(controls)

    def starts(
        self, trigger: Callable, begin: Callable[..., int], inputs: list[Any], api_name: str, without_run: bool = False
    ) -> Any:
        """Wire a control that starts a job: begin(run id, *values of inputs) -> its number. The page then follows it,
        to the address of another run where `begin` made one for it (without_run: `begin` takes "" for the run id).

        The number is what the API's start_`api_name` returns; its parameters are named like `begin`'s, and `begin`'s
        docstring describes it there. Call it after all `live`.
        """

        @wraps(begin)
        def checked(run_id: str, *values: Any) -> int:
            if not run_id and not without_run:
                raise BadInput(NO_RUN)
            return begin(run_id, *values)

        given = [self.run, *inputs]
        event = trigger(guarded(checked), given, self.started, js=FRESH, api_name=f"start_{api_name}", **ACT)
        moved = event.success(self._run_of, [self.started], self.run, **QUIET)
        arrived = moved.success(None, [self.run], self.run, js=FOLLOW, **QUIET)
        self.looks_again(arrived)
        return event

    def _run_of(self, job_id: int) -> str:
        return self.ctx.store.job(job_id).run_id

    def runs_again(self, panel: job_panel.Panel) -> None:
        """Wire a panel's "Start again": the same request once more. Call it after all `live`."""

        def again(run_id: str) -> int:
            """The latest job of this kind, once more."""
            job = job_panel.current(self.ctx.store, run_id, panel.kind)
            if job is None:
                raise BadInput(f"This run has no {panel.kind} job to start again.")
            return start_again(self.ctx.store, job.id)

        self.starts(panel.again.click, again, [], api_name=f"{panel.kind}_again")

    @property
    def _inputs(self) -> set[Any]:
        """What handlers of the frame are given, by component."""
        return {self.run, self.seen, *(component for view in self.views for component in view.inputs)}

    @property
    def _outputs(self) -> list[Any]:
        own = [self.seen, self.bar, self.stop, self.timer]
        return list(dict.fromkeys([*own, *(component for view in self.views for component in view.outputs)]))

    def wire(self) -> None:
        """The events of the frame itself: opening the page, looking again, stopping."""
        opened = [self.run, self.navbar, self.lesson, *self._outputs]
        # One after the other: an answer of the first that came last would put back what someone has done meanwhile.
        asked = list(dict.fromkeys(component for _, outputs in self.arrivals for component in outputs))
        load = self.ctx.app.load
        opens = load(answering(self._arrive), None, asked, **QUIET).then if asked else load
        opens(self._open, self._inputs, opened, **QUIET)
        self.timer.tick(self._look, self._inputs, self._outputs, **QUIET)
        stopped = self.stop.click(
            guarded(partial(job_panel.stop, self.ctx.store)), [self.run], None, api_visibility="private", **ACT
        )
        self.looks_again(stopped)

    def looks_again(self, event: Any) -> None:
        """After an event that has changed the run: draw everything anew. Call it after all `live`."""
        event.success(self._look_again, self._inputs, self._outputs, **QUIET)

    def _arrive(self, request: gr.Request) -> Answer:
        """What the pages' own controls say as the page opens, by its address."""
        run_id, _ = _run_in_address(self.ctx.store, request)
        options = {str(name): str(value) for name, value in dict(request.query_params or {}).items() if name != "run"}
        return merged(arrive(run_id, options) for arrive, _ in self.arrivals)

    def _open(self, given: Answer, request: gr.Request) -> Answer:
        """The page as it opens: which run, and everything drawn."""
        run_id, problem = _run_in_address(self.ctx.store, request)
        opened = {self.run: run_id, self.navbar: gr.Navbar(value=_links(self.ctx, run_id))}
        opened[self.lesson] = _lesson(str(dict(request.query_params or {}).get("lesson", "")))
        return {**opened, **self._looked(run_id, "", given, problem)}

    def _look_again(self, given: Answer) -> Answer:
        return self._looked(given[self.run], "", given)

    def _look(self, given: Answer) -> Answer:
        return self._looked(given[self.run], given[self.seen], given)

    def _looked(self, run_id: str, seen: str, given: Answer, problem: str = "") -> Answer:
        """The title bar, always new, and the page's own where something has changed.

        Never raises. A view that cannot be drawn says why in the title bar, and is tried again at the next look.
        """
        store, job, stamp, drawn = self.ctx.store, None, "", {}
        try:
            if run_id:
                stamp, job = job_panel.stamp(store, run_id), job_panel.current(store, run_id)
            if not seen or stamp != seen:
                views = [view for view in self.views if run_id or view.without_run]
                drawn = merged(view.answer(run_id, given) for view in views)
        except MiniLLMError as fault:
            problem, stamp = problem or str(fault), ""
        except Exception as fault:
            problem, job = _unexpected(fault), None
        live, stopping = (job.live, job.stopping) if job else (False, False)
        own = {self.seen: stamp, self.bar: self._bar(run_id, job, problem)}
        buttons = {self.stop: gr.Button(visible=live, interactive=not stopping), self.timer: gr.Timer(active=live)}
        return {**own, **buttons, **drawn}

    def _bar(self, run_id: str, job: Job | None, problem: str) -> str:
        try:
            bar = title_bar(self.ctx.store, run_id, job, problem or self.ctx.supervisor.problem)
        except MiniLLMError as fault:
            run_id, bar = "", title_bar(self.ctx.store, "", None, str(fault))
        return OPENED + bar + (self._ways_on(bar) if self.needs_run and not run_id else "")

    def _ways_on(self, said: str) -> str:
        """What a page without a run offers instead of its controls."""
        sample = bundled_id()
        ways = [(address(self.ctx.path, sample), "Open the sample run here")] if sample else []
        ways += [("model", "Choose a model to begin with"), ("runs", "Open one of your runs")]
        onward = Markup('<a class="onward" href="{}">{}</a>')
        links = Markup("").join(onward.format(*way) for way in ways)
        return ("" if said else notice(NO_RUN)) + Markup('<p class="no-run">{}</p>').format(links)


def _run_in_address(store: Store, request: gr.Request) -> tuple[str, str]:
    """The run that ?run=ID names and "", or "" and what is wrong with it. The sample is added by following its link."""
    given = str(dict(request.query_params or {}).get("run", ""))
    if not given:
        return "", ""
    try:
        return store.run(given).id, ""
    except BadInput as fault:
        return (import_run(store, BUNDLED), "") if given == bundled_id() else ("", str(fault))


def _lesson(step: str) -> str:
    """That a page was opened by a step of the lesson, and the way back to its question; empty where it was not."""
    if not step.isdecimal() or not 0 < int(step) < 100:
        return ""
    there = link("learn", topic="lesson", step=str(int(step) - 1))
    told = Markup('<p class="notice">Step {} of the lesson. <a href="{}">Back to its question</a></p>')
    return told.format(int(step), there)


def _links(ctx: Context, run_id: str) -> list[tuple[str, str]]:
    return [(title, address(path, run_id)) for title, path in ctx.pages]


def address(path: str, run_id: str = "") -> str:
    """Where a page is, relative to the app, for a run: "score?run=ID"."""
    return f"{path}?run={run_id}" if run_id else path


@contextmanager
def frame(ctx: Context, needs_run: bool = True) -> Iterator[Shell]:
    """Lay out a page inside this; when the body ends, the frame's own events are wired.

    needs_run: the page has nothing to show without a run, and says so on top.
    """
    hidden: dict[str, Any] = {
        "run": gr.Textbox(visible=False, elem_id="run", label="Run", show_label=False),
        "started": gr.Number(visible=False, precision=0, label="Job", show_label=False),
        "seen": gr.Textbox(visible=False),
        "navbar": gr.Navbar(value=_links(ctx, ""), main_page_name=False),
        "timer": gr.Timer(LOOK_EVERY, active=False),
    }
    with gr.Column(elem_id="page", elem_classes="page"):
        shell = Shell(ctx, needs_run, **hidden, **_bar())
        with gr.Column(elem_id="body"):
            yield shell
    shell.wire()


def _bar() -> dict[str, Any]:
    with gr.Row(elem_id="title-row"):
        bar = gr.HTML('<p class="title-bar">Opening …</p>', elem_id="title-bar")
        copy = gr.Button("Copy link", elem_id="copy-link", size="sm", scale=0, min_width=110)
        stop = gr.Button("Stop", variant="stop", visible=False, elem_id="stop", size="sm", scale=0, min_width=90)
        talk = gr.Button("Add to talk", elem_id="add-to-talk", size="sm", scale=0, min_width=110)
    copies_address(copy)
    adds_to_talk(talk)
    return {"bar": bar, "stop": stop, "lesson": gr.HTML(elem_id="in-lesson")}
