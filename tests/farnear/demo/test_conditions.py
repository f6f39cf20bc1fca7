import os
import platform
from importlib.metadata import version

from farnear.demo.conditions import observe


def test_they_name_machine_time_and_versions() -> None:
    conditions = observe(seconds=12.5)
    assert f"{os.cpu_count()} cores" in conditions.machine
    assert conditions.ended.tzinfo is not None
    assert conditions.seconds == 12.5
    assert conditions.versions["farnear"] == version("farnear")
    assert conditions.versions["Python"] == platform.python_version()
