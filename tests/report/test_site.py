"""The site as files: sound HTML, links that resolve, nothing from the network, nobody's text as markup."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import html5lib
import numpy as np
import plotly.graph_objects as go
import pytest

from reidbench.metrics import tpr_at_fpr
from reidbench.records.ladder import KNOWLEDGE
from reidbench.records.scores import SUFFIX, read_scores
from reidbench.report.figures.board.pareto import pareto_front
from reidbench.report.figures.formats import number
from reidbench.report.pictures.plots import COLOURS
from reidbench.report.site import curves
from reidbench.report.site.board import boards

X = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def parsed(site):
    """Every page by its path; parsing is strict, as the standard has it."""
    return {path: html5lib.HTMLParser(strict=True).parse(path.read_text(encoding="utf-8")) for path in site["pages"]}


def test_there_is_a_page_for_every_table_and_record(site):
    names = [path.relative_to(site["folder"]).parts[0] for path in site["pages"]]
    assert names.count("index.html") == 1
    assert names.count("boards") == 2
    assert names.count("records") == 5


def test_ids_are_unique_and_every_link_resolves(parsed):
    ids = {path: [e.get("id") for e in tree.iter() if e.get("id")] for path, tree in parsed.items()}
    links = 0
    for path, tree in parsed.items():
        assert len(ids[path]) == len(set(ids[path])), path
        for element in tree.iter():
            for name in ("href", "src"):
                target = element.get(name)
                if target is None or target == "data:,":
                    continue
                address = urlsplit(target)
                assert not address.scheme, f"{path.name}: {target}"
                assert not address.netloc, f"{path.name}: {target}"
                place = (path.parent / unquote(address.path)).resolve() if address.path else path
                assert place.is_file(), f"{path.name}: {target}"
                if address.fragment:
                    assert address.fragment in ids[place], f"{path.name}: {target}"
                links += 1
    assert links > 100


def test_labels_captions_and_alternatives_are_there(parsed):
    for path, tree in parsed.items():
        assert tree.get("lang") == "en"
        for element in tree.iter():
            for name in ("aria-labelledby", "for", "data-chart", "data-tradeoff"):
                if element.get(name):
                    assert any(e.get("id") == element.get(name) for e in tree.iter()), f"{path.name}: {name}"
        for table in tree.iter(f"{X}table"):
            assert table.find(f"{X}caption") is not None
            assert all(head.get("scope") == "col" for head in table.find(f"{X}thead").iter(f"{X}th"))
        assert all(image.get("alt") for image in tree.iter(f"{X}img"))
        heads = [int(e.tag[-1]) for e in tree.iter() if re.fullmatch(rf"{re.escape(X)}h[1-6]", str(e.tag))]
        assert heads[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(heads))


def test_text_from_plugins_and_records_is_no_markup(site, parsed):
    shown = 0
    for path, tree in parsed.items():
        text = path.read_text(encoding="utf-8")
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert not [e for e in tree.iter() if e.get("onerror") or e.get("onclick")]
        shown += text.count("&lt;script&gt;alert")
    # It is shown as what it is: summary, options, unit, note, problem, command.
    assert shown > 12


def test_plotly_ships_once_and_scripts_are_files(site, parsed):
    assert len(list(site["folder"].rglob("plotly*.js"))) == 1
    for tree in parsed.values():
        for script in tree.iter(f"{X}script"):
            assert script.get("src") or script.get("type") == "application/json"


def test_tables_say_what_the_records_say(site):
    board = next(p for p in site["pages"] if p.parent.name == "boards" and p.name.startswith("phantom"))
    text = board.read_text()
    assert text.count('<tr data-sound="') == 3
    for record in site["records"]:
        assert f"../records/{record.stem}.html" in text
    page = (site["folder"] / "records" / f"{site['records'][1].stem}.html").read_text()
    assert "reidbench run --defense gaussian_noise:sigma=0.1 --dataset" in page
    for chart in ("ladder", "roc", "log-roc", "rank-curve", "patient-risk", "loss"):
        assert f'id="{chart}-data"' in page
    assert f'<img src="{site["records"][1].stem}.png"' in page
    assert site["records"][1].environment.packages["torch"] in page


def test_a_page_states_what_several_images_and_a_closed_world_find_and_how_trainings_ended(site):
    record = site["records"][1]
    page = (site["folder"] / "records" / f"{record.stem}.html").read_text()
    assert record.linkability
    for one in record.linkability:
        assert f"{one.closed_world.correct.value:.3f} [" in page
        for size in one.gallery_sizes:
            assert f"{size.precision_at_1.value:.3f} [" in page
    extrapolated = sum(size.extrapolated for one in record.linkability for size in one.gallery_sizes)
    assert page.count(" extrapolated</td>") == extrapolated > 0
    slopes = {a.training.final_slope for a in record.attacks if a.training and a.training.final_slope is not None}
    assert page.count(" an epoch") >= len(slopes)


def test_images_of_real_patients_and_curves_without_scores_are_said_to_be_missing(site):
    page = next(iter((site["folder"] / "records").glob("hostile-*.html"))).read_text()
    assert "images of real patients are never put into a report" in page
    assert "does not lie beside the record" in page
    assert "No attention maps: they would show the images." in page
    assert "<img" not in page
    assert not list((site["folder"] / "records").glob("hostile-*.attention.png"))


def test_a_roc_curve_of_the_page_is_the_metric(site, tiny_run):
    record = site["records"][1]
    scores = read_scores(tiny_run["runs"] / f"{record.stem}{SUFFIX}", record.scores_sha256)
    page = (site["folder"] / "records" / f"{record.stem}.html").read_text()
    for name in ("roc", "log-roc"):
        spec = json.loads(re.search(rf'id="{name}-data">(.*?)</script>', page, re.DOTALL)[1])
        drawn = {t.get("name", "").replace(", ", "/"): t for t in spec["data"] if t.get("fill") is None}
        shown = drawn.keys() & scores.verification.keys()
        assert len(shown) == 12
        for key in shown:
            same = scores.pairs[key.rsplit("/", 1)[1]][2]
            for fpr, tpr in list(zip(drawn[key]["x"], drawn[key]["y"], strict=True))[::9]:
                # Written with five digits: a rate that was cut would be one impostor short.
                within = min(fpr * (1 + 1e-4), 1.0)
                assert tpr == pytest.approx(tpr_at_fpr(scores.verification[key], same, within), abs=1e-3)
    ranks = scores.query_ranks("example_pixels/informed/original-released")
    match = curves.cumulative_match(ranks)
    assert (np.diff(match) >= 0).all()
    attack = next(a for a in record.attacks if (a.attacker, a.task) == ("example_pixels", "retrieval"))
    assert curves.chance_match(ranks)[0] == pytest.approx(attack.metrics.chance["precision_at_1"], abs=1e-6)


def test_every_figure_is_one_to_the_plotly_package(site):
    names = set()
    for path in (site["folder"] / "records").glob("*.html"):
        for name, text in re.findall(r'id="([a-z-]+)-data">(.*?)</script>', path.read_text(), re.DOTALL):
            spec = json.loads(text)
            # Refuses properties and values that there are none of.
            same = go.Figure(spec).to_plotly_json()
            assert same["data"] == spec["data"]
            assert same["layout"] == spec["layout"]
            names.add(name.partition("-")[0])
    assert names == {"ladder", "roc", "log", "rank", "patient", "strata", "loss"}


def test_what_is_plotted_of_a_row_stands_in_the_table(site):
    def shown(cells):
        return {text for cell in cells for text in re.findall(r"-?[0-9.]+", cell.text)}

    checked = 0
    for board in boards(site["records"]):
        for line, plotted in zip(board.lines, board.chart["rows"], strict=True):
            values = [
                *plotted["utility"].values(),
                *(end for risk in plotted["risk"].values() for end in risk.values()),
            ]
            assert {number(value) for value in values if value is not None} <= shown(line.cells)
            checked += len(values)
    assert checked


def test_figures_and_their_intervals_have_as_many_digits(site):
    found = [
        text for page in site["pages"] for text in re.findall(r"\d\.\d+ \[-?\d\.\d+, -?\d\.\d+\]", page.read_text())
    ]
    assert found
    assert [text for text in found if len(re.findall(r"\.\d{3}\b", text)) != 3] == []


def test_a_page_says_why_a_rate_has_no_interval(site, sound, site_of, tmp_path):
    record = site["records"][1]
    page = (site["folder"] / "records" / f"{record.stem}.html").read_text()
    rate, pairs = record.attacks[0].metrics.tpr_at_fpr_01, record.attacks[0].metrics.impostor
    assert f'<td class="number">{number(rate.value)} †</td>' in page
    assert f"{pairs:,} impostor pairs are too few for an interval at 0.1 % FPR, 10,000 are needed" in page


def test_boards_that_differ_in_anything_have_pages_of_their_own(site):
    record = site["records"][1]
    changes = (
        {},
        {"overrides": {"verification.epochs": "1"}},
        {"hyperparameters": {"verification": {"epochs": 1}}},
        {"attacks": [attack for attack in record.attacks if attack.attacker == "verification"]},
    )
    made = boards([record.model_copy(update={"id": str(n), **change}) for n, change in enumerate(changes)])
    assert len({board.slug for board in made}) == len(changes)


def test_lines_join_settings_by_the_option_that_varies_or_by_their_risk(site):
    def ordered(*options):
        some = site["records"][1]
        made = []
        for place, chosen in enumerate(options):
            attacks = []
            for attack in some.attacks:
                if attack.task == "retrieval":
                    # The later, the less risk.
                    found = attack.metrics.map_at_r_patients.model_copy(update={"value": 0.9 - 0.1 * place})
                    metrics = attack.metrics.model_copy(update={"map_at_r_patients": found})
                    attack = attack.model_copy(update={"metrics": metrics})
                attacks.append(attack)
            defense = some.defense.model_copy(update={"options": chosen})
            made.append(some.model_copy(update={"id": str(place), "defense": defense, "attacks": attacks}))
        (board,) = boards(made)
        ((family),) = board.chart["families"]
        return [board.lines[place].row.records[0].defense.options for place in family["rows"]]

    by_option = [{"a": 1, "b": 2}, {"a": 2, "b": 2}, {"a": 3, "b": 2}]
    assert ordered(*by_option) == by_option
    several = [{"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": 3}]
    assert ordered(*several) == several[::-1]
    without_order = [{"a": "x"}, {"a": "y"}]
    assert ordered(*without_order) == without_order[::-1]
    words = next(page for page in site["pages"] if page.parent.name == "boards").read_text()
    assert "in the order of the option that varies, or of the mAP@R of the strongest attack" in words


def test_the_index_explains_every_rung_and_has_two_sentences_for_each_board(site, sound, site_of, tmp_path):
    (index,) = (page.read_text() for page in site["pages"] if page.name == "index.html")
    for knowledge in KNOWLEDGE:
        assert f"<em>{knowledge}</em>: " in index
    # The phantom's patients are generated, those of the other dataset are real.
    told = re.findall(r"<article.*?<p>(.*?)</p>", index, re.DOTALL)
    assert len(told) == len([page for page in site["pages"] if page.parent.name == "boards"])
    assert sum(" generated patients" in text for text in told) == sum(" real patients" in text for text in told) == 1
    twice = []
    for place, name in enumerate(("trained_here", "trained_there")):
        data = sound(name, baseline_id=None)
        data["defense"]["kind"] = "none"
        for attack in data["attacks"]:
            if attack["task"] == "retrieval":
                attack["metrics"]["map_at_r_patients"] = {"value": 0.5 + 0.1 * place, "low": None, "high": None}
        twice.append(data)
    (index,) = (page.read_text() for page in site_of(tmp_path, twice) if page.name == "index.html")
    # No plugin of that name says whether its patients are generated; of several runs the one that is linked best.
    counts = (
        f"{twice[0]['dataset']['images']['test']} test images of {twice[0]['dataset']['patients']['test']} patients: "
    )
    assert f"{counts}without a defense, the strongest tested attack reaches a mAP@R over patients of 0.600 (" in index


def test_the_first_risk_of_a_board_is_map_at_r_and_its_front_that_of_the_table(site):
    for board in boards(site["records"]):
        assert next(iter(board.chart["axes"]["risk"])) == "map"
        assert [i for i, line in enumerate(board.lines) if line.front] == sorted(board.chart["fronts"]["map release"])


def test_names_break_behind_underscores_and_options_stand_apart(site):
    page = next(page for page in site["pages"] if page.parent.name == "boards" and page.name.startswith("phantom"))
    name, option = '<span class="name">gaussian_<wbr>noise</span>', '<span class="set">sigma=0.5</span>'
    assert f"{name} {option}</a>" in page.read_text()


def test_controls_are_said_to_hold_only_where_they_were_run(site, sound, site_of, tmp_path):
    def said(page: Path) -> str:
        return re.search(r"<dt>controls</dt><dd>(.*?)</dd>", page.read_text())[1]

    for record in site["records"]:
        words = said(site["folder"] / "records" / f"{record.stem}.html")
        missing = "not run, or not among the records: identity, blackout"
        assert words == ("INVALID" if record.controls.problems else missing)
    made = []
    for seed in (0, 1):
        for name in ("undefended", "identity", "blackout", "noise")[:: 1 if seed == 0 else 3]:
            base = {"baseline_id": f"undefended{seed:06d}" if name != "undefended" else None}
            data = sound(name, seed=seed, id=f"{name}{seed:06d}", **base)
            data["defense"]["kind"] = "none" if name == "undefended" else "image"
            for attack in data["attacks"] if name == "blackout" else ():
                metrics = attack["metrics"]
                if attack["task"] == "verification":
                    metrics["auc"] = {"value": 0.5, "low": 0.5, "high": 0.5}
                else:
                    metrics["map_at_r"] = {"value": metrics["chance"]["map_at_r"], "low": None, "high": None}
            made.append(data)
    published = sound("published", track="model", baseline_id=None, utility=None)
    written = {page.stem: said(page) for page in site_of(tmp_path, [*made, published]) if page.parent.name == "records"}
    assert {stem: words for stem, words in written.items() if stem.endswith("0")} == {
        f"{name}-{name}000000": "hold" for name in ("undefended", "identity", "blackout", "noise")
    }
    for name in ("undefended", "noise"):
        assert written[f"{name}-{name}000001"] == "not run, or not among the records: identity, blackout"
    (words,) = (words for stem, words in written.items() if stem.startswith("published"))
    assert words.startswith("do not apply")


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(0.9, 0.8)], [0]),
        ([(0.9, 0.8), (0.5, 0.5), (0.7, 0.4)], [1, 0]),
        ([(0.5, 0.5), (0.5, 0.6)], [1]),
        ([(0.5, 0.6), (0.7, 0.6)], [0]),
        ([(0.5, 0.6), (0.5, 0.6)], [0, 1]),
        ([(None, 0.9), (0.4, None), (0.6, 0.1)], [2]),
    ],
)
def test_the_front_holds_what_nothing_beats(points, front):
    assert pareto_front(points) == front


def test_lines_stand_out_from_both_backgrounds(contrast):
    style = (Path(curves.__file__).parent / "static" / "style.css").read_text()
    pages = re.findall(r"--page: (#[0-9a-f]{6})", style)
    assert len(pages) == 2
    for colour in COLOURS:
        assert all(contrast(colour, page) >= 3 for page in pages), colour
    for light_or_dark in range(2):
        for name in ("ink", "quiet", "link"):
            text = re.findall(rf"--{name}: (#[0-9a-f]{{6}})", style)[light_or_dark]
            assert contrast(text, pages[light_or_dark]) >= 4.5, name
