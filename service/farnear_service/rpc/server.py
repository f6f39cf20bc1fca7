"""The gRPC server: our six services, health and reflection on one port."""

from typing import cast

import grpc
from farnear.v1 import (
    clusters_pb2,
    clusters_pb2_grpc,
    collections_pb2,
    collections_pb2_grpc,
    explain_pb2,
    explain_pb2_grpc,
    items_pb2,
    items_pb2_grpc,
    recommend_pb2,
    recommend_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
)
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from farnear_service.errors import PreconditionError
from farnear_service.metrics import Metrics
from farnear_service.pipeline import Pipeline
from farnear_service.rpc.clusters import Clusters
from farnear_service.rpc.servicers import Collections, Explain, Items, Recommend, Search
from farnear_service.rpc.status import StatusInterceptor

MAX_MESSAGE_BYTES = 68 * 1024 * 1024  # 64 MiB of images and what goes with them

SERVICE_NAMES = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (collections_pb2, "CollectionsService"),
        (items_pb2, "ItemsService"),
        (search_pb2, "SearchService"),
        (recommend_pb2, "RecommendService"),
        (clusters_pb2, "ClustersService"),
        (explain_pb2, "ExplainService"),
    )
)


class _ByName:
    """The side of a server to which services are added, so that their methods are found by name at each call.

    Of the methods that are registered as well, grpc.aio (1.85) goes over every one at every call of any: with the
    dozens that there are, eight single writers got a third less done.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service_name: str, method_handlers: object) -> None:
        """Leaves them to the generic handlers, which have the same ones."""


class RpcServer:
    """Serves a pipeline; begin with `start`, end with `drain`."""

    def __init__(self, pipeline: Pipeline, metrics: Metrics, *, max_concurrent: int = 1000) -> None:
        self._pipeline = pipeline
        self._server = grpc.aio.server(
            interceptors=[StatusInterceptor(metrics)],
            maximum_concurrent_rpcs=max_concurrent,
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),  # a second server on the port is refused, not mixed in
            ],
        )
        self._health = health.aio.HealthServicer()
        methods = cast("grpc.aio.Server", _ByName(self._server))
        collections_pb2_grpc.add_CollectionsServiceServicer_to_server(Collections(pipeline), methods)
        items_pb2_grpc.add_ItemsServiceServicer_to_server(Items(pipeline), methods)
        search_pb2_grpc.add_SearchServiceServicer_to_server(Search(pipeline), methods)
        recommend_pb2_grpc.add_RecommendServiceServicer_to_server(Recommend(pipeline), methods)
        clusters_pb2_grpc.add_ClustersServiceServicer_to_server(Clusters(pipeline), methods)
        explain_pb2_grpc.add_ExplainServiceServicer_to_server(Explain(pipeline), methods)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, methods)
        reflection.enable_server_reflection((*SERVICE_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME), methods)

    async def start(self, address: str) -> int:
        """Listens on `address` (host:port; port 0 takes any free one) and returns the port."""
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise PreconditionError(
                f"address: cannot listen on {address!r} (in use, or not of this machine)"
            ) from error
        await self._server.start()
        for name in ("", *SERVICE_NAMES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return int(port)

    async def drain(self, grace_seconds: float) -> None:
        """Tells health checks to look elsewhere, takes no new calls, and gives those under way time to end."""
        await self._health.enter_graceful_shutdown()
        self._pipeline.catalog.end_watches()
        await self._server.stop(grace_seconds)

    async def wait(self) -> None:
        """Returns when the server has stopped."""
        await self._server.wait_for_termination()
