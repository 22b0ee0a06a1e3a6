"""Every client draws by a base URL alone, and the table in the documents says what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import conformance
from tests.clients.conformance import CLIENTS, Client, Missing


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Both programs, with an engine that draws flat pictures."""
    with conformance.server(tmp_path_factory.mktemp("clients")) as url:
        yield url


@pytest.mark.parametrize("client", CLIENTS, ids=[client.name.strip("`") for client in CLIENTS])
def test_a_client_draws_as_the_table_says(base: str, client: Client) -> None:
    try:
        result = client.run(base)
    except Missing as missing:
        pytest.skip(f"{client.name}: {missing}")
    assert conformance.row(client, result) in conformance.table_in(conformance.DOCUMENT.read_text(encoding="utf-8"))


def test_the_table_has_a_line_for_each_client_and_no_other() -> None:
    _, _, *lines = conformance.table_in(conformance.DOCUMENT.read_text(encoding="utf-8")).splitlines()
    assert [line.split(" | ")[:3] for line in lines] == [
        conformance.row(client, "").split(" | ")[:3] for client in CLIENTS
    ]
