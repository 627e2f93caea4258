"""Formulas become MathML that says what it was made of, and every formula of the app can be read."""

import re
import xml.etree.ElementTree as xml

import pytest

from minillm.criteria import CRITERIA
from pages.learn.estimate import FORMULA
from pages.methods import LETTERS
from pages.shell.formula import formula

EVERY = [*(c.equation for c in CRITERIA.values()), *(letter for letter, _ in LETTERS), FORMULA]


def tree(text: str) -> xml.Element:
    return xml.fromstring(f"<p>{formula(text)}</p>")


@pytest.mark.parametrize("text", EVERY)
def test_its_alternatives_and_words_are_together_what_was_written(text: str) -> None:
    told = re.sub(r'</?span[^>]*>|<math alttext="([^"]*)".*?</math>', lambda one: one[1] or "", formula(text))
    assert told == text
    for one in tree(text).iter("math"):
        assert one.get("alttext") == one.get("aria-label") and "_" not in "".join(one.itertext())
    assert all(len(one) == 2 for one in tree(text).iter("mfrac"))


def test_brackets_fractions_and_scripts_are_what_they_mean() -> None:
    above, below = tree("‖W_j‖² / [H⁻¹]_jj").find(".//mfrac")
    assert above.tag == "msup" and [one.text for one in above.find("mrow")][0] == "‖"
    assert above.find(".//msub")[1].text == "j" and above[1].text == "2"
    assert below.tag == "msub" and below.find(".//msup")[1].text == "−1"
    assert "".join(tree("c / z = -0.41").itertext()) == "cz=−0.41"
    assert "".join(tree("ĝ").find(".//mover").itertext()) == "g^"
    assert tree("∂L/∂W").find(".//mfrac") is None, "without spaces it stays in its line"


@pytest.mark.parametrize("text", ["", "[", "a / ", ")", "|W", "_", "<b>&", "W²²", "一 · 二"])
def test_what_is_no_formula_is_shown_as_it_stands(text: str) -> None:
    assert set(text.replace("²", "").replace("_", "")) - {" ", "/"} <= set("".join(tree(text).itertext()))


def test_words_alone_are_words() -> None:
    said = "ridge of log-perplexity on masks"
    assert formula(said) == f'<span class="formula">{said}</span>'
    assert formula("W & <script>").count("<script>") == 0
