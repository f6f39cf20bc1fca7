"""Ends with code 0 where a Farnear server answers SERVING, with 1 and a line saying why where it does not."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def check(address: str) -> None:
    """Ask the server at `address` (host:port) for its health, for at most four seconds."""
    # A proxy named by the environment is not the way to one's own machine.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=4.0)
        except grpc.RpcError as error:
            sys.exit(f"{address}: {error.code().name}")
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        sys.exit(f"{address}: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")


if __name__ == "__main__":
    check(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
