"""Measures how hard the phantom is, and draws its sheet: the figures and the pictures of docs/phantom.md.

python benchmarks/phantom_figures.py --version 1 --sheet docs/phantom.png --figures
python benchmarks/phantom_figures.py --sheet docs/phantom-2.png --figures whole findings
python benchmarks/phantom_figures.py --docs ../shared/data

The last one makes everything on the page: both sheets, the figures of both versions, the statistics beside those of
real images, and what an attacker trained on generated patients finds on real ones.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from reidbench import metrics
from reidbench.attackers.base import Fixed, Scenario
from reidbench.attackers.retrieval import Retrieval
from reidbench.cohorts.base import remap
from reidbench.cohorts.pairing.metadata import metadata_score
from reidbench.cohorts.pairing.pairs import build_pairs
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.cohorts.sources.phantom.anatomy import DRAWS, SERIES, TRAITS
from reidbench.cohorts.sources.phantom.projection import project
from reidbench.cohorts.sources.phantom.randomness import generator
from reidbench.cohorts.sources.phantom.second import recipe
from reidbench.images import to_unit
from reidbench.utility.classifier import ClassifierOptions, fit_classifier, predict

CPU = torch.device("cpu")
SIZE = 64
Pixels = NDArray[np.uint8]
#: What is painted over in the masked figures: names of ellipsoids and of parts that make a region.
REGIONS = {
    "lungs": ("lung_right", "lung_left"),
    "ribs": ("ribs",),
    "heart": ("ventricle", "atrium", "trunk", "knob", "aorta"),
}
#: What is drawn anew at every visit in the redrawn figures: beginnings of names of traits.
GROUPS = {
    "lungs, vessels, diaphragm": ("lung_", "dome_", "hilum_", "vessel_", "branch_", "trachea_", "carina_"),
    "skeleton": ("rib_", "spine_", "vertebra_", "clavicle_", "scapula_"),
    "heart, great vessels": ("heart_", "atrium_", "trunk_", "knob_", "aorta_", "mediastinum_", "cava_"),
    "soft tissue": ("torso_", "neck_", "shoulder_", "breast_"),
}


class Redrawn(Phantom):
    """A phantom in which some traits are the visit's, so that they say nothing of the patient."""

    prefixes: tuple[str, ...]

    def draws(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        names = [*TRAITS, *(name for name, (count, _) in SERIES.items() for _ in range(count))]
        changed = np.array([name.startswith(self.prefixes) for name in names])
        fresh = np.stack([generator(self.seed, "redrawn", i).standard_normal(DRAWS) for i in rows["image_id"]])
        return np.where(changed, fresh, super().draws(rows))


@dataclass
class Cohort:
    """The phantom in memory."""

    frame: pd.DataFrame
    pixels: Pixels
    labels: tuple[str, ...]

    def part(self, split: str) -> tuple[pd.DataFrame, Pixels]:
        rows = np.flatnonzero(self.frame["split"] == split)
        frame = self.frame.iloc[rows].reset_index(drop=True)
        return frame.assign(patient=remap(frame["patient_id"])), self.pixels[rows]


def in_chunks(frame: pd.DataFrame, make: Callable[[pd.DataFrame], NDArray]) -> NDArray:
    return np.concatenate([make(frame.iloc[i : i + 32]) for i in range(0, len(frame), 32)])


def region(phantom: Phantom, rows: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """(len(rows), SIZE, SIZE): where the picture would not be what it is, were the region not there."""
    if phantom.version == 2:
        scene, v, shape = recipe.scene_of(rows, phantom.seed, phantom.worn(rows), SIZE)
        whole, without = (
            np.concatenate([p.lines.numpy() for p in recipe.projected(s, v, shape, SIZE)])
            for s in (scene, scene.without(names))
        )
        return np.abs(whole - without) > 0.04
    scene, v = phantom.scene(rows, SIZE)
    whole, without = (
        np.concatenate([p.lines.numpy() for p in project(s, v["zoom"], SIZE)]) for s in (scene, scene.without(names))
    )
    return np.abs(whole - without) > 0.04


def paint_over(cohort: Cohort, where: NDArray[np.bool_]) -> Cohort:
    """Gives the region the mean grey of the rest of its picture."""
    pixels = cohort.pixels.copy()
    for image, mask in zip(pixels, where):
        image[mask] = image[~mask].mean()
    return replace(cohort, pixels=pixels)


def attack(cohort: Cohort, work_dir: Path) -> tuple[float, float]:
    """AUC over all genuine test pairs and as many random impostors, and mAP@R, of the quick retrieval attacker."""
    frame, pixels = cohort.part("train")

    def side(index: NDArray[np.int64], *, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        return to_unit(pixels[index], device)

    train = Scenario(frame["patient"].to_numpy(), side, side, SIZE)
    val_frame, val_pixels = cohort.part("val")
    val = Fixed(val_frame["patient"].to_numpy(), val_pixels, val_pixels)
    attacker = Retrieval()
    attacker.fit(train, val, seed=0, device=CPU, work_dir=work_dir)
    test_frame, test_pixels = cohort.part("test")
    return judge(test_frame, attacker.embed(test_pixels, device=CPU))


def judge(frame: pd.DataFrame, vectors: NDArray[np.float32]) -> tuple[float, float]:
    pairs = build_pairs(frame, negatives="random", seed=0)
    auc = metrics.roc_auc(-np.linalg.norm(vectors[pairs.a] - vectors[pairs.b], axis=1), pairs.same)
    patients, images = frame["patient"].to_numpy(), np.arange(len(frame))
    ranks = metrics.rank_queries(metrics.euclidean_scores(vectors, vectors), patients, patients, images, images)
    return auc, float(np.nanmean(ranks.average_precision))


def diagnose(cohort: Cohort, work_dir: Path) -> dict[str, float]:
    """Test AUC of each finding, of the quick diagnostic classifier."""
    frame, pixels = cohort.part("train")
    names = list(cohort.labels)
    network, _ = fit_classifier(
        ClassifierOptions(), pixels, frame[names].to_numpy(float), seed=0, device=CPU, work_dir=work_dir
    )
    test, test_pixels = cohort.part("test")
    aucs = metrics.label_aucs(predict(network, test_pixels, device=CPU), test[names].to_numpy())
    return {"macro": aucs.macro, **dict(zip(names, aucs.auc.tolist()))}


def figures(chosen: set[str], version: int) -> None:
    phantom = Phantom(version=version)
    source = phantom.source()
    began = time.process_time()
    pixels = in_chunks(source.frame, lambda rows: phantom.read(rows, SIZE))
    seconds = time.process_time() - began
    cohort = Cohort(source.frame, pixels, source.labels)
    print(f"{len(pixels):,} images at {SIZE}², {len(pixels) / seconds:.0f} a second of processor time")
    counts = source.frame.groupby("split").agg(images=("image_id", "size"), patients=("patient_id", "nunique"))
    print(counts.to_string())

    test, test_pixels = cohort.part("test")
    for negatives in ("random", "matched"):
        pairs = build_pairs(test, negatives=negatives, seed=0)  # type: ignore[arg-type]
        vectors = test_pixels.reshape(len(test), -1).astype(np.float32)
        score = -np.linalg.norm(vectors[pairs.a] - vectors[pairs.b], axis=1)
        about = metrics.roc_auc(metadata_score(test, pairs.a, pairs.b), pairs.same)
        print(f"{negatives} negatives: raw pixels {metrics.roc_auc(score, pairs.same):.3f}, metadata {about:.3f}")
    print(f"raw pixels mAP@R {judge(test, vectors)[1]:.3f}")

    def show(name: str, changed: Callable[[], Cohort]) -> None:
        if name not in chosen and "all" not in chosen:
            return
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            auc, precision = attack(changed(), Path(folder))
            print(f"{name}: AUC {auc:.3f}, mAP@R {precision:.3f} ({time.monotonic() - began:.0f} s)", flush=True)

    show("whole", lambda: cohort)
    if chosen & {"all", "findings"}:
        with tempfile.TemporaryDirectory() as folder:
            print({name: round(auc, 3) for name, auc in diagnose(cohort, Path(folder)).items()}, flush=True)
    for name, parts in REGIONS.items():
        show(
            f"{name} painted over",
            lambda parts=parts: paint_over(cohort, in_chunks(cohort.frame, lambda rows: region(phantom, rows, parts))),
        )
    if version == 2:
        return
    for name, prefixes in GROUPS.items():
        other = Redrawn(version=1, prefixes=prefixes)
        show(
            f"{name} redrawn",
            lambda other=other: replace(cohort, pixels=in_chunks(cohort.frame, lambda rows: other.read(rows, SIZE))),
        )


def sheet(path: Path, version: int, size: int = 256) -> None:
    """Four patients with five visits each, one row per patient."""
    phantom = Phantom(version=version)
    frame = phantom.source().frame
    visits = frame.groupby("patient_id").size()
    rows = frame[frame["patient_id"].isin(visits.index[visits >= 5][:4])].groupby("patient_id").head(5)
    tiles = phantom.read(rows, size).reshape(4, 5, size, size)
    Image.fromarray(tiles.transpose(0, 2, 1, 3).reshape(4 * size, 5 * size)).quantize(28).save(path, optimize=True)


def page(data: Path) -> None:
    """Everything that docs/phantom.md shows; ``data`` is the folder with chestxray14-sample and covid19."""
    sheet(Path("docs/phantom.png"), 1)
    sheet(Path("docs/phantom-2.png"), 2)
    for version in (1, 2):
        print(f"version {version}", flush=True)
        figures({"all"}, version)
    here, real = Path(__file__).parent, str(data / "chestxray14-sample")
    on_real = ["--patients", "2400", "--set", "epochs=12", "--set", "min_steps=200", "--part", "dev", "test"]
    on_real += ["--judge", "chestxray14", real, "--judge", "covid19", str(data / "covid19")]
    for command in (
        ["phantom_statistics.py", "--root", real],
        ["phantom_transfer.py", "--dataset", "phantom:version=1", *on_real],
        ["phantom_transfer.py", "--dataset", "phantom:version=2", *on_real],
    ):
        print(" ".join(command), flush=True)
        subprocess.run([sys.executable, str(here / command[0]), *command[1:]], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, help="where to write the sheet of 4 patients × 5 visits (PNG)")
    parser.add_argument("--figures", nargs="*", metavar="NAME", help="measure all figures, or those of these names")
    parser.add_argument("--version", type=int, choices=(1, 2), default=2)
    parser.add_argument("--docs", type=Path, metavar="DATA", help="make everything on the page of docs/")
    given = parser.parse_args()
    if given.sheet:
        sheet(given.sheet, given.version)
    if given.figures is not None:
        figures(set(given.figures or ["all"]), given.version)
    if given.docs:
        page(given.docs)
