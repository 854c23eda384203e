"""atomic_write: whole or not at all."""

import stat

import pytest

from pandas_genai.files import atomic_write


@pytest.mark.parametrize(("data", "content"), [(b"\x00\xff", b"\x00\xff"), ("ü\n", b"\xc3\xbc\n")])
def test_writes_bytes_and_text(tmp_path, data, content):
    path = tmp_path / "file"
    atomic_write(path, data)
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_replaces_content_and_permissions(tmp_path):
    path = tmp_path / "file"
    path.write_text("old and longer")
    atomic_write(str(path), "new", mode=0o644)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_follows_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    atomic_write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_failure_leaves_nothing_beside(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="folder"):
        atomic_write(folder, "x")
    assert list(tmp_path.iterdir()) == [folder]
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "missing" / "file", "x")


def test_a_long_name_is_no_problem(tmp_path):
    path = tmp_path / ("n" * 250)
    atomic_write(path, "x")
    assert path.read_text() == "x"
