"""Files of a site: all made before the first is put in place, and no foreign file replaced."""

from __future__ import annotations

import pytest

from reidbench import ReidbenchError
from reidbench.report.site.staging import GENERATOR, staging

PAGE = GENERATOR + b' 1.0">'


def test_nothing_is_in_place_before_all_is_made(tmp_path):
    with staging() as staged:
        staged.put(tmp_path / "site" / "a.html", PAGE)
        staged.put(tmp_path / "site" / "a.png", b"picture")
        waits = list(staged.folder.iterdir())
        assert len(waits) == 2
        assert not (tmp_path / "site").exists()
        staged.save()
    assert (tmp_path / "site" / "a.png").read_bytes() == b"picture"
    assert not any(path.exists() for path in waits)


@pytest.mark.parametrize("name", ["a.html", "a.png", "a.json", "a.attention.webp", "static/style.css"])
def test_a_file_that_belongs_to_no_page_is_not_replaced(tmp_path, name):
    foreign = tmp_path / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_bytes(b"somebody's")
    with staging() as staged:
        staged.put(tmp_path / "b.html", PAGE)
        staged.put(foreign, b"other")
        with pytest.raises(ReidbenchError, match="of reidbench has this name; choose another"):
            staged.save()
    assert foreign.read_bytes() == b"somebody's"
    assert not (tmp_path / "b.html").exists()


@pytest.mark.parametrize("name", ["a.html", "a.png", "a.json", "a.attention.webp", "static/style.css"])
def test_what_belongs_to_a_page_is_replaced_with_it(tmp_path, name):
    (tmp_path / "a.html").write_bytes(PAGE)
    before = tmp_path / name
    before.parent.mkdir(exist_ok=True)
    if name != "a.html":
        before.write_bytes(b"older")
    with staging() as staged:
        staged.put(before, PAGE + b"newer")
        staged.save()
    assert before.read_bytes() == PAGE + b"newer"


def test_a_file_that_would_not_change_is_no_obstacle(tmp_path):
    (tmp_path / "a.json").write_bytes(b"the same")
    with staging() as staged:
        staged.put(tmp_path / "a.json", b"the same")
        staged.save()
    assert (tmp_path / "a.json").read_bytes() == b"the same"
