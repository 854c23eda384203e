"""Settings: read from the environment or a ``.env`` file when they are used, never at import."""

from __future__ import annotations

from pathlib import Path

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pandas_genai.errors import CredentialsError, UsageError

__all__ = [
    "CHUNK_SIZE",
    "DEFAULT_MODELS",
    "LOCAL_MODEL",
    "Default",
    "Settings",
    "confirmed_base_url",
    "load_settings",
    "whole_number",
]

DEFAULT_MODELS = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
"""The model where neither the call nor the settings name one."""


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
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name}= must be a whole number of at least 1, not {value!r}.")
    return value


def _named(name: str) -> AliasChoices:
    return AliasChoices(name, f"pandas_genai_{name}")


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

    Notes
    -----
    The last four are also read with the prefix ``PANDAS_GENAI_``. The environment comes before
    the ``.env`` file.

    Examples
    --------
    >>> Settings(openai_api_key="sk-secret").openai_api_key
    SecretStr('**********')
    """

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    openai_api_key: SecretStr | None = None
    anthropic_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    anthropic_base_url: str | None = None
    default_model: str | None = Field(None, validation_alias=_named("default_model"))
    default_backend: str = Field("openai", validation_alias=_named("default_backend"))
    max_workers: int = Field(20, ge=1, validation_alias=_named("max_workers"))
    chunk_size: int = Field(5, ge=1, validation_alias=_named("chunk_size"))

    def api_key(self, backend: str) -> str | None:
        """Return the key of a backend in clear, or None."""
        secret = self.openai_api_key if backend == "openai" else self.anthropic_api_key
        return secret.get_secret_value() if secret else None

    def base_url(self, backend: str) -> str | None:
        """Return the base URL that is set for a backend, or None."""
        return self.openai_base_url if backend == "openai" else self.anthropic_base_url


def load_settings() -> Settings:
    """Read the settings now.

    Raises
    ------
    UsageError
        If a variable has a value that cannot be used; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        name = str(problem["loc"][0]).upper()
        raise UsageError(
            f"The setting {name} cannot be used: {problem['msg']}. Change it in the environment "
            "or in .env."
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The file .env in {Path.cwd()} is not UTF-8 text ({error.reason}): save it as UTF-8."
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
    in_file = {name.upper(): value for name, value in dotenv_values(".env").items()}
    key = api_key or settings.api_key(backend)
    if key is None or key == in_file.get(key_variable):
        return url
    raise CredentialsError(
        f"{variable} comes from the .env file in this directory, the key does not: pass "
        f"base_url={url!r} to confirm that the key may be sent there, or put both into .env."
    )
