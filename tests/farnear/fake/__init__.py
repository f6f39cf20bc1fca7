"""A small Farnear service in this process: real gRPC on a free port, items in dicts, answers by NumPy brute force.

Its "images" are texts such as `b"img 1 0 0"`, which embed as the unit vector along the numbers they hold. Every PNG is
one of `img 1 0 0`.
"""

from tests.farnear.fake.collections import FakeCollections
from tests.farnear.fake.explain import FakeExplain
from tests.farnear.fake.items import FakeItems
from tests.farnear.fake.maps import FakeMaps
from tests.farnear.fake.recommend import FakeRecommend
from tests.farnear.fake.search import FakeSearch


class FakeService(FakeCollections, FakeItems, FakeSearch, FakeRecommend, FakeMaps, FakeExplain):
    """The six servicers over one dict of collections; see `FakeBase` for what a test can see and set."""
