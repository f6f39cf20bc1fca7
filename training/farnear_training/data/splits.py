"""Which images are learned from and which are held out."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from farnear_training.data.errors import DataError

_LISTED = 10


def split(
    labels: NDArray[np.int64],
    test_fraction: float,
    seed: int,
    groups: Sequence[str] | None = None,
    *,
    class_names: Sequence[str] = (),
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parts the positions of `labels` into (train, test), each ascending, class by class.

    Every class with two images or more has at least one on either side; a single image goes to train. With `groups`,
    images of one group go to the same side, and the share of every class is as near to `test_fraction` as moving any
    one group brings it.

    Args:
        labels: Of shape (N,).
        test_fraction: The share of every class that is held out.
        seed: Decides which images, or groups, are.
        groups: The group of each image, as `groups_of` gives them.
        class_names: What messages call the classes; without them they are called by their labels.

    Raises:
        ValueError: `test_fraction` is not between 0 and 1, or `groups` are not as many as `labels`.
        DataError: The groups leave a class that cannot be on both sides.
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction: {test_fraction}; allowed is more than 0 and less than 1")
    if groups is not None:
        test_indices = _grouped_test(labels, test_fraction, seed, groups, class_names)
        return np.setdiff1d(np.arange(len(labels)), test_indices), test_indices
    test = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = _held_out(test_fraction, len(members))
        test.append(np.random.default_rng([seed, int(label)]).permutation(members)[:count])
    test_indices = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), test_indices), test_indices


def groups_of(item_ids: Sequence[str], pattern: str) -> tuple[str, ...]:
    r"""The group of each image: what the regular expression `pattern` captures in its path below the class folder.

    Images that are not independent, neighbouring frames of a video or several photographs of one object, would leak
    from train into test; in one group they never part. Groups go across classes. Without a capturing group in
    `pattern` all that it matches counts; with several, all of them together.

    Examples:
        >>> groups_of(["rust/bridge7_01.jpg", "rust/bridge7_02.jpg", "crack/bridge9_01.jpg"], r"^(.+)_")
        ('bridge7', 'bridge7', 'bridge9')

        Frames numbered in sequence, ten to a group, such as frame_120.jpg to frame_129.jpg:

        >>> groups_of(["rust/frame_119.jpg", "rust/frame_120.jpg", "rust/frame_129.jpg"], r"^(\w+?)_(\d*)\d\.jpg$")
        ("('frame', '11')", "('frame', '12')", "('frame', '12')")

    Raises:
        DataError: `pattern` is no regular expression, or does not match every image.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(f"group pattern {pattern!r}: is no regular expression ({error})") from error
    matches = [expression.search(item_id.split("/", 1)[-1]) for item_id in item_ids]
    missed = [item_id for item_id, match in zip(item_ids, matches, strict=True) if match is None]
    if missed:
        how_many = "matches none" if len(missed) == len(item_ids) else f"does not match {len(missed)}"
        more = f" and {len(missed) - _LISTED} more" if len(missed) > _LISTED else ""
        raise DataError(
            f"group pattern {pattern!r}: {how_many} of {len(item_ids)} images; needed is one for every path"
            f" below the class folder: {', '.join(missed[:_LISTED])}{more}"
        )
    return tuple(_captured(match) for match in matches if match is not None)


def _captured(match: re.Match[str]) -> str:
    parts = match.groups(default="")
    if len(parts) > 1:
        return str(parts)
    return parts[0] if parts else match[0]


def _held_out(test_fraction: float, count: int) -> int:
    return min(max(1, round(test_fraction * count)), count - 1)


def _grouped_test(
    labels: NDArray[np.int64], test_fraction: float, seed: int, groups: Sequence[str], class_names: Sequence[str]
) -> NDArray[np.int64]:
    """Held-out positions: groups, in a drawn order, change sides while that brings the classes nearer to their share.

    The distance is the number of classes missing on a side, then the sum of |held out - wanted| / all over the classes.
    O(groups x classes) a round; a few rounds.
    """
    if len(groups) != len(labels):
        raise ValueError(f"groups: {len(groups)}; allowed are as many as labels, {len(labels)}")
    names, group_of = np.unique(np.asarray(groups), return_inverse=True)
    classes, class_of = np.unique(labels, return_inverse=True)
    counts_GC = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts_GC, (group_of, class_of), 1)
    totals_C = counts_GC.sum(axis=0)
    for column in np.flatnonzero((counts_GC > 0).sum(axis=0) == 1):
        name = class_names[classes[column]] if class_names else classes[column]
        group = str(names[counts_GC[:, column].argmax()])
        raise DataError(
            f"groups: the group {group!r} holds all {totals_C[column]} images of the class {name}, which would be"
            " missing on one side; needed are two groups or more in every class"
        )
    wanted_C = np.array([_held_out(test_fraction, total) for total in totals_C])

    def missing(test_C: NDArray[np.int64]) -> int:
        return int(((test_C == 0) | (test_C == totals_C)).sum())

    def distance(test_C: NDArray[np.int64]) -> tuple[int, float]:
        return missing(test_C), round(float((np.abs(test_C - wanted_C) / totals_C).sum()), 9)

    order = np.random.default_rng(seed).permutation(len(names))
    held_out = np.zeros(len(names), bool)
    test_C = np.zeros(len(classes), np.int64)
    moving = True
    while moving:
        moving = False
        for group in order:
            moved_C = test_C - counts_GC[group] if held_out[group] else test_C + counts_GC[group]
            if distance(moved_C) < distance(test_C):
                held_out[group] = not held_out[group]
                test_C = moved_C
                moving = True
    if missing(test_C):
        raise DataError("groups: no split was found that leaves every class on both sides; smaller groups are needed")
    return np.flatnonzero(held_out[group_of])
