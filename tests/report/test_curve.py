"""The privacy–utility curve: what lies on the front, and a figure that can be read."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest

from reidbench.report.figures.board.curve import Point, front, lines
from reidbench.report.figures.board.tiers import Tier
from reidbench.report.pictures import curve_svg
from reidbench.report.pictures.curve_svg import Panel, draw
from reidbench.report.pictures.labels import Box, Places

SVG = "{http://www.w3.org/2000/svg}"
BASE = Point("undefended", "", 0.98, 0.81, undefended=True)
NOISE = [Point("noise", f"sigma={s}", *at) for s, *at in ((0.1, 0.95, 0.8), (0.5, 0.8, 0.7), (0.9, 0.7, 0.6))]


def root(*panels: Panel) -> ElementTree.Element:
    return ElementTree.fromstring(draw("phantom", panels, across="mAP@R", upward="macro AUC"))


def texts(tree: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in tree.iter(f"{SVG}text")]


def test_the_front_is_what_no_other_point_is_superior_to():
    inferior = Point("blur", "", 0.85, 0.65)
    equal = Point("other", "", 0.8, 0.7)
    points = [BASE, *NOISE, inferior, equal]
    best = front(points)
    assert [(p.risk, p.utility) for p in best] == [(0.7, 0.6), (0.8, 0.7), (0.95, 0.8), (0.98, 0.81)]
    for point in points:
        better = [o for o in points if o.risk <= point.risk and o.utility >= point.utility and o != point]
        strictly = [o for o in better if (o.risk, o.utility) != (point.risk, point.utility)]
        assert bool(strictly) == ((point.risk, point.utility) not in {(p.risk, p.utility) for p in best})
    assert front(points[::-1]) == best
    assert front([]) == []


def test_what_is_not_sound_is_drawn_and_never_on_the_front():
    lucky = Point("lucky", "", 0.5, 0.9, sound=False)
    assert lucky not in front([*NOISE, lucky])
    tree = root(Panel("a", [*NOISE, lucky]))
    assert [e.get("class") for e in tree.iter(f"{SVG}circle")].count("mark hollow plain") == 1
    assert any("hollow" in (e.text or "") for e in tree.iter(f"{SVG}tspan"))
    assert not any("hollow" in (e.text or "") for e in root(Panel("a", NOISE)).iter(f"{SVG}tspan"))


def test_a_line_joins_a_defenses_points_by_falling_risk():
    found = lines([NOISE[1], BASE, NOISE[2], NOISE[0]])
    assert found == {"noise": NOISE}
    tree = root(Panel("a", [BASE, *NOISE[::-1]]))
    (path,) = (e.get("d") for e in tree.iter(f"{SVG}path") if e.get("class") == "line")
    places = [tuple(map(float, place.split())) for place in path.removeprefix("M").split("L")]
    assert [x for x, _ in places] == sorted((x for x, _ in places), reverse=True)
    assert [y for _, y in places] == sorted(y for _, y in places), "less utility lies lower"
    marks = [(float(e.get("cx")), float(e.get("cy"))) for e in tree.iter(f"{SVG}circle")]
    assert marks == places


def test_chance_and_the_undefended_run_are_marked_and_everything_has_its_name():
    tree = root(Panel("quick preset", [BASE, *NOISE], ["nothing k=3"], chance=0.02))
    found = texts(tree)
    assert {"quick preset", "undefended", "chance", "noise", "sigma=0.1", "sigma=0.5", "sigma=0.9"} <= set(found)
    assert "without a figure: nothing k=3" in found
    assert tree.get("role") == "img"
    assert tree.find(f"{SVG}title").text.endswith("phantom")
    assert "Pareto front" in tree.find(f"{SVG}desc").text
    assert "risk: mAP@R (less is safer)" in found
    assert "chance" not in texts(root(Panel("quick preset", NOISE))), "no record says what guessing reaches"


def looks(tree: ElementTree.Element) -> set[tuple[str, str]]:
    return {(e.tag.removeprefix(SVG), e.get("class")) for e in tree.iter() if "mark" in (e.get("class") or "").split()}


def test_tiers_are_told_by_shape_and_bands_by_their_words():
    tiered = [
        Point("a", "", 0.9, 0.8, tier=Tier.KEEPS),
        Point("b", "", 0.5, 0.66, tier=Tier.OPEN),
        Point("c", "", 0.1, 0.52, tier=Tier.LOSES),
    ]
    tree = root(Panel("p", [BASE, *tiered], half=0.655))
    assert looks(tree) == {("circle", "mark solid keeps"), ("rect", "mark solid open"), ("path", "mark solid loses")}
    (line,) = (e for e in tree.iter(f"{SVG}line") if e.get("class") == "half")
    words = {e.text: float(e.get("y")) for e in tree.iter(f"{SVG}text") if e.get("class") == "halo band"}
    above, below = (words[text] for text in curve_svg.BANDS)
    assert above < float(line.get("y1")) < below
    marks = {e.get("class"): float(e.get("cy")) for e in tree.iter(f"{SVG}circle")}
    assert marks["mark solid keeps"] < float(line.get("y1")), "the tier that keeps lies in the upper band"
    legend = "".join(e.text or "" for e in tree.iter(f"{SVG}tspan"))
    assert all(tier.value in legend for tier in Tier)
    without = root(Panel("p", NOISE))
    assert not [e for e in without.iter() if e.get("class") in ("half", "halo band", "low")]
    assert Tier.OPEN.value not in "".join(e.text or "" for e in without.iter(f"{SVG}tspan"))


def test_many_defenses_have_few_looks():
    crowd = [Point(f"d{n}", "", n / 70, 0.5 + n / 200, n % 7 > 0, tier=list(Tier)[n % 3]) for n in range(66)]
    assert len(looks(root(Panel("p", crowd)))) <= 8


def test_labels_lie_within_the_frame_and_do_not_overlap_where_there_is_room():
    spread = [Point(f"defense {n}", "", 0.5 + 0.05 * n, 0.55 + 0.04 * (n % 5)) for n in range(10)]
    frame = Box(0, 0, 700, 400)
    places = Places(frame)
    for point in spread:
        assert places.place(point.defense, 1400 * (point.risk - 0.5), 1000 * (0.8 - point.utility), 12) is not None
    assert all(map(frame.holds, places.labels))
    assert not any(one.overlaps(other) for one, other in itertools.combinations(places.labels, 2))


def test_no_label_covers_another_however_many_points_lie_together():
    crowd = [Point(f"defense_{n}", f"k={n}", 0.9 + 0.003 * (n % 6), 0.8 + 0.002 * (n // 6)) for n in range(30)]
    frame, size = Box(64, 44, 796, 468), 12
    places = Places(frame, markers=[Box(700 + 3 * n, 80, 709 + 3 * n, 89) for n in range(30)])
    placed = [places.place(point.defense, 704 + 3 * n, 84, size) for n, point in enumerate(crowd)]
    assert all(placed), "there is room for all of them farther out"
    assert not any(one.overlaps(other) for one, other in itertools.combinations(places.labels, 2))
    assert all(map(frame.holds, places.labels))
    for n, one in enumerate(placed):
        # Who is led to a label starts at the point and ends at the label's edge.
        if one.leader is not None:
            assert one.leader[:2] == (704 + 3 * n, 84)
            box = places.labels[n]
            assert box.left <= one.leader[2] <= box.right
            assert box.top <= one.leader[3] <= box.bottom
    assert any(one.leader for one in placed)
    assert any(one.leader is None for one in placed)


def test_names_without_room_are_said_below_the_figure():
    crowd = [Point(f"a_long_name_of_a_defense_{n}", "", 0.9, 0.8) for n in range(120)]
    tree = root(Panel("p", crowd))
    shown = {e.text for e in tree.iter(f"{SVG}text") if e.get("class") == "halo name"}
    assert 10 < len(shown) < len(crowd)
    (told,) = (text for text in texts(tree) if text.startswith("no room for the names of: "))
    hidden = next(point.defense for point in lines(crowd).values() for point in point if point.defense not in shown)
    assert hidden in told
    assert not any(text.startswith("no room") for text in texts(root(Panel("p", NOISE))))


def test_a_label_that_is_not_needed_is_left_out_before_it_covers_anything():
    places = Places(Box(0, 0, 300, 100))
    taken = [places.place("sigma=0.1", 150, 50, 10, needed=False) for _ in range(20)]
    assert taken[0] is not None
    assert taken[-1] is None
    assert not any(one.overlaps(other) for one, other in itertools.combinations(places.labels, 2))
    assert places.place("name", 150, 50, 12) is not None
    assert places.place("wider than the frame" * 10, 150, 50, 12) is None


def test_each_panel_has_axes_of_its_own():
    tree = root(Panel("quick preset", NOISE), Panel("standard preset", [BASE]))
    tops = [float(e.get("y")) for e in tree.iter(f"{SVG}rect") if e.get("class") == "frame"]
    assert tops[1] - tops[0] == curve_svg.PANEL
    assert float(tree.get("height")) == 2 * curve_svg.PANEL
    ends = [float(e.get("y2")) for e in tree.iter(f"{SVG}line")]
    assert max(ends) <= 2 * curve_svg.PANEL


def test_risks_below_chance_and_figures_of_one_stay_within_the_axes():
    tree = root(Panel("a", [Point("worse than chance", "", 0.42, 0.31), Point("leaky", "", 1.0, 1.0)]))
    (frame,) = (e for e in tree.iter(f"{SVG}rect") if e.get("class") == "frame")
    left, top = float(frame.get("x")), float(frame.get("y"))
    for mark in tree.iter(f"{SVG}circle"):
        assert left < float(mark.get("cx")) < left + float(frame.get("width"))
        assert top < float(mark.get("cy")) < top + float(frame.get("height"))
    assert "1.05" not in texts(tree)


def test_text_from_plugins_cannot_break_the_figure():
    tree = root(Panel("a", [Point("<script>&\x00\x1b", 'note="]]>"', 0.7, 0.7)], ["x\n<b>"]))
    assert "<script>&  " in texts(tree)
    assert not list(tree.iter(f"{SVG}script"))
    assert "z" * 39 + "…" in texts(root(Panel("a", [Point("z" * 500, "", 0.7, 0.7)])))


@pytest.mark.parametrize(("colours", "back"), [(curve_svg.LIGHT, "#ffffff"), (curve_svg.DARK, "#0d1117")])
def test_colours_can_be_read_in_either_mode(colours, back):
    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert f"fill: {back}" in draw("phantom", [Panel("a", NOISE)], across="mAP@R", upward="macro AUC")
    for colour in colours.values():
        low, high = sorted((luminance(colour), luminance(back)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour
