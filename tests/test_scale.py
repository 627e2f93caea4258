"""What docs/scale.md reckons is what its script reckons, from bytes that are the code's."""

import pytest
import tiny
from made_docs import rows, section

from minillm.models.loaded import wrap
from scripts import on_paper


def test_the_tables_on_paper_are_the_scripts() -> None:
    assert rows(section("scale", "What there is to read")) == on_paper.sizes()
    assert rows(section("scale", "What a block's turn takes")) == on_paper.table()


@pytest.mark.parametrize("criterion", ["wanda", "sparsegpt", "fms-bp"])
def test_the_bytes_summed_are_what_the_ranks_add_up(criterion, monkeypatch) -> None:
    """Counted where they are handed over, on a model whose blocks are all linears and two norms."""
    from minillm.scoring.score import score
    from minillm.walk import ranks

    lm, counted = wrap(tiny.llama(kv=6)), []

    def summed(part):
        counted.append(part.numel() * max(4, part.element_size()))
        return part

    monkeypatch.setattr(ranks, "several", lambda: True)
    monkeypatch.setattr(ranks, "summed", summed)
    score(lm, criterion, tiny.tokens(4, 20), 2)
    norms = 2 * 48 * 4 * (criterion == "fms-bp")
    wanted = on_paper.turn(lm.groups, criterion).traffic - norms
    counts = 8 * 4 + sum(4 * n for n in (48, 48, 48, 32)) if criterion == "sparsegpt" else 0
    assert sum(counted) / 4 == pytest.approx(wanted + counts, rel=0.02)
