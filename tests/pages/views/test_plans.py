"""Blocks as text, and plans as tables: against numbers counted by hand and the published sizes of LLaMA-7B."""

import os
import re

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest
from made_scores import llama_7b, scores, shape, smollm2

from minillm.errors import BadInput
from minillm.plan.budget import largest_ratio
from minillm.plan.plan import make_plan, plan_from_groups
from pages.shell.templates import html_table
from pages.views.plans import costs, in_a_sentence, read_blocks, really_cut, write_blocks

READ = [
    ("", None),
    ("  ", None),
    ("3-5", [3, 4, 5]),
    ("3–5", [3, 4, 5]),
    (" 0 - 2 , 5;4, ", [0, 1, 2, 4, 5]),
    ("7", [7]),
    ("0-2,1-3", [0, 1, 2, 3]),
]


@pytest.mark.parametrize(("text", "blocks"), READ)
def test_blocks_are_read_as_people_write_them(text: str, blocks: list[int] | None) -> None:
    assert read_blocks(text, 8) == blocks
    assert read_blocks(write_blocks(blocks), 8) == blocks


@pytest.mark.parametrize("text", ["3-", "-3", "a", "1.5", "5-3", "0-8", "8", "1,,2", "1 2", "99999", "١-٢"])
def test_other_texts_are_refused_with_a_way_out(text: str) -> None:
    with pytest.raises(BadInput, match="such as|blocks 0 to 7"):
        read_blocks(text, 8)


def test_costs_of_llama_7b_are_the_published_ones() -> None:
    rows = {row[0]: row[1:] for row in costs(plan_from_groups(llama_7b(), 0.2), "float16")}
    assert rows["parameters"][:2] == ("6.74 B", "5.39 B")
    assert rows["parameters"][2] == "−20.0 %"
    assert rows["MACs of 64 tokens"][0].startswith("423.9")
    assert rows["weights in float16"][0] == "13 GB"
    assert rows["key/value cache a token"][0] == "524 kB"
    assert rows["head groups"][0] == "1,024" and rows["channels"][0] == "352,256"


def test_a_plan_that_cuts_nothing_says_so() -> None:
    plan = plan_from_groups(shape(), 0.0)
    assert all(row[3] == "no change" for row in costs(plan))
    assert in_a_sentence(plan, 0.5) == "Nothing is cut at this ratio. These blocks can give up 50.0 % at most."


def test_the_table_by_block_adds_up_to_the_plan() -> None:
    plan = make_plan(scores(smollm2(), "wanda"), 0.11, range(4, 28))
    rows = really_cut(plan)
    assert [row[0] for row in rows] == [str(i) for i in range(30)]
    heads = sum(int(row[1].split()[0]) for row in rows)
    channels = sum(int(row[2].replace(",", "").split()[0]) for row in rows)
    assert heads * 294_912 + channels * 1728 == plan.removed
    assert rows[0][1:] == ("0 of 3", "0 of 1,536", "0.0 %")


def test_the_sentence_names_what_goes_and_how_far_one_could_go() -> None:
    groups = smollm2()
    plan = make_plan(scores(groups, "wanda"), 0.2)
    said = in_a_sentence(plan, largest_ratio(groups))
    assert said.startswith("20.00 % of all parameters go: 24 head groups and ")
    assert "blocks 4–27" in said and "57.6 % at most" in said


def test_cells_are_escaped_and_the_first_of_a_row_is_its_heading() -> None:
    html = html_table(("a", "<b>"), [("<i>", "1"), ("x", "2 & 3")], 'says "so"')
    assert "<b>" not in html and "<i>" not in html and "2 &amp; 3" in html
    assert re.findall(r'<th scope="row">(.*?)</th>', html) == ["&lt;i&gt;", "x"]
    assert 'aria-label="says &#34;so&#34;"' in html
