"""A cache in an object store, by a real S3 server: what is made is found from another machine, and damage is found."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

import pytest
from object_store import ObjectStore

from reidbench import ReidbenchError, remote
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.sources.phantom import Phantom
from reidbench.files import cache_folder
from reidbench.progress import Silent
from reidbench.steps.cache import CachedStep, StepCache

EXAMPLE = Path(__file__).parents[1] / "third_party" / "example"


@pytest.fixture(scope="module")
def server():
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'reidbench[remote]'")
    pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[s3,server]'")
    made = ObjectStore()
    yield made
    made.end()


@pytest.fixture
def store(server, monkeypatch, tmp_path):
    """An empty cache on the server, and this machine's own copy, which is empty."""
    server.another()
    uses(server, monkeypatch)
    monkeypatch.setenv("REIDBENCH_LOCAL_CACHE", str(tmp_path / "here"))
    return server


def uses(server: ObjectStore, monkeypatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    as_another_process()


def objects(store: ObjectStore) -> dict[str, bytes]:
    """What the cache has, by name."""
    client, place = remote._client(os.getpid(), store.address)
    return {name.removeprefix(f"{place}/"): client.cat_file(name) for name in client.find(place)}


# Closing a client waits for its thread; those of earlier tests stay open until the end.
CLIENTS = []


def as_another_process() -> None:
    CLIENTS.append(remote._client)
    remote._client = lru_cache(maxsize=None)(remote._client.__wrapped__)
    remote._require.cache_clear()


def there(monkeypatch, tmp_path: Path) -> StepCache:
    """As another machine: with a copy of its own, empty before the first call."""
    monkeypatch.setenv("REIDBENCH_LOCAL_CACHE", str(tmp_path / "there"))
    return StepCache(cache_folder() / "steps")


def makes(text: str, made: list[str] | None = None):
    def make(folder: Path) -> None:
        if made is not None:
            made.append(text)
        (folder / "below").mkdir(exist_ok=True)
        (folder / "below" / "result.txt").write_text(text)
        (folder / "other.bin").write_bytes(bytes(1000))

    return make


def never(folder: Path) -> None:
    raise AssertionError("a finished step was made again")


def damaged(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


def test_a_step_is_found_from_another_machine_with_its_files_and_time(store, monkeypatch, tmp_path):
    first = StepCache(cache_folder() / "steps").run("kind", {"a": 1}, makes("x"))
    other = there(monkeypatch, tmp_path)
    step = CachedStep(other, "kind", {"a": 1}, lambda folder, progress: never(folder))
    assert step.done()
    assert not (tmp_path / "there").exists() or not list((tmp_path / "there").rglob("result.txt")), "fetched too early"
    found = step.read()
    assert (found.path / "below" / "result.txt").read_text() == "x"
    assert (found.path / "other.bin").read_bytes() == bytes(1000)
    assert found.seconds == first.seconds
    assert found.path != first.path
    assert not other.run("kind", {"a": 1}, never).fresh
    assert not CachedStep(other, "kind", {"a": 2}, lambda folder, progress: never(folder)).done()
    # No folder is named after the address.
    assert not (Path.cwd() / "s3:").exists()


def test_damage_here_is_mended_from_the_store(store):
    said: list[str] = []
    step = StepCache(cache_folder() / "steps").run("kind", {"a": 1}, makes("x"))
    (step.path / "below" / "result.txt").write_text("yy")
    found = StepCache(cache_folder() / "steps", said.append).run("kind", {"a": 1}, never)
    assert (found.path / "below" / "result.txt").read_text() == "x"
    assert said == []


@pytest.mark.parametrize("how", ["changed", "removed", "record", "leads out"])
def test_damage_in_the_store_is_found_and_mended(store, monkeypatch, tmp_path, how):
    step = StepCache(cache_folder() / "steps").run("kind", {"a": 1}, makes("x"))
    place = remote.Remote(f"{store.address}/steps/kind/{step.digest}")
    record = json.loads(place.read("step.json"))
    content = record["files"]["below/result.txt"]["sha256"]
    if how == "changed":
        place.write(content, damaged(b"x"))
    elif how == "removed":
        client, folder = remote._client(os.getpid(), place.address)
        client.rm_file(f"{folder}/{content}")
    elif how == "record":
        place.write("step.json", b"{")
    else:
        record["files"]["../../../stolen"] = record["files"].pop("below/result.txt")
        place.write("step.json", json.dumps(record).encode())
    said: list[str] = []
    other = StepCache(there(monkeypatch, tmp_path).root, said.append)
    made: list[str] = []
    again = CachedStep(other, "kind", {"a": 1}, lambda folder, progress: makes("x", made)(folder)).read()
    assert made == ["x"]
    assert (again.path / "below" / "result.txt").read_text() == "x"
    assert len(said) == 1
    assert "is damaged in the object store" in said[0]
    assert not list(tmp_path.rglob("stolen"))
    # What was made again is what the next machine finds.
    monkeypatch.setenv("REIDBENCH_LOCAL_CACHE", str(tmp_path / "third"))
    found = StepCache(cache_folder() / "steps").run("kind", {"a": 1}, never)
    assert (found.path / "below" / "result.txt").read_text() == "x"


def test_two_machines_that_make_one_step_do_not_mix_their_files(store, monkeypatch, tmp_path):
    here = StepCache(cache_folder() / "steps")

    def meanwhile(folder: Path) -> None:
        with monkeypatch.context() as inner:
            there(inner, tmp_path).run("kind", {"a": 1}, makes("by the other"))
        makes("by the first")(folder)

    here.run("kind", {"a": 1}, meanwhile)
    monkeypatch.setenv("REIDBENCH_LOCAL_CACHE", str(tmp_path / "third"))
    found = StepCache(cache_folder() / "steps").run("kind", {"a": 1}, never)
    assert (found.path / "below" / "result.txt").read_text() == "by the first"


def test_a_store_that_goes_away_costs_no_work(store, monkeypatch, tmp_path):
    cache = StepCache(cache_folder() / "steps")

    def make(folder: Path) -> None:
        makes("x")(folder)
        store.end()

    try:
        with pytest.raises(ReidbenchError, match=r"=s3://cache/\d+/steps cannot be written to: ") as told:
            cache.run("kind", {"a": 1}, make)
    finally:
        store.start()
    assert "\n" not in str(told.value)
    # The server comes back empty: the step that was made is all that there is.
    uses(store, monkeypatch)
    assert not StepCache(cache.root).run("kind", {"a": 1}, never).fresh
    assert not there(monkeypatch, tmp_path).run("kind", {"a": 1}, never).fresh


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"REIDBENCH_CACHE": "s3://no-such-bucket/reidbench"},
            "cannot be written to: The specified bucket does not exist",
        ),
        ({"AWS_SECRET_ACCESS_KEY": "another-secret"}, "cannot be read: Forbidden"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "cannot be read: Unable to locate credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be read: Could not connect to the endpoint URL"),
        ({"REIDBENCH_CACHE": "nonsense://bucket/reidbench"}, "Protocol not known: nonsense"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_before_any_work(store, monkeypatch, tmp_path, changed, told):
    for name, value in changed.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    as_another_process()
    with pytest.raises(ReidbenchError) as error:
        load_cohort(Phantom(patients=10), size=16, cache=cache_folder())
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert not list((tmp_path / "here").rglob("*.npy"))


@pytest.mark.parametrize(
    "address", ["s3://KEY:SECRET@bucket/cache", "abfs://box?account_key=SECRET", "sftp://a:SECRET@b"]
)
def test_an_address_holds_no_credentials(monkeypatch, address):
    monkeypatch.setenv("REIDBENCH_CACHE", address)
    with pytest.raises(ReidbenchError, match="the address contains credentials") as told:
        cache_folder()
    assert "SECRET" not in str(told.value)


def test_pixels_are_fetched_and_damage_of_them_is_found(store, monkeypatch, tmp_path):
    dataset, said = Phantom(patients=10), []

    class Says(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    first = load_cohort(dataset, size=16, cache=cache_folder())
    monkeypatch.setenv("REIDBENCH_LOCAL_CACHE", str(tmp_path / "there"))
    with monkeypatch.context() as inner:
        inner.setattr("reidbench.cohorts.pixels.store._Build.run", lambda *_: pytest.fail("decoded again"))
        again = load_cohort(dataset, size=16, cache=cache_folder(), progress=Says())
    assert again.revision == first.revision
    assert list((tmp_path / "there").rglob("pixels.npy"))
    ((name, pixels),) = [one for one in objects(store).items() if len(one[1]) > 10_000]
    remote.Remote(store.address).write(name, damaged(pixels))
    monkeypatch.setenv("REIDBENCH_LOCAL_CACHE", str(tmp_path / "third"))
    mended = load_cohort(dataset, size=16, cache=cache_folder(), progress=Says())
    assert mended.revision == first.revision
    assert [line for line in said if "in the object store is damaged (pixels.npy was changed)" in line]


@pytest.mark.slow
def test_a_run_leaves_its_steps_to_another_machine(store, forked_command, monkeypatch, tmp_path):
    words = (
        *("run", "--defense=example_fade", "--dataset=example_stripes", "--attacker=example_pixels", "--size=32"),
        *(f"--plugins-dir={EXAMPLE}", "--set=bootstrap_runs=20", "--rung=ignorant", "--quiet", "--json"),
    )

    def run(name: str):
        monkeypatch.setenv("REIDBENCH_LOCAL_CACHE", str(tmp_path / name))
        forked_command(*words, f"--out={tmp_path / f'runs-{name}'}", cwd=tmp_path, cache=store.address)
        return {path.name: json.loads(path.read_text()) for path in (tmp_path / f"runs-{name}").glob("*.json")}

    first = run("one")
    stored = objects(store)
    assert any(name.startswith("steps/vectors/") for name in stored)
    assert any(name.startswith("pixels/") for name in stored)
    second = run("two")
    assert objects(store) == stored, "a step was made again"
    assert first.keys() == second.keys()
    for name, record in first.items():
        assert {**record, "created": 0, "timings": 0, "command": ""} == {
            **second[name],
            "created": 0,
            "timings": 0,
            "command": "",
        }
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert not [path for path in kept if store.secret.encode() in path.read_bytes()]
    assert not [name for name, content in stored.items() if store.secret.encode() in content]
