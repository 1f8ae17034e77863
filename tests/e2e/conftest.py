"""The servers that the tests of whole releases share."""

from collections.abc import Iterator

import pytest

from tests.e2e.clouds import CloudServers


@pytest.fixture(scope="session")
def cloud_servers() -> Iterator[CloudServers]:
    """Both clouds, started once in each process of the suite."""
    with CloudServers() as servers:
        yield servers


@pytest.fixture
def servers(cloud_servers: CloudServers) -> Iterator[CloudServers]:
    """Both clouds, refusing nothing and with nothing noted."""
    cloud_servers.relax()
    cloud_servers.take_seen()
    yield cloud_servers
    cloud_servers.relax()
