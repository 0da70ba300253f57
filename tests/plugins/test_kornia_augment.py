import kornia.augmentation
import pytest
import torch

from reidbench import ReidbenchError, ReleaseRandom
from reidbench.defenses.random import TrainingRandom
from reidbench.plugins.options import build
from reidbench_plugins.kornia_augment import KorniaAugment


@pytest.mark.parametrize(
    ("augmentation", "arguments"),
    [
        ("RandomAffine", {"degrees": 15, "translate": [0.1, 0.1], "scale": [0.9, 1.1], "shear": 5}),
        ("RandomElasticTransform", {"kernel_size": [15, 15], "sigma": [4, 4], "alpha": [2, 2]}),
        ("RandomErasing", {}),
        ("RandomThinPlateSpline", {"scale": 0.1}),
        ("RandomPerspective", {"distortion_scale": 0.4}),
        ("RandomGaussianNoise", {"std": 0.5}),
        ("RandomMotionBlur", {"kernel_size": 5, "angle": 35, "direction": 0.5}),
        ("RandomPlasmaShadow", {}),
        ("RandomJPEG", {"jpeg_quality": [5, 60]}),
    ],
)
def test_augmentations_are_fixed_by_image_and_seed(augmentation: str, arguments: dict, run) -> None:
    defense = KorniaAugment(augmentation=augmentation, arguments=arguments)
    images = torch.rand(1, 1, 48, 80).repeat(4, 1, 1, 1)
    first = run(defense, images)
    torch.rand(1000)
    assert torch.equal(run(defense, images), first), "depends on the global generator"
    assert not torch.equal(run(defense, images, seed=1), first)
    assert not torch.equal(first[0], first[1]), "two images share a draw"


def test_global_generator_is_left_as_it_was(run) -> None:
    defense = KorniaAugment(augmentation="RandomErasing")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(defense, torch.rand(4, 1, 48, 80, generator=torch.Generator()))
    KorniaAugment(augmentation="RandomThinPlateSpline")
    assert torch.equal(torch.rand(3), expected)


def test_augmentations_of_colour_images_change_the_luma(run) -> None:
    images = torch.rand(3, 1, 48, 80, generator=torch.Generator().manual_seed(4))
    found = run(KorniaAugment(augmentation="RandomJPEG", arguments={"jpeg_quality": [20, 20]}), images)
    colour = kornia.enhance.jpeg_codec_differentiable(images.repeat(1, 3, 1, 1), torch.full((3,), 20.0))
    luma = (colour * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert (found - images).abs().mean() > 0.01
    torch.testing.assert_close(found, luma.clamp(0, 1), atol=1e-5, rtol=0)


def test_an_unknown_augmentation_is_named_once() -> None:
    with pytest.raises(ReidbenchError) as refused:
        build("defense", KorniaAugment, {"augmentation": "RandomCLAHE"})
    assert str(refused.value).endswith("'RandomCLAHE': did you mean 'RandomClahe'?")


def test_a_flip_is_a_flip(run) -> None:
    images = torch.rand(3, 1, 48, 80)
    assert torch.allclose(run(KorniaAugment(augmentation="RandomHorizontalFlip"), images), images.flip(-1), atol=1e-6)


def test_is_always_applied_unless_p_says_otherwise(run) -> None:
    images = torch.rand(400, 1, 12, 20)
    always = run(KorniaAugment(augmentation="RandomInvert"), images)
    assert torch.allclose(always, 1 - images)
    half = run(KorniaAugment(augmentation="RandomInvert", arguments={"p": 0.5}), images)
    changed = (half != images).flatten(1).any(1)
    assert 0.4 < float(changed.float().mean()) < 0.6


def test_training_draws_a_batch_at_once_with_a_draw_an_image() -> None:
    images = torch.rand(1, 1, 48, 80).repeat(8, 1, 1, 1)
    rng = TrainingRandom(torch.Generator().manual_seed(0), 8)
    after = KorniaAugment(augmentation="RandomErasing").transform(images, rng=rng)
    assert len({image.numpy().tobytes() for image in after}) == 8


def test_streams_must_match_the_images() -> None:
    with pytest.raises(ValueError, match="random numbers for 2 images asked of the streams of 1"):
        KorniaAugment().transform(torch.rand(2, 1, 48, 80), rng=ReleaseRandom.for_images(0, ["one"]))


@pytest.mark.parametrize(
    ("augmentation", "arguments", "message"),
    [
        ("RandomAfine", {}, "did you mean 'RandomAffine'"),
        ("Normalise", {}, "did you mean 'Normalize'"),
        ("xyzzy", {}, "known: CenterCrop, "),
        ("RandomMixUpV2", {}, "no augmentation of single images"),
        ("RandomAffine3D", {}, "no augmentation of single images"),
        ("RandomAffine", {}, "missing 1 required positional argument"),
        ("RandomAffine", {"degree": 3}, "unexpected keyword argument 'degree'"),
        ("RandomCrop", {"size": [48, 80]}, "changes the shape of an image: 40×56 becomes 48×80"),
        ("Resize", {"size": [20, 20]}, "changes the shape of an image: 40×56 becomes 20×20"),
        ("RandomHue", {"hue": [0.3, 0.3]}, "changes nothing with these arguments"),
        ("RandomGrayscale", {}, "changes nothing with these arguments"),
        ("RandomBrightness", {}, "changes nothing with these arguments"),
        ("RandomErasing", {"p": 0}, "p=0: a probability above 0 and at most 1 is needed"),
        ("RandomErasing", {"p": -1}, "p=-1: a probability above 0 and at most 1 is needed"),
        ("RandomErasing", {"p": 2}, "p=2: a probability above 0 and at most 1 is needed"),
        ("RandomErasing", {"p": "x"}, "p='x': a probability above 0 and at most 1 is needed"),
        ("RandomErasing", {"p": True}, "p=True: a probability above 0 and at most 1 is needed"),
        ("RandomErasing", {"p": None}, "p=None: a probability above 0 and at most 1 is needed"),
    ],
)
def test_what_cannot_work_is_refused_at_once(augmentation: str, arguments: dict, message: str) -> None:
    with pytest.raises(ReidbenchError, match="defense 'kornia_augment'") as raised:
        build("defense", KorniaAugment, {"augmentation": augmentation, "arguments": arguments})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_classes_are_found_by_their_kornia_names() -> None:
    known = {name for name in dir(kornia.augmentation) if name.startswith("Random")}
    assert {"RandomElasticTransform", "RandomThinPlateSpline", "RandomErasing", "RandomAffine"} <= known
