"""The synchronous client."""

from farnear.client.clusters import ClusterCalls
from farnear.client.collections import CollectionCalls
from farnear.client.explain import ExplainCalls
from farnear.client.items import ItemCalls
from farnear.client.recommend import RecommendCalls
from farnear.client.search import SearchCalls


class Client(CollectionCalls, ItemCalls, SearchCalls, RecommendCalls, ClusterCalls, ExplainCalls):
    """A connection to a Farnear service; safe to share between threads. Close it, or use it in a `with` statement.

    Every method takes `timeout`, the seconds that each call to the service may take; a method that makes several calls
    (lists, pages, `upsert`, `delete_items`) gives it to each. Calls that are safe to repeat are retried when the
    service is unavailable: all but `create_collection`, `activate_bundle`, `delete_collection` and `upsert_stream`.

    `where` limits a call to some items: a filter as text, such as "severity >= 3 and label in ('crack', 'rust')", or as
    `parse_filter` made it; `farnear.filters` says how one is written.

    Args:
        address: `host:port` of the service. Nothing is sent before the first call.
        timeout: Default for `timeout` in seconds, for all methods but `recluster`.

    Raises:
        FarnearError: From every method; `farnear.errors` draws the tree.
        ValueError: From every method that is given a text that is no filter.
    """
