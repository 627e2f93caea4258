"""View options in a page's address beside ?run=ID, so that a link shows what its sender saw; and files to save.

A page that takes options sets its controls by them in `shell.opens`, before the frame draws. What it has drawn then is
noted in a hidden `opened`, so that `shell.live` draws it anew only where something has changed.
"""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

import gradio as gr

REMEMBER = """
(...values) => {
  const names = %s, address = new URL(window.location);
  names.forEach((name, i) => {
    const value = values[i], text = value == null ? "" : Array.isArray(value) ? value.join("|") : String(value);
    text ? address.searchParams.set(name, text) : address.searchParams.delete(name);
  });
  window.history.replaceState(window.history.state, "", address);
  window.dispatchEvent(new Event("readdressed"));
}
"""

SAVE = """
(text) => {
  const address = URL.createObjectURL(new Blob([text], {type: "%s"}));
  const link = Object.assign(document.createElement("a"), {href: address, download: "%s"});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
"""


FETCH = """
async () => {
  await new Promise(done => setTimeout(done, 200));
  document.querySelector("a#%s, #%s a, #%s").click();
}
"""
"""The pause lets the button take the file's address."""


def choice(options: dict[str, str], name: str, choices: Iterable[str], default: str) -> str:
    """An option that is one of a few words, else the default."""
    given = options.get(name, default)
    return given if given in choices else default


def number(options: dict[str, str], name: str, default: float, low: float, high: float) -> float:
    """An option that is a number, brought between low and high; the default where it is none."""
    try:
        given = float(options.get(name, default))
    except ValueError:
        return default
    return default if given != given else min(max(given, low), high)


def remembered(trigger: Callable, controls: dict[str, Any]) -> None:
    """Keep the values of controls in the address, {option: control}, whenever `trigger` fires. Costs no request."""
    names = str(list(controls)).replace("'", '"')
    trigger(None, list(controls.values()), None, js=REMEMBER % names, api_visibility="private")


def moves_of(control: Any) -> list[Callable]:
    """The events by which a reader's move of a control is known: a text counts once it is left."""
    return [control.submit, control.blur] if isinstance(control, gr.Textbox) else [control.input]


def remembers(controls: dict[str, Any]) -> None:
    """Keep the values of controls in the address whenever a reader has settled on one; a slider counts once it rests,
    for browsers refuse an address that changes too often."""
    for control in controls.values():
        for settled in [control.release] if isinstance(control, gr.Slider) else moves_of(control):
            remembered(settled, controls)


def link(path: str, **options: Any) -> str:
    """A page's address relative to the app, with the options that are not empty: "prune?run=ID&ratio=0.2"."""
    given = {name: value for name, value in options.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def saved(event: Any, text: gr.Textbox, name: str, kind: str = "text/plain") -> None:
    """After an event that fills a (hidden) text: offer it as a file of that name."""
    event.success(None, text, None, js=SAVE % (f"{kind};charset=utf-8", name), api_visibility="private")


def fetched(event: Any, elem_id: str) -> None:
    """After an event that gives a hidden DownloadButton a file: download it at once."""
    event.success(None, None, None, js=FETCH.replace("%s", elem_id), api_visibility="private")
