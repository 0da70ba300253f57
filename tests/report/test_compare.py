"""The gate: a weaker defense is caught, a faster one passes, and what cannot be compared is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compared_runs import ATTACKERS, RUNS, Maker, world
from scipy.stats import t as student

from reidbench import ReidbenchError, metrics
from reidbench.files import content_digest
from reidbench.records.scores import SUFFIX, RunScores, read_scores
from reidbench.records.store import read_record, write_record
from reidbench.report.figures.paired.change import over_seeds
from reidbench.report.figures.paired.compare import Change, Tolerances, compare
from reidbench.report.text.compare_page import as_data, as_markdown, as_text


@pytest.fixture
def make(tmp_path):
    return Maker(tmp_path)


def named(comparison, figure: str) -> Change:
    return next(change for change in comparison.changes if change.figure == figure)


def judge(base: Path, new: Path, **keywords):
    (comparison,) = compare(base, new, runs=RUNS, **keywords)
    return comparison


def test_a_weaker_defense_is_caught(make):
    found = judge(make("base", 0.3), make("new", 2.0, sigma=0.05))
    assert found.verdict == "regression"
    assert found.label == "gaussian_noise sigma=1.0 → gaussian_noise sigma=0.05"
    for figure in ("AUC, strongest attack", "mAP@R, strongest attack"):
        change = named(found, figure)
        assert change.verdict == "regression"
        assert change.paired
        assert 0 < change.low < change.worse < change.high
        assert change.worse == pytest.approx(change.new - change.base)


def test_a_defense_that_only_got_faster_moves_no_figure(make):
    before = make("base", 0.8, timings={"release": 100.0})
    after = make("new", 0.8, timings={"release": 1.0})
    found = judge(before, after)
    assert found.verdict == "ok"
    for change in found.changes:
        if change.where != ("", ""):
            assert (change.worse, change.low, change.high) == (0, 0, 0), "the same scores pair to an exact zero"


def test_a_stronger_defense_passes(make):
    found = judge(make("base", 2.0), make("new", 0.3), every_rung=True)
    assert found.verdict == "ok"
    assert named(found, "AUC, strongest attack").high < 0


def test_a_rise_that_chance_explains_is_unclear_and_no_regression(make):
    # Few patients, noise drawn afresh, a small true rise: past the tolerance, not past chance.
    found = judge(make("base", 0.5, patients=6), make("new", 0.6, patients=6, noise=3), tolerances=Tolerances(0, 0, 1))
    change = next(c for c in found.changes if c.worse > 0 and c.judged)
    assert change.low < 0 < change.worse
    assert change.verdict == "unclear"
    assert found.verdict == "unclear"


def test_a_certain_rise_within_the_tolerance_passes(make):
    base, new = make("base", 0.8), make("new", 0.83)
    found = judge(base, new)
    change = named(found, "AUC, strongest attack")
    assert 0 < change.low < change.worse < 0.02
    assert found.verdict == "ok"
    assert judge(base, new, tolerances=Tolerances(auc_rise=change.worse / 2)).verdict == "regression"


def scores_of(number: int, strength: float, noise: int = 0) -> np.ndarray:
    """What the Maker wrote for that attacker."""
    same = world()[1].same
    return (np.random.default_rng([7, number, noise]).normal(size=len(same)) + strength * same).astype(np.float32)


def test_the_interval_is_that_of_the_paired_bootstrap(make):
    patient, pairs = world()
    rise = metrics.bootstrap_auc_drop_patients(
        scores_of(0, 0.9), scores_of(0, 0.3), pairs.same, patient[pairs.a], patient[pairs.b], runs=RUNS, seed=20220926
    )
    change = named(
        judge(make("base", {"verification": 0.3}), make("new", {"verification": 0.9})), "AUC, strongest attack"
    )
    assert (change.worse, change.low, change.high) == (rise.value, rise.low, rise.high)
    assert change.worse == pytest.approx(change.new - change.base, abs=1e-6)


def test_worst_cases_of_two_attackers_are_paired_across(make):
    base = make("base", {"verification": 1.0, "retrieval": 0.1})
    new = make("new", {"verification": 0.1, "retrieval": 1.0})
    change = named(judge(base, new), "AUC, strongest attack")
    assert change.where == ("ignorant o→r, verification", "ignorant o→r, retrieval")
    assert change.paired
    assert abs(change.worse) < 0.1


def test_a_rise_of_one_rung_below_the_worst_case_is_shown_and_judged_only_when_asked(make):
    base = make("base", {"verification": 3.0, "retrieval": 0.1})
    new = make("new", {"verification": 3.0, "retrieval": 1.5})
    found = judge(base, new)
    rung = named(found, "AUC, one rung")
    assert found.verdict == "ok"
    assert (rung.verdict, rung.judged) == ("regression", False)
    assert rung.where == ("ignorant o→r, retrieval",) * 2
    assert judge(base, new, every_rung=True).verdict == "regression"


def test_the_interval_of_the_largest_rise_holds_for_all_rungs(make):
    base, new = make("base", 1.0), make("new", 1.0, noise=1)
    found = judge(base, new)
    rung = named(found, "AUC, one rung")
    patient, pairs = world()
    before, after = (scores_of(ATTACKERS.index(rung.where[0].split(", ")[1]), 1.0, noise) for noise in (0, 1))
    single = metrics.bootstrap_auc_drop_patients(
        after, before, pairs.same, patient[pairs.a], patient[pairs.b], runs=RUNS, seed=20220926
    )
    assert rung.worse == pytest.approx(single.value)
    assert rung.high - rung.low > single.high - single.low


def test_without_scores_point_figures_are_compared_with_a_wider_interval(make):
    paired = judge(make("base", 0.8), make("new", 0.9))
    unpaired = judge(make("old", 0.8, keep_scores=False), make("new", 0.9))
    one, other = (named(found, "AUC, strongest attack") for found in (paired, unpaired))
    assert other.worse == pytest.approx(one.worse, abs=1e-6)
    assert not other.paired
    assert other.high - other.low > 2 * (one.high - one.low)
    assert any("Scores are missing" in note for note in unpaired.notes)
    assert "unpaired" in as_text([unpaired])


def test_a_blatantly_weaker_defense_is_caught_without_scores_too(make):
    assert judge(make("b", 0.2, keep_scores=False), make("n", 3.0, keep_scores=False)).verdict == "regression"


def test_scores_of_another_record_are_refused(make):
    base, new = make("base", 0.8), make("new", 0.9)
    base.with_suffix("").with_name(base.stem + SUFFIX).write_bytes(new.with_name(new.stem + SUFFIX).read_bytes())
    with pytest.raises(ReidbenchError, match="not the scores that the record was made with"):
        compare(base, new)


def test_utility_is_judged_from_its_intervals(make):
    found = judge(make("base", 0.5, utility=0.8), make("new", 0.5, utility=0.7))
    change = named(found, "utility, trained on release")
    # Two independent half-widths of 0.01 add in quadrature.
    assert (change.worse, change.low) == pytest.approx((0.1, 0.1 - 0.01 * 2**0.5))
    assert change.verdict == found.verdict == "regression"
    assert judge(make("base", 0.5, utility=0.8), make("better", 0.5, utility=0.9)).verdict == "ok"


def test_utility_is_paired_where_predictions_were_kept(make):
    base, new = make("base", 0.5, diagnosis=1.5), make("new", 0.5, diagnosis=1.2)
    found = judge(base, new)
    one, other = (_kept(path) for path in (base, new))
    fall = metrics.bootstrap_macro_auc_drop_patients(
        one.predictions["release/release"], other.predictions["release/release"], one.truth, one.patients,
        runs=RUNS, seed=20220926,
    )  # fmt: skip
    assert np.isnan(one.truth[0, 1])
    for trained_on in ("originals", "release"):
        change = named(found, f"utility, trained on {trained_on}")
        assert change.paired
        assert (change.worse, change.low, change.high) == (fall.value, fall.low, fall.high)
        assert change.worse == pytest.approx(change.base - change.new)
        assert change.low > 0
    assert found.verdict == "regression"
    assert judge(base, new, tolerances=Tolerances(utility_drop=0.2)).verdict == "ok"
    assert not any("Predictions of the same findings" in note for note in found.notes)
    same = named(judge(base, make("same", 0.5, diagnosis=1.5)), "utility, trained on release")
    assert (same.worse, same.low, same.high) == (0, 0, 0), "the same predictions pair to an exact zero"


def test_scores_without_predictions_still_load_and_the_fallback_is_told(make):
    base, new = make("base", 0.5, diagnosis=1.5), make("new", 0.5, diagnosis=1.2)
    _as_older_versions_wrote(base)
    found = judge(base, new)
    change = named(found, "utility, trained on release")
    assert not change.paired
    assert change.low == pytest.approx(change.worse - 0.01 * 2**0.5)
    assert named(found, "AUC, strongest attack").paired
    assert any("Predictions of the same findings do not lie" in note for note in found.notes)


def test_predictions_of_other_findings_are_not_paired(make):
    base, new = make("base", 0.5, diagnosis=1.5), make("new", 0.5, diagnosis=1.2)
    kept = _kept(new)
    _keep(new, replace(kept, labels=("nodule", "pneumonia")))
    assert not named(judge(base, new), "utility, trained on release").paired


def _kept(path: Path) -> RunScores:
    return read_scores(path.with_name(path.stem + SUFFIX), read_record(path).scores_sha256)


def _keep(path: Path, scores: RunScores) -> None:
    record = read_record(path)
    path.unlink()
    digest = scores.write(path.with_name(path.stem + SUFFIX))
    write_record(record.model_copy(update={"scores_sha256": digest}), path.parent)


def _as_older_versions_wrote(path: Path) -> None:
    """Takes out of the scores what was not kept at first."""
    file = path.with_name(path.stem + SUFFIX)
    with np.load(file) as stored:
        arrays = {
            name: stored[name] for name in stored.files if name.startswith(("patients", "pairs", "verif", "aver"))
        }
    np.savez_compressed(file, **arrays)
    record = read_record(path)
    path.unlink()
    write_record(record.model_copy(update={"scores_sha256": content_digest(file)}), path.parent)


def test_seeds_are_averaged_and_their_spread_widens_the_interval(make):
    for seed, (old, new) in enumerate(((0.5, 0.9), (0.6, 0.7), (0.5, 0.8))):
        make("base", old, seed=seed)
        make("new", new, seed=seed)
    (found,) = compare(make.folder / "base", make.folder / "new", runs=RUNS)
    assert len(found.match.seeds) == 3
    singles = [named(judge(one.path, other.path), "AUC, strongest attack") for one, other in found.match.seeds]
    change = named(found, "AUC, strongest attack")
    assert change.worse == pytest.approx(np.mean([s.worse for s in singles]))
    spread = student.ppf(0.975, 2) * np.std([s.worse for s in singles], ddof=1) / 3**0.5
    patients = change.worse - np.mean([s.low for s in singles])
    assert change.worse - change.low == pytest.approx(np.hypot(spread, patients))
    assert not any("One seed" in note for note in found.notes)
    assert not any("Left out" in note for note in found.notes)


def test_seeds_of_one_side_are_named_as_left_out(make):
    for seed in (0, 1, 2):
        make("base", 0.5, seed=seed)
    for seed in (0, 7):
        make("new", 0.5, seed=seed)
    (found,) = compare(make.folder / "base", make.folder / "new", runs=RUNS)
    assert len(found.match.seeds) == 1
    left_out = [note for note in found.notes if note.startswith("Left out")]
    assert left_out == [
        "Left out, since NEW lacks them: seeds 1, 2 of BASE.",
        "Left out, since BASE lacks them: seeds 7 of NEW.",
    ]


def test_one_seeds_interval_is_left_as_it_is():
    one = metrics.Interval(0.1, 0.0, 0.3)
    assert over_seeds([one], 0.95) == one
    assert over_seeds([one, one], 0.95) == metrics.Interval(pytest.approx(0.1), pytest.approx(0), pytest.approx(0.3))


def test_folders_are_matched_by_options_and_a_missing_one_is_refused(make):
    for sigma in (0.1, 0.5):
        make("base", 0.5, sigma=sigma)
        make("new", 0.5, sigma=sigma)
    make("new", 0.5, sigma=0.7)
    found = compare(make.folder / "base", make.folder / "new", runs=RUNS)
    assert [c.label for c in found] == ["gaussian_noise sigma=0.1", "gaussian_noise sigma=0.5"]
    (one,) = compare(make.folder / "base", next((make.folder / "new").glob("*0.500.json")), runs=RUNS)
    assert one.label == "gaussian_noise sigma=0.5"
    with pytest.raises(ReidbenchError, match=r"no record of gaussian_noise sigma=0\.7"):
        compare(make.folder / "new", make.folder / "base")


def test_a_changed_default_is_still_the_same_defense(make):
    make("base", 0.3, sigma=1.0)
    make("new", 2.0, sigma=0.05)
    (found,) = compare(make.folder / "base", make.folder / "new", runs=RUNS)
    assert "→" in found.label
    assert found.verdict == "regression"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"preset": "standard"}, "preset differs"),
        ({"overrides": {"retrieval.epochs": "3"}}, "settings over the preset differ"),
        ({"dataset": {"revision": "f" * 64}}, "dataset revision differs"),
        ({"dataset": {"size": 256}}, "size differs"),
        ({"dataset": {"name": "other"}}, "dataset differs"),
        ({"hyperparameters": {"retrieval": {"epochs": 3}}}, "hyperparameters differ"),
        ({"controls": {"problems": ["never learned"]}}, "not a valid run: never learned"),
    ],
)
def test_what_cannot_be_compared_is_refused(make, changes, what):
    part = {
        name: getattr(make.template, name).model_copy(update=value) if name in ("dataset", "controls") else value
        for name, value in changes.items()
    }
    base, new = make("base", 0.5), make("new", 0.5, **part)
    with pytest.raises(ReidbenchError, match=what):
        compare(base, new)


def test_runs_on_other_impostor_pairs_are_refused(make):
    base, new = make("base", 0.5), make("new", 0.5)
    record = read_record(new)
    listed = [attack.model_copy(update={"negatives": "listed"}) for attack in record.attacks]
    new.unlink()
    new = write_record(record.model_copy(update={"attacks": listed}), new.parent)
    with pytest.raises(ReidbenchError, match="impostor pairs differ"):
        compare(base, new)


def test_another_ladder_is_refused_and_another_number_of_resamplings_is_not(make):
    base = make("base", 0.5, overrides={"bootstrap_runs": "50"})
    with pytest.raises(ReidbenchError, match=r"attacks differ \(retrieval/ignorant"):
        compare(base, make("new", {"verification": 0.5}, overrides={}))
    assert judge(base, make("other", 0.5, overrides={})).verdict == "ok"


def test_an_attacker_that_stopped_learning_is_named(make):
    base, new = make("base", 1.0), make("new", 0.0)
    record = read_record(new)
    deaf = record.attacks[0].training.model_copy(update={"learned": False})
    attacks = [attack.model_copy(update={"training": deaf}) for attack in record.attacks]
    new.unlink()
    write_record(record.model_copy(update={"attacks": attacks}), new.parent)
    assert any("may look like privacy: retrieval ignorant" in note for note in judge(base, new).notes)


def test_a_changed_undefended_run_is_named(make):
    none = make.template.defense.model_copy(update={"kind": "none", "name": "undefended", "options": {}})
    make("base", 1.0, id="b", defense=none)
    make("new", 2.0, id="n", defense=none)
    found = judge(make("base", 0.5, baseline_id="b"), make("new", 0.5, baseline_id="n"))
    assert any("The undefended runs differ too" in note for note in found.notes)


def test_a_place_without_records_is_refused(make, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReidbenchError, match="no record of a defense"):
        compare(tmp_path / "empty", make("new", 0.5).parent)
    with pytest.raises(ReidbenchError, match="cannot be read"):
        compare(tmp_path / "nowhere.json", make("new", 0.5))


def test_the_markdown_is_a_table_with_the_verdict_first(make):
    page = as_markdown(compare(make("base", 0.3), make("new", 2.0, sigma=0.05), runs=RUNS))
    lines = page.splitlines()
    assert lines[0] == "## reidbench: regression: 1 of 1 defense compared"
    tables = [line for line in lines if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in tables}) == 1
    assert any("**regression**" in line for line in tables)
    assert "phantom-1 at 64², preset quick, seed 0" in page


def test_the_data_are_valid_json_with_null_for_the_undefined(make):
    data = json.loads(json.dumps(as_data(compare(make("base", 0.3), make("new", 2.0), runs=RUNS)), allow_nan=False))
    assert data[0]["verdict"] == "regression"
    assert {change["verdict"] for change in data[0]["changes"]} >= {"regression"}


def test_a_record_without_an_interval_is_never_a_regression_for_sure(make):
    change = Change("AUC", 0.5, 0.9, ("", ""), 0.4, float("nan"), float("nan"), False, 0.02)
    assert change.verdict == "unclear"


def test_a_record_under_another_name_is_not_compared(make):
    base, new = make("base", 0.3), make("new", 0.5)
    renamed = new.rename(new.with_name("release.json"))
    with pytest.raises(ReidbenchError, match=rf"this is the record {new.name}; give it this name"):
        compare(base, renamed)
    with pytest.raises(ReidbenchError, match="give it this name"):
        compare(base.parent, renamed.parent)


def test_another_machine_is_named(make):
    there = make.template.environment.model_copy(update={"packages": {"torch": "2.12.0"}})
    here = make.template.environment.model_copy(update={"packages": {"torch": "2.13.0"}})
    base = make("base", 0.5, environment=there)
    notes = judge(base, make("new", 0.5, environment=here)).notes
    told = "NEW was computed on another machine, or with other packages, than BASE: torch 2.13.0, not torch 2.12.0."
    assert told in notes
    assert not any("another machine" in note for note in judge(base, make("same", 0.5, environment=there)).notes)


def _edited(path: Path, **figures: Any) -> Path:
    """The record with these ends in the figures of all its attacks, its scores left as they are."""
    record = read_record(path)
    path.unlink()
    attacks = []
    for attack in record.attacks:
        known = {name: ends for name, ends in figures.items() if hasattr(attack.metrics, name)}
        update = {name: getattr(attack.metrics, name).model_copy(update=ends) for name, ends in known.items()}
        attacks.append(attack.model_copy(update={"metrics": attack.metrics.model_copy(update=update)}))
    return write_record(record.model_copy(update={"attacks": attacks}), path.parent)


@pytest.mark.parametrize("figure", ["auc", "map_at_r_patients"])
def test_a_figure_that_new_has_lost_is_refused(make, figure):
    base, new = make("base", 0.5), make("new", 0.5)
    new = _edited(new, **{figure: {"value": None, "low": None, "high": None}})
    with pytest.raises(ReidbenchError, match=r"no figure of .*, which BASE has"):
        judge(base, new)
    # The other way round there is nothing to judge it against.
    assert judge(new, base).verdict == "ok"


def test_a_utility_that_new_has_lost_is_refused(make):
    base, new = make("base", 0.5), make("new", 0.5)
    record = read_record(new)
    new.unlink()
    new = write_record(record.model_copy(update={"utility": None}), new.parent)
    with pytest.raises(ReidbenchError, match="no utility, trained on originals, which BASE has"):
        judge(base, new)


def test_figures_that_the_scores_do_not_give_are_refused(make):
    base, new = make("base", 0.5), make("new", 0.5)
    auc = next(attack for attack in read_record(new).attacks if attack.task == "verification").metrics.auc
    new = _edited(new, auc={"value": auc.value - 0.05})
    with pytest.raises(ReidbenchError, match=r"the scores beside it are not those of its figures \(.* by the records"):
        judge(base, new)
