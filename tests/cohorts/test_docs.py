"""What docs/data.md shows runs, and what it claims of the tables is so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.pairing.image_pairs import Pairs

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_pairs_of_the_phantom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(BLOCKS[0], names)
    pairs = names["pairs"]
    assert isinstance(pairs, Pairs)
    assert len(pairs) > 0


def test_dataset_of_one_s_own_format(tmp_path: Path, write_png: Callable[..., Path]) -> None:
    for number, name in enumerate(("a-1", "a-2", "b-1")):
        write_png(tmp_path / f"{name}.png", seed=number)
    names: dict[str, object] = {"__name__": "ward"}
    exec(BLOCKS[1], names)
    [ward] = names["reidbench_datasets"]()
    cohort = load_cohort(ward(root=tmp_path), size=16, cache=tmp_path / "cache")
    assert list(cohort.frame["patient"]) == [0, 0, 1]


def test_manifest_of_the_page_is_read(tmp_path: Path, write_png: Callable[..., Path]) -> None:
    from reidbench.cohorts.sources.folder import Folder

    [text] = re.findall(r"```csv\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    (tmp_path / "manifest.csv").write_text(text)
    write_png(tmp_path / "ward" / "0001.png")
    write_png(tmp_path / "ward" / "0002.png")
    source = Folder(root=tmp_path).source()
    assert source.labels == ("Cardiomegaly",)
    assert list(source.frame["view"]) == ["PA", "AP"]


def test_every_built_in_dataset_is_on_the_page() -> None:
    from reidbench.plugins import Registry

    table = PAGE.read_text().split("## What is checked")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    built_in = {found.name for found in Registry().found("dataset") if found.distribution == "reidbench"}
    assert built_in, "reidbench is not installed: its entry points are missing"
    assert named == built_in
