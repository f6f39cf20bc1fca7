import platform
from datetime import UTC, datetime
from importlib.metadata import version

from farnear_training.evaluate.conditions import observe


def test_machine_date_and_versions_are_those_of_here() -> None:
    found = observe(seconds=1.5)
    assert found.seconds == 1.5
    assert abs((datetime.now(UTC) - found.ended).total_seconds()) < 60
    assert found.versions["numpy"] == version("numpy")
    assert found.versions["python"] == platform.python_version()
    assert " cores, " in found.machine
