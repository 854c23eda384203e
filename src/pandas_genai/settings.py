"""Settings: read from the environment or a ``.env`` file when they are used, never at import."""

from __future__ import annotations

import functools
import io
import os
import re
import stat
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from pandas_genai.errors import CredentialsError, UsageError
from pandas_genai.redaction import public_url

__all__ = [
    "CHUNK_SIZE",
    "LOCAL_MODEL",
    "Default",
    "Settings",
    "checked_key",
    "confirmed_base_url",
    "load_settings",
    "read_dotenv",
    "whole_number",
]

LOCAL_MODEL = "qwen2.5-coder-0.5b-instruct-q4_k_m"
"""The embedded model, as a task names it: other weights are another task."""


class Default(int):
    """A number in a signature that stands for "nobody chose": the settings may replace it."""


CHUNK_SIZE: int = Default(5)
"""Rows a call, where neither the call nor the settings say."""


def whole_number(name: str, value: object) -> int:
    """Check an argument that counts something.

    Raises
    ------
    UsageError
        If it is no whole number of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < 1:
        raise UsageError(f"{name}= must be a whole number of at least 1, not {value!r}.")
    return int(value)


def _named(name: str) -> AliasChoices:
    return AliasChoices(name, f"pandas_genai_{name}")


_LONGEST_S = 7 * 86_400.0
"""A longer time would not be a limit, and overflows the operating system's clocks."""

_DOTENV = ".env"
_MOST_DOTENV_BYTES = 1 << 20
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_UNFILLED = re.compile(r"\$\{[^}]*\}")


def read_dotenv() -> dict[str, str]:
    """Read the ``.env`` file of the working directory; no file is an empty one.

    ``${NAME}`` in it stays as it is: filled in, it would carry keys of the environment to an
    address that whoever wrote the file chose.

    Raises
    ------
    UsageError
        If it cannot be read, is no plain file or no UTF-8 text.
    """
    place = f"The file .env in {Path.cwd()}"
    try:
        # Opening a pipe without a writer would wait for one for ever.
        descriptor = os.open(_DOTENV, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):  # a virtual environment is often called so
                return {}
            if not stat.S_ISREG(mode):
                raise UsageError(f"{place} is no plain file: move it away.")
            with os.fdopen(os.dup(descriptor), "rb") as file:
                raw = file.read(_MOST_DOTENV_BYTES + 1)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if Path(_DOTENV).is_dir():  # which Windows does not open
            return {}
        raise UsageError(f"{place} cannot be read ({error.strerror}).") from None
    if len(raw) > _MOST_DOTENV_BYTES:
        raise UsageError(f"{place} is larger than a megabyte: it cannot be meant as settings.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{place} is not UTF-8 text ({error.reason}): save it as UTF-8.") from None
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value}


def checked_key(key: object, where: str) -> str:
    r"""Return a key without the white space around it; empty where it is empty.

    Parameters
    ----------
    key : object
        As it was given.
    where : str
        Where it comes from, for the message, which never shows it.

    Raises
    ------
    CredentialsError
        If it cannot be sent as a key.

    Examples
    --------
    >>> checked_key("sk-1\n", "api_key=")
    'sk-1'
    """
    if isinstance(key, SecretStr):
        key = key.get_secret_value()
    if not isinstance(key, str):
        raise CredentialsError(f"{where} must be a str, not {type(key).__name__}.")
    found = key.strip()
    if _UNFILLED.fullmatch(found):
        raise CredentialsError(
            f"{where} names a variable that is not filled in: write the key itself. (In .env, "
            "${NAME} reads no variable of the environment.)"
        )
    if found and not _HEADER_VALUE.fullmatch(found):
        raise CredentialsError(
            f"{where} is no key: it holds characters that cannot be sent, such as line breaks, "
            "curly quotes or letters with accents. Copy it again from the provider's page."
        )
    return found


