"""The table of stages: complete, and the only way for code to move a part."""

from __future__ import annotations

import ast
import itertools
import json
import typing
from pathlib import Path

import pytest

import pandas_genai
from pandas_genai import JobError
from pandas_genai.batch import stages
from pandas_genai.batch.connection import Connection, ConnectionOptions
from pandas_genai.batch.manifest import Part
from pandas_genai.batch.stages import FIRST, STAGES, Stage, job_stage

PACKAGE = Path(pandas_genai.__file__).parent


def reachable(first):
    found, new = set(), {first}
    while new:
        found |= new
        new = {after for stage in new for after in STAGES[stage].leads_to} - found
    return found


def test_every_stage_is_in_the_table_and_every_next_stage_too():
    assert set(STAGES) == set(typing.get_args(Stage))
    for stage, row in STAGES.items():
        assert set(row.leads_to) <= set(STAGES)
        assert stage not in row.leads_to
        assert len(set(row.leads_to)) == len(row.leads_to)


def test_every_stage_is_reached_and_from_each_a_part_can_finish():
    assert reachable(FIRST) == set(STAGES)
    for stage in STAGES:
        assert any(STAGES[last].finished for last in reachable(stage))


def test_a_stage_without_an_action_is_the_end():
    ends = {stage for stage, row in STAGES.items() if not row.leads_to}
    assert ends == {stage for stage, row in STAGES.items() if row.action == "none"} == {"cached"}
    actions = {row.action for row in STAGES.values()}
    assert actions == set(typing.get_args(stages.Action))


def test_a_batch_is_never_created_but_from_creating_or_by_looking_again():
    before = {stage for stage, row in STAGES.items() if "created" in row.leads_to}
    assert before == {"creating", "ended"}  # of ``ended``: the next candidate of one request
    # Once a batch may exist, no way leads back to where a batch is certainly none, but by the
    # provider's word: it refused, or found nothing.
    assert {stage for stage, row in STAGES.items() if "uploaded" in row.leads_to} == {
        "written",
        "uploading",
        "creating",
        "waiting",
    }


def test_sets_of_stages_are_those_that_manifests_and_reports_go_by():
    assert {"written", "uploading", "uploaded", "creating"} == stages.UNSENT
    assert {"written", "uploading", "uploaded", "waiting"} == stages.NO_BATCH
    assert {"ended", "stored", "cached", "lost"} == stages.ENDED
    assert {"stored", "cached", "lost"} == stages.STORED
    assert {stage for stage, row in STAGES.items() if row.finished} == {"cached", "lost"}
    assert {stage for stage, row in STAGES.items() if row.names_batch} == {
        "created",
        "ended",
        "lost",
    }


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (set(), "collected"),
        ({"cached", "lost"}, "collected"),
        ({"cached", "stored"}, "ended"),
        ({"ended", "created"}, "in progress"),
        ({"created", "waiting"}, "waiting for quota"),
        ({"waiting", "creating", "cached"}, "submitting"),
    ],
)
def test_a_job_is_as_far_as_its_least_advanced_part(parts, expected):
    assert job_stage(frozenset(parts)) == expected


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STAGES, STAGES)))
def test_a_part_moves_as_the_table_says_and_in_no_other_way(before, after):
    part = Part(1, stage=before)
    if before == after or after in STAGES[before].leads_to:
        part.move(after)
        assert part.stage == after
    else:
        with pytest.raises(JobError, match=f"from stage '{before}' to '{after}'"):
            part.move(after)
        assert part.stage == before


def test_a_refused_move_leaves_the_manifest_as_it_was(night, frame_of):
    with night(batch_seconds=3600) as kernel:
        folder = kernel.submit(frame_of(3)).folder
        manifest = folder.path / "job.json"
        before = manifest.read_bytes()
        with Connection(folder, ConnectionOptions()) as connection, connection.locked():
            part = connection.manifest.parts[0]
            with pytest.raises(JobError):
                connection.move(part, "stored")
            assert manifest.read_bytes() == before
            connection.move(part, "ended")
        assert folder.read_manifest().parts[0].stage == "ended"


def test_no_code_sets_a_stage_but_the_move():
    """Read off the syntax trees: ``.stage`` is assigned in ``Part.move`` alone."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            targets = []
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
                targets = [node.target]
            names = [
                one
                for target in targets
                for one in ast.walk(target)
                if isinstance(one, ast.Attribute) and one.attr == "stage"
            ]
            calls_setter = (
                isinstance(node, ast.Call)
                and getattr(node.func, "id", getattr(node.func, "attr", "")) == "setattr"
                and any(isinstance(one, ast.Constant) and one.value == "stage" for one in node.args)
            )
            found += [path.stem] * (len(names) + calls_setter)
    assert found == ["manifest"]


def test_no_code_keeps_a_set_of_stages_of_its_own():
    words = set(typing.get_args(Stage))
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name == "stages.py" or "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Set, ast.Tuple, ast.List)):
                values = {one.value for one in node.elts if isinstance(one, ast.Constant)}
                if len(values) > 1 and values <= words:
                    found.append(f"{path.name}:{node.lineno}")
    assert found == []


def test_the_manifest_is_at_its_stage_before_each_request(night, frame_of, backend, tmp_path):
    """Whoever finds the manifest at that moment knows what the provider may have."""
    seen = []

    def hook(moment, what):
        if moment == "arrived" and what.startswith("POST"):
            manifest = tmp_path / "genai_batches" / "night" / "job.json"
            parts = json.loads(manifest.read_text(encoding="utf-8"))["parts"]
            seen.append((what, [part["stage"] for part in parts]))

    with night(on_request=hook) as kernel:
        assert kernel.submit(frame_of(4)).collect()["answer"].notna().all()
    expected = {
        "openai": [("POST /v1/files", ["uploading"]), ("POST /v1/batches", ["creating"])],
        "anthropic": [("POST /v1/messages/batches", ["creating"])],
    }
    assert seen == expected[backend]
