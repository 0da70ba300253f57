"""The pixel store: right bytes, built once, resumed, shared, checked."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from reidbench.cohorts.base import Dataset, Source
from reidbench.cohorts.pixels.store import Store, open_store, store_key
from reidbench.cohorts.sources.folder import Folder
from reidbench.errors import PluginError, ReidbenchError, UnreadableImage
from reidbench.plugins import Registry
from reidbench.progress import Silent


class Told(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


class Numbers(Dataset):
    """Row n is an image of value n, but for the rows in ``bad``; batches of seven."""

    name: ClassVar[str] = "numbers"
    chunk: ClassVar[int] = 7
    parallel: ClassVar[bool] = False
    count: int = 150
    bad: tuple[int, ...] = ()

    def source(self) -> Source:
        ids = [f"n{row}" for row in range(self.count)]
        return Source(pd.DataFrame({"image_id": ids, "patient_id": ids, "split": "train", "value": range(self.count)}))

    def read(self, rows: pd.DataFrame, size: int) -> np.ndarray:
        for image_id, value in zip(rows["image_id"], rows["value"]):
            if value in self.bad:
                raise UnreadableImage(image_id, "bad luck")
        return np.broadcast_to(rows["value"].to_numpy(np.uint8)[:, None, None], (len(rows), size, size)).copy()


def opened(dataset: Dataset, cache: Path, size: int = 16, **options: object) -> Store:
    return open_store(dataset, dataset.source().frame, size=size, cache=cache, **options)


def only(cache: Path) -> Path:
    """The one store's folder."""
    [folder] = [path for path in (cache / "pixels").iterdir() if path.is_dir()]
    return folder


def test_pixels_are_what_read_gives_in_the_table_s_order(tmp_path: Path) -> None:
    store = opened(Numbers(), tmp_path)
    assert isinstance(store.pixels, np.memmap)
    assert store.pixels.shape == (150, 16, 16)
    assert not store.pixels.flags.writeable
    np.testing.assert_array_equal(store.pixels[:, 3, 5], np.arange(150))
    np.testing.assert_array_equal(store.rows, np.arange(150))
    assert sorted(path.name for path in only(tmp_path).iterdir()) == ["pixels.npy", "store.json"]


@pytest.mark.slow
def test_processes_give_the_same_bytes_as_one(tmp_path: Path, write_png: Callable[..., Path]) -> None:
    # A dataset of the package, which other processes can import however the tests are run.
    lines = ["path,patient_id"]
    for number in range(150):
        write_png(tmp_path / "root" / f"{number}.png", seed=number, size=(20, 20))
        lines.append(f"{number}.png,p{number}")
    (tmp_path / "root" / "70.png").write_bytes(b"no image")
    (tmp_path / "root" / "manifest.csv").write_text("\n".join(lines))
    dataset = Folder(root=tmp_path / "root")
    one = opened(dataset, tmp_path / "one", workers=1)
    two = opened(dataset, tmp_path / "two", workers=2)
    assert one.digest == two.digest
    assert one.unreadable == two.unreadable == {70: "not an image file"}
    np.testing.assert_array_equal(one.pixels, two.pixels)


def test_second_opening_reads_no_image(tmp_path: Path) -> None:
    first = opened(Numbers(bad=(3,)), tmp_path)

    class Broken(Numbers):
        def read(self, rows: pd.DataFrame, size: int) -> np.ndarray:
            raise AssertionError("decoded twice")

    # The same key though the class is another: only the file that defines `read` counts.
    second = opened(Broken(bad=(3,)), tmp_path)
    assert (first.digest, first.unreadable) == (second.digest, second.unreadable)


def test_unreadable_rows_are_left_out_and_remembered(tmp_path: Path) -> None:
    for _ in range(2):
        store = opened(Numbers(bad=(0, 8, 9, 149)), tmp_path)
        assert store.unreadable == dict.fromkeys((0, 8, 9, 149), "bad luck")
        assert store.pixels.shape == (146, 16, 16)
        np.testing.assert_array_equal(store.pixels[:, 0, 0], store.rows)
    assert sorted(path.name for path in only(tmp_path).iterdir()) == ["pixels.npy", "store.json"]


def test_nothing_readable(tmp_path: Path) -> None:
    with pytest.raises(ReidbenchError, match=r"none of the 3 images could be read; the first: n0: bad luck"):
        opened(Numbers(count=3, bad=(0, 1, 2)), tmp_path)
    assert not (tmp_path / "pixels").exists() or not any(p.is_dir() for p in (tmp_path / "pixels").iterdir())


