"""One cluster for all tests of sweeps on Ray."""

from __future__ import annotations

import pytest
from ray_cluster import Machine


# Of this room alone: the cluster's own processes would take their share of what comes after.
@pytest.fixture(scope="package")
def machine(fork_server, tmp_path_factory):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'reidbench[ray]'")
    pytest.importorskip("grpc", reason="the Ray client is not installed: pip install 'reidbench[ray]'")
    made = Machine(tmp_path_factory.mktemp("cluster"), fork_server.words)
    yield made
    made.cluster.shutdown()


@pytest.fixture(autouse=True)
def no_signals(request):
    """No test waits for what another one left."""
    yield
    if "machine" in request.fixturenames:
        request.getfixturevalue("machine").forget()
