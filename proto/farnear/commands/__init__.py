"""The commands that ask a running service. Declaring them takes argparse alone; gRPC loads when one connects."""

from farnear.commands.clusters import ASSIGN, CLUSTERS, RECLUSTER
from farnear.commands.collections import ACTIVATE, COLLECTIONS
from farnear.commands.explain import EXPLAIN
from farnear.commands.index import INDEX
from farnear.commands.items import ITEMS
from farnear.commands.recommend import INTERACTIONS, RECOMMEND
from farnear.commands.search import BOTH, DIVERGENT, SIMILAR

COMMANDS = (
    COLLECTIONS,
    ACTIVATE,
    INDEX,
    ITEMS,
    SIMILAR,
    DIVERGENT,
    BOTH,
    RECOMMEND,
    INTERACTIONS,
    CLUSTERS,
    RECLUSTER,
    ASSIGN,
    EXPLAIN,
)
