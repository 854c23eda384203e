"""Where a PostgreSQL store is, without its password; and which servers this process may ask."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from pandas_genai.errors import UsageError
from pandas_genai.redaction import MARK, redactor

__all__ = ["SCHEMA", "Address", "configured", "parsed", "private", "public", "remembered"]

SCHEMA = "pandas_genai"
"""The schema of the tables, where ``?schema=`` names no other."""

_PORT = "5432"
_QUERY = frozenset(
    {"host", "hostaddr", "port", "user", "password", "dbname", "schema", "application_name"}
    | {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "sslnegotiation"}
    | {"channel_binding", "require_auth", "gssencmode", "krbsrvname", "connect_timeout"}
    | {"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}
    | {"tcp_user_timeout", "target_session_attrs", "load_balance_hosts"}
)
"""What may stand behind the question mark: libpq's parameters, and our ``schema``."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_FORM = "postgresql://user@host:5432/database?schema=name"


@dataclass(frozen=True)
class Address:
    """A database, the schema of a store in it, and how it is reached.

    Parameters
    ----------
    host, port, dbname, user : str
        As libpq takes them; empty where its own defaults count (``PGHOST`` and so on). Several
        hosts are separated by commas, as are their ports.
    schema : str
        Of the store's tables.
    password : str
        Never shown; empty where libpq finds it itself (``PGPASSWORD``, ``~/.pgpass``).
    options : mapping
        Further parameters of libpq.
    """

    host: str = ""
    port: str = ""
    dbname: str = ""
    user: str = ""
    schema: str = SCHEMA
    password: str = field(default="", repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def public(self) -> str:
        """The URL without the password, as manifests have it."""
        return self._url({} if self.schema == SCHEMA else {"schema": self.schema})

    @property
    def private(self) -> str:
        """The URL with password and options, for another process of the same user."""
        secret = {"password": self.password} if self.password else {}
        return self._url({"schema": self.schema, **secret, **self.options})

    def _url(self, query: Mapping[str, str]) -> str:
        user = f"{quote(self.user, safe='')}@" if self.user else ""
        which = f"?{urlencode(query, quote_via=quote)}" if query else ""
        return f"postgresql://{user}{self._hosts()}/{quote(self.dbname, safe='')}{which}"

    def _hosts(self) -> str:
        hosts, ports = self.host.split(","), self.port.split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        return ",".join(
            (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
            for host, port in zip(hosts, ports, strict=True)
        )

    @property
    def server(self) -> tuple[str, ...]:
        """Which servers are meant, as host and port, with what the environment says."""
        hosts = (self.host or os.environ.get("PGHOST", "")).lower().split(",")
        ports = (self.port or os.environ.get("PGPORT", "") or _PORT).split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        address = self.options.get("hostaddr", os.environ.get("PGHOSTADDR", ""))
        return (
            address,
            *(f"{host}:{port or _PORT}" for host, port in zip(hosts, ports, strict=True)),
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """What libpq connects with, the password included."""
        given = {
            name: getattr(self, name) for name in ("host", "port", "dbname", "user", "password")
        }
        return {**self.options, **{name: value for name, value in given.items() if value}}

    def redacted(self, text: str) -> str:
        """Return a message of libpq without the password."""
        secrets = {self.password, os.environ.get("PGPASSWORD", "")} - {""}
        for secret in secrets:
            for form in {secret, quote(secret, safe="")}:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MARK, text)
        return redactor(frozenset(secrets)).text(text)


def parsed(url: str) -> Address:
    """Read the URL of a store.

    Nothing of it is quoted in an error: where a URL is not well-formed, any part of it may be
    part of a password.

    Parameters
    ----------
    url : str
        ``postgresql://user:password@host:port/database?schema=name``, percent-encoded.

    Raises
    ------
    UsageError
        If it is not well-formed, or has parameters that are not read here.
    """
    rest, _, query = url.partition("://")[2].partition("?")
    authority, _, path = rest.partition("/")
    info, _, hosts = authority.rpartition("@")
    if "@" in path or "#" in rest or "/" in path:
        raise _malformed("a password or name with / ? # or @ in it must be percent-encoded")
    user, _, password = info.partition(":")
    host, port = _hosts_and_ports(hosts)
    found = {
        "host": host,
        "port": port,
        "dbname": unquote(path),
        "user": unquote(user),
        "password": unquote(password),
        **_parameters(query),
    }
    if found["port"].strip("0123456789,"):
        raise _malformed("the port must be a number; a password must be percent-encoded")
    if found["host"].count(",") < found["port"].count(","):
        raise _malformed("it has more ports than hosts")
    schema = found.get("schema", SCHEMA)
    if not _NAME.fullmatch(schema) or schema.lower().startswith("pg_"):
        raise _malformed("the schema must be a name of letters, digits and _ (at most 63)")
    plain = {name: found.pop(name) for name in ("host", "port", "dbname", "user", "password")}
    found.pop("schema", None)
    return Address(**plain, schema=schema, options=found)


def _malformed(why: str) -> UsageError:
    return UsageError(f"The URL in cache= cannot be read: {why}. Write {_FORM}.")


def _hosts_and_ports(text: str) -> tuple[str, str]:
    hosts, ports = [], []
    for one in text.split(","):
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]]*))(?::(\d*))?", one)
        if found is None:
            raise _malformed(
                "host and port are not well-formed; a password must be percent-encoded"
            )
        hosts.append(found[1] or unquote(found[2] or ""))
        ports.append(found[3] or "")
    joined = ",".join(ports)
    return ",".join(hosts), joined if joined.strip(",") else ""


