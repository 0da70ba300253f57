"""The site in a real browser: headless Chromium opens it from disk."""

from __future__ import annotations

import base64
import json
import shutil
from contextlib import contextmanager
from itertools import combinations

import numpy as np
import pypdfium2
import pytest

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from reidbench.report.figures.summary import worst_verification  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs a browser: apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    # No sandbox: in a container there often is none to be had, and the pages are our own.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def visit(browser):
    """Opens a page from disk and waits for its plots; at the end nothing may have gone wrong or out."""
    browser.get_log("browser")
    browser.get_log("performance")

    def go(path):
        browser.get(path.as_uri())
        WebDriverWait(browser, 60).until(
            lambda b: b.execute_script(
                "return document.readyState === 'complete' && "
                "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('svg.main-svg'))"
            )
        )
        return browser

    yield go
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert [url for url in asked if not url.startswith(("file://", "data:", "blob:"))] == []


def board(site):
    return next(p for p in site["pages"] if p.parent.name == "boards" and p.name.startswith("phantom"))


def names(browser):
    rows = browser.find_elements(By.CSS_SELECTOR, "#board tbody tr")
    return [row.find_element(By.CSS_SELECTOR, "th a").text for row in rows if row.is_displayed()]


@contextmanager
def phone(browser, width):
    """A window gets no narrower than 500 pixels; the page itself is asked at a phone's width."""
    browser.set_window_size(500, 900)
    shape = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.set_window_size(1200, 900)


@contextmanager
def scheme(browser, name):
    features = [{"name": "prefers-color-scheme", "value": name}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        yield browser.execute_script("return getComputedStyle(document.body).getPropertyValue('--page').trim()")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_every_page_opens_draws_and_is_no_wider_than_a_phone(visit, site, crowd):
    for path in site["pages"]:
        browser = visit(path)
        assert browser.find_element(By.TAG_NAME, "h1").text
    usual = (site["pages"][0], board(site), site["folder"] / "records" / f"{site['records'][1].stem}.html")
    for width, pages in ((390, usual), (320, (*site["pages"], crowd))):
        with phone(browser, width):
            for path in pages:
                browser = visit(path)
                assert browser.execute_script("return document.documentElement.scrollWidth") <= width, path.name


def test_a_record_prints_on_paper_with_nothing_cut_off(visit, site):
    browser = visit(site["folder"] / "records" / f"{site['records'][1].stem}.html")
    words = browser.find_element(By.CSS_SELECTOR, "[aria-labelledby=assessment] tbody").text
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    pdf = pypdfium2.PdfDocument(base64.b64decode(printed["data"]))
    text = ""
    for page in pdf:
        assert [round(side) for side in page.get_size()] == [595, 842]  # A4 in points.
        pixels = np.asarray(page.render(scale=1).to_pil().convert("L"))
        # The margins of 15 mm stay white: no table is wider than the paper.
        assert pixels[:, :40].min() > 250
        assert pixels[:, -40:].min() > 250
        text += page.get_textpage().get_text_range()
    assert len(words.split()) > 40
    assert set(words.split()) <= set(text.replace("\ufffe", "").split())
    # What is there to be clicked on is not printed.
    assert "On this page" not in text
    assert "in numbers" not in text


def test_the_table_sorts_by_keyboard_and_says_so(visit, site):
    browser = visit(board(site))
    before = names(browser)
    assert len(before) == 3
    head = browser.find_elements(By.CSS_SELECTOR, "#board thead th")[0]
    button = head.find_element(By.TAG_NAME, "button")
    button.send_keys(Keys.ENTER)
    assert names(browser) == sorted(before)
    assert head.get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.SPACE)
    assert names(browser) == sorted(before, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    assert len(browser.find_elements(By.CSS_SELECTOR, "#board th[aria-sort]")) == 1
    drop = browser.find_elements(By.CSS_SELECTOR, "#board thead th")[2].find_element(By.TAG_NAME, "button")
    for _ in range(2):
        # The undefended run has no drop: it is last both ways.
        drop.click()
        assert names(browser)[-1] == "undefended"


def test_the_table_and_the_plot_are_filtered(visit, site):
    browser = visit(board(site))
    points = "return document.querySelectorAll('#tradeoff .scatterlayer .point').length"
    assert browser.execute_script(points) == 3
    text = browser.find_element(By.ID, "filter-text")
    text.send_keys("NOISE 0.5")
    assert names(browser) == ["gaussian_noise sigma=0.5"]
    assert browser.find_element(By.ID, "shown").text == "1 of 3 rows"
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(points) == 1)
    text.send_keys(Keys.CONTROL, "a")
    text.send_keys(Keys.DELETE)
    assert len(names(browser)) == 3


