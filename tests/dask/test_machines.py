"""An SQLite file is shared by processes of one machine alone."""

from types import SimpleNamespace

import pytest

from pandas_genai.dask.machines import Sight, check_sight, check_workers, sight_of
from pandas_genai.errors import UsageError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "c.sqlite"
    path.write_bytes(b"")
    return path


def test_a_process_of_this_machine_sees_the_file(path, client):
    check_sight(path, sight_of(path))
    check_workers(client, path)


def test_another_machine_is_refused(path):
    elsewhere = sight_of(path)._replace(machine="another boot id")
    with pytest.raises(UsageError, match=r"a worker is on another machine: name a PostgreSQL"):
        check_sight(path, elsewhere)


def test_a_container_with_files_of_its_own_is_refused(path, tmp_path):
    here = sight_of(path)
    path.rename(tmp_path / "other")
    for content in (None, b""):  # nothing there, and another file of the same name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match="sees another file under that name, or none"):
            check_sight(path, here)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"machine": "other"}, "is on another machine"), ({"file": None}, "sees another file")],
)
def test_all_workers_are_asked_before_anything_is_sent(path, change, message):
    workers = {"tcp://10.0.0.1:1": sight_of(path), "tcp://10.0.0.2:1": sight_of(path)}
    workers["tcp://10.0.0.2:1"] = workers["tcp://10.0.0.2:1"]._replace(**change)
    answering = SimpleNamespace(
        run=lambda look, at: {name: tuple(s) for name, s in workers.items()}
    )
    with pytest.raises(UsageError, match=rf"the worker tcp://10.0.0.2:1 {message}"):
        check_workers(answering, path)


def test_what_names_a_machine_is_the_same_for_all_its_processes(path, client):
    seen = client.run(sight_of, path)
    assert {Sight(*one) for one in seen.values()} == {sight_of(path)}
