"""Takes the pictures of the site that the documentation shows, from the committed records of the phantom.

    reidbench leaderboard --site site
    python docs/take_screenshots.py site

Needs Chromium and its driver (Debian: chromium, chromium-driver) and selenium.
"""

from __future__ import annotations

import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

BOARD, RECORD, PHONE = (1180, 1560), (1180, 1180), (390, 844)
DOCS = Path(__file__).parent


def main(site: Path) -> None:
    """Writes the pictures beside this file."""
    board = next((site / "boards").glob("phantom-quick-64-images-*.html"))
    noise = sorted((site / "records").glob("gaussian_noise-*.html"))
    record = next(page for page in noise if "<h1>gaussian_noise sigma=0.25</h1>" in page.read_text(encoding="utf-8"))
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        take(browser, board, "site-board.png", BOARD, "light")
        take(browser, record, "site-record.png", RECORD, "dark")
        take(browser, board, "site-phone.png", PHONE, "light")
    finally:
        browser.quit()


def take(browser: webdriver.Chrome, page: Path, name: str, size: tuple[int, int], scheme: str) -> None:
    """Opens a page at a size and in a colour scheme, and keeps what is seen of it."""
    width, height = size
    shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", shape)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.resolve().as_uri())
    time.sleep(2)  # Plots settle.
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    # A palette is plenty for lines and text, and makes the file a third as large.
    picture.quantize(256, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