class _EnvFile(EnvSettingsSource):
    """The ``.env`` file as a source of settings."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in read_dotenv().items()}


class Settings(BaseSettings):
    """What the environment, or a ``.env`` file in the working directory, says.

    Attributes
    ----------
    openai_api_key, anthropic_api_key : SecretStr, optional
        ``OPENAI_API_KEY``, ``ANTHROPIC_API_KEY``. Never shown by ``repr``.
    openai_base_url, anthropic_base_url : str, optional
        ``OPENAI_BASE_URL``, ``ANTHROPIC_BASE_URL``: what the vendor's SDK understands by them.
    default_model : str, optional
        ``DEFAULT_MODEL``; otherwise the backend's (``gpt-6-luna``, ``claude-haiku-5-5``).
    default_backend : str
        ``DEFAULT_BACKEND``, ``"openai"`` unless set.
    max_workers, chunk_size : int
        ``MAX_WORKERS`` (20) and ``CHUNK_SIZE`` (5).
    request_timeout, file_timeout : float
        ``PANDAS_GENAI_REQUEST_TIMEOUT`` (600) and ``PANDAS_GENAI_FILE_TIMEOUT`` (7,200): seconds
        that one request may take in all, and one that carries or fetches a batch's file.
    max_reply_bytes, max_file_bytes : int
        ``PANDAS_GENAI_MAX_REPLY_BYTES`` (32 MB) and ``PANDAS_GENAI_MAX_FILE_BYTES`` (16 GB): the
        most that one reply may have, unpacked, and the file of a batch's results.
    context_window : int, optional
        ``PANDAS_GENAI_CONTEXT_WINDOW``: tokens of the context window of models at an address that
        is not the vendor's own.

    Notes
    -----
    ``DEFAULT_MODEL``, ``DEFAULT_BACKEND``, ``MAX_WORKERS`` and ``CHUNK_SIZE`` are also read with
    the prefix ``PANDAS_GENAI_``. The environment comes before the ``.env`` file, in which
    ``${NAME}`` is not filled in. A backend that is registered under another name has its
    ``<NAME>_API_KEY`` and ``<NAME>_BASE_URL``, too.

    Examples
    --------
    >>> Settings(openai_api_key="sk-secret").openai_api_key
    SecretStr('**********')
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", populate_by_name=True)

    openai_api_key: SecretStr | None = None
    anthropic_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    anthropic_base_url: str | None = None
    default_model: str | None = Field(None, validation_alias=_named("default_model"))
    default_backend: str = Field("openai", validation_alias=_named("default_backend"))
    max_workers: int = Field(20, ge=1, validation_alias=_named("max_workers"))
    chunk_size: int = Field(5, ge=1, validation_alias=_named("chunk_size"))
    request_timeout: float = Field(
        600.0, gt=0, le=_LONGEST_S, validation_alias="pandas_genai_request_timeout"
    )
    file_timeout: float = Field(
        7_200.0, gt=0, le=_LONGEST_S, validation_alias="pandas_genai_file_timeout"
    )
    max_reply_bytes: int = Field(32_000_000, ge=1, validation_alias="pandas_genai_max_reply_bytes")
    max_file_bytes: int = Field(
        16_000_000_000, ge=1, validation_alias="pandas_genai_max_file_bytes"
    )
    context_window: int | None = Field(None, ge=1, validation_alias="pandas_genai_context_window")

    @field_validator("openai_api_key", "anthropic_api_key", mode="before")
    @classmethod
    def _stripped_key(cls, value: Any) -> Any:
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        return (value.strip() or None) if isinstance(value, str) else value

    @field_validator("openai_base_url", "anthropic_base_url")
    @classmethod
    def _stripped_url(cls, value: str | None) -> str | None:
        return (value.strip() or None) if value else None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put ``.env``, as we read it, after the environment."""
        own = _EnvFile(settings_cls)
        return init_settings, env_settings, own, dotenv_settings, file_secret_settings

    def api_key(self, backend: str) -> str | None:
        """Return the key of a backend in clear, or None."""
        field = f"{backend}_api_key"
        if field not in type(self).model_fields:
            return _variable(field)
        secret: SecretStr | None = getattr(self, field)
        return secret.get_secret_value() if secret else None

    def base_url(self, backend: str) -> str | None:
        """Return the base URL that is set for a backend, or None."""
        field = f"{backend}_base_url"
        if field not in type(self).model_fields:
            return _variable(field)
        found: str | None = getattr(self, field)
        return found


def _variable(name: str) -> str | None:
    """Return a variable of a backend that has no field here: of the environment, or of ``.env``."""
    for place in (os.environ, read_dotenv()):
        values = {key.lower(): value.strip() for key, value in place.items()}
        if values.get(name):
            return values[name]
    return None


def load_settings() -> Settings:
    """Read the settings now.

    A run asks for them several times, and checking them takes longer than asking a small server:
    they are checked again where the environment or ``.env`` says something else than before.

    Raises
    ------
    UsageError
        If a variable has a value that cannot be used; the message names it.
    """
    return _checked(frozenset(os.environ.items()), frozenset(read_dotenv().items()))


@functools.lru_cache(maxsize=1)
def _checked(*_said: frozenset[tuple[str, str]]) -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = str(problem["loc"][0]).upper()
        raise UsageError(
            f"The setting {name} cannot be used: {problem['msg']}. Change it in the environment "
            "or in .env."
        ) from None


def confirmed_base_url(
    settings: Settings, backend: str, api_key: str | None, environ: dict[str, str]
) -> str | None:
    """Return the base URL of the settings, if the key may be sent there.

    A ``.env`` file that somebody put into the working directory must not receive a key from
    elsewhere: its base URL is used only with a key from the same file.

    Parameters
    ----------
    settings : Settings
        As loaded.
    backend : str
        Whose variables count.
    api_key : str, optional
        The key that the call gave, if it gave one.
    environ : dict
        The process's environment.

    Raises
    ------
    CredentialsError
        If the base URL comes from ``.env`` and the key does not.
    """
    url = settings.base_url(backend)
    variable, key_variable = f"{backend.upper()}_BASE_URL", f"{backend.upper()}_API_KEY"
    in_environment = {name.upper() for name, value in environ.items() if value}
    if url is None or variable in in_environment:
        return url
    in_file = {name.upper(): value.strip() for name, value in read_dotenv().items()}
    key = (api_key or "").strip() or settings.api_key(backend)
    if key is None or key == in_file.get(key_variable):
        return url
    raise CredentialsError(
        f"{variable} comes from the .env file in this directory, the key does not: pass "
        f"base_url={public_url(url)!r} to confirm that the key may be sent there, or put "
        "both into .env."
    )
