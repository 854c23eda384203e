"""One job with what is needed to work on it: its place, its manifest, its provider."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from pandas_genai.backends.batches import BatchApi, Limits
from pandas_genai.backends.caller import system_sent
from pandas_genai.backends.endpoints import (
    ENDPOINTS,
    NO_KEY,
    VENDOR_URLS,
    Endpoint,
    Endpoints,
    host_of,
    identity_of,
    origin_of,
)
from pandas_genai.backends.registry import backend_named
from pandas_genai.backends.resolve import Question, Resolved
from pandas_genai.batch.folder import JobFolder, JobsFolder
from pandas_genai.batch.manifest import Manifest, Part, unreadable
from pandas_genai.batch.names import custom_prefix
from pandas_genai.batch.stages import Stage
from pandas_genai.clock import Clock
from pandas_genai.costs.prices import Price, Prices, checked_prices, pricer
from pandas_genai.errors import CredentialsError, JobError
from pandas_genai.redaction import public_url
from pandas_genai.settings import confirmed_base_url, load_settings
from pandas_genai.store import configured, file_of, in_folder, is_database
from pandas_genai.task.task import BoundTask

__all__ = ["Connection", "ConnectionOptions", "custom_ids", "key_check", "limits_of"]


_log = logging.getLogger("pandas_genai")


def limits_of(backend: str) -> Limits:
    """Return the limits of a vendor's batches."""
    return backend_named(backend).batches.limits


def key_check(key: str, uid: str, base_url: str) -> str:
    """Return what shows that a key was used with an address, without telling the key.

    Half of a keyed hash. A manifest whose address was changed does not fit its own check.
    """
    known = f"{uid}\n{base_url}".encode()
    return hmac.new(key.encode(), known, hashlib.sha256).hexdigest()[:16]


@dataclass(frozen=True)
class ConnectionOptions:
    """How a job is worked on.

    Parameters
    ----------
    api_key, base_url, client : optional
        Instead of what the settings say.
    clock : Clock
        Time; tests give their own.
    tell : callable
        Says one line to the user; by default, to the log.
    endpoints : Endpoints
        What the process knows of endpoints.
    prices : mapping, optional
        The user's own prices, instead of those that were given with the job.
    keep_replies : bool, default False
        Whether each line of the results is kept in the cache, too.
    """

    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = field(default=None, repr=False)
    client: Any = field(default=None, repr=False)
    clock: Clock = field(default_factory=Clock)
    tell: Callable[[str], None] = _log.info
    endpoints: Endpoints = ENDPOINTS
    prices: Prices | None = None
    keep_replies: bool = False

    def __post_init__(self) -> None:
        checked_prices(self.prices)


