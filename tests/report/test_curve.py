"""The privacy–utility curve: what lies on the front, and a figure that can be read."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest

from reidbench.report.figures.board.curve import Point, front, lines
from reidbench.report.pictures import curve_svg
from reidbench.report.pictures.curve_svg import Panel, draw
from reidbench.report.pictures.labels import Box, Places

SVG = "{http://www.w3.org/2000/svg}"
BASE = Point("undefended", "", 0.98, 0.81, undefended=True)
NOISE = [Point("noise", f"sigma={s}", *at) for s, *at in ((0.1, 0.95, 0.8), (0.5, 0.8, 0.7), (0.9, 0.7, 0.6))]


def root(*panels: Panel) -> ElementTree.Element:
    return ElementTree.fromstring(draw("phantom", panels, upward="macro AUC"))


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
    assert [e.get("class") for e in tree.iter(f"{SVG}circle")].count("mark hollow") == 1
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
    tree = root(Panel("quick preset", [BASE, *NOISE], ["nothing k=3"]))
    found = texts(tree)
    assert {"quick preset", "undefended", "chance", "noise", "sigma=0.1", "sigma=0.5", "sigma=0.9"} <= set(found)
    assert "without a figure: nothing k=3" in found
    assert tree.get("role") == "img"
    assert tree.find(f"{SVG}title").text.endswith("phantom")
    assert "Pareto front" in tree.find(f"{SVG}desc").text


def test_labels_lie_within_the_frame_and_do_not_overlap_where_there_is_room():
    spread = [Point(f"defense {n}", "", 0.5 + 0.05 * n, 0.55 + 0.04 * (n % 5)) for n in range(10)]
    frame = Box(0, 0, 700, 400)
    places = Places(frame)
    for point in spread:
        assert places.place(point.defense, 1400 * (point.risk - 0.5), 1000 * (0.8 - point.utility), 12) is not None
    assert all(map(frame.holds, places.labels))
    assert not any(one.overlaps(other) for one, other in itertools.combinations(places.labels, 2))


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

    assert f"fill: {back}" in draw("phantom", [Panel("a", NOISE)], upward="macro AUC")
    for colour in colours:
        low, high = sorted((luminance(colour), luminance(back)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, colour
