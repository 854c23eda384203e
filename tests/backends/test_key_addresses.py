"""A key goes where it was meant to go: an address, with its scheme and port, and nowhere else."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

import pandas_genai
from pandas_genai import CredentialsError, Settings, UsageError
from pandas_genai.backends.resolve import Question
from pandas_genai.settings import load_settings
from pandas_genai.task.task import Task
from pandas_genai.testing import LoopbackProvider

BACKENDS = ["openai", "anthropic"]
MINE = "sk-environment-0123456789abcdef"
OTHER = "sk-of-the-call-0123456789abcdef"
SCHEMA = {"answer": str}


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def seen():
    return []


@pytest.fixture
def provider(seen):
    def note(request, response):
        seen.append(request.headers)
        return response

    with LoopbackProvider(lambda text: {"answer": text}, on_response=note) as provider:
        yield provider


def url_of(provider, backend):
    return provider.openai_url if backend == "openai" else provider.anthropic_url


def ask(**given):
    frame = pd.DataFrame({"text": ["first"]})
    return frame.genai.extract("Echo.", SCHEMA, progress=False, cache=False, **given)


def submit(backend, provider, **given):
    frame = pd.DataFrame({"text": ["first"]})
    given = {"base_url": url_of(provider, backend), "name": "night"} | given
    return frame.genai.batch_submit("Echo.", SCHEMA, backend=backend, **given)


@pytest.mark.parametrize("around", ["\n", "\r\n", "  ", "\t\n"])
def test_white_space_around_a_key_is_not_part_of_it(provider, backend, seen, monkeypatch, around):
    options = {"backend": backend, "base_url": url_of(provider, backend)}
    assert ask(api_key=f"{around}{OTHER}{around}", **options)["answer"].tolist() == ["first"]
    monkeypatch.setenv(f"{backend.upper()}_API_KEY", f"{MINE}{around}")
    assert ask(**options)["answer"].tolist() == ["first"]
    submit(backend, provider, api_key=f"{OTHER}{around}")
    # The SDK of Anthropic sent the header of its API until version 2.
    sent = [headers.get("authorization") or headers["x-api-key"] for headers in seen]
    keys = {key.removeprefix("Bearer ") for key in sent}
    assert keys == {OTHER, MINE}


@pytest.mark.parametrize(
    "key", ["“sk-curly”", "sk-é", "sk\nsk", "sk-\x00", 5, b"sk-1", ["sk"], "${OPENAI_API_KEY}"]
)
def test_what_cannot_be_a_key_is_said_before_any_request(provider, backend, seen, key, monkeypatch):
    options = {"backend": backend, "base_url": url_of(provider, backend)}
    with pytest.raises(CredentialsError, match="api_key="):
        ask(api_key=key, **options)
    with pytest.raises(CredentialsError, match="api_key="):
        submit(backend, provider, api_key=key)
    if isinstance(key, str) and "\x00" not in key:
        monkeypatch.setenv(f"{backend.upper()}_API_KEY", key)
        with pytest.raises(CredentialsError, match=f"{backend.upper()}_API_KEY") as caught:
            ask(**options)
        assert "sk" not in str(caught.value)
    assert seen == []
    assert not Path("genai_batches").exists()


@pytest.mark.parametrize("key", ["sk-with-line\n", "sk-é-0123456789", " sk"])
def test_the_key_of_a_users_own_client_is_checked_too(provider, backend, seen, key):
    import anthropic
    import openai

    factory = openai.OpenAI if backend == "openai" else anthropic.Anthropic
    with factory(api_key=key, base_url=url_of(provider, backend)) as client:
        with pytest.raises(CredentialsError) as caught:
            ask(client=client)
    assert key.strip() not in str(caught.value)
    assert seen == []


@pytest.mark.parametrize("reference", ["${NAME}", "${NAME:-x}", '"${NAME}"', "${NAME}-more"])
def test_dotenv_reads_no_variable_of_the_environment(backend, monkeypatch, reference):
    variable = f"{backend.upper()}_API_KEY"
    monkeypatch.setenv(variable, MINE)
    monkeypatch.setenv("OTHER_SECRET", "hidden-0123456789")
    lines = [
        f"{backend.upper()}_BASE_URL=https://x.example/{reference.replace('NAME', 'OTHER_SECRET')}",
        f"{variable}={reference.replace('NAME', variable)}",
    ]
    Path(".env").write_text("\n".join(lines))
    with pytest.raises(CredentialsError) as caught:
        Question(Task("p", backend=backend)).resolve()
    assert MINE not in str(caught.value)
    settings = load_settings()
    assert "hidden" not in settings.base_url(backend)
    monkeypatch.delenv(variable)
    if reference != "${NAME}-more":
        with pytest.raises(CredentialsError, match="not filled in"):
            Question(Task("p", backend=backend)).resolve()


def test_a_dotenv_is_read_as_before_otherwise(monkeypatch):
    Path(".env").write_text(
        "\ufeffexport OPENAI_API_KEY='sk-1'  # mine\nCHUNK_SIZE=7\n\nnonsense\nEMPTY=\n"
        "pandas_genai_max_workers=3\nOPENAI_BASE_URL=\n",
        encoding="utf-8",
    )
    settings = Settings()
    assert settings.api_key("openai") == "sk-1"
    assert (settings.chunk_size, settings.max_workers) == (7, 3)
    assert settings.openai_base_url is None
    monkeypatch.setenv("CHUNK_SIZE", "9")
    assert Settings().chunk_size == 9
    assert Settings(chunk_size=2).chunk_size == 2


def within(seconds, call):
    """Call in a thread that may be left behind."""
    found = []

    def run():
        try:
            found.append(call())
        except (OSError, ValueError) as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it hangs"
    return found[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in directories")
def test_a_dotenv_that_is_a_pipe_does_not_hang():
    os.mkfifo(".env")
    error = within(20, load_settings)
    assert isinstance(error, UsageError)
    assert "no plain file" in str(error)


def test_a_dotenv_that_is_no_file_or_too_large(monkeypatch):
    Path(".env").mkdir()
    assert within(20, load_settings).chunk_size == 5
    Path(".env").rmdir()
    Path(".env").write_bytes(b"A=" + b"x" * 2_000_000)
    with pytest.raises(UsageError, match="larger than a megabyte"):
        load_settings()
    Path(".env").unlink()
    if sys.platform == "linux":
        Path(".env").symlink_to("/proc/self/mem")
        with pytest.raises(UsageError, match=r"\.env in .* cannot be read"):
            load_settings()


@pytest.mark.parametrize("empty", ["", "  ", "\n"])
def test_an_empty_key_with_an_address_is_not_the_environments(
    provider, backend, seen, monkeypatch, empty
):
    monkeypatch.setenv(f"{backend.upper()}_API_KEY", MINE)
    ask(api_key=empty, backend=backend, base_url=url_of(provider, backend))
    submit(backend, provider, api_key=empty)
    assert seen
    assert MINE not in json.dumps(seen)
    vendor = "https://api.openai.com/v1" if backend == "openai" else "https://api.anthropic.com"
    with pytest.raises(CredentialsError, match="No key for"):
        Question(Task("p", backend=backend), base_url=vendor, api_key=empty).resolve().open(1)


def test_what_belongs_to_the_environments_account_stays_there(provider, backend, seen, monkeypatch):
    extra = "X-Mine: hidden-custom\nx-other:hidden-other"
    monkeypatch.setenv(f"{backend.upper()}_CUSTOM_HEADERS", extra)
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, f"hidden-{name}")
    monkeypatch.setenv(f"{backend.upper()}_API_KEY", MINE)
    options = {"backend": backend, "base_url": url_of(provider, backend)}
    ask(api_key=OTHER, **options)
    other = options["base_url"].replace("127.0.0.1", "localhost")
    submit(backend, provider, api_key=OTHER, base_url=other, model="another")
    assert "hidden" not in json.dumps(seen)
    assert MINE not in json.dumps(seen)
    seen.clear()
    # The environment's own key takes its account along.
    ask(**options)
    assert seen[0]["x-mine"] == "hidden-custom"
    assert seen[0].get("openai-organization") == (
        "hidden-OPENAI_ORG_ID" if backend == "openai" else None
    )


@pytest.mark.parametrize(
    "changed",
    [
        "http://127.0.0.1:{port}/v1",
        "http://localhost:{port}",
        "http://api.openai.com:{port}/v1",
        "http://api.anthropic.com",
        "https://api.openai.com:8443/v1",
        "https://api.openai.com.evil.example/v1",
        "https://api.openai.com@evil.example/v1",
    ],
)
@pytest.mark.parametrize("given", [{}, {"api_key": MINE}])
def test_an_edited_handle_gets_no_key(provider, backend, monkeypatch, changed, given):
    monkeypatch.setenv(f"{backend.upper()}_API_KEY", MINE)
    job = submit(backend, provider)
    asked = []

    def note(request, response):
        asked.append(request.headers)
        return response

    with LoopbackProvider(lambda text: {"answer": text}, on_response=note) as listener:
        handle = job.path / "job.json"
        said = json.loads(handle.read_text())
        said["base_url"] = changed.format(port=listener.port)
        handle.write_text(json.dumps(said))
        with pytest.raises(CredentialsError, match="confirm that the key may be sent there"):
            pandas_genai.open_job("night", **given).collect()
    assert asked == []


def test_a_handle_that_nobody_edited_needs_no_word(provider, backend, monkeypatch):
    monkeypatch.setenv(f"{backend.upper()}_API_KEY", MINE)
    submit(backend, provider)
    assert pandas_genai.open_job("night").collect()["answer"].tolist() == ["first"]


def test_an_address_of_the_settings_brings_its_password_back(provider, backend, monkeypatch):
    url = f"{url_of(provider, backend)}?key=hidden-in-the-query"
    monkeypatch.setenv(f"{backend.upper()}_BASE_URL", url)
    monkeypatch.setenv(f"{backend.upper()}_API_KEY", MINE)
    paths = []
    provider._on_response = lambda request, response: (paths.append(request.path), response)[1]
    submit(backend, provider, base_url=None)
    assert pandas_genai.open_job("night").collect()["answer"].tolist() == ["first"]
    assert all("key=hidden-in-the-query" in path for path in paths)
    written = [path.read_bytes() for path in Path().rglob("*") if path.is_file()]
    assert not any(b"hidden" in data for data in written)
