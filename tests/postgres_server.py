"""A PostgreSQL server for tests, in a folder of its own, that may be killed and started again."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
USER, PASSWORD, DATABASE = "writer", "p@ss/w:rd%41", "answers"
_QUOTED = "p%40ss%2Fw%3Ard%2541"
_START_S = 60.0


def binaries():
    """Return the folder of the server's programs, the newest ones; None where there are none."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    for pattern in PLACES:
        places += sorted(Path("/").glob(pattern.removeprefix("/")), reverse=True)
    return next((place for place in places if (place / "initdb").exists()), None)


def _account():
    """Return who runs the server: it refuses to be run by root."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("no account but root to run a PostgreSQL server")


class PostgresServer:
    """A server on loopback; fsync is on, as where answers count.

    Parameters
    ----------
    programs : Path
        Where ``initdb`` and ``postgres`` lie.
    """

    def __init__(self, programs):
        self._programs = programs
        self._account = _account()
        self._folder = Path(tempfile.mkdtemp(prefix="genai-postgres-"))
        self._data = self._folder / "data"
        self._process = None
        if self._account is not None:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        secret = self._folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "scram-sha-256", "--no-sync",
                  "--no-locale", "-E", "UTF8", f"--pwfile={secret}")  # fmt: skip
        settings = {
            "listen_addresses": "'127.0.0.1'",
            "port": self.port,
            "unix_socket_directories": "''",
            "max_connections": 200,
            "shared_buffers": "'32MB'",
            "fsync": "on",
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        self.start()
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")

    def _options(self):
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _run(self, program, *arguments):
        command = [str(self._programs / program), *map(str, arguments)]
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env=environment,
            **self._options(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def url(self, schema=None, *, password=True, port=None):
        """Return the URL of the database."""
        secret = f":{_QUOTED}" if password else ""
        which = f"?schema={schema}" if schema else ""
        return f"postgresql://{USER}{secret}@127.0.0.1:{port or self.port}/{DATABASE}{which}"

    def connect(self, database=DATABASE):
        """Return a connection of the tests' own, which commits each statement."""
        import psycopg

        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            dbname=database,
            autocommit=True,
        )

    def start(self):
        """Start, and wait until it answers."""
        import psycopg

        deadline = time.monotonic() + _START_S
        self._process = self._started()
        while True:
            try:
                self.connect("postgres").close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "log").read_text()[-2_000:]) from None
                time.sleep(0.05)
                if self._process.poll() is not None:
                    # One that was killed may hold its shared memory for another moment.
                    self._process = self._started()
            else:
                return

    def _started(self):
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"LC_ALL": "C"},
                start_new_session=True,
                **self._options(),
            )

    def kill(self):
        """Kill every process of it at once, as a power cut would."""
        self._process.send_signal(signal.SIGSTOP)  # it starts no more of them
        found = subprocess.run(["pgrep", "-P", str(self._process.pid)], check=False, stdout=-1)
        for pid in (self._process.pid, *map(int, found.stdout.split())):
            os.kill(pid, signal.SIGKILL)
        self._process.wait(30)

    def restart(self):
        """Stop it, ending all sessions, and start it again."""
        self.stop()
        self.start()

    def stop(self):
        """Stop it, ending all sessions."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def close(self):
        """Stop it and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_schema(self):
        """Return the name of a schema that nobody has."""
        return f"t_{secrets.token_hex(6)}"

    def drop(self, schema):
        """Remove a schema with all that is in it."""
        with self.connect() as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
