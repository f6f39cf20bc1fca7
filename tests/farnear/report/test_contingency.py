import math
from collections import Counter

import numpy as np
import pytest
from farnear.report.contingency import mutual_information, tabulate

COUNTS = {(3, "rust"): 1, (3, "crack"): 4, (8, "rust"): 2, (8, ""): 1, (-1, "rust"): 5, (-1, "moss"): 6}


def test_rows_are_clusters_and_columns_classes() -> None:
    table = tabulate(COUNTS, [8, 3], rows=5, columns=5)
    assert table.row_names == ("8", "3", "noise")
    assert table.column_names == ("crack", "moss", "rust", "no class")
    assert table.counts.tolist() == [[0, 0, 2, 1], [4, 0, 1, 0], [0, 6, 5, 0]]


def test_without_items_of_no_class_there_is_no_column_for_them() -> None:
    assert tabulate({(3, "rust"): 1}, [3], rows=5, columns=5).column_names == ("rust",)


def test_the_smallest_clusters_and_the_rarest_classes_share() -> None:
    counts = {(number, f"c{number}"): 10 - number for number in range(5)}
    table = tabulate(counts, range(5), rows=2, columns=3)
    assert table.row_names == ("0", "1", "3 others", "noise")
    assert table.column_names == ("c0", "c1", "c2", "2 other classes")
    assert table.counts.tolist() == [[10, 0, 0, 0], [0, 9, 0, 0], [0, 0, 8, 13], [0, 0, 0, 0]]
    # A row or column for one would save none.
    assert tabulate(counts, range(5), rows=4, columns=4).row_names == ("0", "1", "2", "3", "4", "noise")


def test_a_cluster_that_is_not_listed_is_left_out() -> None:
    assert tabulate(COUNTS, [8], rows=5, columns=5).counts.sum() == 14


def plain(pairs: list[tuple[int, str]]) -> float:
    """From the definition: mutual information over the mean of the entropies, in natural logarithms."""

    def entropy(values: list[object]) -> float:
        return -sum(n / len(values) * math.log(n / len(values)) for n in Counter(values).values())

    clusters, classes = entropy([cluster for cluster, _ in pairs]), entropy([label for _, label in pairs])
    return 2 * (clusters + classes - entropy([*pairs])) / (clusters + classes)


def test_mutual_information_is_that_of_the_definition() -> None:
    pairs = [pair for pair, count in COUNTS.items() for _ in range(count) if pair[1]]
    assert mutual_information(COUNTS, with_noise=True) == pytest.approx(plain(pairs))
    clustered = [pair for pair in pairs if pair[0] != -1]
    assert mutual_information(COUNTS, with_noise=False) == pytest.approx(plain(clustered))


def test_mutual_information_of_nothing_is_none() -> None:
    assert mutual_information({(3, ""): 5}, with_noise=True) is None
    assert mutual_information({(-1, "rust"): 5}, with_noise=False) is None


def test_the_same_grouping_by_other_names_is_1() -> None:
    assert mutual_information({(3, "a"): 5, (1, "b"): 2}, with_noise=True) == pytest.approx(1)
    assert np.isclose(mutual_information({(3, "a"): 5, (3, "b"): 5}, with_noise=True) or 0.0, 0)
