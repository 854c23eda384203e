"""A cache file on a network file system is refused, with the reason and what to do."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandas_genai.errors import CacheError
from pandas_genai.store import SqliteCache
from pandas_genai.store.sqlite.network import (
    Mount,
    _of_mount,
    _of_mountinfo,
    mounts,
    refuse_network,
)

LOCAL = ("ext4", "xfs", "btrfs", "zfs", "apfs", "overlay", "tmpfs", "fuse.ntfs-3g", "fuseblk")
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "lustre", "fuse.glusterfs", "ceph")
MOUNTINFO = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 27 0:50 / /srv rw,relatime shared:9 master:2 - nfs4 server:/export/srv rw,vers=4.2
41 40 0:51 / /srv/me/a\\040local\\040disk rw,relatime - xfs /dev/vdb rw
42 27 0:52 / /mnt/data rw,relatime - ext4 /dev/vdc rw
43 42 0:53 / /mnt/data rw,relatime - fuse.sshfs me@host:/data rw,user_id=0
broken
"""


@pytest.mark.parametrize("kind", REMOTE)
def test_a_file_on_a_network_file_system_is_refused(tmp_path, kind):
    path = tmp_path / "c.sqlite"
    with pytest.raises(CacheError) as caught:
        refuse_network(path, [Mount("/", "ext4"), Mount(str(tmp_path), kind)])
    said = str(caught.value)
    for part in (str(path), kind, str(tmp_path), "corrupts", "local disk", "postgresql://"):
        assert part in said
    assert said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize("kind", LOCAL)
def test_a_file_on_a_local_disk_is_taken(tmp_path, kind):
    refuse_network(tmp_path / "c.sqlite", [Mount("/", "nfs"), Mount(str(tmp_path), kind)])


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("/srv/me/c.sqlite", True),
        ("/srv/me/a local disk/c.sqlite", False),
        ("/srv/me/a local disk of mine/c.sqlite", True),
        ("/srvs/c.sqlite", False),
        ("/mnt/data/c.sqlite", True),  # what is mounted last is above
        ("/c.sqlite", False),
    ],
)
def test_the_innermost_mount_counts_and_of_several_the_last(path, refused):
    table = _of_mountinfo(MOUNTINFO)
    assert len(table) == 6
    if refused:
        with pytest.raises(CacheError, match="network file system"):
            refuse_network(Path(path), table)
    else:
        refuse_network(Path(path), table)


def test_a_link_is_followed(tmp_path):
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    (near / "c.sqlite").symlink_to(far / "c.sqlite")
    with pytest.raises(CacheError, match="nfs"):
        refuse_network(near / "c.sqlite", [Mount("/", "ext4"), Mount(str(far), "nfs")])


def test_what_macos_prints_is_read():
    said = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "//me@nas._smb._tcp.local/study on /Volumes/my study (smbfs, nodev, nosuid)\n"
        "map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)\n"
    )
    table = _of_mount(said)
    assert [mount.kind for mount in table] == ["apfs", "smbfs", "autofs"]
    refuse_network(Path("/Users/me/c.sqlite"), table)
    with pytest.raises(CacheError, match="smbfs"):
        refuse_network(Path("/Volumes/my study/c.sqlite"), table)


@given(st.text(max_size=300))
def test_no_line_of_the_kernel_is_an_error(text):
    _of_mountinfo(text)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts of Linux")
def test_this_machine_is_asked_when_a_file_is_opened(tmp_path):
    table = mounts(str(tmp_path))
    assert any(mount.place == "/" for mount in table)
    SqliteCache(tmp_path / "c.sqlite").close()
