"""Settings: read when used, and a key never sent where it was not meant to go."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest

from pandas_genai import CredentialsError, Settings, UsageError
from pandas_genai.backends.resolve import Question
from pandas_genai.settings import load_settings
from pandas_genai.task.task import Task
from pandas_genai.testing import LoopbackProvider

KEY = "sk-proj-very-secret-0123456789"


def resolved(**given):
    where = {name: given.pop(name) for name in ("base_url", "api_key", "client") if name in given}
    return Question(Task("p", ["a", "b"], **given), **where).resolve()


def test_defaults():
    settings = Settings()
    assert (settings.max_workers, settings.chunk_size) == (20, 5)
    assert settings.default_backend == "openai"
    assert settings.openai_api_key is None


def test_the_environment_is_read_when_it_is_used(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("PANDAS_GENAI_CHUNK_SIZE", "9")
    monkeypatch.setenv("DEFAULT_MODEL", "gpt-5.4-mini")
    assert load_settings().chunk_size == 9
    assert resolved().task.model == "gpt-5.4-mini"
    assert resolved().endpoint.api_key == KEY
    assert KEY not in repr(load_settings()) + repr(resolved()) + repr(
        Question(Task("p"), api_key=KEY)
    )


def test_what_says_the_same_is_checked_once_and_a_change_is_seen(monkeypatch):
    first = load_settings()
    assert load_settings() is first
    Path(".env").write_text("CHUNK_SIZE=7")
    assert load_settings().chunk_size == 7
    monkeypatch.setenv("CHUNK_SIZE", "8")
    assert load_settings().chunk_size == 8
    monkeypatch.delenv("CHUNK_SIZE")
    Path(".env").unlink()
    assert load_settings() == first


def test_a_bad_variable_names_itself_and_does_not_break_the_import(monkeypatch):
    monkeypatch.setenv("MAX_WORKERS", "many")
    with pytest.raises(UsageError, match="MAX_WORKERS"):
        load_settings()


def test_a_dotenv_that_is_no_text():
    Path(".env").write_bytes(b"OPENAI_API_KEY=\xff\xfe")
    with pytest.raises(UsageError, match=r"\.env"):
        load_settings()


@pytest.mark.parametrize(
    ("given", "model", "backend"),
    [
        ({}, "gpt-6-luna", "openai"),
        ({"backend": "anthropic"}, "claude-haiku-5-5", "anthropic"),
        ({"model": "claude-sonnet-5-5"}, "claude-sonnet-5-5", "anthropic"),
        ({"model": "claude-x", "base_url": "https://router.example/v1"}, "claude-x", "openai"),
        ({"model": "m", "backend": "anthropic"}, "m", "anthropic"),
    ],
)
def test_model_and_backend_that_are_left_out(given, model, backend):
    found = resolved(**given)
    assert (found.task.model, found.endpoint.backend) == (model, backend)


def test_the_default_backend_can_be_set(monkeypatch):
    monkeypatch.setenv("DEFAULT_BACKEND", "anthropic")
    assert resolved().task.model == "claude-haiku-5-5"
    monkeypatch.setenv("DEFAULT_BACKEND", "mistral")
    with pytest.raises(UsageError, match="'mistral' is unknown"):
        resolved()


def test_no_key_names_the_variable_the_file_and_the_local_model():
    with pytest.raises(CredentialsError) as caught:
        resolved().open(1)
    for part in ("OPENAI_API_KEY", ".env", "model='local'"):
        assert part in str(caught.value)
    with pytest.raises(CredentialsError, match="ANTHROPIC_API_KEY"):
        resolved(backend="anthropic").open(1)


def test_no_key_says_so_where_the_other_vendors_is_there(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with pytest.raises(CredentialsError, match="backend='anthropic'"):
        resolved().open(1)


def test_a_server_of_your_own_needs_no_key():
    assert resolved(base_url="http://localhost:11434/v1").endpoint.api_key == "no-key"


@pytest.mark.parametrize(
    ("environment", "dotenv", "given", "allowed"),
    [
        ({}, "OPENAI_BASE_URL=https://x.example/v1\nOPENAI_API_KEY=k1", {}, True),
        ({"OPENAI_API_KEY": KEY}, "OPENAI_BASE_URL=https://x.example/v1", {}, False),
        ({}, "OPENAI_BASE_URL=https://x.example/v1", {"api_key": KEY}, False),
        (
            {"OPENAI_API_KEY": KEY},
            "OPENAI_BASE_URL=https://x.example/v1\nOPENAI_API_KEY=k1",
            {},
            False,
        ),
        (
            {"OPENAI_API_KEY": KEY},
            "OPENAI_BASE_URL=https://x.example/v1",
            {"base_url": "https://x.example/v1"},
            True,
        ),
        ({"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "https://x.example/v1"}, "", {}, True),
        ({}, "OPENAI_BASE_URL=https://x.example/v1", {}, True),
        (
            {"ANTHROPIC_API_KEY": KEY},
            "ANTHROPIC_BASE_URL=https://x.example",
            {"backend": "anthropic"},
            False,
        ),
    ],
)
def test_a_base_url_from_dotenv_meets_only_a_key_from_there(
    monkeypatch, environment, dotenv, given, allowed
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Path(".env").write_text(dotenv)
    if allowed:
        assert resolved(**given).endpoint.host == "x.example"
    else:
        with pytest.raises(CredentialsError, match="to confirm") as caught:
            resolved(**given)
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"base_url": "api.example.com/v1"},
        {"backend": "gemini"},
        {"model": "local", "base_url": "http://localhost"},
        {"model": "local", "backend": "openai"},
        {"client": object()},
    ],
)
def test_contradictions_are_refused(given):
    with pytest.raises(UsageError):
        resolved(**given)


def test_a_client_of_ones_own():
    import anthropic
    import openai

    with openai.OpenAI(api_key=KEY, base_url="https://x.example/v1") as client:
        assert resolved(client=client).endpoint.host == "x.example"
        for given in ({"backend": "anthropic"}, {"api_key": "k"}, {"base_url": "https://y"}):
            with pytest.raises(UsageError):
                resolved(client=client, **given)
    with anthropic.Anthropic(api_key=KEY) as client:
        assert resolved(client=client).endpoint.backend == "anthropic"
    with pytest.raises(UsageError, match="Async"):
        resolved(client=openai.AsyncOpenAI(api_key=KEY))


def test_no_key_is_left_anywhere(tmp_path, caplog, capfd):
    import pandas_genai

    caplog.set_level(logging.DEBUG, logger="pandas_genai")
    frame = pd.DataFrame({"text": ["a", "b"]})
    with LoopbackProvider(lambda text: {"label": "good"}, keys={KEY}) as provider:
        out = frame.genai.extract(
            "Tone?", ["good", "bad"], base_url=provider.openai_url, api_key=KEY, progress=False
        )
        with pytest.raises(pandas_genai.StopRunError) as caught:
            frame.genai.extract(
                "Tone?",
                ["good", "bad"],
                base_url=provider.openai_url,
                api_key=KEY + "x",
                progress=False,
                fresh=True,
            )
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    shown = caplog.text + repr(caught.value) + str(out.genai.report) + repr(out.attrs)
    shown += "".join(capfd.readouterr())
    assert b"SQLite" in written
    assert KEY.encode() not in written
    assert KEY not in shown
