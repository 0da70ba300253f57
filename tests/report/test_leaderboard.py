"""Leaderboards: from records alone, the worst case first, never mixing what does not compare."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from board_records import made, table
from markdown_it import MarkdownIt

from reidbench.records.parts.common import Interval
from reidbench.records.parts.linkability import Linkability, MultiShot
from reidbench.records.schema import Record
from reidbench.records.store import read_record
from reidbench.report.figures.summary import defense_label, worst_retrieval, worst_verification
from reidbench.report.site.board import COLUMNS, boards
from reidbench.report.text.board.files import leftover, write
from reidbench.report.text.leaderboard import CSV_COLUMNS, render
from reidbench.report.text.markup.markdown import plain_markdown

SAMPLES = Path(__file__).parents[1] / "records" / "samples"


@pytest.fixture(scope="module")
def template() -> Record:
    return read_record(SAMPLES / "v1-gaussian_noise.json")


def test_the_worst_case_is_the_highest_figure_over_the_ladder(template):
    record = made(template, "some", 0.7)
    assert worst_verification(record).value == pytest.approx(0.701)
    assert worst_retrieval(record).value == max(
        a.metrics.map_at_r_patients.value for a in record.attacks if a.task == "retrieval"
    )


def test_rows_come_worst_first_with_their_drops(template):
    none = template.defense.model_copy(update={"kind": "none"})
    base = made(template, "undefended", 0.9)
    base = base.model_copy(update={"defense": none.model_copy(update={"name": "undefended", "options": {}})})
    weak = made(template, "weak", 0.8, baseline_id=base.id)
    strong = made(template, "strong", 0.6, baseline_id=base.id)
    rows = table(render([strong, base, weak])[f"{template.dataset.title}.md"])
    assert [row[0] for row in rows] == ["undefended", "weak", "strong"]
    assert [row[2] for row in rows] == ["", "0.100", "0.300"]
    assert rows[1][1].startswith("0.801 [0.701, 0.901]")


def test_the_order_of_the_records_makes_no_difference(template):
    records = [made(template, name, auc) for name, auc in (("a", 0.7), ("b", 0.7), ("c", 0.8))]
    assert render(records) == render(records[::-1])


def test_seeds_share_a_row_with_mean_and_maximum(template):
    records = [made(template, "some", auc, seed=seed) for seed, auc in enumerate((0.6, 0.8))]
    (row,) = table(render(records)[f"{template.dataset.title}.md"])
    assert row[1].startswith("0.701 ± 0.141, max 0.801")
    assert row[-2] == "0, 1"
    (line,) = boards(records)[0].lines
    cells = {name: cell for (name, _), cell in zip(COLUMNS, line.cells)}
    assert cells["AUC, strongest attack"].text == row[1]
    assert cells["AUC, strongest attack"].value == pytest.approx(0.701)
    assert cells["seeds"].text == "2"
    # The same seed again, of another version, is no third seed.
    again = made(template, "some", 0.7, seed=1).model_copy(update={"id": "again"})
    (row,) = table(render([*records, again])[f"{template.dataset.title}.md"])
    assert row[-2] == "0, 1, 1"
    assert "a seed repeated" in row[-1]


@pytest.mark.parametrize("part", ["distribution", "version", "reidbench_version"])
def test_a_row_says_that_its_seeds_are_of_several_versions(template, part):
    one, other = (made(template, "some", auc, seed=seed) for seed, auc in enumerate((0.6, 0.8)))
    assert "versions" not in table(render([one, other])[f"{template.dataset.title}.md"])[0][-1]
    if part == "reidbench_version":
        other = other.model_copy(update={part: "99.0"})
    else:
        other = other.model_copy(update={"defense": other.defense.model_copy(update={part: "another"})})
    (row,) = table(render([one, other])[f"{template.dataset.title}.md"])
    assert row[-2] == "0, 1"
    assert "of several versions" in row[-1]


def test_revisions_presets_and_overrides_never_share_a_table(template):
    other_data = template.dataset.model_copy(update={"revision": "f" * 64})
    records = [
        made(template, "a", 0.7),
        made(template, "b", 0.7, dataset=other_data),
        made(template, "c", 0.7, preset="standard"),
        made(template, "d", 0.7, overrides={"retrieval.epochs": "1"}),
    ]
    page = render(records)[f"{template.dataset.title}.md"]
    assert page.count("\n## ") == 4


def test_listed_pairs_never_share_a_table_with_built_ones(template):
    built = made(template, "a", 0.9)
    attacks = [attack.model_copy(update={"negatives": "listed"}) for attack in built.attacks]
    listed = made(template, "b", 0.7).model_copy(update={"attacks": attacks})
    page = render([built, listed])[f"{template.dataset.title}.md"]
    assert len([line for line in page.splitlines() if line.startswith("## ")]) == 2
    assert {board.group.impostors for board in boards([built, listed])} == {"exchanged", "listed"}


def test_weaker_attackers_never_share_a_table_with_stronger_ones(template):
    alone = [attack for attack in template.attacks if attack.attacker == "retrieval"]
    weak = made(template, "weak", 0.7)
    fewer = weak.model_copy(update={"id": "fewer", "attacks": alone})
    short = {**weak.hyperparameters, "retrieval": {**weak.hyperparameters["retrieval"], "epochs": 1}}
    shorter = weak.model_copy(update={"id": "shorter", "hyperparameters": short})
    page = render([weak, fewer, shorter])[f"{template.dataset.title}.md"]
    assert page.count("\n## ") == 3
    assert page.count("Attackers: retrieval; hyperparameters") == 1
    assert len(boards([weak, fewer, shorter])) == 3
    assert len({board.slug for board in boards([weak, fewer, shorter])}) == 3


def few(record: Record, negatives: str, auc: float, pairs: int) -> Record:
    """The record with so many pairs of one kind of negatives, all at one AUC and a rate of a quarter."""
    attacks = []
    for attack in record.attacks:
        if attack.task == "verification" and attack.negatives == negatives:
            value = attack.metrics.auc.model_copy(update={"value": auc})
            rate = attack.metrics.tpr_at_fpr_1.model_copy(update={"value": 0.25})
            figures = {"auc": value, "tpr_at_fpr_1": rate, "genuine": pairs, "impostor": pairs}
            attack = attack.model_copy(update={"metrics": attack.metrics.model_copy(update=figures)})
        attacks.append(attack)
    return record.model_copy(update={"attacks": attacks})


def test_what_hangs_on_few_pairs_decides_no_worst_case_and_has_no_low_rate(template):
    record = made(template, "some", 0.7)
    assert {"random", "matched"} <= {attack.negatives for attack in record.attacks}
    lucky = few(few(record, "random", 0.7, 500), "matched", 0.9, 55)
    assert worst_verification(lucky).value == pytest.approx(0.7)
    assert worst_verification(lucky, "matched").value == pytest.approx(0.9)
    page = render([lucky])[f"{template.dataset.title}.md"]
    assert "500 genuine and 500 random, 55 genuine and 55 matched (matched: too few to be the strongest attack)" in page
    # Where all are few they are what there is; but no rate of 1 % can be seen.
    small = few(few(record, "random", 0.7, 55), "matched", 0.9, 55)
    assert worst_verification(small).value == pytest.approx(0.9)
    page = render([small])[f"{template.dataset.title}.md"]
    (row,) = table(page)
    assert row[4] == "–"
    assert "too few to decide" not in page
    assert (
        table(render([few(few(record, "random", 0.7, 100), "matched", 0.9, 55)])[f"{template.dataset.title}.md"])[0][4]
        == "0.250"
    )


def test_a_row_says_front_rungs_and_where_its_records_lie(template):
    kept, sound = template.utility.classifiers, template.controls.model_copy(update={"problems": []})
    records = []
    for name, auc, left in (("good", 0.6, 0.8), ("poor", 0.7, 0.7), ("plain", 0.9, 0.9)):
        classifiers = [c.model_copy(update={"macro_auc": c.macro_auc.model_copy(update={"value": left})}) for c in kept]
        utility = template.utility.model_copy(update={"classifiers": classifiers})
        records.append(made(template, name, auc, utility=utility, complete=True, controls=sound))
    records.append(records[0].model_copy(update={"id": "good1", "seed": 1}))
    links = {record.id: f"records/{record.id} x.json" for record in records if record.id != "plain0"}
    name = template.dataset.title
    cells = {row[0]: row for row in table(render(records, links=links)[f"{name}.md"])}
    assert {label: row[-4] for label, row in cells.items()} == {"plain": "yes", "poor": "undecided", "good": "yes"}
    assert cells["good"][-2] == "[0](records/good0%20x.json), [1](records/good1%20x.json)"
    assert cells["plain"][-2] == "0"
    climbed = len({(attack.knowledge, attack.linkage) for attack in template.attacks})
    assert cells["good"][-3] == f"{climbed} of 6"
    rows = {row["defense"]: row for row in csv.DictReader(io.StringIO(render(records)[f"{name}.csv"]))}
    assert {label: row["pareto_front"] for label, row in rows.items()} == {
        "plain": "True",
        "poor": "False",
        "good": "True",
    }
    assert {label: row["pareto_undecided"] for label, row in rows.items()} == {
        "plain": "False",
        "poor": "True",
        "good": "False",
    }


def several_known(record: Record, **shares: float) -> Record:
    """The record with a Precision@1 with four known images, by linkage; with one known image it is higher."""

    def share(value: float) -> Interval:
        return Interval(value=value, low=None, high=None)

    found = [
        Linkability(
            attacker="fusion", knowledge="informed", linkage=f"{side}-released", closed_world=None, gallery_sizes=[],
            multi_shot=MultiShot(
                pooling="mean score", patients=9, map_at_r={}, set_patients=0, set_precision_at_1={},
                precision_at_1={"1": share(0.999), "4": share(value)},
            ),
        )
        for side, value in shares.items()
    ]  # fmt: skip
    return record.model_copy(update={"linkability": found})


def test_four_known_images_are_a_column_where_a_row_has_them(template):
    plain = made(template, "plain", 0.9)
    page = f"{template.dataset.title}.md"
    assert "known images" not in render([plain])[page]
    rows = [
        several_known(made(template, "some", 0.8, seed=s), original=v, released=0.2) for s, v in enumerate((0.5, 0.7))
    ]
    made_rows = render([plain, *rows])
    heads = next(line for line in made_rows[page].splitlines() if line.startswith("| defense")).strip("| ").split(" | ")
    at = heads.index("P@1, 4 known images")
    assert heads[at - 3 : at] == ["mAP@R, strongest attack", "drop", "rank"]
    assert [row[at] for row in table(made_rows[page])] == ["–", "0.600"]
    assert boards([plain, *rows])[0].lines[1].cells[[name for name, _ in COLUMNS].index(heads[at])].text == "0.600"
    found = list(csv.DictReader(io.StringIO(made_rows[page.replace(".md", ".csv")])))
    assert [row["precision_at_1_4_known"] for row in found] == ["", "0.6"]


def test_over_seeds_matched_pairs_and_low_rates_are_means_on_the_page_and_on_the_site(template):
    records = [few(made(template, "some", 0.5, seed=seed), "matched", auc, 500) for seed, auc in enumerate((0.8, 0.9))]
    (row,) = table(render(records)[f"{template.dataset.title}.md"])
    assert row[3] == "0.850"
    (line,) = boards(records)[0].lines
    cells = {name: cell for (name, _), cell in zip(COLUMNS, line.cells)}
    assert cells["AUC, matched"].value == pytest.approx(0.85)
    assert row[4] == cells["TPR at 1 % FPR"].text


def test_what_others_named_is_no_markup_anywhere(template):
    option = "![t](http://elsewhere.example/x.png) **b** ~~s~~ &lt; [a](b)"
    record = made(template, "some", 0.7, options={"note": option}, overrides={"retrieval.weights": "<img src=x>[a](b)"})
    page = render([record])[f"{template.dataset.title}.md"]
    for forbidden in ("![t]", "**b**", "~~s~~", "<img", "[a](b)", "http://"):
        assert forbidden not in page
    assert plain_markdown("a_b|c\n#d @team") == r"a\_b\|c \#d &#64;team"
    html = MarkdownIt().render(plain_markdown(option))
    assert html.startswith("<p>![t](http://elsewhere.example/x.png) **b**")
    assert "<img" not in html
    assert "<a" not in html


def test_a_page_of_no_record_is_found(template, tmp_path):
    pages = render([made(template, "a", 0.7)])
    write(pages, tmp_path)
    other = template.dataset.model_copy(update={"name": "gone"})
    write(render([made(template, "a", 0.7, dataset=other)]), tmp_path)
    (tmp_path / "README.md").write_text("# About\n")
    assert {path.name for path in leftover(tmp_path, pages)} == {"gone.md", "gone.csv", "gone.svg"}


def test_a_dataset_has_a_page_of_its_own(template):
    other = template.dataset.model_copy(update={"name": "other"})
    pages = render([made(template, "a", 0.7), made(template, "b", 0.7, dataset=other)])
    assert set(pages) == {f"{n}.{end}" for n in (template.dataset.title, "other") for end in ("md", "csv", "svg")}


def test_the_curve_is_embedded_with_its_text_and_left_out_where_nothing_is_left_to_draw(template):
    name = template.dataset.title
    pages = render([made(template, "a", 0.7), made(template, "b", 0.6, preset="standard")])
    (line,) = (line for line in pages[f"{name}.md"].splitlines() if line.startswith("!["))
    assert line.endswith(f"]({name}.svg)")
    assert "Pareto front" in line
    assert pages[f"{name}.svg"].count('class="frame"') == 2, "tables that do not compare share no axes"
    without = render([made(template, "a", 0.7, utility=None)])
    assert set(without) == {f"{name}.md", f"{name}.csv"}
    assert "![" not in without[f"{name}.md"]


def test_an_incomplete_run_is_hollow_in_the_curve(template):
    assert 'class="mark hollow ' in render([made(template, "a", 0.7, complete=False)])[f"{template.dataset.title}.svg"]


def test_the_csv_holds_the_same_rows_as_numbers(template):
    records = [made(template, "a", 0.7), made(template, "b", 0.8, options={"sigma": 0.5})]
    rows = list(csv.DictReader(io.StringIO(render(records)[f"{template.dataset.title}.csv"])))
    assert list(rows[0]) == list(CSV_COLUMNS)
    assert [row["defense"] for row in rows] == ["b sigma=0.5", "a"]
    assert float(rows[0]["auc"]) == pytest.approx(0.801)


def test_a_label_names_what_differs_and_the_rest_stands_below(template):
    some = [
        made(template, "noise", auc, options={"sigma": sigma, "seeded": True, "clip": clip})
        for sigma, clip, auc in ((0.1, 1, 0.9), (0.2, 1, 0.8), (0.2, 2, 0.7))
    ]
    # A second seed is no second set of options; one short set is told whole, a long one below.
    alone = [made(template, "blur", 0.6, seed=seed, options={"size": 3}) for seed in (0, 1)]
    many = made(template, "warp", 0.5, options={"a": 1, "b": 2, "c": 3, "d": 4})
    pages = render([*some, *alone, many])
    page = pages[f"{template.dataset.title}.md"]
    assert [row[0] for row in table(page)] == [
        "noise sigma=0.1 clip=1",
        "noise sigma=0.2 clip=1",
        "noise sigma=0.2 clip=2",
        "blur size=3",
        "warp",
    ]
    assert "In all of these rows: noise seeded=True; warp a=1 b=2 c=3 d=4." in page
    assert "noise sigma=0.1 seeded=True clip=1" in pages[f"{template.dataset.title}.csv"]


def test_text_from_plugins_cannot_break_the_table(template):
    record = made(template, "a|b<script>", 0.7, options={"note": "x\n|y`"})
    page = render([record])[f"{template.dataset.title}.md"]
    line = next(line for line in page.splitlines() if "script" in line)
    assert "<script>" not in line
    heading = next(line for line in page.splitlines() if line.startswith("| defense"))
    assert line.replace("\\|", "").count("|") == heading.count("|")
    assert defense_label(record).count("\n") == 1


def test_an_undefined_figure_is_a_dash_and_not_zero(template):
    attacks = [
        a.model_copy(
            update={
                "metrics": a.metrics.model_copy(
                    update={"auc": a.metrics.auc.model_copy(update={"value": None, "low": None, "high": None})}
                )
            }
        )
        if a.task == "verification"
        else a
        for a in template.attacks
    ]
    record = made(template, "none", 0.7).model_copy(update={"attacks": attacks})
    (row,) = table(render([record])[f"{template.dataset.title}.md"])
    assert row[1] == "–"


def test_pages_are_written_whole(template, tmp_path):
    pages = render([made(template, "a", 0.7)])
    paths = write(pages, tmp_path / "boards")
    assert {path.name: path.read_text() for path in paths} == pages
    assert {path.name for path in (tmp_path / "boards").iterdir()} == set(pages)


def test_a_utility_that_one_seed_lacks_is_no_figure(template):
    records = [made(template, "some", 0.7), made(template, "some", 0.7, seed=1, utility=None)]
    name = template.dataset.title
    (row,) = table(render(records)[f"{name}.md"])
    assert row[9] == "–"
    (line,) = csv.DictReader(io.StringIO(render(records)[f"{name}.csv"]))
    assert line["utility_release_release"] == line["utility_release_release_low"] == ""


def test_how_many_figures_a_worst_case_is_chosen_from(template):
    full = few(made(template, "full", 0.7), "matched", 0.7, 55)
    part = made(template, "part", 0.9).model_copy(update={"attacks": template.attacks[:1]})
    page = render([full, part])[f"{template.dataset.title}.md"]
    verified = sum(attack.task == "verification" and attack.negatives == "random" for attack in template.attacks)
    retrieved = sum(attack.task == "retrieval" for attack in template.attacks)
    for group in page.split("\n## ")[1:]:
        if "matched: too few" in group:
            assert f"the highest of {verified} AUC or {retrieved} mAP@R" in group
            return
    raise AssertionError("no such table")
