"""A provider that does not forget, and one in a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from pandas_genai.testing import BatchFault, Fault, LoopbackProvider

RULE = "def length(text):\n    return {'length': len(text)}\n"


@pytest.fixture
def provide(length, time, tmp_path):
    def make(**options):
        given = {"wall_clock": time, "batch_seconds": 1000, "folder": tmp_path / "kept"}
        return LoopbackProvider(length, **{**given, **options})

    return make


def test_a_later_provider_goes_on(connect, wire, provide):
    with provide() as provider:
        vendor = connect(wire, provider)
        ended = vendor.submit(vendor.bodies("a", "b"))
        provider.advance(1000)
        before = vendor.results(ended)
        running = vendor.submit(vendor.bodies("c"))
        provider.advance(400)
        batches, files, port = provider.batches, provider.files, provider.port
    with provide(batch_seconds=5) as provider:
        assert provider.port == port
        assert (provider.batches, provider.files) == (batches, files)
        # The same client: its notebook's other kernel has the same URL.
        assert vendor.results(ended) == before
        assert vendor.status(running) == "in_progress"
        provider.advance(600)
        assert vendor.kinds(running) == {"c0": "succeeded"}
        assert provider.ledger.answered == {"c": 1}
        newer = vendor.submit(vendor.bodies("d"))
        assert [batch.id for batch in provider.batches] == [ended, running, newer]
        assert [batch.id for batch in vendor.batches.list()] == [newer, running, ended]
    with provide() as provider:
        provider.advance(5)
        assert vendor.kinds(newer) == {"c0": "succeeded"}
        assert [batch.id for batch in provider.batches] == [ended, running, newer]


def test_what_will_go_wrong_is_kept_too(connect, wire, provide):
    faults = [BatchFault("expire", batches={1}, finished=0)]
    with provide(batch_faults=faults) as provider:
        vendor = connect(wire, provider)
        first = vendor.submit(vendor.bodies("a"))
    with provide(faults=[Fault("forbidden", calls={2})]) as provider:
        second = vendor.submit(vendor.bodies("b"))
        provider.advance(1000)
        assert vendor.kinds(first) == {"c0": "expired"}
        assert vendor.kinds(second) == {"c0": "errored"}


def test_what_is_deleted_stays_deleted(connect, provide):
    with provide() as provider:
        openai, anthropic = connect("openai", provider), connect("anthropic", provider)
        file = openai.upload(b"x")
        batch = anthropic.submit(anthropic.bodies("a"))
        provider.advance(1000)
        openai.client.files.delete(file)
        anthropic.batches.delete(batch)
    with provide() as provider:
        assert (provider.batches, provider.files) == ([], [])


def test_the_folder_holds_plain_files(connect, provide, tmp_path):
    with provide() as provider:
        for wire in ("openai", "anthropic"):
            vendor = connect(wire, provider)
            vendor.submit(vendor.bodies("a"))
        provider.advance(1000)
        vendor.status(provider.batches[1].id)
    files = [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix == ".part"]
    for path in files:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert isinstance(json.loads(line), dict)


def test_what_was_not_written_to_its_end_is_not_there(connect, wire, provide, tmp_path):
    with provide() as provider:
        vendor = connect(wire, provider)
        batch = vendor.submit(vendor.bodies("a"))
    (tmp_path / "kept" / "batches" / "batch_0.json.part").write_text('{"id": ', encoding="utf-8")
    with provide() as provider:
        assert [each.id for each in provider.batches] == [batch]


def test_another_port_may_be_told(provide):
    with provide() as provider:
        first = provider.port
    with socket.create_server(("127.0.0.1", 0)) as free:
        other = free.getsockname()[1]
    with provide(port=other) as provider:
        assert provider.port == other != first
    with provide() as provider:
        assert provider.port == other


def test_a_port_that_is_taken(provide):
    with provide() as provider:
        with pytest.raises(OSError, match=f"Port {provider.port} cannot be opened.*port="):
            provide().start()


def test_nothing_is_kept_without_a_folder(connect, wire, length, clean_place):
    with LoopbackProvider(length) as provider:
        vendor = connect(wire, provider)
        vendor.status(vendor.submit(vendor.bodies("a")))
    assert list(clean_place.iterdir()) == []
    assert LoopbackProvider(length).batches == []


@pytest.fixture
def rule(tmp_path):
    path = tmp_path / "my_rule.py"
    path.write_text(RULE, encoding="utf-8")
    return f"{path}:length"


def test_in_a_process_of_its_own(connect, wire, rule, tmp_path):
    options = {
        "batch_seconds": 3600,
        "folder": str(tmp_path / "kept"),
        "batch_faults": [BatchFault("expire", batches={2}, finished=0.5)],
        "faults": [Fault("forbidden", path="DELETE /v1/files")],
    }
    with LoopbackProvider.in_process(rule, **options) as provider:
        vendor = connect(wire, provider)
        batches = [vendor.submit(vendor.bodies("a", "b")) for _ in range(2)]
        assert {batch.status for batch in provider.batches} <= {"validating", "in_progress"}
        provider.advance(3600)
        assert set(vendor.kinds(batches[0]).values()) == {"succeeded"}
        assert sorted(vendor.kinds(batches[1]).values()) == ["expired", "succeeded"]
        with pytest.raises(ValueError, match="goes forward"):
            provider.advance(-1)
        files = provider.files
    assert [batch.id for batch in provider.batches] == batches
    assert [batch.custom_ids for batch in provider.batches] == [["c0", "c1"]] * 2
    assert provider.batches[0].texts == ["a", "b"]
    assert provider.files == files
    assert len(files) == (5 if wire == "openai" else 0)
    assert provider.ledger.rows == 3


def test_the_command_takes_the_options(rule, tmp_path):
    command = [sys.executable, "-m", "pandas_genai.testing", "--rule", rule]
    command += ["--option", "batch_seconds=3600", "--option", f'folder="{tmp_path / "kept"}"']
    command += ["--batch-fault", '{"kind": "expire", "batches": [1]}']
    ports = set()
    for _ in range(2):
        done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
        assert done.stderr == ""
        ports.add(json.loads(done.stdout)["anthropic_url"])
    assert len(ports) == 1
