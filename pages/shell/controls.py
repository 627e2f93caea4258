"""Controls and handlers made from the fields of a record: label, help, choices and default stand there, once.

A page says which fields it shows, in which order, and what their element ids begin with. A handler that takes them is
written for keywords and called with the values of those controls, in that order.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Any

import gradio as gr

from .address import moves_of
from .frame import QUIET


def fields_of(record: type, names: Sequence[str]) -> list[Field]:
    """Those fields of a record, in the order of their names."""
    known = {one.name: one for one in fields(record)}
    return [known[name] for name in names]


def control(one: Field, page: str, kind: Callable[..., Any] | None = None, **more: Any) -> Any:
    """The control of a field, here: a list of its choices, a tick, a number, or a line of text.

    page: what its element id begins with; kind: another control than that; more: what it gets besides, or instead.
    """
    check, told = one.metadata["check"], {"value": one.default, "label": one.metadata["label"]}
    told |= {"info": one.metadata["help"] or None, "elem_id": f"{page}-{one.name}", **more}
    if kind is not None:
        return kind(**told)
    if check.choices:
        return gr.Dropdown(**{"choices": list(check.choices), **told})
    if isinstance(one.default, bool):
        return gr.Checkbox(**told)
    if check.low is None:
        return gr.Textbox(**told)
    return gr.Number(**{"min_width": 120, **told})


def controls(record: type, names: Sequence[str], page: str, **more: Any) -> dict[str, Any]:
    """Controls of some fields, one below the other, by name."""
    return {one.name: control(one, page, **more) for one in fields_of(record, names)}


def in_rows(record: type, names: Sequence[str], page: str, **more: Any) -> dict[str, Any]:
    """Controls of some fields, two beside each other, by name."""
    found, wanted = {}, fields_of(record, names)
    for first in range(0, len(wanted), 2):
        with gr.Row():
            for one in wanted[first : first + 2]:
                found[one.name] = control(one, page, **more)
    return found


def asked_in(request: Any, controls: dict[str, Any]) -> dict[Any, Any]:
    """What a form shows of a job: the fields of its request that have a control, as that control holds them.

    request: a record, or None where there was no such job. controls: {field: control}.
    """
    given = request.to_json() if request else {}
    return {control: _as_held(given[name], control) for name, control in controls.items() if name in given}


def _as_held(value: Any, control: Any) -> Any:
    if isinstance(control, gr.Textbox):
        return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)
    return value


def preset(choice: gr.Radio, ways: Mapping[str, Sequence[Any]], controls: Sequence[Any]) -> Any:
    """Ways known by name, {name: values of controls}: choosing one sets them, and it stays chosen only while they hold
    these values. Returns the event after which they are set."""

    def agreeing(*values: Any) -> str | None:
        return way_in(ways, values)

    moves = [move for one in controls for move in moves_of(one)]
    gr.on(moves, agreeing, list(controls), choice, trigger_mode="always_last", **QUIET)
    return choice.input(lambda name: list(ways[name]), choice, list(controls), **QUIET)


def way_in(ways: Mapping[str, Sequence[Any]], values: Sequence[Any]) -> str | None:
    """Which way known by name has these values; None where there is none."""
    return next((name for name, way in ways.items() if list(way) == list(values)), None)


def written(one: Field) -> str:
    """The default of a field of several numbers, as `checks.numbers_of` reads them."""
    return ", ".join(map(str, one.default))  # type: ignore[arg-type]


def takes(*groups: tuple[type, Sequence[str]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A handler that takes **given by name, as one that takes the values of controls in order: (record, names) …

    The API shows it with the names, types and defaults of these fields.
    """
    wanted = [_parameter(one) for record, names in groups for one in fields_of(record, names)]

    def decorate(handler: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(handler)
        named = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        signature = own.replace(parameters=[*named, *wanted])

        @wraps(handler)
        def called(*values: Any, **given: Any) -> Any:
            bound = signature.bind(*values, **given)
            bound.apply_defaults()
            return handler(**bound.arguments)

        called.__signature__ = signature  # type: ignore[attr-defined]
        called.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
        return called

    return decorate


def _parameter(one: Field) -> inspect.Parameter:
    default = inspect.Parameter.empty if one.default is MISSING else one.default
    return inspect.Parameter(one.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=one.type)
