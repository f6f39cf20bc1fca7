import inspect

import pytest
from farnear import Client
from farnear.aio import AsyncClient

from tests.farnear.fake import FakeService


def test_a_closed_client_refuses_calls(service: FakeService) -> None:
    with Client(service.address) as client:
        pass
    with pytest.raises(ValueError, match="closed"):
        client.get_collection("cells")


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[inspect.Parameter]]:
        public = {name: member for name, member in inspect.getmembers(kind) if not name.startswith("_")}
        return {name: list(inspect.signature(member).parameters.values()) for name, member in public.items()}

    assert methods(AsyncClient) == methods(Client)
