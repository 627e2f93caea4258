"""The drawing of a model: widths and heights add up to what its groups say, whatever family it is of."""

import pytest

from minillm.recipes.models import EMBEDDED, MODELS
from pages.views.model_strip import parts, strip


@pytest.mark.parametrize("name", MODELS)
def test_the_parts_of_a_model_are_to_scale_and_make_up_the_whole(name: str):
    groups = MODELS[name].groups
    found = parts(groups)
    assert sum(part.share for part in found) == pytest.approx(1)
    inside = [part for part in found if len(part.pieces) == 2]
    assert len(inside) == len(groups)
    for part, block in zip(inside, groups.blocks, strict=True):
        assert part.share * groups.parameters == pytest.approx(block.parameters)
        assert part.pieces[0].share * block.parameters == pytest.approx(block.heads * block.head_parameters)
        assert part.pieces[1].share * block.parameters == pytest.approx(block.channels * block.channel_parameters)


def test_a_tied_head_is_drawn_once_and_the_picture_can_be_read_aloud():
    groups = MODELS[EMBEDDED].groups  # its head is its embedding
    assert len(parts(groups)) == len(groups) + 1 and "which are one" in parts(groups)[0].said
    told = strip(groups)
    assert 'role="img"' in told and "30 blocks hold 79%" in told and told.count('class="is-heads"') == len(groups) + 1
