"""Writes generated X-rays with the shape of ChestX-ray14, in the layout in which ChestX-ray14 is published.

python benchmarks/scale_cohort.py FOLDER

112,120 images of 30,805 patients at 64×64. The numbers of images per patient are those of the publication, apart for
the official list of test images (25,596 of 2,797 patients) and for that of the others, which the 2022 paper cuts into
75,708 lines for training and 10,816 for validation. So the dataset ``chestxray14`` reads the folder. A run that was
stopped goes on where it was.

``part`` gives the folder of a cohort of fewer images: those of the first patients in a random order, as links.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from reidbench.cohorts.base import CHESTXRAY14_LABELS
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.files import write_file

SIZE = 64
#: ChestX-ray14 (Wang et al., 2017): how many patients have 1, 2, 3, … images, by list; "images:patients" beyond.
TRAIN_VAL = (
    "1:16130 2:3858 3:1996 4:1243 5:859 6:725 7:557 8:445 9:342 10:284 11:249 12:188 13:132 14:149 15:93 "
    "16:87 17:71 18:60 19:60 20:55 21:47 22:28 23:30 24:32 25:28 26:22 27:29 28:21 29:16 30:13 31:10 32:12 "
    "33:10 34:10 35:11 36:5 37:5 38:9 39:5 40:5 41:7 42:2 43:4 44:4 45:3 46:3 47:1 48:5 49:4 50:2 51:6 52:5 "
    "53:5 54:2 55:3 56:1 57:1 58:2 59:1 61:2 62:1 63:2 69:1 70:2 73:1 75:1 76:1 80:1 81:1 88:1 108:1 109:1"
)
TEST = (
    "1:1373 2:255 3:104 4:87 5:79 6:62 7:51 8:49 9:45 10:36 11:32 12:47 13:33 14:32 15:28 16:33 17:20 18:17 "
    "19:17 20:19 21:21 22:11 23:20 24:19 25:17 26:13 27:9 28:6 29:9 30:15 31:7 32:10 33:10 34:13 35:13 36:3 "
    "37:6 38:7 39:6 40:7 41:7 42:9 43:2 44:4 45:3 46:7 47:4 48:2 49:5 50:4 51:5 52:2 54:5 55:7 56:6 57:1 58:2 "
    "59:2 60:3 61:6 62:6 63:1 64:3 65:3 66:6 67:3 68:4 69:5 71:2 73:1 74:1 76:1 77:2 79:1 80:1 81:2 83:1 84:2 "
    "86:3 87:1 89:1 90:2 91:1 99:1 102:1 108:2 111:1 114:1 116:2 117:1 119:1 130:1 137:1 143:1 157:1 158:1 "
    "173:1 184:1"
)
#: Lines of the official list of the others that the 2022 paper trains on.
TRAIN_LINES = 75_708
_CHUNK = 256
_TABLE = "Data_Entry_2017_v2020.csv"


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


def write(folder: Path) -> None:
    """Writes the table, the lists and the images that are missing."""
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    rows_path = folder / "rows.pkl"
    if not rows_path.exists():
        _say("drawing the table")
        frame = shaped(Phantom(version=1, patients=99_999, images_per_patient=200))
        write_file(folder / _TABLE, official_table(frame).to_csv(index=False))
        write_file(folder / "train_val_list.txt", "\n".join(frame.loc[~frame["test"], "name"]))
        write_file(folder / "test_list.txt", "\n".join(frame.loc[frame["test"], "name"]))
        frame.to_pickle(rows_path)
    frame = pd.read_pickle(rows_path)
    phantom = Phantom(version=1, patients=99_999, images_per_patient=200)
    there = {entry.name for entry in os.scandir(images)}
    missing = frame[~frame["name"].isin(there)].sort_values("order", kind="stable")
    began, done = time.perf_counter(), 0
    for start in range(0, len(missing), _CHUNK):
        rows = missing.iloc[start : start + _CHUNK]
        for name, pixels in zip(rows["name"], phantom.read(rows, SIZE)):
            write_file(images / name, lambda stream, pixels=pixels: Image.fromarray(pixels).save(stream, "png"))
        done += len(rows)
        if start // _CHUNK % 20 == 0:
            _say(f"{len(there) + done:,} of {len(frame):,} images, {done / (time.perf_counter() - began):.0f} a second")


def part(folder: Path, images: int, target: Path) -> int:
    """A folder with the images of the first patients, at least ``images`` of them; gives how many there are.

    Args:
        folder: of the whole cohort.
        images: as many as there are gives all.
        target: is made; its images are links.
    """
    frame = pd.read_pickle(folder / "rows.pkl").sort_values("order", kind="stable")
    sizes = frame.groupby("order").size().cumsum()
    last = sizes.index[min(int(np.searchsorted(sizes.to_numpy(), images)), len(sizes) - 1)]
    names = frame.loc[frame["order"] <= last, "name"]
    (target / "images").mkdir(parents=True, exist_ok=True)
    for name in (_TABLE, "train_val_list.txt", "test_list.txt"):
        write_file(target / name, (folder / name).read_bytes())
    there = {entry.name for entry in os.scandir(target / "images")}
    for name in names:
        if name not in there:
            os.link(folder / "images" / name, target / "images" / name)
    return len(names)


def shaped(phantom: Phantom) -> pd.DataFrame:
    """Rows of the phantom, with as many images per patient as published; in the order of the official lists.

    Columns beside the phantom's: ``name`` of the file, ``number`` of the patient, ``test``, and ``order``, a random
    order of the patients.
    """
    frame = phantom.source().frame
    rng = np.random.default_rng(0)
    wanted = [(count, test) for text, test in ((TRAIN_VAL, False), (TEST, True)) for count in _counts(text)]
    # A patient who comes often enough gives each patient of the publication the first images: most images first.
    wanted.sort(reverse=True)
    natural = frame.groupby("patient_id").size().sort_values(ascending=False, kind="stable")
    counts = np.array([count for count, _ in wanted])
    assert (natural.to_numpy()[: len(counts)] >= counts).all(), "the phantom has too few patients with many images"
    chosen = natural.index[: len(counts)]
    facts = pd.DataFrame(
        {"count": counts, "test": [test for _, test in wanted], "order": rng.permutation(len(counts))}, index=chosen
    )
    frame = frame[frame["patient_id"].isin(chosen)].join(facts, on="patient_id")
    frame = frame[frame["follow_up"] < frame["count"]]
    facts = facts.loc[_listed(facts)]
    facts["number"] = np.arange(1, len(facts) + 1)
    frame = frame.join(facts["number"], on="patient_id").sort_values(["number", "follow_up"]).reset_index(drop=True)
    frame["name"] = [f"{number:08d}_{visit:03d}.png" for number, visit in zip(frame["number"], frame["follow_up"])]
    return frame.drop(columns=["count", "split"])


def official_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows as in the official table."""
    found = frame[list(CHESTXRAY14_LABELS)].to_numpy() == 1
    labels = np.array(CHESTXRAY14_LABELS)
    return pd.DataFrame(
        {
            "Image Index": frame["name"],
            "Finding Labels": ["|".join(labels[row]) or "No Finding" for row in found],
            "Follow-up #": frame["follow_up"],
            "Patient ID": frame["number"],
            "Patient Age": frame["age"],
            "Patient Gender": frame["sex"],
            "View Position": frame["view"],
        }
    )


def _listed(facts: pd.DataFrame) -> list[str]:
    """The patients in an order in which the training lines end with a patient: train, validation, test."""
    # Not in the order of the parts, whose patients would all train.
    rest = facts[~facts["test"]].sample(frac=1, random_state=1)
    several, one = rest[rest["count"] > 1]["count"], rest[rest["count"] == 1]["count"]
    train, left = [], TRAIN_LINES
    # Patients with one image, of whom there are many, fill what the others leave.
    for patient, count in pd.concat([several.iloc[: len(several) * 7 // 8], one]).items():
        if count <= left:
            train.append(patient)
            left -= count
    assert left == 0
    validation = rest.index.difference(train, sort=False)
    return [*train, *validation, *facts[facts["test"]].sort_values("order").index]


def _counts(text: str) -> list[int]:
    pairs = [map(int, pair.split(":")) for pair in text.split()]
    return [count for count, patients in pairs for _ in range(patients)]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