def test_the_front_is_drawn_whole_and_is_that_of_the_chosen_axes(visit, crowd):
    browser = visit(crowd)
    board = json.loads(browser.find_element(By.ID, "tradeoff-data").get_attribute("textContent"))

    def labels(pair):
        return {board["rows"][place]["label"] for place in board["fronts"][pair]}

    def line(pair):
        risk, utility = pair.split()
        chosen = [board["rows"][place] for place in board["fronts"][pair]]
        return [[row["risk"][risk]["value"], row["utility"][utility]] for row in chosen]

    def plotted():
        return browser.execute_script(
            """const [front, ...others] = document.getElementById("tradeoff").data;
            const points = others.filter(({ meta }) => meta === "points");
            return [front.x.map((x, i) => [x, front.y[i]]), points.flatMap(({ text }) => text)];"""
        )

    def shows(pair, points):
        front, drawn = plotted()
        return front == line(pair) and set(drawn) == points and set(names(browser)) == points

    everyone = {row["label"] for row in board["rows"]}
    first, second = "map release", "auc ssim"
    assert len(labels(first)) > 1 < len(labels(second))
    assert labels(first) != labels(second)
    wait = WebDriverWait(browser, 10)
    wait.until(lambda b: shows(first, everyone))
    text = browser.find_element(By.ID, "filter-text")
    text.send_keys("crowd07")
    wait.until(lambda b: shows(first, {"crowd07"}))
    text.clear()
    browser.find_element(By.ID, "filter-front").click()
    wait.until(lambda b: shows(first, labels(first)))
    for name, value in zip(("risk", "utility"), second.split()):
        browser.find_element(By.CSS_SELECTOR, f"#{name} option[value={value}]").click()
    wait.until(lambda b: shows(second, labels(second)))
    browser.find_element(By.ID, "filter-front").click()
    wait.until(lambda b: shows(second, everyone))


def test_bars_reach_to_the_ends_of_the_interval_and_not_beyond_the_mean_of_several_seeds(
    visit, sound, site_of, tmp_path
):
    made = []
    for seed, value in enumerate((0.6, 0.9)):
        data = sound("noise", seed=seed, id=f"{seed:016d}")
        for attack in data["attacks"]:
            if attack["task"] == "verification":
                attack["metrics"]["auc"] = {"value": value, "low": value - 0.02, "high": value + 0.02}
        for classifier in data["utility"]["classifiers"]:
            classifier["macro_auc"] = {"value": 0.7, "low": None, "high": None}
        made.append(data)
    browser = visit(next(page for page in site_of(tmp_path, made) if page.parent.name == "boards"))
    browser.find_element(By.CSS_SELECTOR, "#risk option[value=auc]").click()
    bars = browser.execute_script(
        """const { x, error_x: { array, arrayminus } } = document.getElementById("tradeoff").data[1];
        return [x, array, arrayminus];"""
    )
    # The interval is the strongest seed's, from 0.88 to 0.92: all of it lies above the mean.
    assert [value for (value,) in bars] == pytest.approx([0.75, 0.17, 0])


#: The names and words in a plot with their boxes.
LABELS = """
    const box = (element) => { const { left, right, top, bottom } = element.getBoundingClientRect();
        return { left, right, top, bottom }; };
    const plot = document.getElementById("tradeoff");
    return [...plot.querySelectorAll(".annotation-text-g")].map((g) => ({ text: g.textContent, ...box(g) }));"""


def overlap(one, other):
    across = min(one["right"], other["right"]) - max(one["left"], other["left"])
    down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    # The box of a text has a line of space around its letters.
    return across > 1 and down > 4


