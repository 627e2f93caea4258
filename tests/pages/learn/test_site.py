"""The site before any browser: what it refuses, its words, and that no combination of controls is missing."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from itertools import product

import pytest

from minillm.errors import BadInput
from pages.learn import site
from pages.learn.instruments import instruments


def test_a_folder_of_somebody_elses_stays_as_it_is(tmp_path):
    (tmp_path / "index.html").write_text("<p>mine</p>")
    with pytest.raises(BadInput, match="of another making"):
        site.write_site(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]
    with pytest.raises(BadInput, match="is a file"):
        site.write_site(tmp_path / "index.html")


def test_every_combination_has_an_answer_or_one_below_it():
    """A slider may reach beyond what a family has (assets/site.js then goes back), never beyond its first place."""
    for one in instruments():
        keys = {"|".join(values) for values in one.combinations()}
        offered = [[value for value, _ in control.values] for control in one.controls]
        assert "|".join(one.start) in keys
        for values in product(*offered[:-1]):
            assert "|".join((*values, offered[-1][0])) in keys, (one.name, values)
        assert keys <= {"|".join(values) for values in product(*offered)}


def test_learns_texts_become_paragraphs_and_nothing_else():
    assert site.prose("one **two** *three* `a*b`") == "<p>one <b>two</b> <i>three</i> <code>a*b</code></p>"
    assert site.prose("\na\n\n\n<b>&\n") == "<p>a</p><p>&lt;b&gt;&amp;</p>"
