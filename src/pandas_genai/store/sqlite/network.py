"""Network file systems, on which SQLite's files are corrupted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pandas_genai.errors import CacheError

__all__ = ["Mount", "mounts", "refuse_network"]

_NETWORK = frozenset(
    {"afpfs", "afs", "auristorfs", "beegfs", "ceph", "cifs", "davfs", "glusterfs"}
    | {"gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "panfs", "pvfs2", "smb2", "smb3"}
    | {"smbfs", "webdav", "wekafs", "remote drive"}
)
_NETWORK_FUSE = frozenset(
    {"blobfuse", "blobfuse2", "ceph", "ceph-fuse", "cifs", "curlftpfs", "davfs", "gcsfuse"}
    | {"glusterfs", "goofys", "gvfsd-fuse", "juicefs", "mfs", "mount-s3", "mountpoint-s3"}
    | {"rclone", "s3fs", "smbnetfs", "sshfs"}
)
_REMOTE = 4  # of GetDriveTypeW
_MOUNT_S = 5.0


class Mount(NamedTuple):
    """Where a file system is mounted, and its kind."""

    place: str
    kind: str


def refuse_network(path: Path, table: Iterable[Mount] | None = None) -> None:
    """Refuse a cache file on a network file system.

    Parameters
    ----------
    path : Path
        The file, there or not.
    table : iterable of Mount, optional
        What is mounted where, later ones above earlier ones; by default this machine's.

    Raises
    ------
    CacheError
        If other machines may write to the file as well.
    """
    real = os.path.realpath(path)
    found = Mount("", "")
    for mount in mounts(real) if table is None else table:
        if _holds(mount.place, real) and len(mount.place) >= len(found.place):
            found = mount
    kind = found.kind.lower()
    if kind in _NETWORK or kind.removeprefix("fuse.") in _NETWORK_FUSE:
        raise CacheError(
            f"The cache file {path} is on a network file system ({found.kind}, at {found.place}), "
            "on which SQLite's locks do not hold: a second machine or a lost connection corrupts "
            "it. Give cache= a path on a local disk (a file that is there already may be copied "
            "there), or share answers through PostgreSQL: cache='postgresql://user@host/database'."
        )


def _holds(place: str, real: str) -> bool:
    return real == place or real.startswith(place.rstrip(os.sep) + os.sep)


def mounts(real: str) -> list[Mount]:
    """Return the file systems of this machine, as far as it tells: no more than a path needs."""
    if sys.platform == "win32":
        import ctypes

        root = Path(real).anchor
        remote = ctypes.windll.kernel32.GetDriveTypeW(root) == _REMOTE
        return [Mount(root, "remote drive")] if remote else []
    if sys.platform == "darwin":
        try:
            listed = subprocess.run(
                ["/sbin/mount"], capture_output=True, text=True, check=False, timeout=_MOUNT_S
            )
        except (OSError, subprocess.SubprocessError):
            return []
        return _of_mount(listed.stdout)
    try:
        text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return _of_mountinfo(text)


def _of_mountinfo(text: str) -> list[Mount]:
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.partition(" ")[0]
        if len(fields) > 4:
            place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
            found.append(Mount(place, kind))
    return found


def _of_mount(text: str) -> list[Mount]:
    """Read what ``mount`` prints: ``//me@host/share on /Volumes/share (smbfs, nodev)``."""
    return [Mount(*one) for one in re.findall(r" on (.+) \((\w+)", text)]
