"""Sites from real records, and from what could be made of them: text that wants to be markup, a crowd of defenses."""

from __future__ import annotations

import json

import numpy as np
import pytest

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
#: More defenses than there are pairs of a colour and a symbol.
CROWD = 66


@pytest.fixture(scope="session")
def site_of(tiny_run):
    """Writes a site below a folder: of records as their files have them, and of those in other places."""
    from reidbench.plugins import Registry
    from reidbench.progress import Silent
    from reidbench.report.figures.paired.matching import read_kept
    from reidbench.report.site import write_site
    from reidbench.studies.example_images import ExampleSource

    def write(folder, made, *places):
        kept = folder / "records"
        kept.mkdir()
        for data in made:
            stem = f"{data['defense']['name']}-{data['id']}"
            (kept / f"{stem}.json").write_text(json.dumps(data))
            if data["dataset"]["name"] == "chestxray14":
                # Somebody laid maps over images of real patients there; no page may show them.
                (kept / f"{stem}.attention.png").write_bytes(b"maps")
        return write_site(
            read_kept([*places, kept]), folder / "site", ExampleSource(Registry(), tiny_run["cache"], Silent())
        )

    return write


@pytest.fixture(scope="session")
def site(tiny_run, site_of, tmp_path_factory):
    """A site of two datasets: the tiny run's records, and copies that a hostile plugin might have made."""
    made = []
    for number, record in enumerate(tiny_run["records"][1:]):
        data = as_data(record, id=f"{number:016d}", command=HOSTILE)
        data["dataset"] |= {"name": "chestxray14", "revision": "f" * 64, "notes": [HOSTILE]}
        data["dataset"]["options"] = {"subset": HOSTILE}
        options = {"text": f"{HOSTILE}{number}", "path": "/".join(["folder" * 30] * 3)}
        data["defense"] |= {"summary": HOSTILE, "options": options, "name": "hostile"}
        data["defense"]["privacy"] = {"epsilon": 1.0, "delta": 0.0, "unit": HOSTILE}
        data["controls"]["problems"] = [HOSTILE] if number else []
        made.append(data)
    folder = tmp_path_factory.mktemp("site")
    pages = site_of(folder, made, tiny_run["runs"])
    return {"folder": folder / "site", "pages": pages, "records": tiny_run["records"]}


@pytest.fixture(scope="session")
def sound(tiny_run):
    """Makes a complete and valid run of another defense, on a dataset that shows no images."""

    def make(name, **changes):
        kept = {"id": f"{name:0>16}", "complete": True, "scores_sha256": None}
        data = as_data(tiny_run["records"][1], **kept | changes)
        data["dataset"] |= {"name": "elsewhere", "revision": "e" * 64}
        data["defense"] |= {"name": name, "options": {}}
        data["controls"]["problems"] = []
        return data

    return make


@pytest.fixture(scope="session")
def crowd(sound, site_of, tmp_path_factory):
    """The board's page of many defenses, whose fronts differ from one pair of axes to the next."""
    made = []
    for number in range(CROWD):
        data = sound(f"crowd{number:02d}")
        risk, left, found, like = (((factor * number) % CROWD) / CROWD for factor in (1, 37, 17, 23))
        for attack in data["attacks"]:
            headline, share = ("auc", risk) if attack["task"] == "verification" else ("map_at_r_patients", found)
            value = 0.5 + 0.4 * share
            attack["metrics"][headline] = {"value": value, "low": value - 0.02, "high": value + 0.02}
        for classifier in data["utility"]["classifiers"]:
            classifier["macro_auc"] = {"value": 0.5 + 0.4 * left, "low": None, "high": None}
        data["utility"]["fidelity"]["ssim"] = like
        made.append(data)
    pages = site_of(tmp_path_factory.mktemp("crowd"), made)
    return next(page for page in pages if page.parent.name == "boards")


def as_data(record, **changes):
    """A record as its file has it, with other values at the top."""
    return json.loads(record.model_dump_json(by_alias=True)) | changes


@pytest.fixture(scope="session")
def contrast():
    """Of two colours, the first laid over the second with an opacity: as WCAG 2 defines it, 1 to 21."""

    def of(one, other, opacity=1.0):
        above, below = channels(one), channels(other)
        light, dark = sorted((luminance(opacity * above + (1 - opacity) * below), luminance(below)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    return of


def channels(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255


def luminance(parts):
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])
