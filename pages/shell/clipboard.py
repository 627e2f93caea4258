"""Text to the reader's clipboard, also where the browser grants it to no page (an address that is not https)."""

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
    said = f"async () => {{ await ({COPY})(window.location.href); return 'Link copied'; }}"
    back = f"async () => {{ await new Promise(done => setTimeout(done, {SAID})); return '{button.value}'; }}"
    event = button.click(None, None, button, js=said, api_visibility="private")
    event.then(None, None, button, js=back, api_visibility="private")