@pytest.mark.parametrize("size", [15, 1025])
def test_size_out_of_bounds(tmp_path: Path, size: int) -> None:
    with pytest.raises(ReidbenchError, match=f"size {size}"):
        opened(Numbers(), tmp_path, size)


@pytest.mark.parametrize("size", [64, 1024])
def test_sizes(tmp_path: Path, size: int) -> None:
    assert opened(Numbers(count=3), tmp_path, size).pixels.shape == (3, size, size)


def test_the_key_holds_what_decides_pixels(pictures: Dataset, write_png: Callable[..., Path]) -> None:
    frame = pictures.source().frame
    keys = [store_key(pictures, frame, 64), store_key(pictures, frame, 32), store_key(pictures, frame.iloc[::-1], 64)]
    write_png(Path(frame["path"].iloc[0]), seed=99)
    keys.append(store_key(pictures, frame, 64))
    os.utime(frame["path"].iloc[0], ns=(1, 1))
    keys.append(store_key(pictures, frame, 64))
    assert len(set(keys)) == len(keys)
    assert store_key(Numbers(count=3), frame, 64) != store_key(Numbers(count=4), frame, 64)
    # What is only in the table decides no pixel.
    assert store_key(pictures, frame.assign(split="val"), 64) == keys[-1]


def damage(path: Path, kind: str) -> None:
    if kind == "byte":
        with path.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\x07")
        os.utime(path, ns=(1, 1))
    elif kind == "cut":
        os.truncate(path, path.stat().st_size - 1)
    elif kind == "type":
        np.save(path, np.load(path).astype(np.int8))
    elif kind == "length":
        np.save(path, np.load(path)[1:])
    elif kind == "gone":
        path.unlink()
    elif kind == "manifest":
        (path.parent / "store.json").write_text("{")
    elif kind == "version":
        manifest = json.loads((path.parent / "store.json").read_text())
        (path.parent / "store.json").write_text(json.dumps({**manifest, "version": 0}))


@pytest.mark.parametrize("kind", ["byte", "cut", "type", "length", "gone", "manifest", "version"])
def test_damage_is_found_said_and_mended(tmp_path: Path, kind: str) -> None:
    digest = opened(Numbers(), tmp_path).digest
    damage(only(tmp_path) / "pixels.npy", kind)
    told = Told()
    store = opened(Numbers(), tmp_path, progress=told)
    assert store.digest == digest
    np.testing.assert_array_equal(store.pixels[:, 3, 5], np.arange(150))
    assert len(told.lines) == 1
    assert "was damaged" in told.lines[0]
    opened(Numbers(), tmp_path, progress=told)
    assert len(told.lines) == 1


def test_a_copied_store_is_whole(tmp_path: Path) -> None:
    opened(Numbers(), tmp_path)
    pixels = only(tmp_path) / "pixels.npy"
    os.utime(pixels, ns=(1, 1))
    told = Told()
    opened(Numbers(), tmp_path, progress=told)
    assert told.lines == []
    assert json.loads((pixels.parent / "store.json").read_text())["mtime_ns"] == 1, "or it is hashed each time"


class Slow(Numbers):
    """Waits at row 126, the first of the third task, and writes down what it has decoded."""

    folder: Path
    wait: float = 0

    def read(self, rows: pd.DataFrame, size: int) -> np.ndarray:
        if rows["value"].iloc[0] >= 126:
            (self.folder / "reached").touch()
            time.sleep(self.wait)
        pixels = super().read(rows, size)
        with (self.folder / "log").open("a") as file:
            file.write("".join(f"{value}\n" for value in rows["value"]))
        return pixels

    def pixel_options(self) -> dict[str, object]:
        return {"bad": self.bad}

    def decoded(self) -> list[int]:
        return [int(line) for line in (self.folder / "log").read_text().split()]


def in_process(dataset: Dataset, cache: Path) -> multiprocessing.Process:
    # Forked, so that no time goes into imports.
    process = multiprocessing.get_context("fork").Process(target=opened, args=(dataset, cache))
    process.start()
    return process


@pytest.fixture
def killed(tmp_path: Path) -> Slow:
    """A dataset whose build was killed in its third task."""
    dataset = Slow(folder=tmp_path, wait=60, bad=(5, 100))
    process = in_process(dataset, tmp_path)
    for _ in range(600):
        if (tmp_path / "reached").exists():
            break
        time.sleep(0.05)
    process.kill()
    process.join()
    assert len(dataset.decoded()) == 126 - 2
    (tmp_path / "log").unlink()
    return dataset.model_copy(update={"wait": 0})


