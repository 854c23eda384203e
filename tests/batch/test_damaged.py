"""A job's files damaged in every way: right values or a sentence, no second batch."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pandas_genai
from pandas_genai import JobError, UsageError
from pandas_genai.errors import GenaiError
from pandas_genai.testing import LoopbackProvider

ROWS = 6
MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
STAGES = ("submitted", "collected")

some = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1, 7, 2**53, 2**63, 10**30, -0.0, 1.5, 1e18, 1e308])
    | st.sampled_from(["", "x", "\x1b[2J", "../../../x", "/", "\x00", "cached", "created", "1"])
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
) | st.just(json.loads("[" * 60 + "]" * 60))


def places_of(value, path=()):
    """Every place in a JSON value."""
    yield path
    pairs = enumerate(value) if isinstance(value, list) else ()
    for step, inner in value.items() if isinstance(value, dict) else pairs:
        yield from places_of(inner, (*path, step))


@st.composite
def edited(draw, good):
    """JSON with another value, or none, in one place."""
    value = json.loads(json.dumps(good))
    *before, last = draw(st.sampled_from([path for path in places_of(value) if path]))
    inner = value
    for step in before:
        inner = inner[step]
    if draw(st.booleans()):
        inner[last] = draw(VALUES)
    else:
        del inner[last]
    return json.dumps(value).encode()


@st.composite
def mutated(draw, good):
    """Bytes with some of them changed, cut or added."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "add", "drop"]))
        if kind == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[at:]
        elif kind == "add":
            data[at:at] = draw(st.binary(min_size=1, max_size=5))
        else:
            del data[at : at + draw(st.integers(1, 30))]
    return bytes(data)


class Kept:
    """A provider, and jobs in each stage that are copied for every try."""

    def __init__(self, provider, backend, place):
        self.provider = provider
        self.options = {
            "backend": backend,
            "model": MODELS[backend],
            "base_url": provider.openai_url if backend == "openai" else provider.anthropic_url,
            "api_key": "sk-test-key-0123456789",
            "chunk_size": 2,
        }
        self.key = self.options["api_key"]
        self.place = place
        self.frame = pd.DataFrame({"text": [f"row {n}" for n in range(ROWS)]})
        for stage in STAGES:
            (place / stage).mkdir()
            with self.within(place / stage):
                job = self.frame.genai.batch_submit(
                    "Echo.", {"answer": str}, name="n", **self.options
                )
                if stage == "collected":
                    job.collect()
        self.batches = len(provider.batches)

    @contextmanager
    def within(self, place):
        before = Path.cwd()
        os.chdir(place)
        try:
            yield
        finally:
            os.chdir(before)

    @contextmanager
    def copy(self, stage):
        with tempfile.TemporaryDirectory(dir=self.place) as fresh:
            place = Path(fresh) / "project"
            shutil.copytree(self.place / stage, place)
            with self.within(place), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield place / "genai_batches" / "n"
            assert sorted(path.name for path in Path(fresh).iterdir()) == ["project"]

    def check(self, folder):
        """Whatever was done to the job: sentences or right values, and nothing else is touched."""
        listed = pandas_genai.jobs()
        if "reason" in listed:
            reason = listed.loc["n", "reason"]
            assert str(folder) in reason
        live = pd.DataFrame({"text": ["other"]}).genai.extract(
            "Another task.", {"answer": str}, progress=False, cache=False, **self.options
        )
        assert live["answer"].tolist() == ["other"]
        said = []
        for act in (self._status, self._collect, self._submit):
            try:
                act()
            except GenaiError as error:
                said.append(str(error))
        assert all(line.strip() and len(line) < 3_000 for line in said)
        assert len(self.provider.batches) == self.batches

    def _open(self):
        return pandas_genai.open_job("n", api_key=self.key)

    def _status(self):
        assert str(self._open().status())

    def _collect(self):
        job = self._open()
        out = job.collect()
        assert len(out) == ROWS
        assert ((out["answer"] == self.frame["text"]) | out["answer"].isna()).all()
        assert job.report.rows == ROWS

    def _submit(self):
        """The same cell again: it goes on with the job, or says that it cannot be read."""
        self.frame.genai.batch_submit("Echo.", {"answer": str}, **self.options)


@pytest.fixture(scope="module", params=["openai", "anthropic"])
def kept(request, tmp_path_factory):
    with LoopbackProvider(lambda text: {"answer": text}) as provider:
        yield Kept(provider, request.param, tmp_path_factory.mktemp("kept").resolve())


@pytest.mark.parametrize("stage", STAGES)
@some
@given(data=st.data())
def test_any_value_in_any_field_of_the_manifest(kept, stage, data):
    with kept.copy(stage) as folder:
        manifest = folder / "job.json"
        manifest.write_bytes(data.draw(edited(json.loads(manifest.read_bytes()))))
        kept.check(folder)


