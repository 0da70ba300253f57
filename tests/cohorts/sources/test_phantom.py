"""The phantom as a dataset: its table, whose its images are, and what is seen in them in version 1."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from reidbench.cohorts.base import CHESTXRAY14_LABELS
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.cohorts.sources.phantom.anatomy import TRAITS, anatomy
from reidbench.cohorts.sources.phantom.table import FINDINGS
from reidbench.plugins import Registry


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return Phantom(version=1)


@pytest.fixture(scope="module")
def frame(phantom: Phantom) -> pd.DataFrame:
    return phantom.source().frame


@pytest.fixture(scope="module")
def healthy(frame: pd.DataFrame) -> pd.DataFrame:
    """First visits of 24 patients, PA, without finding or foreign material."""
    rows = frame[(frame["follow_up"] == 0) & (frame["view"] == "PA")].head(24).copy()
    rows[[*CHESTXRAY14_LABELS, "foreign_material"]] = 0
    return rows


# The table


def test_table_has_what_a_dataset_must_give(phantom: Phantom, frame: pd.DataFrame) -> None:
    source = phantom.source()
    assert source.labels == CHESTXRAY14_LABELS
    assert frame["image_id"].is_unique
    assert frame["image_id"].iloc[0] == "p00000_000"
    assert set(frame["split"]) == {"train", "val", "test"}
    assert set(frame["sex"]) == {"M", "F"}
    assert set(frame["view"]) == {"PA", "AP"}
    assert frame["age"].between(18, 97).all()
    assert set(np.unique(frame[[*source.labels, "foreign_material"]])) == {0, 1}
    assert not frame.isna().any().any()


def test_default_cohort_has_the_size_that_a_quick_run_is_made_for(frame: pd.DataFrame) -> None:
    counts = frame["split"].value_counts()
    assert 1400 <= counts["train"] <= 1900
    assert 200 <= counts["val"] <= 450
    assert 450 <= counts["test"] <= 750


def test_images_a_patient_are_skewed_and_capped(frame: pd.DataFrame) -> None:
    visits = frame.groupby("patient_id").size()
    assert (visits == 1).mean() > 0.15
    assert visits.median() <= 3
    assert visits.max() == 24
    assert Phantom(images_per_patient=5).source().frame.groupby("patient_id").size().max() == 5


def test_patients_age_between_visits(frame: pd.DataFrame) -> None:
    for _, visits in frame.groupby("patient_id"):
        assert visits["follow_up"].tolist() == list(range(len(visits)))
        assert visits["days"].iloc[0] == 0
        assert visits["days"].is_monotonic_increasing
        grown = visits["age"] - visits["age"].iloc[0]
        assert (np.abs(grown - visits["days"] / 365.25) <= 1.0).all()
        assert visits["sex"].nunique() == 1
    assert 365.25 * 6 < frame["days"].max() <= 365.25 * 12


def test_prevalences_are_as_published(frame: pd.DataFrame) -> None:
    many = Phantom(patients=1500).source().frame
    for name, (share, _, _) in FINDINGS.items():
        assert many[name].mean() == pytest.approx(share, rel=0.35), name
    assert 0.2 < many["foreign_material"].mean() < 0.5
    assert 0.25 < (many["view"] == "AP").mean() < 0.45
    for name in CHESTXRAY14_LABELS:  # each can be judged in each split that is judged
        assert frame.loc[frame["split"] == "test", name].sum() >= 10, name


def test_findings_come_and_go_but_not_at_random(frame: pd.DataFrame) -> None:
    ordered = Phantom(patients=1500).source().frame
    same = ordered["patient_id"].eq(ordered["patient_id"].shift())
    for name, (share, kept, _) in FINDINGS.items():
        before = ordered[name].shift() == 1
        again = ordered.loc[same & before, name].mean()
        assert share < again < 1.0, name
        if kept >= 0.8:
            assert again > 0.4, name


def test_splits_are_disjoint_and_adding_patients_moves_nobody(frame: pd.DataFrame) -> None:
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()
    more = Phantom(patients=700).source().frame
    pd.testing.assert_frame_equal(more.head(len(frame)), frame)
    assert more["patient_id"].nunique() == 700


def test_another_seed_gives_other_patients(frame: pd.DataFrame) -> None:
    other = Phantom(seed=1).source().frame
    assert not other.head(100).equals(frame.head(100))


def test_two_cohorts_of_one_seed_share_patients_under_other_names_and_at_other_visits() -> None:
    everything = Phantom(patients=30)
    a, b = Phantom(patients=20, visits="even"), Phantom(patients=20, first_patient=10, visits="odd", prefix="Ward-")
    whole, first, second = (phantom.source().frame for phantom in (everything, a, b))
    assert second["patient_id"].str.fullmatch(r"Ward-000[12]\d").all()
    assert set(first["patient_id"]).isdisjoint(second["patient_id"])
    numbers = [set(frame["patient_id"].str[-5:]) for frame in (first, second)]
    assert len(numbers[0] & numbers[1]) > 3
    # But for names and splits, a row and its picture are those of the same visit in the cohort that has all.
    named = second.assign(**{n: second[n].str.replace("Ward-", "p") for n in ("patient_id", "image_id")})
    known = whole.set_index("image_id").drop(columns="split")
    pd.testing.assert_frame_equal(named.set_index("image_id").drop(columns="split"), known.loc[named["image_id"]])
    assert set(first["follow_up"] % 2) == {0}
    assert set(second["follow_up"] % 2) == {1}
    assert set(first["image_id"]).isdisjoint(named["image_id"])
    rows = [0, 3, len(second) - 1]
    assert np.array_equal(b.read(second.iloc[rows], 32), everything.read(named.iloc[rows], 32))


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": "p1"},
        {"prefix": ""},
        {"visits": "some"},
        {"first_patient": -1},
        {"patients": 3},
        {"images_per_patient": 1},
        {"test": 0.9},
        {"seed": -1},
        {"size": 64},
    ],
)
def test_options_have_bounds(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Phantom(**wrong)  # type: ignore[arg-type]


def test_its_entry_point_gives_the_phantom() -> None:
    assert Registry().get("dataset", "phantom") is Phantom


# Whose the images are


def test_pixels_do_not_depend_on_the_batch(phantom: Phantom, frame: pd.DataFrame) -> None:
    rows = frame.sample(24, random_state=3)
    whole = phantom.read(rows, 64)
    alone = np.concatenate([phantom.read(rows.iloc[[i]], 64) for i in range(0, 24, 4)])
    np.testing.assert_array_equal(alone, whole[::4])
    np.testing.assert_array_equal(phantom.read(rows.iloc[::-1], 64), whole[::-1])


@pytest.mark.slow  # a fresh interpreter that imports torch
def test_pixels_do_not_depend_on_the_process_nor_its_threads(phantom: Phantom, frame: pd.DataFrame) -> None:
    rows = frame.iloc[100:106]
    script = (
        "import pickle, sys, torch; torch.set_num_threads(2);"
        "phantom, rows = pickle.load(sys.stdin.buffer); pickle.dump(phantom.read(rows, 48), sys.stdout.buffer)"
    )
    child = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps((phantom, rows)), capture_output=True, check=True
    )
    np.testing.assert_array_equal(pickle.loads(child.stdout), phantom.read(rows, 48))


def test_the_size_of_the_cohort_does_not_change_an_image(phantom: Phantom, frame: pd.DataFrame) -> None:
    rows = frame.iloc[:4]
    np.testing.assert_array_equal(Phantom(version=1, patients=50).read(rows, 64), phantom.read(rows, 64))
    assert (Phantom(version=1, seed=9).read(rows, 64) != phantom.read(rows, 64)).mean() > 0.5


def test_anatomy_stays_with_the_patient_and_no_two_are_alike(phantom: Phantom, frame: pd.DataFrame) -> None:
    draws = phantom.draws(frame)
    first = pd.factorize(frame["patient_id"])[0]
    np.testing.assert_array_equal(draws, draws[np.unique(first, return_index=True)[1]][first])
    assert len(np.unique(draws, axis=0)) == frame["patient_id"].nunique()
    assert len(TRAITS) >= 60


def test_anatomy_depends_on_sex_and_slowly_on_age() -> None:
    draws = np.zeros((4, Phantom(version=1).draws(pd.DataFrame({"patient_id": ["p"]})).shape[1]))
    body = anatomy(draws, np.array([True, False, True, True]), np.array([50.0, 50.0, 51.0, 80.0]))
    man, woman, later, old = ({name: values[i] for name, values in body.items() if name in TRAITS} for i in range(4))
    assert woman["breast_depth"] > 2 * man["breast_depth"]
    assert woman["lung_height"] < man["lung_height"]
    assert old["knob_size"] > man["knob_size"]
    assert old["rib_density"] < man["rib_density"]
    for name, trait in TRAITS.items():  # a year is far less than what tells patients apart
        assert abs(later[name] - man[name]) <= 0.15 * trait.spread, name


def test_visits_of_a_patient_are_nearer_than_those_of_others_but_not_equal(
    phantom: Phantom, frame: pd.DataFrame
) -> None:
    rows = frame[frame.groupby("patient_id")["image_id"].transform("size") >= 4].groupby("patient_id").head(4).head(80)
    pixels = phantom.read(rows, 32).reshape(len(rows), -1).astype(float)
    apart = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1)
    same = rows["patient_id"].to_numpy()[:, None] == rows["patient_id"].to_numpy()
    off = ~np.eye(len(rows), dtype=bool)
    assert apart[same & off].min() > 50
    assert np.median(apart[same & off]) < np.median(apart[~same])


# What is seen


@pytest.mark.parametrize("size", [16, 64, 200, 512])
def test_images_of_any_size_are_pictures(phantom: Phantom, frame: pd.DataFrame, size: int) -> None:
    rows = frame.iloc[:4]
    pixels = phantom.read(rows, size)
    assert pixels.shape == (4, size, size)
    assert pixels.dtype == np.uint8
    for image in pixels:
        assert image.std() > 30
        assert (image == 255).mean() < 0.02


def test_no_rows_give_no_images(phantom: Phantom, frame: pd.DataFrame) -> None:
    assert phantom.read(frame.iloc[:0], 64).shape == (0, 64, 64)


def test_grey_levels_are_spread_and_not_saturated(phantom: Phantom, frame: pd.DataFrame) -> None:
    pixels = phantom.read(frame.iloc[:128], 64)
    counts = np.bincount(pixels.ravel(), minlength=256) / pixels.size
    assert counts[255] < 0.01
    assert (counts > 0).sum() > 240
    assert 70 < pixels.mean() < 150


def test_a_coarse_image_is_the_fine_one_seen_from_afar(phantom: Phantom, healthy: pd.DataFrame) -> None:
    fine = phantom.read(healthy.head(4), 256).reshape(4, 64, 4, 64, 4).mean(axis=(2, 4))
    coarse = phantom.read(healthy.head(4), 64).astype(float)
    assert np.abs(fine - coarse).mean() < 6
    assert np.corrcoef(fine.ravel(), coarse.ravel())[0, 1] > 0.99


def test_it_is_a_chest(phantom: Phantom, healthy: pd.DataFrame) -> None:
    mean = phantom.read(healthy, 64).astype(float).mean(axis=0)
    right, left, middle = mean[22:34, 16:22], mean[16:26, 42:48], mean[22:34, 30:34]
    assert middle.mean() > right.mean() + 60  # spine and mediastinum are bright, lungs dark
    assert middle.mean() > left.mean() + 60
    assert mean[56:, 24:40].mean() > right.mean() + 60  # so is the belly under the diaphragm
    assert mean[:4, :4].mean() < 60  # the air around the patient is black
    heart = mean[34:42, 36:42].mean() - mean[34:42, 22:28].mean()
    assert heart > 15  # the heart lies on the patient's left, the picture's right


def change(phantom: Phantom, rows: pd.DataFrame, name: str) -> np.ndarray:
    """(N, 64, 64): how much brighter the images are with the finding than without.

    The exposure follows what is in the field, so that a finding moves the rest of the picture a little: taken off.
    """
    sick = rows.copy()
    sick[name] = 1
    changed = phantom.read(sick, 64).astype(float) - phantom.read(rows, 64).astype(float)
    return changed - np.median(changed, axis=(1, 2), keepdims=True)


@pytest.mark.parametrize("name", CHESTXRAY14_LABELS)
def test_each_finding_is_seen_in_every_patient_and_stays_a_part_of_the_picture(
    phantom: Phantom, healthy: pd.DataFrame, name: str
) -> None:
    changed = np.abs(change(phantom, healthy, name))
    strongest = np.sort(changed.reshape(len(healthy), -1), axis=1)[:, -10:].mean(axis=1)
    # A nodule behind the heart may be missed, as in life.
    assert np.quantile(strongest, 0.2) > 8
    assert changed.mean() < 30


@pytest.mark.parametrize("name", ["Effusion", "Consolidation", "Mass", "Infiltration", "Pneumonia", "Edema"])
def test_opacities_are_brighter_than_the_lung(phantom: Phantom, healthy: pd.DataFrame, name: str) -> None:
    changed = change(phantom, healthy, name)
    assert changed.clip(0).sum() > 1.5 * -changed.clip(max=0).sum()
    assert np.quantile(changed, 0.999) > 1.5 * -np.quantile(changed, 0.001)


def test_effusion_fills_the_lower_lung_of_one_side(phantom: Phantom, healthy: pd.DataFrame) -> None:
    changed = change(phantom, healthy, "Effusion")
    assert changed[:, 36:52].mean() > 3 * abs(changed[:, :28].mean())
    sides = np.stack([changed[:, 30:56, :32].mean(axis=(1, 2)), changed[:, 30:56, 32:].mean(axis=(1, 2))])
    assert (sides.max(axis=0) > 4 * np.abs(sides.min(axis=0))).mean() > 0.8
    assert (sides[0] > sides[1]).any()
    assert (sides[1] > sides[0]).any()


def test_pneumothorax_and_emphysema_are_darker(phantom: Phantom, healthy: pd.DataFrame) -> None:
    collapsed = change(phantom, healthy, "Pneumothorax")
    assert np.quantile(collapsed[:, 8:36], 0.05) < -12
    lungs = np.r_[14:24, 40:50]
    assert change(phantom, healthy, "Emphysema")[:, 20:36][:, :, lungs].mean() < -3


def test_cardiomegaly_widens_the_heart(phantom: Phantom, healthy: pd.DataFrame) -> None:
    changed = change(phantom, healthy, "Cardiomegaly")
    assert changed[:, 30:46, 38:50].mean() > 6
    assert changed[:, 30:46, 38:50].mean() > 2 * abs(changed[:, 8:20, 38:50].mean())


def test_a_nodule_is_found_where_it_was_and_an_infiltration_is_not(phantom: Phantom, frame: pd.DataFrame) -> None:
    visits = frame.groupby("patient_id").head(2)
    visits = visits[visits.groupby("patient_id")["image_id"].transform("size") == 2].head(32).copy()
    visits[[*CHESTXRAY14_LABELS, "foreign_material"]] = 0

    def moved(name: str) -> float:
        places = change(phantom, visits, name).clip(0)
        grid = np.arange(64)
        mass = places.sum(axis=(1, 2))
        x = (places.sum(axis=1) * grid).sum(axis=1) / mass
        y = (places.sum(axis=2) * grid).sum(axis=1) / mass
        return float(np.median(np.hypot(x[::2] - x[1::2], y[::2] - y[1::2])))

    assert moved("Mass") < 6
    assert moved("Infiltration") > 1.5 * moved("Mass")


def test_foreign_material_is_seen_where_the_table_has_it_and_only_there(phantom: Phantom, frame: pd.DataFrame) -> None:
    rows = frame[frame["foreign_material"] == 1].head(24).copy()
    seen = phantom.read(rows, 96).astype(float)
    rows["foreign_material"] = 0
    without = phantom.read(rows, 96)
    assert ((seen - without > 10).sum(axis=(1, 2)) >= 5).mean() > 0.9
    bare = frame[frame["foreign_material"] == 0].head(4).copy()
    bare["foreign_material"] = 1
    assert (phantom.read(bare, 96).astype(float) - phantom.read(bare.assign(foreign_material=0), 96)).max() > 10


def test_implants_stay(frame: pd.DataFrame) -> None:
    from reidbench.cohorts.sources.phantom.foreign import IMPLANTS, worn

    kinds = np.array(
        [worn(0, p, i, v == "AP", d) for p, i, v, d in frame[["patient_id", "image_id", "view", "days"]].to_numpy()]
    )
    implants = pd.DataFrame(kinds[:, : len(IMPLANTS)].astype(int)).groupby(frame["patient_id"].to_numpy())
    assert (implants.diff().fillna(0) >= 0).all(axis=None)
    np.testing.assert_array_equal(kinds.any(axis=1), frame["foreign_material"] == 1)


def test_the_view_is_seen(phantom: Phantom, healthy: pd.DataFrame) -> None:
    ap = phantom.read(healthy.assign(view="AP"), 64).astype(float)
    pa = phantom.read(healthy, 64).astype(float)
    assert np.abs(ap - pa).mean() > 5


def test_fingerprint_names_the_version(phantom: Phantom, frame: pd.DataFrame) -> None:
    assert phantom.fingerprint(frame).startswith("phantom v1 ")
