from __future__ import annotations

import os
import pickle

import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

from reidbench.errors import ReidbenchError
from reidbench.networks.architectures.backbones import build_backbone


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet_small", (2, 32, 8, 8)),
        ("resnet_small_8", (2, 16, 8, 8)),
        ("resnet_small_8x2", (2, 16, 8, 8)),
        ("resnet18", (2, 512, 2, 2)),
        ("mobilenet_v3_small", (2, 576, 2, 2)),
        ("densenet121", (2, 1024, 2, 2)),
        ("timm:resnet18", (2, 512, 2, 2)),
        ("timm:mobilenetv3_small_050", (2, 1024, 2, 2)),
    ],
)
def test_feature_maps(name, shape):
    backbone = build_backbone(name)
    assert backbone.channels == shape[1]
    assert backbone(torch.rand(2, 1, 64, 64)).shape == shape


def test_small_network_has_few_parameters_and_takes_odd_sizes():
    backbone = build_backbone("resnet_small")
    assert 35_000 < sum(p.numel() for p in backbone.parameters()) < 50_000
    assert backbone(torch.rand(2, 1, 50, 37)).shape == (2, 32, 7, 5)


def test_a_file_of_the_whole_network_is_read_strictly(tmp_path):
    torch.manual_seed(0)
    network = models.resnet18()
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    torch.save(network.state_dict(), tmp_path / "w.pth")
    grey = torch.rand(1, 1, 64, 64)
    normalized = (grey - torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(1, 3, 1, 1)
    network.eval()
    expected = torch.nn.Sequential(*list(network.children())[:-2])(normalized)
    for name in ("w.safetensors", "w.pth"):
        backbone = build_backbone("resnet18", str(tmp_path / name)).eval()
        torch.testing.assert_close(backbone(grey), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ReidbenchError, match=r"resnet34: .*w\.pth does not hold its weights"):
        build_backbone("resnet34", str(tmp_path / "w.pth"))


def test_timms_file_of_the_whole_network_is_read_strictly_and_sees_what_it_was_trained_on(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    grey = torch.rand(1, 1, 96, 96)
    backbone = build_backbone("timm:tf_efficientnet_lite0", str(tmp_path / "w.safetensors")).eval()
    # This one was trained on [-1, 1], and not with ImageNet's means.
    assert network.pretrained_cfg["mean"] == (0.5, 0.5, 0.5)
    expected = network.eval().forward_features(((grey - 0.5) / 0.5).expand(1, 3, 96, 96))
    torch.testing.assert_close(backbone(grey), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ReidbenchError, match=r"timm:resnet18: .*w\.safetensors does not hold its weights"):
        build_backbone("timm:resnet18", str(tmp_path / "w.safetensors"))


def test_a_name_far_from_all_is_answered_in_a_line():
    with pytest.raises(ReidbenchError) as caught:
        build_backbone("timm:qqqqqqqq")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("resnet5", "random", "unknown backbone 'resnet5': did you mean 'resnet50'"),
        ("vit_b_16", "random", "vit_b_16: it gives no feature map"),
        ("swin_t", "random", "swin_t: it gives no feature map"),
        ("resnet_small", "imagenet", "only random weights exist"),
        ("resnet18", "nowhere.pth", "no weights file nowhere.pth"),
        ("timm:resnet_18", "random", r"unknown backbone 'timm:resnet_18': did you mean 'resnet1"),
        ("timm:vit_tiny_patch16_224", "random", "it gives no feature map"),
        ("timm:swin_tiny_patch4_window7_224", "random", "it gives no feature map"),
    ],
)
def test_what_cannot_be_had_is_said(name, weights, message):
    with pytest.raises(ReidbenchError, match=message):
        build_backbone(name, weights)


class Malicious:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_damaged_weights_and_code_in_their_place_are_one_clear_line(tmp_path, recwarn):
    network = models.resnet18()
    torch.save(network.state_dict(), tmp_path / "good.pth")
    save_file(network.state_dict(), tmp_path / "good.safetensors")
    torch.save(Malicious(tmp_path / "made"), tmp_path / "code.pth")
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps(Malicious(tmp_path / "made")))
    for ending in ("pth", "safetensors"):
        good = (tmp_path / f"good.{ending}").read_bytes()
        half = len(good) // 2
        for name, content in {
            "cut": good[:half], "zeros": good[:half] + bytes(half), "empty": b"", "text": b"weights", "head": good[:30],
            "turned": bytes([good[0] ^ 1]) + good[1:],
        }.items():  # fmt: skip
            (tmp_path / f"{name}.{ending}").write_bytes(content)
        (tmp_path / f"folder.{ending}").mkdir()
    bad = [
        path for path in sorted(tmp_path.iterdir()) if path.stem not in ("good", "zeros") or path.name == "zeros.pth"
    ]
    assert len(bad) == 15
    for path in bad:
        told = "no weights file" if path.is_dir() else "does not hold its weights: it is damaged, or holds more than"
        with pytest.raises(ReidbenchError, match=told) as refused:
            build_backbone("resnet18", str(path))
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "made").exists()
    assert not recwarn.list


def test_imagenet_weights_without_a_network_are_a_clear_error(monkeypatch, tmp_path):
    # A download folder of our own that is empty, and a proxy where nobody answers.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(
        ReidbenchError, match=r"resnet18: its ImageNet weights cannot be downloaded .*path to a weights"
    ):
        build_backbone("resnet18", "imagenet")


def test_the_small_network_sees_no_exposure_and_takes_a_constant_image():
    torch.manual_seed(0)
    backbone = build_backbone("resnet_small_8").eval()
    image = torch.rand(1, 1, 64, 64)
    seen = []
    backbone.features.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    backbone(image)
    backbone(0.2 + 0.6 * image)
    backbone(torch.full((1, 1, 64, 64), 0.7))
    plain = image.numpy()
    torch.testing.assert_close(seen[0], torch.from_numpy((plain - plain.mean()) / (plain.std() + 0.02)))
    torch.testing.assert_close(seen[1], seen[0], atol=0.1, rtol=0)
    torch.testing.assert_close(seen[2], torch.zeros(1, 1, 64, 64), atol=1e-5, rtol=0)