def test_a_killed_build_goes_on_where_it_was(tmp_path: Path, killed: Slow) -> None:
    # As if the kill had come in the middle of a line.
    with (only(tmp_path) / "journal.jsonl").open("a") as file:
        file.write('{"start": 126, "ro')
    assert opened(killed, tmp_path).digest == opened(Numbers(bad=(5, 100)), tmp_path / "whole").digest
    assert killed.decoded() == list(range(126, 150)), "the first two tasks were done"


def test_pixels_that_never_reached_the_disk_are_decoded_again(tmp_path: Path, killed: Slow) -> None:
    with (only(tmp_path) / "partial.npy").open("r+b") as file:
        file.seek(200)
        file.write(bytes([99]))
    assert opened(killed, tmp_path).digest == opened(Numbers(bad=(5, 100)), tmp_path / "whole").digest
    assert killed.decoded() == [value for value in (*range(63), *range(126, 150)) if value != 5]


def test_two_processes_build_one_store(tmp_path: Path) -> None:
    dataset = Slow(folder=tmp_path, wait=0.5, bad=(5, 100))
    processes = [in_process(dataset, tmp_path) for _ in range(3)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert dataset.decoded() == [value for value in range(150) if value not in dataset.bad], "each once, by one of them"
    assert opened(dataset, tmp_path).digest == opened(Numbers(bad=(5, 100)), tmp_path / "whole").digest


def test_killed_between_rename_and_manifest(tmp_path: Path) -> None:
    digest = opened(Numbers(), tmp_path).digest
    folder = only(tmp_path)
    (folder / "store.json").unlink()
    assert opened(Numbers(), tmp_path).digest == digest


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda pixels: pixels[:, :-1], r"must give \(7, 16, 16\) uint8, not \(7, 15, 16\) uint8"),
        (lambda pixels: pixels.astype(float), "not .* float64"),
        (lambda pixels: pixels.tolist(), "not list"),
        (lambda pixels: pixels[99], "numbers: read.. failed at image n0: IndexError"),
    ],
)
def test_a_dataset_that_breaks_its_promise_is_named(
    tmp_path: Path, given: Callable[[np.ndarray], object], message: str
) -> None:
    class Broken(Numbers):
        def read(self, rows: pd.DataFrame, size: int) -> np.ndarray:
            return given(super().read(rows, size))

    with pytest.raises(PluginError, match=message):
        opened(Broken(), tmp_path)


def test_a_dataset_that_blames_a_stranger(tmp_path: Path) -> None:
    class Broken(Numbers):
        def read(self, rows: pd.DataFrame, size: int) -> np.ndarray:
            raise UnreadableImage("somebody", "no reason")

    with pytest.raises(PluginError, match="blames somebody"):
        opened(Broken(), tmp_path)


def test_a_full_disk_is_said_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(ReidbenchError, match=r"the disk is full; 150 images at 16×16"):
        opened(Numbers(), tmp_path)


@pytest.mark.slow
def test_an_error_in_a_worker_process_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"failing: read\(\) failed at image n\d+: KeyError: 'mine'"):
        opened(Failing(), tmp_path, workers=2)


class Failing(Numbers):
    """Fails with an error of its own."""

    name: ClassVar[str] = "failing"
    parallel: ClassVar[bool] = True

    def read(self, rows: pd.DataFrame, size: int) -> np.ndarray:
        raise KeyError("mine")


def test_a_loose_plugin_file_is_decoded_without_processes(tmp_path: Path) -> None:
    # No other process could import it.
    path = tmp_path / "mine.py"
    path.write_text(
        "from typing import ClassVar\n"
        "import numpy as np, os\n"
        "from reidbench import Dataset, hookimpl\n"
        "class Mine(Dataset):\n"
        "    name: ClassVar[str] = 'mine'\n"
        "    def source(self): raise NotImplementedError\n"
        "    def read(self, rows, size): return np.full((len(rows), size, size), 7, np.uint8)\n"
        "@hookimpl\n"
        "def reidbench_datasets(): return [Mine]\n"
    )
    dataset = Registry([tmp_path]).get("dataset", "mine")()
    store = open_store(dataset, Numbers().source().frame, size=16, cache=tmp_path / "cache", workers=2)
    assert (store.pixels == 7).all()
