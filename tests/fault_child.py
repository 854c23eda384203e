"""Asks once, in a process of its own: ``python fault_child.py ARGUMENTS``, as ``Child`` starts it.

The process may be killed, have little disk or live in another time. It checks what it has got, and
its last line says it.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
from fault_cases import ask, check, rows_of

WRONG_TIME = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

/* Seconds that the wall clock is wrong: the first eight bytes of a file that a test writes. */
static long shift(void) {
    static volatile long *seconds;
    if (!seconds) {
        int file = open(getenv("WRONG_TIME"), O_RDONLY);
        seconds = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    }
    return *seconds;
}

int clock_gettime(clockid_t which, struct timespec *found) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(which, found);
    if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE) found->tv_sec += shift();
    return code;
}

int gettimeofday(struct timeval *restrict found, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int code = real(found, zone);
    found->tv_sec += shift();
    return code;
}

time_t time(time_t *found) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (found) *found = now.tv_sec;
    return now.tv_sec;
}
"""
"""A library that goes before C's own: all of a process that asks for the time gets a wrong one."""

SMALL_DISK = """
mount -t tmpfs -o size="$1" tmpfs disk && cd disk && shift || exit 90
"$@"; code=$?
cp -a . ..
exit $code
"""
"""Runs a command on a disk of so many bytes that nobody else sees; keeps what lies there."""


class Child:
    """A process that asks, in the current folder.

    Parameters
    ----------
    where : str
        As for ``ask``, and so are ``given``.
    seed, rows : int
        Of ``rows_of``.
    file_bytes : int, optional
        How large a file it may write.
    disk_bytes : int, optional
        How large the disk is on which it works; what lies there comes into the folder at the end.
    wrong_time : tuple of Path, optional
        The library made of ``WRONG_TIME``, and the file that says how wrong.
    """

    def __init__(
        self, where, seed, rows, given, *, file_bytes=None, disk_bytes=None, wrong_time=None
    ):
        arguments = {"where": where, "seed": seed, "rows": rows, "given": given}
        arguments["file_bytes"] = file_bytes
        command = [sys.executable, __file__, json.dumps(arguments)]
        environment = {name: value for name, value in os.environ.items() if "COV" not in name}
        if disk_bytes is not None:
            Path("disk").mkdir(exist_ok=True)
            shell = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK]
            command = [*shell, "sh", str(disk_bytes), *command]
        if wrong_time is not None:
            environment |= {"LD_PRELOAD": str(wrong_time[0]), "WRONG_TIME": str(wrong_time[1])}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def kill(self):
        """Kill it, at whatever it is."""
        self._process.send_signal(signal.SIGKILL)

    def ended(self, timeout=200):
        """Wait for its end; return what it said, or None where it was killed."""
        try:
            out, err = self._process.communicate(timeout=timeout)
        finally:
            self.kill()
        if self._process.returncode == -signal.SIGKILL:
            return None
        assert self._process.returncode == 0, err
        return json.loads(out.splitlines()[-1])


def main():
    """Ask, check, and say how many rows were answered, or the error."""
    arguments = json.loads(sys.argv[1])
    frame = rows_of(arguments["seed"], arguments["rows"])
    if arguments["file_bytes"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (arguments["file_bytes"],) * 2)
    warnings.simplefilter("ignore")
    found = ask(arguments["where"], frame, arguments["given"])
    if isinstance(found, pd.DataFrame):
        check(found, frame, arguments["given"]["cache"])
        errors = found.genai.errors
        said = {"answered": int(found["sum"].notna().sum()), "error": ""}
        said["reasons"] = sorted({*errors["reason"], *errors["message"]})
    else:
        said = {"answered": None, "error": f"{type(found).__name__}: {found}", "reasons": []}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
