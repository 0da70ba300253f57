"""Images per second in training and in embedding, and the share of the chip's peak that they are: docs/performance.md.

python benchmarks/throughput.py --device cuda --peak 989
python benchmarks/throughput.py --size 64 --preset quick --backbone resnet_small --batches 50

The images are random, and lie in memory: this is the speed of an attacker's loop with its draws, augmentation, loss and
optimizer, not of reading files. ``--peak`` is the chip's dense bfloat16 peak in TFLOP/s (989 for an H100 SXM).
Operations are counted, a multiplication with its addition as two; the backward pass is counted, not guessed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from reidbench.attackers.base import Scenario
from reidbench.attackers.retrieval import Retrieval
from reidbench.steps.releases import ArraySide

IMAGES, VISITS = 4096, 4


def operations(attacker: Retrieval, size: int) -> tuple[float, float]:
    """Floating-point operations of an image through the network, and there and back."""
    network = attacker.fresh(0, weights="random").network.train()
    image = torch.rand(2, 1, size, size)
    with FlopCounterMode(display=False) as there, torch.no_grad():
        network(image)
    with FlopCounterMode(display=False) as back:
        network(image).sum().backward()
    return there.get_total_flops() / len(image), back.get_total_flops() / len(image)


def main() -> None:
    """Measures and prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--preset", default="standard", choices=("quick", "standard"))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--grid", type=int, default=4)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--peak", type=float, help="the chip's peak in TFLOP/s")
    arguments = parser.parse_args()
    device, size = arguments.device, arguments.size
    options = {
        **Retrieval.presets[arguments.preset],
        "weights": "random",
        "min_steps": arguments.batches,
        "max_steps": arguments.batches,
        "backbone": arguments.backbone,
        "grid": arguments.grid,
        **({"batch_size": arguments.batch_size} if arguments.batch_size else {}),
    }
    attacker = Retrieval(**options)
    there, back = operations(attacker, size)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size), dtype=np.uint8)
    side = ArraySide((pixels,))
    scenario = Scenario(np.repeat(np.arange(IMAGES // VISITS), VISITS), side, side, size)
    with tempfile.TemporaryDirectory() as folder:
        training = attacker.fit(scenario, None, seed=0, device=device, work_dir=Path(folder))
    # The first round chooses kernels and fills memory.
    rounds = training.history[1:] or training.history
    trained = sum(row["images"] for row in rounds) / sum(row["seconds"] for row in rounds)
    seen = pixels[: min(IMAGES, 10 * attacker.batch_size)]
    attacker.embed(seen[: attacker.batch_size], device=device)
    began = time.perf_counter()
    attacker.embed(seen, device=device)
    # An embedding looks at each image and at its four moved copies.
    views = 5 if attacker.test_shift else 1
    embedded = len(seen) / (time.perf_counter() - began)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{chip}, torch {torch.__version__}: {attacker.backbone} at {size}², {attacker.precision} training")
    for what, speed, work in (("train", trained, back), ("embed", embedded, views * there)):
        rate = speed * work / 1e12
        share = f", {rate / arguments.peak:.1%} of the peak" if arguments.peak else ""
        print(f"{what}: {speed:.1f} images/s, {work / 1e9:.2f} GFLOP an image, {rate:.3f} TFLOP/s{share}")


if __name__ == "__main__":
    main()
