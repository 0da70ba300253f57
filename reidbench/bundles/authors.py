"""The networks that Packhäuser et al. (2022) published, as a bundle of the ``paper`` preset.

Two state dicts, each a file of ``torch.save``. *Verification*: ``model.*`` is a torchvision ResNet-50 whose ``fc`` maps
2048 to 128, and ``fc_end`` maps the absolute difference of two vectors to a logit. *Retrieval*:
``0.extractor_net.*`` is the same network's children without the last two, in a sequence, and ``1.*`` the head.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from reidbench.attackers.network import NetworkAttacker
from reidbench.attackers.paper.retrieval import PaperRetrieval
from reidbench.attackers.paper.verification import PaperVerification
from reidbench.errors import ReidbenchError

State = dict[str, torch.Tensor]

#: Places of a torchvision ResNet's children in a sequence of them; 2 and 3, the ReLU and the pooling, have no weights.
_PLACES = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
#: Parts of the retrieval head by their place in ours.
_HEAD = {
    "1.bottle_neck_conv": "network.narrow",
    "1.first_fc.1": "network.head.1",
    "1.first_fc.3": "network.head.3",
    "1.second_fc.0": "network.head.5",
    "1.second_fc.2": "network.head.7",
}
#: A file's size at most, in bytes: the published networks have 90 to 140 MB.
MOST_BYTES = 1 << 30


def read_authors(path: Path) -> NetworkAttacker:
    """The attacker whose network a published state dict holds.

    Nothing but tensors is unpickled.

    Raises:
        ReidbenchError: the file cannot be read, holds anything else than tensors, or is of another layout.
    """
    state = _read(path)
    if any(name.startswith("model.") for name in state):
        attacker: NetworkAttacker = PaperVerification(weights="random")
        renamed = _verification(state, path)
    elif any(name.startswith("0.extractor_net.") for name in state):
        attacker = PaperRetrieval(weights="random")
        renamed = _retrieval(state, path)
    else:
        raise _other_layout(path, f"its first entry is {next(iter(state), 'missing')!r}")
    model = attacker.fresh(0, weights="random")
    wanted = model.state_dict()
    odd = sorted(name for name in wanted.keys() ^ renamed.keys() if not name.endswith("num_batches_tracked"))
    odd += sorted(name for name in wanted.keys() & renamed.keys() if wanted[name].shape != renamed[name].shape)
    if odd:
        raise _other_layout(path, f"of {len(odd)} parts that differ the first is {odd[0]}")
    # Counts of batches steer nothing, and older files lack them.
    model.load_state_dict({**wanted, **{name: value for name, value in renamed.items() if name in wanted}})
    attacker.keep(model)
    return attacker


def _read(path: Path) -> State:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise ReidbenchError(f"{path}: cannot be read: {error.strerror or error}") from error
    if size > MOST_BYTES:
        raise ReidbenchError(f"{path}: {size:,} bytes; the published networks have at most 140 MB")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # What torch raises depends on how the file is broken, and on what a pickle wants to run.
        raise ReidbenchError(f"{path}: no file of tensors alone: {' '.join(str(error).split())[:120]}") from error
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise _other_layout(path, "it is not a dictionary of tensors")
    return dict(found)


def _verification(state: State, path: Path) -> State:
    renamed: State = {}
    for name, value in state.items():
        owner, _, rest = name.partition(".")
        part, _, last = rest.partition(".")
        if owner == "model" and part in _PLACES:
            renamed[f"network.backbone.features.{_PLACES[part]}.{last}"] = value
        elif owner == "model" and part == "fc":
            renamed[f"network.last.{last}"] = value
        elif owner == "fc_end":
            renamed[f"head.linear.{rest}"] = value
        else:
            raise _other_layout(path, f"no part of such a network is called {name!r}")
    return renamed


def _retrieval(state: State, path: Path) -> State:
    renamed: State = {}
    for name, value in state.items():
        if name.startswith("0.extractor_net."):
            renamed["network.backbone.features." + name.removeprefix("0.extractor_net.")] = value
            continue
        found = re.fullmatch(r"(1\.\w+(?:\.\d+)?)\.(\w+)", name)
        if found is None or found[1] not in _HEAD:
            raise _other_layout(path, f"no part of such a network is called {name!r}")
        renamed[f"{_HEAD[found[1]]}.{found[2]}"] = value
    return renamed


def _other_layout(path: Path, why: str) -> ReidbenchError:
    return ReidbenchError(f"{path}: not one of the two networks that the authors published: {why}")
