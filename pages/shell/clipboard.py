"""Buttons that keep what a page shows: on the clipboard, also where the browser grants it to no page (an address that
is not https), or in the talk."""

from typing import Any

COPY = """
async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const held = Object.assign(document.createElement("textarea"), {value: text});
    document.body.append(held);
    held.select();
    document.execCommand("copy");
    held.remove();
  }
}
"""

SAID = 1500
"""Milliseconds for which a button says that it has copied."""


def copied(event: Any, text: Any) -> None:
    """After an event that fills a component with text: copy the text."""
    event.success(None, text, None, js=COPY, api_visibility="private")


def copies_address(button: Any) -> None:
    """A button that copies the address of the page as it stands, and says so for a moment."""
    _says(button, f"async () => {{ await ({COPY})(window.location.href); return 'Link copied'; }}")


def adds_to_talk(button: Any) -> None:
    """A button that adds the page as it stands, and the picture in the middle of the window, to the talk that this
    browser keeps (assets/present.js); it says for a moment how many views there are."""
    _says(button, "() => `${window.MiniTalk.add()} in the talk`")


def _says(button: Any, does: str) -> None:
    back = f"async () => {{ await new Promise(done => setTimeout(done, {SAID})); return '{button.value}'; }}"
    event = button.click(None, None, button, js=does, api_visibility="private")
    event.then(None, None, button, js=back, api_visibility="private")
