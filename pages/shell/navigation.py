"""The navigation: every page in its group, with the run carried along and the page that is open marked.

Plain HTML, for Gradio's own bar knows no groups: it reads and works the same by keyboard, and on a telephone each group
is a line of its own.
"""

from .templates import html

Groups = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""((group, ((title, path), …)), …) in a reader's order."""


def navigation(groups: Groups, here: str, run_id: str = "") -> str:
    """Links to all pages. here: path of the open one; run_id: of the run they carry, "" for none."""
    return html("navigation", groups=groups, here=here, run=run_id)
