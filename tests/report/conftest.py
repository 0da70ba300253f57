"""A site from real records, among them text that wants to be markup."""

from __future__ import annotations

import json

import pytest

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'


@pytest.fixture(scope="session")
def site(tiny_run, tmp_path_factory):
    """A site of two datasets: the tiny run's records, and copies that a hostile plugin might have made."""
    from reidbench.harness.specimens import Studio
    from reidbench.plugins import Registry
    from reidbench.progress import Silent
    from reidbench.report.matching import read_kept
    from reidbench.report.site import write_site

    folder = tmp_path_factory.mktemp("site")
    bad = folder / "bad"
    bad.mkdir()
    for number, record in enumerate(tiny_run["records"][1:]):
        data = json.loads(record.model_dump_json(by_alias=True))
        data["id"] = f"{number:016d}"
        data["dataset"] |= {"name": "chestxray14", "revision": "f" * 64, "notes": [HOSTILE]}
        data["dataset"]["options"] = {"subset": HOSTILE}
        data["defense"] |= {"summary": HOSTILE, "options": {"text": f"{HOSTILE}{number}"}, "name": "hostile"}
        data["defense"]["privacy"] = {"epsilon": 1.0, "delta": 0.0, "unit": HOSTILE}
        data["command"] = data["controls"]["problems"] = HOSTILE
        data["controls"]["problems"] = [HOSTILE] if number else []
        (bad / f"hostile-{number:016d}.json").write_text(json.dumps(data))
    out = folder / "site"
    kept = read_kept([tiny_run["runs"], bad])
    pages = write_site(kept, out, Studio(Registry(), tiny_run["cache"], Silent()))
    return {"folder": out, "pages": pages, "records": tiny_run["records"]}
