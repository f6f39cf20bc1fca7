from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from farnear_training.data import DataError, Dataset
from farnear_training.evaluate.bundle import Bundle, load_bundle
from farnear_training.evaluate.part import PartError, choose


@pytest.fixture
def loaded(bundle: Path) -> Bundle:
    return load_bundle(bundle)


def without(dataset: Dataset, item_ids: set[str]) -> Dataset:
    return dataset.subset(np.flatnonzero([item_id not in item_ids for item_id in dataset.item_ids]))


def test_the_test_images_are_asked_and_the_training_images_are_known(loaded: Bundle, stripes: Dataset) -> None:
    part = choose(loaded, stripes, None, 0)
    assert (part.name, part.reason) == ("test", "DATA holds all of the bundle's test images")
    assert part.images.tolist() == part.probes.tolist() == list(range(0, 48, 3))
    assert part.references.tolist() == [position for position in range(48) if position % 3]
    assert part.trained_on == 0
    assert choose(loaded, stripes, "test", 0).reason == "asked for; DATA holds 16 of the bundle's 16 test images"


@pytest.mark.parametrize(("name", "measured"), [("train", 32), ("all", 48)])
def test_other_parts_are_split_in_themselves(name: str, measured: int, loaded: Bundle, stripes: Dataset) -> None:
    part = choose(loaded, stripes, name, 0)
    assert part.name == name
    assert len(part.images) == measured
    assert part.trained_on == 32
    np.testing.assert_array_equal(np.union1d(part.references, part.probes), part.images)
    assert not np.intersect1d(part.references, part.probes).size
    counts = np.bincount(stripes.labels[part.references])
    assert counts.tolist() == [round(0.7 * measured / 2)] * 2
    assert not np.array_equal(part.probes, choose(loaded, stripes, name, 1).probes)
    assert np.array_equal(part.probes, choose(loaded, stripes, name, 0).probes)


def test_other_images_are_measured_as_a_whole(loaded: Bundle, stripes: Dataset) -> None:
    other = replace(stripes, item_ids=tuple(f"other/{item_id}" for item_id in stripes.item_ids))
    part = choose(loaded, other, None, 0)
    assert (part.name, part.trained_on) == ("all", 0)
    assert part.reason == "DATA holds 0 of the bundle's 16 test images, not all of them"
    for name in ("test", "train"):
        with pytest.raises(PartError, match=f"none of the bundle's .. {name} images is in DATA"):
            choose(loaded, other, name, 0)


def test_some_of_the_test_images_are_measured_when_asked_for(loaded: Bundle, stripes: Dataset) -> None:
    fewer = without(stripes, {"lying/00.png"})
    assert choose(loaded, fewer, None, 0).name == "all"
    part = choose(loaded, fewer, "test", 0)
    assert len(part.images) == 15
    assert part.reason == "asked for; DATA holds 15 of the bundle's 16 test images"


def test_without_the_training_images_the_test_images_are_split(
    loaded: Bundle, stripes: Dataset, split: dict[str, list[str]]
) -> None:
    part = choose(loaded, without(stripes, set(split["train"])), None, 0)
    assert part.name == "test"
    assert (len(part.images), len(part.references), len(part.probes)) == (16, 12, 4)
    assert part.references_are == "70 % of each class of the images measured, drawn with seed 0"


LAST_DIGIT = r"^\d(\d)"


def test_training_images_of_a_group_that_is_measured_are_not_known(loaded: Bundle, stripes: Dataset) -> None:
    # Test images have the numbers 0, 3, ... 21, and so every last digit but 4 and 7: of the training images 4, 7, 14
    # and 17 are left in either class. As every digit is among the training images', all 16 have kin there.
    part = choose(loaded, stripes, None, 0, group_regex=LAST_DIGIT)
    assert part.images.tolist() == part.probes.tolist() == list(range(0, 48, 3))
    assert part.references.tolist() == [4, 7, 14, 17, 28, 31, 38, 41]
    assert part.references_are == "the bundle's training images, less 24 of groups that are measured"
    assert (part.trained_on, part.kin_trained_on) == (0, 16)


def test_groups_that_training_kept_apart_leave_all_training_images_known(loaded: Bundle, stripes: Dataset) -> None:
    part = choose(loaded, stripes, None, 0, group_regex=r"^(\d\d)")
    assert part == replace(
        choose(loaded, stripes, None, 0), images=part.images, references=part.references, probes=part.probes
    )
    assert len(part.references) == 32


@pytest.mark.parametrize("name", ["train", "all"])
def test_groups_stay_on_one_side_of_a_part_that_is_split_in_itself(name: str, loaded: Bundle, stripes: Dataset) -> None:
    part = choose(loaded, stripes, name, 0, group_regex=LAST_DIGIT)
    references, probes = (
        {stripes.item_ids[i].split("/")[1][1] for i in side} for side in (part.references, part.probes)
    )
    assert references.isdisjoint(probes)
    np.testing.assert_array_equal(np.union1d(part.references, part.probes), part.images)
    assert part.references_are.endswith("drawn with seed 0, whole groups at a time")
    assert (part.trained_on, part.kin_trained_on) == (32, 0 if name == "train" else 16)


def test_groups_that_leave_nothing_to_compare_with_are_refused(loaded: Bundle, stripes: Dataset) -> None:
    with pytest.raises(PartError, match="images of 0 classes to compare the part 'test' with; needed are two"):
        choose(loaded, stripes, None, 0, group_regex=r"^(\d)")
    with pytest.raises(DataError, match="the group 'png' holds all 24 images of the class lying"):
        choose(loaded, stripes, "all", 0, group_regex="png")
    with pytest.raises(DataError, match="matches none of 48 images"):
        choose(loaded, stripes, None, 0, group_regex="jpg")


def test_test_images_that_cannot_be_read_are_still_the_test_images(loaded: Bundle, stripes: Dataset) -> None:
    fewer = replace(without(stripes, {"lying/00.png", "lying/01.png"}), bad={"lying/00.png": "", "lying/01.png": ""})
    part = choose(loaded, fewer, None, 0)
    assert (part.name, len(part.images), len(part.references)) == ("test", 15, 31)
    assert part.reason == "DATA holds all of the bundle's test images, 1 of which cannot be read"


def test_a_bundle_without_a_split_has_no_parts(tiny_bundle: Path, stripes: Dataset) -> None:
    loaded = load_bundle(tiny_bundle)
    part = choose(loaded, stripes, None, 0)
    assert (part.name, part.reason) == ("all", "the bundle names no test images")
    with pytest.raises(PartError, match="names no test images; allowed is all"):
        choose(loaded, stripes, "test", 0)


def test_a_part_without_a_pair_is_refused(loaded: Bundle, stripes: Dataset) -> None:
    lone = replace(loaded, split={"train": frozenset(), "test": frozenset({"lying/00.png", "upright/00.png"})})
    with pytest.raises(PartError, match="no class has two of the 2 images"):
        choose(lone, stripes, "test", 0)


def test_references_of_one_class_are_refused(loaded: Bundle, stripes: Dataset) -> None:
    lying = frozenset(item_id for item_id in stripes.item_ids if item_id.startswith("lying"))
    with pytest.raises(PartError, match="images of 1 classes to compare the part 'train' with; needed are two"):
        choose(replace(loaded, split={"train": lying, "test": frozenset()}), stripes, "train", 0)