def test_names_stand_at_points_and_cover_no_other_name(visit, site, crowd):
    for path, wide, narrow in ((crowd, 10, 1), (board(site), 3, 1)):
        browser = visit(path)
        labels = browser.execute_script(LABELS)
        assert len(labels) >= wide
        assert not [(a, b) for a, b in combinations(labels, 2) if overlap(a, b)]
        with phone(browser, 390):
            browser = visit(path)
            labels = browser.execute_script(LABELS)
            assert len(labels) >= narrow
            assert not [(a, b) for a, b in combinations(labels, 2) if overlap(a, b)]
            right = browser.execute_script("return document.getElementById('tradeoff').getBoundingClientRect().right")
            assert max(label["right"] for label in labels) <= right


def test_defenses_on_the_front_are_named_first_and_all_where_few_are_shown(visit, crowd):
    browser = visit(crowd)
    data = json.loads(browser.find_element(By.ID, "tradeoff-data").get_attribute("textContent"))
    leading = {data["rows"][place]["family"] for place in data["fronts"]["map release"]}
    labels = browser.execute_script(LABELS)
    assert leading <= {label["text"] for label in labels}
    with phone(browser, 390):
        browser = visit(crowd)
        # The others are named by the table, and when they are pointed at.
        assert {label["text"] for label in browser.execute_script(LABELS)} <= leading
    browser = visit(crowd)
    browser.find_element(By.ID, "filter-text").send_keys("crowd0")
    wait = WebDriverWait(browser, 10)
    wait.until(lambda b: {label["text"] for label in b.execute_script(LABELS)} >= {f"crowd0{n}" for n in range(10)})


def test_marks_are_few_and_a_zoom_places_names_again(visit, crowd):
    browser = visit(crowd)
    looks = browser.execute_script(
        """return document.getElementById("tradeoff").data.filter(({ meta }) => meta === "points").flatMap(
            ({ marker }) => marker.symbol.map((symbol) => `${marker.color} ${symbol}`));"""
    )
    assert len(looks) > 64
    assert len(set(looks)) <= 8
    before = {label["text"] for label in browser.execute_script(LABELS)}
    browser.execute_script(
        """const plot = document.getElementById("tradeoff"), [low, high] = plot.layout.xaxis.range;
        Plotly.relayout(plot, { "xaxis.range[0]": low, "xaxis.range[1]": low + (high - low) / 8 });"""
    )
    wait = WebDriverWait(browser, 10)
    wait.until(lambda b: {label["text"] for label in b.execute_script(LABELS)} != before)
    labels = browser.execute_script(LABELS)
    assert labels
    assert not [(a, b) for a, b in combinations(labels, 2) if overlap(a, b)]


def test_bands_have_their_words_where_the_rule_applies(visit, sound, site_of, tmp_path):
    made = []
    for name, left, fall in (("undefended", 0.8, 0.0), ("kept", 0.78, 0.02), ("lost", 0.55, 0.25)):
        kind = {"kind": "none" if name == "undefended" else "image"}
        data = sound(name, baseline_id=None if name == "undefended" else f"{'undefended':0>16}")
        data["defense"] |= kind
        for classifier in data["utility"]["classifiers"]:
            classifier["macro_auc"] = {"value": left, "low": left - 0.02, "high": left + 0.02}
            classifier["fall"] = {"value": fall, "low": fall - 0.01, "high": fall + 0.01}
        made.append(data)
    browser = visit(next(page for page in site_of(tmp_path, made) if page.parent.name == "boards"))
    words = ["more than half of the utility above chance is left", "half or more is lost"]
    places = {label["text"]: label["top"] for label in browser.execute_script(LABELS)}
    assert places[words[0]] < places[words[1]]
    legend = browser.execute_script(
        "return [...document.querySelectorAll('#tradeoff .legendtext')].map((text) => text.textContent)"
    )
    assert legend == ["Pareto front", "keeps diagnosis", "loses half or more", "undefended"]
    # SSIM is no utility, and has no bands.
    browser.find_element(By.CSS_SELECTOR, "#utility option[value=ssim]").click()
    wait = WebDriverWait(browser, 10)
    wait.until(lambda b: not {label["text"] for label in b.execute_script(LABELS)} & set(words))


