"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidbench.errors import ReidbenchError
from reidbench.files import replacing, write_file, write_json


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_bytes_text_json_and_streams(tmp_path):
    assert write_file(tmp_path / "a", b"\x00\xff\r\n") == tmp_path / "a"
    write_file(tmp_path / "b.txt", "ä\r\n×\n")
    write_json(tmp_path / "c.json", {"a": [1, 2.5, None]})
    write_file(tmp_path / "d.npz", lambda stream: np.savez(stream, x=np.arange(3)))
    write_file(tmp_path / "e", lambda stream: Image.new("L", (3, 2), 7).save(stream, format="PNG"))
    assert (tmp_path / "a").read_bytes() == b"\x00\xff\r\n"
    assert (tmp_path / "b.txt").read_bytes() == "ä\r\n×\n".encode(), "no line ending is translated"
    assert json.loads((tmp_path / "c.json").read_text()) == {"a": [1, 2.5, None]}
    with np.load(tmp_path / "d.npz") as stored:
        assert stored["x"].tolist() == [0, 1, 2]
    assert np.asarray(Image.open(tmp_path / "e")).tolist() == [[7] * 3] * 2
    assert len(everything(tmp_path)) == 5


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_mode_is_that_of_any_new_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_file(tmp_path / "a", "x", durable=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_missing_folders_are_made_or_refused(tmp_path):
    write_file(tmp_path / "one" / "two" / "a", "x")
    assert (tmp_path / "one" / "two" / "a").read_text() == "x"
    with pytest.raises(ReidbenchError, match=r"there/a: cannot write the sheet: No such file or directory$"):
        write_file(tmp_path / "there" / "a", "x", what="the sheet", make_folder=False)
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no"), ReidbenchError("refused")])
def test_an_exception_while_writing_leaves_what_was_there(tmp_path, error):
    write_file(tmp_path / "a", "before")

    def write(stream):
        stream.write(b"half")
        stream.flush()
        raise error

    with pytest.raises(type(error)) as raised:
        write_file(tmp_path / "a", write)
    assert raised.value is error, "only a failure to write is reported as one"
    assert everything(tmp_path) == {"a": b"before"}


def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path):
    write_file(tmp_path / "a", "before")

    def write(stream):
        stream.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ReidbenchError, match=r"a: cannot be written: No space left on device$"):
        write_file(tmp_path / "a", write)
    with pytest.raises(OSError, match="No space left"), replacing(tmp_path / "a") as stream:
        write(stream)
    assert everything(tmp_path) == {"a": b"before"}


def test_a_name_that_no_file_can_have(tmp_path):
    for name in ("o" * 300, "a\0b"):
        with pytest.raises(ReidbenchError, match="cannot be written"):
            write_file(tmp_path / name, "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReidbenchError, match="folder: cannot be written"):
        write_file(tmp_path / "folder", "x")
    with pytest.raises(ReidbenchError, match="cannot be written"):
        write_file(tmp_path / "text", "half a pair: \ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_the_longest_name_a_file_can_have(tmp_path):
    name = "o" * os.pathconf(tmp_path, "PC_NAME_MAX")
    write_file(tmp_path / name, "x")
    assert everything(tmp_path) == {name: b"x"}


def test_a_killed_process_leaves_what_was_there_and_nothing_that_looks_like_a_result(tmp_path):
    write_json(tmp_path / "record.json", 1)
    code = f"""
from pathlib import Path
import time
from reidbench.files import write_file
def write(stream):
    stream.write(b"half of it")
    stream.flush()
    time.sleep(60)
write_file(Path({str(tmp_path / "record.json")!r}), write)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(text == b"half of it" for text in everything(tmp_path).values()):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert b"half of it" in everything(tmp_path).values(), "it was killed in the middle"
    assert list(tmp_path.glob("*.json")) == [tmp_path / "record.json"]
    assert (tmp_path / "record.json").read_text() == "1\n"


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    contents = [bytes([letter]) * 200_000 for letter in b"abcd"]
    started = threading.Barrier(len(contents))

    def write(content):
        def parts(stream):
            for start in range(0, len(content), 1000):
                stream.write(content[start : start + 1000])

        started.wait()
        for _ in range(5):
            write_file(tmp_path / "a", parts)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(everything(tmp_path)) == ["a"]
    assert (tmp_path / "a").read_bytes() in contents
