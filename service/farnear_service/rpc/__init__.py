"""The contract over gRPC.

Servicers are in `servicers`, their words in `wire`, refusals in `status`, and the server in `server`.
"""

from farnear_service.rpc.server import RpcServer

__all__ = ["RpcServer"]
