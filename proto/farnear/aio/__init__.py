"""The asyncio client: `farnear.client.Client` with `await`. The methods are described there."""

from farnear.aio.clusters import ClusterCalls
from farnear.aio.collections import CollectionCalls
from farnear.aio.explain import ExplainCalls
from farnear.aio.items import ItemCalls
from farnear.aio.recommend import RecommendCalls
from farnear.aio.search import SearchCalls


class AsyncClient(CollectionCalls, ItemCalls, SearchCalls, RecommendCalls, ClusterCalls, ExplainCalls):
    """A connection to a Farnear service for asyncio: make it in a running event loop and use it in `async with`.

    Arguments, results, errors, timeouts and retries are those of `farnear.client.Client`.
    """
