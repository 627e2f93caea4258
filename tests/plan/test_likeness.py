"""The order by likeness: clusters as scipy finds them stay together, a chain is found again, shuffling is harmless."""

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import linkage, to_tree
from scipy.spatial.distance import squareform

from minillm.plan.likeness import by_likeness


def made(seed: int, count: int = 9) -> pd.DataFrame:
    """Random likenesses, not symmetric, as those of cuts of different size are not."""
    values = np.random.default_rng(seed).random((count, count))
    np.fill_diagonal(values, 1)
    names = [f"c{i}" for i in range(count)]
    return pd.DataFrame(values, names, names)


def leaves(node) -> list[list[int]]:
    """The members of every cluster of a tree."""
    return [] if node.is_leaf() else [node.pre_order(), *leaves(node.left), *leaves(node.right)]


@pytest.mark.parametrize("seed", range(20))
def test_every_cluster_of_average_linkage_is_a_stretch_of_the_order(seed: int):
    table = made(seed)
    distances = 1 - (table.to_numpy() + table.to_numpy().T) / 2
    np.fill_diagonal(distances, 0)
    tree = to_tree(linkage(squareform(distances), "average"))
    order = [int(name[1:]) for name in by_likeness(table)]
    for members in leaves(tree):
        places = sorted(order.index(one) for one in members)
        assert places == list(range(places[0], places[0] + len(places)))


@pytest.mark.parametrize("seed", range(10))
def test_shuffling_the_table_changes_nothing_but_which_end_comes_first(seed: int):
    table = made(seed)
    order = by_likeness(table)
    mixed = np.random.default_rng(seed).permutation(list(table.index))
    assert by_likeness(table.loc[mixed, mixed]) in (order, order[::-1])


def test_what_lies_on_a_line_is_found_in_its_order():
    places = np.array([0.0, 1.0, 2.1, 3.3, 4.6, 6.0])
    names = list("abcdef")
    table = pd.DataFrame(1 / (1 + abs(places[:, None] - places)), names, names)
    mixed = list("dafbec")
    assert by_likeness(table.loc[mixed, mixed]) in (names, names[::-1])


def test_unknown_likeness_and_tiny_tables():
    assert by_likeness(pd.DataFrame()) == []
    assert by_likeness(pd.DataFrame([[1.0]], ["a"], ["a"])) == ["a"]
    table = pd.DataFrame([[1, np.nan, 0.9], [np.nan, 1, np.nan], [0.9, np.nan, 1]], list("abc"), list("abc"))
    order = by_likeness(table)
    assert sorted(order) == ["a", "b", "c"] and abs(order.index("a") - order.index("c")) == 1