class Connection:
    """A job at work; a context manager, which closes the connection to the provider.

    Parameters
    ----------
    folder : JobFolder
        Where it lies.
    options : ConnectionOptions
        How it is worked on.
    """

    def __init__(self, folder: JobFolder, options: ConnectionOptions) -> None:
        self.folder = folder
        self.options = options
        self.clock = options.clock
        self.manifest: Manifest = folder.read_manifest()
        self._api: BatchApi | None = None
        self._close: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._close is not None:
            self._close()
        self._api = self._close = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other kernels from the job meanwhile, and go on from what they left."""
        with self.folder.lock(self.options.tell):
            self.folder.tidy()
            self.manifest = self.folder.read_manifest()
            yield

    @property
    def endpoint(self) -> Endpoint:
        """Where the job was submitted, with the key as far as it is known."""
        return self._resolved().endpoint

    @cached_property
    def task(self) -> BoundTask:
        """What was asked.

        Raises
        ------
        JobError
            If the fields of the manifest are not those of the task that was submitted.
        """
        manifest = self.manifest
        # Version 0.1 knew the host alone: its jobs go on under the hash that they have.
        for address in (identity_of(manifest.base_url), host_of(manifest.base_url)):
            try:
                task = manifest.task(address)
            except Exception as error:  # noqa: BLE001 - a schema can be damaged in any way
                raise unreadable(self.folder.manifest_path, f"schema or params: {error}") from None
            if task.prompt_hash == manifest.prompt_hash:
                return task
        self._check_key(self.endpoint)
        raise unreadable(
            self.folder.manifest_path,
            "prompt, schema, model, backend, base_url or params: not what prompt_hash was made of",
        )

    def system(self) -> str:
        """Return the instructions as they were sent."""
        manifest, task = self.manifest, self.task
        endpoint = Endpoint(task.backend, manifest.base_url)
        first = backend_named(task.backend).first_capabilities
        capabilities = manifest.parts[0].capabilities if manifest.parts else first(task)
        return system_sent(task, capabilities, vendor=endpoint.is_vendor)

    @property
    def prices(self) -> Prices | None:
        """The user's own prices; None for the vendor's."""
        return self.options.prices or self.manifest.prices

    def price(self) -> Price:
        """Return what one of the job's calls is billed by."""
        manifest = self.manifest
        return pricer(
            backend=manifest.backend, base_url=manifest.base_url, batch=True, prices=self.prices
        )

    def save(self) -> None:
        """Write the manifest."""
        self.folder.save(self.manifest)

    def move(self, part: Part, stage: Stage) -> None:
        """Take a part to another stage, as the table allows, and write the manifest.

        What must be on disk before a request goes out is moved before it.

        Raises
        ------
        JobError
            If the table has no such way; nothing is changed.
        """
        part.move(stage)
        self.save()

    @property
    def api(self) -> BatchApi:
        """The provider's batch API.

        Raises
        ------
        CredentialsError
            If there is no key, or none that was used with this address before.
        """
        if self._api is None:
            resolved = self._resolved()
            self._check_key(resolved.endpoint)
            client, ours = resolved.open(1)
            self._close = client.close if ours else None
            kind = backend_named(self.manifest.backend).batches
            self._api = kind(client, resolved.endpoint, self.clock.sleep)
        return self._api

    def _resolved(self) -> Resolved:
        manifest, options = self.manifest, self.options
        url = None if options.client is not None else self._named_url() or manifest.base_url
        return Question(manifest.unbound, url, options.api_key, options.client).resolve()

    def _check_key(self, endpoint: Endpoint) -> None:
        """Keep a key from an address that only the manifest names, even one on this machine."""
        manifest, options = self.manifest, self.options
        has_key = endpoint.api_key not in ("", NO_KEY)
        vendor = origin_of(VENDOR_URLS[manifest.backend])
        if options.client is not None or not has_key or origin_of(manifest.base_url) == vendor:
            return
        if self._named_url() is not None:
            return
        check = key_check(endpoint.api_key, manifest.uid, manifest.base_url)
        if not hmac.compare_digest(check.encode(), str(manifest.key_check).encode()):
            raise CredentialsError(
                f"The job {manifest.name!r} was submitted to {endpoint.shown} with another key "
                "than the one that is set now, or its manifest was changed or is of an older "
                f"version: pass base_url={endpoint.base_url!r} to open_job() to confirm that the "
                "key may be sent there, or api_key= with the key that it was submitted with."
            )

    def _named_url(self) -> str | None:
        """Return the job's address as the call or the settings name it, secrets and all."""
        given = self.options.base_url
        known = public_url(self.manifest.base_url)
        if given is not None and public_url(given.strip()) == known:
            return given
        backend, settings = self.manifest.backend, load_settings()
        try:
            url = confirmed_base_url(settings, backend, self.options.api_key, dict(os.environ))
        except CredentialsError:
            return None
        return url if url is not None and public_url(url) == known else None

    def custom_id(self, part: int, request: int) -> str:
        """Return the id of a request; unique at the provider where ids are all that it keeps."""
        return custom_ids(self.manifest)(part, request)

    def tags(self, part: Part) -> dict[str, str]:
        """Return what is attached to a part's batch, by which it is found again."""
        return {
            "pandas_genai_job": f"{custom_prefix(self.manifest.name)}-{self.manifest.uid}",
            "part": str(part.number),
            "try": str(len(part.rejected) + 1),
            "digest": part.digest,
        }

    def known_batches(self, part: Part) -> set[str]:
        """Return the batches that belong to other parts, of this job or its neighbours."""
        known = set(part.rejected)
        sound, _ = JobsFolder(self.folder.path.parent).jobs()
        for folder, manifest in sound:
            same = folder.manifest_path == self.folder.manifest_path
            for other in (self.manifest if same else manifest).parts:
                if not (same and other.number == part.number):
                    known |= {other.batch_id or "", *other.rejected} - {""}
        return known

    def store_url(self) -> str | None:
        """Return the URL of the store that the job was submitted with."""
        named = self.manifest.cache
        if named is None:
            return None
        url = in_folder(named, self.folder.path)
        path = file_of(url)
        if path is None:
            return configured(url)
        jobs = self.folder.path.parent
        is_beside = os.path.realpath(path.parent) in map(os.path.realpath, (jobs.parent, jobs))
        if not is_beside and not is_database(path):
            raise JobError(
                f"{self.folder.manifest_path} names the cache {path}, which is not there: pass "
                "cache= with the file that the answers belong into. Only beside the jobs a cache "
                "is made because a manifest says so."
            )
        return url


def custom_ids(manifest: Manifest) -> Callable[[int, int], str]:
    """Return the function from the numbers of part and request to the request's id."""
    prefix = custom_prefix(manifest.name)
    if not backend_named(manifest.backend).batches.has_tags:
        prefix = f"{prefix}-{manifest.uid}"
    return lambda part, request: f"{prefix}-{part}-{request}"
