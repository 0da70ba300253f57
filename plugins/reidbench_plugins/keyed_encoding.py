"""A diagnostic network with secret random layers between the trained ones."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from reidbench import (
    Field,
    Fitted,
    LabelledImages,
    ModelDefense,
    Progress,
    PublishedNetwork,
    beats_frequencies,
    learn,
    masked_cross_entropy,
    seed_of,
)
from reidbench_plugins._diagnosis import DiagnosticNetwork


class KeyedEncoding(ModelDefense):
    """Encodes images by trained layers with random layers of a secret key between them, and publishes the vectors.

    In the spirit of Syfer (Yala et al., "Syfer: neural obfuscation for private data release", 2022, arXiv 2201.12406):
    an owner composes trained layers with random ones, whose weights are the key, and releases encoded images; others
    learn the diagnosis from the encodings without the key. On chest radiographs they report a mean AUC of the findings
    of 0.78, against 0.86 from the images. They train the obfuscator once on public data against a simulated attacker
    and encode labels as well; here the trained layers learn the findings alone, with the random layers of the release
    in place, and labels are not encoded.

    The key is drawn from the release seed and never trained: ``layers`` orthogonal maps of the vector, with an offset,
    each followed by tanh and a trained linear layer. What a patient's images have in common passes through a
    fixed map whatever its key: images of one release are compared with each other in it, and their vectors remain
    linkable as far as the findings' features are. The model track publishes the network too, so that attackers see
    their own patients' vectors under the same key: what they find is at least what is found without it. No formal
    guarantee, and no patient of the training set is hidden.
    """

    name = "keyed_encoding"
    family = "model"
    operating_points = {
        "mild": {"layers": 1},
        "moderate": {"layers": 2},
        "strong": {"layers": 4},
        "severe": {"layers": 8},
    }
    layers: int = Field(2, ge=0, le=32, description="random layers; 0 publishes the network's vectors as they are")
    dimensions: int = Field(128, ge=2, le=4096, description="numbers of a published vector")
    epochs: int = Field(20, ge=1, le=10_000, description="passes over the training images")
    lr: float = Field(3e-3, ge=1e-6, le=1, description="Adam's learning rate")
    width: int = Field(8, ge=4, le=512, multiple_of=4, description="channels of the network's first layer")
    side: int = Field(32, ge=16, le=1024, description="pixels a side that images are averaged down to")

    def undefended(self) -> ModelDefense:
        """The same network without random layers."""
        return self.model_copy(update={"layers": 0})

    def network(self, size: int, findings: int) -> "EncodingNetwork":
        """An untrained network; its key is drawn when it is fitted."""
        base = DiagnosticNetwork(findings, width=self.width, side=min(self.side, size))
        return EncodingNetwork(base, findings, self.dimensions, self.layers)

    def fit(
        self,
        network: Any,
        train: LabelledImages,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        progress: Progress,
    ) -> Fitted:
        """Draws the key, and trains the other layers around it."""
        network.draw_key(torch.Generator().manual_seed(seed_of("key", seed)))
        findings = torch.from_numpy(train.findings).float()

        def loss(images: torch.Tensor, rows: Any) -> torch.Tensor:
            return masked_cross_entropy(network(images), findings[rows].to(images.device))

        history = learn(
            network,
            loss,
            train.pixels,
            epochs=self.epochs,
            seed=seed_of("layers", seed),
            device=device,
            work_dir=work_dir,
            lr=self.lr,
            progress=progress,
        )
        learned = beats_frequencies(history[-1]["train_loss"], findings)
        return Fitted(None, self.epochs, self.epochs * len(train.pixels), history, learned)


class EncodingNetwork(PublishedNetwork):
    """A diagnostic network whose vector goes on through random and trained layers in turn.

    The key is in buffers: no optimizer sees it.
    """

    def __init__(self, base: DiagnosticNetwork, findings: int, dimensions: int, layers: int) -> None:
        super().__init__()
        self.features = base
        self.start = nn.Linear(base.head.in_features, dimensions)
        self.between = nn.ModuleList(nn.Linear(dimensions, dimensions) for _ in range(layers))
        self.head = nn.Linear(dimensions, findings)
        base.head = nn.Identity()  # type: ignore[assignment]
        for number in range(layers):
            self.register_buffer(f"turn{number}", torch.eye(dimensions))
            self.register_buffer(f"offset{number}", torch.zeros(dimensions))

    def draw_key(self, generator: torch.Generator) -> None:
        """Draws every random layer: an orthogonal map, evenly distributed, and a standard normal offset."""
        for number in range(len(self.between)):
            turn, offset = self.get_buffer(f"turn{number}"), self.get_buffer(f"offset{number}")
            q, r = torch.linalg.qr(torch.randn(turn.shape, generator=generator, dtype=torch.float64))
            # The signs make it evenly distributed over all orthogonal maps (Mezzadri, 2007).
            turn.copy_(q * r.diagonal().sign())
            offset.copy_(torch.randn(offset.shape, generator=generator))

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to the encodings (B, dimensions)."""
        vectors = self.start(self.features.embed(images))
        for number, layer in enumerate(self.between):
            turned = vectors @ self.get_buffer(f"turn{number}") + self.get_buffer(f"offset{number}")
            vectors = layer(torch.tanh(turned))
        return vectors

    def classify(self, vectors: torch.Tensor) -> torch.Tensor:
        """(B, dimensions) to logits (B, findings)."""
        logits: torch.Tensor = self.head(vectors)
        return logits