def test_nothing_offers_to_send_a_plot_anywhere(visit, site):
    for path in (board(site), site["folder"] / "records" / f"{site['records'][1].stem}.html"):
        browser = visit(path)
        offered = browser.execute_script(
            """return [...document.querySelectorAll(".modebar-btn")].map(
                (button) => `${button.dataset.title} ${button.dataset.attr}`.toLowerCase());"""
        )
        assert any("download" in words for words in offered)
        assert [words for words in offered if any(way in words for way in ("share", "send", "cloud", "edit"))] == []
        told = browser.execute_script(
            """return [...document.querySelectorAll(".js-plotly-plot")].map(
                ({ _context }) => [_context.showSendToCloud, _context.plotlyServerURL]);"""
        )
        assert told
        assert all(known == [False, ""] for known in told)


def test_plots_are_groups_with_a_name(visit, site):
    browser = visit(board(site))
    plot = browser.find_element(By.ID, "tradeoff")
    # Not an image: what is inside, buttons among it, must be there for whoever cannot see.
    assert plot.aria_role == "group"
    assert plot.accessible_name.startswith("Risk against utility")


def test_lines_and_markers_stand_out_as_they_are_drawn(visit, site, crowd, contrast):
    looks = """const plots = [...document.querySelectorAll(".js-plotly-plot")];
        return plots.flatMap(({ _fullData }) => _fullData.filter(({ mode, fill }) => mode && fill !== "toself").flatMap(
            ({ mode, line, marker, opacity }) => [
                ...(mode.includes("lines") ? [[line.color, opacity]] : []),
                ...(mode.includes("markers") ? [[marker.color, opacity * marker.opacity]] : []),
            ]));"""
    # Some time after the scheme has changed.
    drawn_again = """return [...document.querySelectorAll(".js-plotly-plot")].every(
        ({ layout }) => layout.paper_bgcolor === arguments[0])"""
    for path in (board(site), crowd, site["folder"] / "records" / f"{site['records'][1].stem}.html"):
        browser = visit(path)
        for name in ("light", "dark"):
            with scheme(browser, name) as page:
                WebDriverWait(browser, 10).until(lambda b, page=page: b.execute_script(drawn_again, page))
                drawn = {tuple(look) for look in browser.execute_script(looks)}
                assert drawn
                assert [look for look in drawn if contrast(look[0], page, look[1]) < 3] == []


def test_the_plot_shows_what_is_chosen(visit, site):
    browser = visit(board(site))
    title = "return document.querySelector('#tradeoff .xtitle').textContent"
    shown = "return [...document.getElementById('tradeoff').data.flatMap((trace) => trace.x)]"
    record = site["records"][1]
    assert browser.execute_script(title) == "risk: mAP@R over patients, strongest attack"
    values = {a.metrics.map_at_r_patients.value for a in record.attacks if a.task == "retrieval"}
    assert max(values) in browser.execute_script(shown)
    browser.find_element(By.CSS_SELECTOR, "#risk option[value=auc]").click()
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(title) == "risk: AUC, strongest attack")
    assert worst_verification(record).value in browser.execute_script(shown)


def test_links_lead_to_pages_that_are_there(visit, site):
    browser = visit(board(site))
    browser.find_element(By.CSS_SELECTOR, "#board tbody a").click()
    heading = browser.find_element(By.TAG_NAME, "h1").text
    # An option with its default is not part of a title.
    assert heading in {"undefended", "gaussian_noise", "gaussian_noise sigma=0.5"}
    WebDriverWait(browser, 60).until(lambda b: b.execute_script("return !!document.querySelector('#roc svg')"))
    browser.find_element(By.PARTIAL_LINK_TEXT, "phantom").click()
    assert browser.current_url.endswith(board(site).name)


def test_the_skip_link_comes_first(visit, site):
    browser = visit(board(site))
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("class") == "skip"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script("return location.hash") == "#main"


def test_plots_follow_the_colour_scheme(visit, site):
    browser = visit(board(site))
    paper = "return document.getElementById('tradeoff').layout.paper_bgcolor"
    found = []
    for name in ("light", "dark"):
        with scheme(browser, name) as page:
            WebDriverWait(browser, 10).until(lambda b, page=page: b.execute_script(paper) == page)
            found.append(page)
    assert len(set(found)) == 2


def test_hostile_text_runs_nowhere(visit, site):
    for path in site["pages"]:
        if path.name.startswith(("hostile", "chestxray14")):
            browser = visit(path)
            # An alert that opened would make this raise.
            assert browser.find_element(By.TAG_NAME, "h1").is_displayed()
            assert (
                browser.execute_script("return document.querySelectorAll('main img[onerror], svg script').length") == 0
            )
