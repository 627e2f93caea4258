"""HTML for pages and reports, from the templates in assets/templates.

The one idea: whatever is put into HTML is text and is escaped, unless it is `Markup`, HTML that was made here or by
`Markup("…{}…").format(…)`, which escapes too. A template holds no logic but loops and ifs.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from minillm.paths import ASSETS

from .address import link
from .formula import formula
from .phrases import ago, size

TEMPLATES = ASSETS / "templates"
ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters |= {"ago": ago, "size": size, "formula": formula}
ENVIRONMENT.globals |= {"link": link}


def html(template: str, /, **values: Any) -> Markup:
    """A template of that name filled in; every value that it uses must be given."""
    return trusted(ENVIRONMENT.get_template(f"{template}.html.j2").render(values))


def trusted(text: str) -> Markup:
    """HTML, styles or scripts that came with the project or were escaped already: they stand as they are."""
    return Markup(text)  # noqa: S704


def paragraph(said: str) -> Markup:
    """A sentence or more, as a paragraph."""
    return Markup("<p>{}</p>").format(said)


def notice(said: str, state: str = "") -> Markup:
    """What is missing or went wrong, in place of what is not there; read aloud where it is a failure. state: of a job,
    where it has ended before its time."""
    if not state:
        return Markup('<p class="notice">{}</p>').format(said)
    return Markup('<p class="notice is-{}" role="alert">{}</p>').format(state, said)


def html_table(
    head: Sequence[str],
    rows: Iterable[Iterable[str]],
    caption: str = "",
    name: str = "",
    kind: str = "",
    marks: Sequence[Mapping[str, str]] = (),
) -> Markup:
    """Rows of words as a table that can be read aloud: the first cell of a row is its heading.

    name: read aloud where there is no caption; kind: of the table, for its look (default: its name); marks: attributes
    of each row.
    """
    return html("table", head=head, rows=rows, caption=caption, name=name, kind=kind, marks=marks)
