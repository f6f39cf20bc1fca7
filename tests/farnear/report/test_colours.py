from farnear.report.colours import class_styles, style


def test_the_first_64_styles_differ() -> None:
    assert len({(style(place).colour, style(place).marker) for place in range(64)}) == 64
    assert style(64) == style(0)


def test_the_first_eight_differ_in_colour_and_in_marker() -> None:
    assert len({style(place).colour for place in range(8)}) == len({style(place).marker for place in range(8)}) == 8


def test_the_commonest_classes_have_styles_in_order_of_name() -> None:
    styles = class_styles({"rust": 5, "": 90, "crack": 7, "moss": 1}, limit=2)
    assert styles == {"crack": style(0), "rust": style(1)}
