"""Trainings over several processes: gradients are those of the whole batch."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing, nn

from reidbench.errors import ReidbenchError
from reidbench.networks.distributed import check_sendable, gathered, processes, share

ROWS = np.arange(7)


def _loss(vectors: torch.Tensor) -> torch.Tensor:
    # Of pairs, so that each row's gradient depends on all others.
    return (torch.cdist(vectors, vectors) * torch.arange(float(len(vectors)))[:, None]).tanh().mean()


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def _images() -> torch.Tensor:
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(1))


def _work(rank: int, count: int, init: str, results) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=init, rank=rank, world_size=count)
    network = nn.parallel.DistributedDataParallel(_network())
    mine = share(ROWS)
    loss = _loss(gathered(network(_images()[mine])))
    loss.backward()
    results.put((rank, mine.tolist(), loss.item(), [p.grad.numpy() for p in network.parameters()]))
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
def test_the_gradient_of_shares_is_that_of_the_whole_batch(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    workers = multiprocessing.spawn(_work, (2, f"file://{tmp_path / 'init'}", results), nprocs=2, join=False)
    (_, even, loss, gradients), (_, odd, other_loss, others) = sorted((results.get() for _ in range(2)), key=str)
    while not workers.join():
        pass
    assert (even, odd) == ([0, 2, 4], [1, 3, 5])
    network = _network()
    whole = _loss(network(_images()[even + odd]))
    whole.backward()
    assert (loss, other_loss) == pytest.approx((whole.item(), whole.item()), rel=1e-6)
    for found, same, wanted in zip(gradients, others, network.parameters()):
        np.testing.assert_array_equal(found, same)
        np.testing.assert_allclose(found, wanted.grad.numpy(), rtol=1e-5, atol=1e-8)


def test_a_single_process_sees_all_and_gathers_nothing():
    values = torch.ones(3, requires_grad=True)
    assert processes() == (0, 1)
    assert share(ROWS).tolist() == ROWS.tolist()
    assert gathered(values) is values


def test_what_a_new_process_cannot_read_is_refused_before_one_begins(monkeypatch):
    check_sendable({"network": _network(), "rows": ROWS})
    loose = ModuleType("loose_plugin")
    exec("class Fade: pass", loose.__dict__)
    monkeypatch.setitem(sys.modules, "loose_plugin", loose)
    with pytest.raises(ReidbenchError, match="cannot import loose_plugin: install it"):
        check_sendable([loose.Fade()])
    with pytest.raises(ReidbenchError, match="cannot be sent"):
        check_sendable(lambda: None)
