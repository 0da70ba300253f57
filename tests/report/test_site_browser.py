"""The site in a real browser: headless Chromium opens it from disk."""

from __future__ import annotations

import json
import shutil

import pytest

webdriver = pytest.importorskip("selenium.webdriver")

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

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


def test_every_page_opens_draws_and_is_no_wider_than_a_phone(visit, site):
    for path in site["pages"]:
        browser = visit(path)
        assert browser.find_element(By.TAG_NAME, "h1").text
    browser.set_window_size(500, 900)
    # A window gets no narrower than this; the page itself is asked at a phone's width.
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        for path in (site["pages"][0], board(site), site["folder"] / "records" / f"{site['records'][1].stem}.html"):
            browser = visit(path)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, path.name
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.set_window_size(1200, 900)


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
    browser.find_element(By.ID, "filter-front").click()
    on_front = browser.find_elements(By.CSS_SELECTOR, "#board tbody tr[data-front=true]")
    assert len(names(browser)) == len(on_front)


def test_the_plot_shows_what_is_chosen(visit, site):
    browser = visit(board(site))
    title = "return document.querySelector('#tradeoff .ytitle').textContent"
    assert browser.execute_script(title) == "AUC, worst case"
    browser.find_element(By.CSS_SELECTOR, "#risk option[value=map]").click()
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(title) == "mAP@R, worst case")
    shown = browser.execute_script("return [...document.getElementById('tradeoff').data.flatMap((trace) => trace.y)]")
    record = site["records"][1]
    values = {a.metrics.map_at_r.value for a in record.attacks if a.task == "retrieval"}
    assert max(values) in shown


def test_links_lead_to_pages_that_are_there(visit, site):
    browser = visit(board(site))
    browser.find_element(By.CSS_SELECTOR, "#board tbody a").click()
    heading = browser.find_element(By.TAG_NAME, "h1").text
    assert heading in {"undefended", "gaussian_noise sigma=0.1", "gaussian_noise sigma=0.5"}
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
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        page = browser.execute_script("return getComputedStyle(document.body).getPropertyValue('--page').trim()")
        WebDriverWait(browser, 10).until(lambda b, page=page: b.execute_script(paper) == page)
        found.append(page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
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