def _parameters(query: str) -> dict[str, str]:
    found = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
    for name in ("service", "servicefile", "passfile", "options"):
        if name in found:
            raise UsageError(
                f"The URL in cache= has the parameter {name}=, which is not read here: write host, "
                "port, database and user into the URL, and the password into PGPASSWORD or "
                "~/.pgpass."
            )
    if not found.keys() <= _QUERY or (query and not found):
        known = ", ".join(sorted(_QUERY - {"password"}))
        raise _malformed(f"behind the ? may stand {known}")
    return found


_lock = threading.Lock()
_known: list[Address] = []
"""What the user has named in this process, the latest first."""


def public(url: str) -> str:
    """Return a URL without its password, for messages and manifests."""
    return parsed(url).public


def private(url: str) -> str:
    """Return a URL with the password that this process knows for it."""
    return remembered(url).private


def remembered(url: str) -> Address:
    """Read a URL that the user has given, and remember it for as long as the process lives.

    Where it has no password, that of a URL of the same server and user is taken, with its options
    such as ``sslmode``: of an earlier ``cache=``, or of ``PANDAS_GENAI_CACHE``.
    """
    address = parsed(url)
    if not address.password and not address.options:
        for one in _named_here():
            if (one.server, one.user) == (address.server, address.user):
                address = replace(address, password=one.password, options=one.options)
                break
    with _lock:
        if address in _known:
            _known.remove(address)
        _known.insert(0, address)
    return address


def configured(url: str) -> str:
    """Return the URL of a store that a manifest names, where the user has named its server.

    A manifest may come from somebody else. What it names never decides where a password goes:
    the server must stand in a ``cache=`` of this process, in ``PANDAS_GENAI_CACHE`` or in
    ``PGHOST``, and the user is the one that was given there.

    Parameters
    ----------
    url : str
        Without a password.

    Raises
    ------
    UsageError
        If the user has not named the server.
    """
    address = replace(parsed(url), password="", options={})
    if not address.host:  # wherever this machine's own settings lead
        return address.public
    for one in _named_here():
        if one.server == address.server:
            return replace(address, user=one.user or address.user).public
    raise UsageError(
        f"The job's manifest names the store {address.public}, whose server was not named in "
        "this session, and no password is sent to it because a file says so. If it is yours, pass "
        "cache= with its URL, or set PANDAS_GENAI_CACHE or PGHOST in the environment."
    )


def _named_here() -> Iterator[Address]:
    with _lock:
        known = list(_known)
    yield from known
    setting = os.environ.get("PANDAS_GENAI_CACHE", "")
    if setting.lower().startswith(("postgresql://", "postgres://")):
        yield parsed(setting)
    if os.environ.get("PGHOST"):
        yield Address(user=os.environ.get("PGUSER", ""))
