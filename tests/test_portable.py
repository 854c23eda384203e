"""Nothing that only one system has lies on a user's path: most users have Windows or macOS.

No test here can run there, so this one reads syntax trees. It takes a name as guarded where the
code around it asks for it first: ``hasattr``, ``getattr``, ``os.name`` or ``sys.platform``.
"""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "pandas_genai"
MODULES = {
    "crypt", "curses", "fcntl", "grp", "msvcrt", "nis", "posix", "pty", "pwd", "readline",
    "resource", "spwd", "syslog", "termios", "tty", "winreg", "winsound",
}  # fmt: skip
# What Windows lacks. Of signals it has SIGINT, SIGTERM, SIGABRT, SIGFPE, SIGILL, SIGSEGV, SIGBREAK.
NAMES = {
    "os": {
        "O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "WNOHANG",
        "chown", "chroot", "ctermid", "fchdir", "fchmod", "fchown", "fdatasync", "fork", "forkpty",
        "getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getuid",
        "killpg", "lchown", "lockf", "mkfifo", "mknod", "nice", "openpty", "posix_fadvise",
        "posix_fallocate", "posix_spawn", "pread", "pwrite", "register_at_fork",
        "sched_getaffinity", "sendfile", "setegid", "seteuid", "setgid", "setpgid", "setsid",
        "setuid", "startfile", "statvfs", "sync", "sysconf", "uname", "wait", "wait3",
        "wait4",
    },
    "signal": {
        "SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP",
        "SIGTSTP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGXFSZ", "alarm", "pause", "pthread_kill",
        "pthread_sigmask", "setitimer", "siginterrupt", "sigwait",
    },
    "socket": {"AF_UNIX", "AF_NETLINK", "SO_REUSEPORT", "fromfd", "socketpair"},
    "select": {"epoll", "kqueue", "poll"},
    "time": {"tzset", "clock_gettime"},
}  # fmt: skip
# os.kill ends a process on Windows whatever the signal, 0 too.
CALLS = {("os", "kill")}
KEYWORDS = {"preexec_fn", "start_new_session", "process_group", "pass_fds"}
PLACES = r"/(?:tmp|dev|proc|etc|usr)\b\S*"


def asks_first(test):
    words = ast.unparse(test)
    return any(word in words for word in ("hasattr", "os.name", "sys.platform", "find_spec"))


def one_system_only(tree):
    """Yield the line and the name of everything that only one system has and no code asks for."""

    def visit(node, guarded):
        if isinstance(node, ast.If | ast.IfExp) and asks_first(node.test):
            guarded = True
        inside = guarded
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)
            # ``if os.name == "nt": return`` guards what follows it.
            if isinstance(child, ast.If) and asks_first(child.test):
                inside |= isinstance(child.body[-1], ast.Return | ast.Raise)
        if not guarded:
            yield from found(node)

    def found(node):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            yield from ((node.lineno, name) for name in names & MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            owner = node.module.split(".")[0]
            if owner in MODULES:
                yield node.lineno, owner
            for alias in node.names:
                if alias.name in NAMES.get(node.module, ()) or (node.module, alias.name) in CALLS:
                    yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = node.value.id
            if node.attr in NAMES.get(owner, ()) or (owner, node.attr) in CALLS:
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.keyword) and node.arg in KEYWORDS:
            yield node.value.lineno, f"{node.arg}="
        elif isinstance(node, ast.Constant) and re.fullmatch(PLACES, str(node.value)):
            yield node.lineno, node.value

    return sorted(visit(tree, guarded=False))


def test_nothing_that_one_system_lacks_is_on_a_users_path():
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {what}"
        for path in PACKAGE.rglob("*.py")
        for line, what in one_system_only(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import fcntl", ["fcntl"]),
        ("from resource import getrlimit", ["resource"]),
        ("from os import fork", ["os.fork"]),
        ("import os\nos.kill(1, 0)", ["os.kill"]),
        ("import os\nx = os.O_DIRECTORY", ["os.O_DIRECTORY"]),
        ("import signal\nsignal.signal(signal.SIGHUP, f)", ["signal.SIGHUP"]),
        ("subprocess.run(x, start_new_session=True)", ["start_new_session="]),
        ("open('/tmp/x')", ["/tmp/x"]),
        ("import os\nif hasattr(os, 'fork'):\n    os.fork()", []),
        ("import os\nx = getattr(os, 'O_NONBLOCK', 0)", []),
        ("def f():\n    if os.name == 'nt':\n        return\n    os.sync()", []),
        ("def f():\n    if os.name == 'nt':\n        pass\n    os.sync()", ["os.sync"]),
        ("import signal\nsignal.signal(signal.SIGINT, f)", []),
    ],
)
def test_what_one_system_lacks_would_be_found(code, what):
    assert [name for _, name in one_system_only(ast.parse(code))] == what


def test_every_text_file_is_opened_with_its_encoding():
    """Windows takes another one where none is named."""
    bare = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            named = {word.arg for word in node.keywords}
            if called in {"read_text", "write_text"} and "encoding" not in named and not node.args:
                bare.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert not bare