@pytest.mark.parametrize("stage", STAGES)
@some
@given(data=st.data())
def test_any_bytes_in_any_file_of_the_job(kept, stage, data):
    with kept.copy(stage) as folder:
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and "result" not in path.name
        )
        path = data.draw(st.sampled_from(files))
        path.write_bytes(data.draw(mutated(path.read_bytes())))
        kept.check(folder)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", ["job.json", "rows.jsonl", "state/keys_1.jsonl"])
@pytest.mark.parametrize("harm", [Path.unlink, pipe, directory])
def test_a_file_that_is_gone_or_is_none(kept, stage, name, harm):
    with kept.copy(stage) as folder:
        harm(folder / name)
        kept.check(folder)
        if (folder / "job.json").exists():
            row = pandas_genai.jobs().loc["n"]
            assert row["stage"] == "damaged"
            assert str(folder / name) in row["reason"]


DAMAGED = {
    "created": (None, "created"),
    "format": ([], "format"),
    "uid": ("../../x", "uid"),
    "params": ([], "params"),
    "parts": ({}, "parts"),
    "base_url": ("file:///etc/passwd", "base_url"),
    "index_dtypes": ([], "index_dtypes"),
    "sent": (5, "sent"),
}


@pytest.mark.parametrize("field", sorted(DAMAGED))
def test_the_error_names_file_and_field(kept, field):
    value, named = DAMAGED[field]
    with kept.copy("submitted") as folder:
        manifest = folder / "job.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_bytes()), field: value}))
        with pytest.raises(JobError, match=rf"job\.json cannot be read \({named}: .*restore it"):
            pandas_genai.open_job("n").status()
        assert repr(pandas_genai.open_job("n")).startswith("Job 'n': damaged.")


def test_a_field_of_a_part_is_named(kept):
    with kept.copy("submitted") as folder:
        manifest = folder / "job.json"
        said = json.loads(manifest.read_bytes())
        for field, value in {
            "stage": "written",
            "answered": -1,
            "batch_id": 7,
            "number": 2,
        }.items():
            part = {**said["parts"][0], field: value}
            manifest.write_text(json.dumps({**said, "parts": [part]}))
            with pytest.raises(JobError, match=r"job\.json cannot be read \(parts"):
                pandas_genai.open_job("n").collect()


def test_other_jobs_are_listed_and_collected_beside_a_damaged_one(kept):
    with kept.copy("collected") as folder:
        shutil.copytree(folder, folder.with_name("other"))
        (folder / "job.json").write_text("[" * 100_000)
        listed = pandas_genai.jobs()
        assert listed["stage"].to_dict() == {"other": "collected", "n": "damaged"}
        out = kept.frame.genai.batch_collect()
        assert out["answer"].tolist() == kept.frame["text"].tolist()


@pytest.mark.parametrize("scheme", ["", "sqlite:///"])
@pytest.mark.parametrize("path", ["../../../x", "/tmp/nowhere/x", "../../../../../x"])
def test_a_handle_makes_no_file_outside(kept, scheme, path):
    with kept.copy("submitted") as folder:
        manifest = folder / "job.json"
        manifest.write_text(
            json.dumps({**json.loads(manifest.read_bytes()), "cache": scheme + path})
        )
        with pytest.raises(JobError, match="pass cache="):
            pandas_genai.open_job("n", api_key=kept.key).collect()
        out = kept.frame.genai.batch_collect("n", cache="mine.sqlite")
        assert out["answer"].tolist() == kept.frame["text"].tolist()


@pytest.mark.parametrize(
    "name", ["README.md", "readme.MD", "genai_cache.sqlite", "NUL", "a/b", "..", "x\ud800", 7]
)
def test_a_name_that_no_job_can_have(kept, name):
    with kept.copy("submitted"), pytest.raises(UsageError, match="job's name"):
        kept.frame.genai.batch_submit("Echo.", {"answer": str}, name=name, **kept.options)


def test_what_the_user_has_in_the_folder_stays_as_it_is(kept):
    with kept.copy("submitted") as folder:
        Path("mine").mkdir()
        for name in (".README.md.swp", ".README.md.abcdefgh", "data.csv", ".lock", "night"):
            Path("mine", name).write_text(name)
        kept.frame.genai.batch_submit(
            "New.", {"answer": str}, folder="mine", name="j", **kept.options
        )
        kept.batches += 1
        names = {path.name for path in Path("mine").iterdir()}
        assert names - {"genai_batches.lock"} == {
            ".README.md.swp", ".README.md.abcdefgh", "data.csv", ".lock", "night", "j",
        }  # fmt: skip
        assert Path("mine", ".lock").read_text() == ".lock"
        assert Path("mine", "j", ".gitignore").read_text() == "*\n"
        Path("mine", "taken").mkdir()
        Path("mine", "taken", "notes.txt").write_text("x")
        for name in ("night", "taken"):
            with pytest.raises(UsageError, match="choose another name"):
                kept.frame.genai.batch_submit(
                    "Newer.", {"answer": str}, folder="mine", name=name, **kept.options
                )
        assert len(kept.provider.batches) == kept.batches
        (folder / ".job.json.swp").write_text("an editor's")
        pandas_genai.open_job("n", api_key=kept.key).status()
        assert (folder / ".job.json.swp").exists()
