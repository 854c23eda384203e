"""URLs of PostgreSQL: what is read, what is shown, and where a password may go."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandas_genai.errors import UsageError
from pandas_genai.store import configured, in_folder, relative_url, shown
from pandas_genai.store.postgres import address
from pandas_genai.store.postgres.address import Address, parsed, remembered

ODD = string.ascii_letters + string.digits + "@/:?#%&=+ ,[]'\"\\é🎻"


@pytest.fixture(autouse=True)
def nothing_known():
    """What a new process knows of servers."""
    address._known.clear()
    yield
    address._known.clear()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/d", Address("h", dbname="d")),
        ("postgres://u@h:5433/d", Address("h", "5433", "d", "u")),
        ("POSTGRESQL://u:p@h/d?schema=s", Address("h", "", "d", "u", "s", "p")),
        ("postgresql:///d", Address(dbname="d")),
        ("postgresql://", Address()),
        ("postgresql://[::1]:5433/d", Address("::1", "5433", "d")),
        ("postgresql://a:1,b:2/d", Address("a,b", "1,2", "d")),
        ("postgresql://%2Fvar%2Frun/d", Address("/var/run", dbname="d")),
        ("postgresql://u:a%40b%3A@h/d%20e", Address("h", "", "d e", "u", password="a@b:")),
        ("postgresql:///d?host=/run&user=u", Address("/run", dbname="d", user="u")),
        (
            "postgresql://u@h/d?password=p%26&sslmode=require",
            Address("h", "", "d", "u", password="p&", options={"sslmode": "require"}),
        ),
    ],
)
def test_a_url_is_read_as_libpq_reads_it(url, expected):
    found = parsed(url)
    assert found == expected
    assert "password" not in repr(found)
    assert parsed(found.public) == Address(
        *(found.host, found.port, found.dbname, found.user, found.schema)
    )


@given(st.text(ODD, min_size=1, max_size=40), st.text(ODD, min_size=1), st.text(ODD, min_size=1))
def test_any_password_comes_through_and_is_not_shown(password, user, database):
    from urllib.parse import quote

    parts = [quote(part, safe="") for part in (user, f"{password}SECRET", database)]
    found = parsed("postgresql://{}:{}@host/{}".format(*parts))
    assert (found.user, found.password, found.dbname) == (user, f"{password}SECRET", database)
    for text in (found.public, repr(found), shown(found.public)):
        assert "SECRET" not in text


@given(st.text(ODD + "\n\x00", max_size=60))
def test_no_part_of_a_url_that_cannot_be_read_is_quoted(text):
    said = ""
    try:
        parsed(f"postgresql://me:SECRET{text}")
    except UsageError as error:
        said = str(error)
    assert "SECRET" not in said
    assert not said or said.endswith(".")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p/w@h/d",
        "postgresql://u:12/w@h/d",
        "postgresql://u:p?w@h/d",
        "postgresql://u:p#w@h/d",
        "postgresql://u@h:port/d",
        "postgresql://h/d/e",
        "postgresql://a:1,b:2/d?port=1,2,3",
        "postgresql://h/d?schema=a;b",
        "postgresql://h/d?schema=pg_x",
        "postgresql://h/d?nothing",
        "postgresql://h/d?sslpassword=w",
        "postgresql://h/d?service=w",
        "postgresql://h/d?passfile=/w",
        "postgresql://h/d?options=-csearch_path=w",
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(url):
    with pytest.raises(UsageError, match="cache=") as caught:
        parsed(url)
    assert str(caught.value).endswith(".")
    assert "w@" not in str(caught.value)


def test_a_later_url_without_a_password_has_that_of_an_earlier_one():
    first = remembered("postgresql://u:p@h/d?sslmode=require")
    again = remembered(first.public)
    assert (again.password, again.options) == ("p", {"sslmode": "require"})
    assert remembered("postgresql://u@h:5432/other").password == "p"
    for other in ("postgresql://v@h/d", "postgresql://u@h:5433/d", "postgresql://u@i/d"):
        assert remembered(other).password == ""


def test_a_manifest_sends_no_password_to_a_server_that_nobody_named(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "secret")
    remembered("postgresql://u:p@h/d")
    for url in (
        "postgresql://u@evil/d",
        "postgresql://u@h:5433/d",
        "postgresql://u@h,evil/d",
        "postgresql:///d?host=evil",
        "postgresql://h/d?hostaddr=6.6.6.6&host=evil",
        "postgresql://u@%2Ftmp/d",
    ):
        with pytest.raises(UsageError, match="was not named in this session") as caught:
            configured(url)
        assert "secret" not in str(caught.value)


def test_a_manifest_reaches_the_servers_that_the_user_has_named(monkeypatch):
    url = "postgresql://colleague@db.example/study?schema=labels"
    with pytest.raises(UsageError):
        configured(url)
    remembered("postgresql://me:p@DB.example:5432/other")
    # The database of the manifest, and the user who sits here.
    assert configured(url) == "postgresql://me@db.example/study?schema=labels"
    assert remembered(configured(url)).password == "p"
    address._known.clear()
    monkeypatch.setenv("PANDAS_GENAI_CACHE", "postgresql://me:q@db.example/x?sslmode=require")
    assert configured(url) == "postgresql://me@db.example/study?schema=labels"
    found = remembered(configured(url))
    assert (found.password, found.dbname, found.options) == ("q", "study", {"sslmode": "require"})
    monkeypatch.delenv("PANDAS_GENAI_CACHE")
    address._known.clear()
    monkeypatch.setenv("PGHOST", "db.example")
    assert configured(url) == url
    monkeypatch.setenv("PGUSER", "me")
    assert configured(url) == "postgresql://me@db.example/study?schema=labels"
    with pytest.raises(UsageError):
        configured(url.replace("db.example", "db.example:5433"))


def test_a_manifest_without_a_server_means_that_of_the_machine(monkeypatch):
    assert configured("postgresql:///d") == "postgresql:///d"
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    assert configured("postgresql:///d") == "postgresql:///d"


def test_manifests_name_it_as_it_is(tmp_path):
    url = "postgresql://u@h/d"
    assert relative_url(url, tmp_path) == in_folder(url, tmp_path) == url
    assert shown("postgresql://u:p@h/d?sslmode=require&password=q") == url


def test_a_password_of_one_word_is_taken_out_of_messages(monkeypatch):
    found = parsed("postgresql://u:pass@h/d")
    monkeypatch.setenv("PGPASSWORD", "a-long-secret-of-the-environment")
    said = 'no "pass" for user "u", "a-long-secret-of-the-environment" passed'
    assert found.redacted(said) == 'no "***" for user "u", "***" passed'


MISSING = """
import sys
sys.modules["psycopg"] = None
import pandas_genai
try:
    pandas_genai.runs("postgresql://h/d")
except pandas_genai.UsageError as error:
    print(error)
"""


def test_psycopg_is_asked_for_where_it_is_missing(child):
    out, _ = child(MISSING).communicate(timeout=60)
    assert "pip install 'pandas-genai[postgres]'" in out
