import numpy as np
import pytest
from farnear_training.data import DataError, groups_of, split
from hypothesis import given
from hypothesis import strategies as st


def test_split_takes_its_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2, 3, 4], [100, 10, 3, 2, 1])
    train, test = split(labels, 0.3, seed=7)
    assert np.bincount(labels[test], minlength=5).tolist() == [30, 3, 1, 1, 0]
    assert sorted([*train, *test]) == list(range(len(labels)))


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_every_class_of_two_is_on_both_sides(fraction: float) -> None:
    labels = np.repeat([0, 1], [2, 30])
    for part in split(labels, fraction, seed=0):
        assert set(labels[part]) == {0, 1}


def test_split_is_decided_by_its_seed() -> None:
    labels = np.repeat([0, 1], 50)
    assert np.array_equal(split(labels, 0.3, 1)[1], split(labels, 0.3, 1)[1])
    assert not np.array_equal(split(labels, 0.3, 1)[1], split(labels, 0.3, 2)[1])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_split_refuses_an_empty_side(fraction: float) -> None:
    with pytest.raises(ValueError, match="test_fraction"):
        split(np.array([0, 0]), fraction, 0)


@given(
    images=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=2, max_size=60),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 9),
)
def test_groups_never_part(images: list[tuple[int, int]], fraction: float, seed: int) -> None:
    labels = np.array([label for label, _ in images])
    groups = [f"g{group}" for _, group in images]
    try:
        train, test = split(labels, fraction, seed, groups)
    except DataError:
        return
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert {groups[i] for i in train}.isdisjoint(groups[i] for i in test)
    assert set(labels[train]) == set(labels[test]) == set(labels)


def test_groups_of_one_give_every_class_its_share() -> None:
    labels = np.repeat([0, 1, 2], [100, 10, 2])
    _, test = split(labels, 0.3, 7, [str(i) for i in range(len(labels))])
    assert np.bincount(labels[test]).tolist() == [30, 3, 1]


def test_groups_are_stratified_as_far_as_they_allow() -> None:
    labels = np.repeat([0, 1], [100, 40])
    groups = [f"{label}-{i // 10}" for i, label in enumerate(labels)]  # 10 and 4 groups of 10
    for seed in range(5):
        _, test = split(labels, 0.3, seed, groups)
        assert np.bincount(labels[test]).tolist() == [30, 10]


def test_groups_across_classes_are_stratified_too() -> None:
    labels = np.tile([0, 1], 50)
    groups = [str(i // 5) for i in range(100)]  # 20 groups, each of both classes
    _, test = split(labels, 0.3, 0, groups)
    assert np.abs(np.bincount(labels[test]) - 15).max() <= 1


def test_a_grouped_split_is_decided_by_its_seed() -> None:
    labels = np.repeat([0, 1], 50)
    groups = [str(i // 5) for i in range(100)]
    assert np.array_equal(split(labels, 0.3, 1, groups)[1], split(labels, 0.3, 1, groups)[1])
    assert not np.array_equal(split(labels, 0.3, 1, groups)[1], split(labels, 0.3, 2, groups)[1])


@pytest.mark.parametrize(("class_names", "name"), [((), "1"), (("crack", "rust"), "rust")])
def test_a_group_that_holds_a_whole_class_is_refused(class_names: tuple[str, ...], name: str) -> None:
    labels = np.array([0, 0, 0, 1, 1])
    with pytest.raises(DataError, match=f"the group 'b' holds all 2 images of the class {name}, which"):
        split(labels, 0.3, 0, ["a", "a", "b", "b", "b"], class_names=class_names)


def test_groups_that_leave_no_split_are_refused() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])  # each class in two of three groups: one side lacks some class
    with pytest.raises(DataError, match="no split was found"):
        split(labels, 0.5, 0, ["x", "y", "y", "z", "z", "x"])


def test_as_many_groups_as_images_are_needed() -> None:
    with pytest.raises(ValueError, match="groups: 1; allowed are as many as labels, 2"):
        split(np.array([0, 0]), 0.3, 0, ["a"])


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^(\w+)_\d", ("weld", "pipe", "weld")),
        (r"_(\d*)\d\.", ("11", "12", "12")),
        (r"^[a-z]+", ("weld", "pipe", "weld")),
        (r"^(\w+)_(\d*)\d\.", ("('weld', '11')", "('pipe', '12')", "('weld', '12')")),
        (r"(_129)?\.jpg", ("", "", "_129")),
    ],
)
def test_groups_are_what_the_pattern_captures(pattern: str, expected: tuple[str, ...]) -> None:
    assert groups_of(["a_1/weld_119.jpg", "a_1/pipe_120.jpg", "b_2/weld_129.jpg"], pattern) == expected


def test_folders_below_the_class_can_be_groups() -> None:
    assert groups_of(["a/run1/1.png", "b/run1/2.png", "b/run2/1.png"], r"^(.+)/") == ("run1", "run1", "run2")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "group pattern '\\(': is no regular expression"),
        ("run", "matches none of 12 images; .* a/0.png, .* and 2 more"),
        ("1", "does not match 9 of 12 images; .* a/0.png, a/2.png"),
    ],
)
def test_patterns_that_do_not_fit_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        groups_of([f"a/{i}.png" for i in range(12)], pattern)
