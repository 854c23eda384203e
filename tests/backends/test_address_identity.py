"""Which addresses are one endpoint to a task, and which are two."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandas_genai.backends.endpoints import VENDOR_URLS, identity_of
from pandas_genai.backends.resolve import Question
from pandas_genai.task.task import Task

PAGE = Path(__file__).parents[2] / "docs" / "providers.md"

FROZEN = {
    "http://gpu-server:8000/v1": "92eea873b66e2ec853015a2183c889d3",
    "http://localhost:11434/v1": "61b09265c648974703128aadc89f53be",
    "https://api.anthropic.com": "43f7c10342cf4f94e43c8ad5dbe3f454",
    "https://api.openai.com/v1": "1642b1d5f619a3c6455d817bcfb43a42",
    "https://generativelanguage.googleapis.com/v1beta/openai/": "06a3112621f64022e89410e51e4e0adf",
    "https://my-resource.openai.azure.com/openai/v1/": "b5e01a21f009da3f174c0467d33ea947",
    "https://openrouter.ai/api/v1": "77c3fdf81d2dcfbc57ad833fab6ceda5",
}


def hash_at(url):
    task = Task("Classify the tone.", ["good", "bad"], model="m", backend="openai")
    return Question(task, url, api_key="key-of-a-test").resolve().task.prompt_hash


def test_the_hash_of_every_documented_address_stays():
    """A changed hash would ask every row of everyone's cache again."""
    page = set(re.findall(r'https?://[^"\s)`]+', PAGE.read_text(encoding="utf-8")))
    known = page | set(VENDOR_URLS.values())
    assert len(page) >= 5
    assert {url: hash_at(url) for url in known} == {url: FROZEN[url] for url in known}


USUAL = st.lists(st.sampled_from(["api", "openai", "v1", "v1beta", ""]), max_size=4)
NAMES = st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True).filter(
    lambda name: name not in {"api", "openai", "v1", "v1beta"}
)
HOSTS = st.sampled_from(["gpu-server", "127.0.0.1", "localhost", "10.0.0.7", "models.example"])


@settings(deadline=None)
@given(HOSTS, USUAL, st.integers(1, 65535), st.sampled_from(["", "/", "?key=1", "#x", "/?a=/b"]))
def test_a_usual_path_a_port_and_a_query_do_not_count(host, path, port, end):
    url = f"http://{host}:{port}/{'/'.join(path)}{end}"
    assert hash_at(url) == hash_at(f"http://{host}")


@settings(deadline=None)
@given(HOSTS, USUAL, NAMES, NAMES, USUAL, st.integers(1, 65535))
def test_deployments_are_told_apart(host, before, one, other, after, port):
    def at(name, port=port, end=""):
        return f"http://{host}:{port}/{'/'.join([*before, 'deployments', name, *after])}{end}"

    assert (hash_at(at(one)) == hash_at(at(other))) == (one == other)
    assert hash_at(at(one)) == hash_at(at(one, port % 65535 + 1, "/?api-version=2"))
    assert hash_at(at(one)) != hash_at(f"http://{host}:{port}/v1")


@pytest.mark.parametrize("url", ["https://user:pw@host/deployments/A/v1?key=secret"])
def test_no_user_and_no_query_is_in_the_identity(url):
    assert identity_of(url) == f"host{urlsplit(url).path}"
