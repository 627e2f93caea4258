"""Templates escape what they are given, every one of them, and only constants are called HTML elsewhere."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import pytest
from jinja2 import meta, nodes
from jinja2.exceptions import UndefinedError
from markupsafe import Markup

import pages
from pages.shell.templates import ENVIRONMENT, TEMPLATES, html, html_table, notice, paragraph

EVIL = """</td></script><script>alert(1)</script> & "q" 'a' {{ 7 * 7 }}"""


class Hostile(str):
    """A text that is hostile as a whole, in all its attributes and items, and as the only item of a list."""

    def __getattr__(self, name: str) -> "Hostile":
        if name.startswith("__"):
            raise AttributeError(name)
        return Hostile(EVIL)

    def __getitem__(self, key: object) -> "Hostile":
        return Hostile(EVIL)

    def __iter__(self) -> Iterator["Hostile"]:
        return iter([self, self, self])

    def __call__(self, *given: object) -> "Hostile":
        return self

    def items(self) -> list[tuple["Hostile", "Hostile"]]:
        return [(self, self)]


ANY = Hostile(EVIL)
CONTROL = {"label": ANY, "start": ANY, "at": ANY, "values": [(ANY, ANY)]}
INSTRUMENT = {"name": ANY, "title": ANY, "controls": [{**CONTROL, "slides": slides} for slides in (True, False)]}
COLUMN = {"of": ANY, "busy": True, "said": ANY, "rest": [ANY], "facts": ANY, "blank": False}
TUPLES = {
    "exhibits": {
        "legend": [(ANY, ANY)],
        "shown": [(ANY, ANY, [{**COLUMN, "tokens": t} for t in ([(ANY, ANY, [ANY])], [])])],
    },
    "model_strip": {"legend": [(ANY, ANY)]},
    "navigation": {"groups": [(ANY, [(ANY, ANY)])]},
    "report": {"sections": [(ANY, [ANY])]},
    "site": {
        "instruments": [(INSTRUMENT, ANY, [(ANY, ANY)])],
        "questions": [(ANY, ANY)],
        "sections": [(ANY, ANY, [ANY])],
    },
    "stepper": {"steps": [(ANY, ANY, ANY)]},
    "table": {"marks": [{"class": ANY}] * 3},
    "walk": {"chips": [(ANY, True, True)]},
    "ways_on": {"ways": [(ANY, ANY)]},
}
"""What is not a text, or a list of texts, but rows with a place for each thing."""


def names() -> list[str]:
    return sorted(path.name for path in TEMPLATES.iterdir())


def given(name: str) -> set[str]:
    """What a template is given by its caller."""
    return meta.find_undeclared_variables(ENVIRONMENT.parse((TEMPLATES / name).read_text())) - set(ENVIRONMENT.globals)


@pytest.mark.parametrize("name", names())
def test_no_template_lets_a_hostile_value_through(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for formatting in ("ago", "size", "format"):
        monkeypatch.setitem(ENVIRONMENT.filters, formatting, lambda value, *more: EVIL)
    values = dict.fromkeys(given(name), ANY) | TUPLES.get(name.partition(".")[0], {})
    text = ENVIRONMENT.get_template(name).render(values)
    assert "<script>alert" not in text and "</td></script>" not in text and "49" not in text
    assert (not values) or "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("name", names())
def test_every_template_escapes_and_none_calls_a_value_safe(name: str) -> None:
    assert ENVIRONMENT.autoescape is True and name.endswith(".html.j2")
    tree = ENVIRONMENT.parse((TEMPLATES / name).read_text())
    assert not list(tree.find_all((nodes.ScopedEvalContextModifier, nodes.EvalContextModifier)))
    assert not {one.name for one in tree.find_all(nodes.Filter)} & {"safe", "forceescape", "tojson"}


def test_a_value_that_was_forgotten_is_an_error_and_no_gap() -> None:
    with pytest.raises(UndefinedError):
        html("table", head=("a",), rows=[("b",)])


def test_html_in_a_cell_stands_and_text_beside_it_is_escaped() -> None:
    found = html_table(("<a>",), [(Markup("<b>{}</b>").format("<c>"), "<d>")], "<e>", marks=[{"class": '"f"'}])
    assert "<b>&lt;c&gt;</b>" in found and "<td>&lt;d&gt;</td>" in found and "<caption>&lt;e&gt;</caption>" in found
    assert '<tr class="&#34;f&#34;">' in found
    assert not re.findall(r"<[ade]>", found)


def test_what_stands_in_a_module_as_html_is_known_to_be_html() -> None:
    """A plain text that holds an element is escaped where it is put beside `Markup`; its element then does nothing."""
    for module in pkgutil.walk_packages(pages.__path__, "pages."):
        for name, value in vars(import_module(module.name)).items():
            if isinstance(value, str) and re.match(r"<(?!script|!doctype)[a-z]", value):
                assert isinstance(value, Markup), f"{module.name}.{name}"


def test_sentences_are_text() -> None:
    assert paragraph("<b>") == "<p>&lt;b&gt;</p>"
    assert notice("<b>") == '<p class="notice">&lt;b&gt;</p>'
    assert notice("<b>", "failed") == '<p class="notice is-failed" role="alert">&lt;b&gt;</p>'
