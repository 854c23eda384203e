"""A store in PostgreSQL: made once, whoever comes first, and refused in a sentence."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

import pandas_genai
from pandas_genai.errors import CacheError, UsageError
from pandas_genai.store import Answer, is_there, open_store
from pandas_genai.store.postgres.store import PostgresStore
from pandas_genai.store.postgres.tables import STEPS
from pandas_genai.testing import Fault, LoopbackProvider

TASK = "a" * 32


@pytest.fixture
def schema(postgres_url):
    return postgres_url.rpartition("=")[2]


def test_looking_makes_nothing(postgres, postgres_url, schema):
    assert not is_there(postgres_url)
    with postgres.connect() as connection:
        found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (schema,))
        assert found.fetchone() is None
    PostgresStore(postgres_url).close()
    assert is_there(postgres_url)


def test_many_that_come_at_once_make_the_tables_once(postgres_url):
    start = threading.Barrier(8)

    def come(number):
        start.wait()
        with PostgresStore(postgres_url) as store:
            store.put(str(number), number)
            return store.get(str(number))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(come, range(8))) == list(range(8))
    with PostgresStore(postgres_url) as store:
        assert store.all_ids() == set(map(str, range(8)))


def test_two_schemas_are_two_stores(postgres, postgres_url):
    other = postgres.new_schema()
    with PostgresStore(postgres_url) as one, PostgresStore(postgres.url(other)) as two:
        one.put("1", "here")
        two.put("1", "there")
        assert (one.get("1"), two.get("1")) == ("here", "there")
    postgres.drop(other)


def test_a_newer_store_is_left_as_it_is(postgres, postgres_url, schema):
    PostgresStore(postgres_url).close()
    with postgres.connect() as connection:
        connection.execute(f'UPDATE "{schema}".store_version SET version = {len(STEPS) + 1}')
    with pytest.raises(CacheError, match=r"newer pandas-genai \(format 2, this one reads 1\)"):
        PostgresStore(postgres_url)


def test_tables_of_another_program_are_left_as_they_are(postgres, postgres_url, schema):
    with postgres.connect() as connection:
        connection.execute(f'CREATE SCHEMA "{schema}"')
        connection.execute(f'CREATE TABLE "{schema}".votes (a TEXT)')
    with pytest.raises(CacheError, match=r"another program \(such as votes\).*schema="):
        PostgresStore(postgres_url)
    with postgres.connect() as connection:
        found = connection.execute("SELECT relname FROM pg_class WHERE relname = 'results'")
        names = [name for (name,) in found]
    assert not is_there(postgres_url)
    assert "votes" not in names


def test_an_encoding_that_has_not_all_texts_is_refused(postgres):
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    url = postgres.url().replace("/answers", "/latin")
    with pytest.raises(CacheError, match="ENCODING 'UTF8'"):
        PostgresStore(url)


@pytest.fixture
def guest(postgres, postgres_url, schema):
    """The URL of the store for a role that owns nothing."""
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE {schema} LOGIN PASSWORD 'guest'")
    yield postgres_url.replace("writer:p%40ss%2Fw%3Ard%2541@", f"{schema}:guest@")
    postgres.drop(schema)
    with postgres.connect() as connection:
        connection.execute(f"DROP ROLE {schema}")


def test_a_role_that_may_make_no_schema_is_told_what_its_owner_does(postgres, schema, guest):
    with pytest.raises(CacheError, match="CREATE SCHEMA") as caught:
        PostgresStore(guest)
    assert "guest" not in str(caught.value)
    with postgres.connect() as connection:
        connection.execute(f'CREATE SCHEMA "{schema}" AUTHORIZATION "{schema}"')
    PostgresStore(guest).close()


def test_a_colleague_may_use_what_its_owner_shares(postgres, postgres_url, schema, guest, save):
    PostgresStore(postgres_url).close()
    with pytest.raises(CacheError, match="GRANT USAGE"):
        PostgresStore(guest)
    with postgres.connect() as connection:
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}")
        with pytest.raises(CacheError, match="GRANT ALL"):
            PostgresStore(guest)
        rights = "SELECT, INSERT, UPDATE, DELETE"
        connection.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {schema}")
    with PostgresStore(guest) as store:
        save(store, {"k": "1"})
        store.put("1", 1)
        assert store.lease_job(TASK, "j", "/jobs/j", ["k"]) == set()
        leases, budget = store.leases(TASK), store.budget("b", 1.0)
        assert leases.acquire(["k"]).ours == {"k"}
        assert budget.take(0.5, 0.5).amount == 0.5
        leases.close()
        budget.close()
    with PostgresStore(postgres_url) as store:
        assert store.present(TASK, ["k"]) == {"k"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("p%40ss%2Fw%3Ard%2541@", "wr%40ngSECRET@"),
        ("/answers", "/nothing"),
        ("writer:", "nobody:"),
        ("@127.0.0.1:", "@127.0.0.1:1,127.0.0.1:"),
    ],
)
def test_who_is_not_let_in_is_told_at_once_and_without_the_password(postgres, old, new):
    url = postgres.url("x", password=True).replace(old, new)
    if ":1," in url:  # the first host does not answer: the second one does
        PostgresStore(url).close()
        postgres.drop("x")
        return
    with pytest.raises(CacheError, match="cannot be reached: check host, port") as caught:
        PostgresStore(url)
    for text in (str(caught.value), repr(caught.value.__cause__)):
        assert "SECRET" not in text
        assert "p@ss" not in text


def test_nobody_at_the_port(postgres):
    url = postgres.url("x").replace(f":{postgres.port}/", ":1/")
    with pytest.raises(CacheError, match="cannot be reached"):
        PostgresStore(url)
    with pytest.raises(CacheError, match="cannot be reached"):
        pandas_genai.runs(url)


def test_the_password_may_come_from_the_environment(postgres, tmp_path, monkeypatch):
    schema = postgres.new_schema()
    url = postgres.url(schema, password=False).replace("127.0.0.1", "localhost")
    with pytest.raises(CacheError, match="cannot be reached"):
        PostgresStore(url)
    monkeypatch.setenv("PGPASSWORD", "p@ss/w:rd%41")
    PostgresStore(url).close()
    monkeypatch.delenv("PGPASSWORD")
    passfile = tmp_path / "pgpass"
    passfile.write_text("localhost:*:*:writer:p@ss/w\\:rd%41\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    PostgresStore(url).close()
    postgres.drop(schema)


def test_answers_are_durable_whatever_the_role_says(postgres, postgres_url, schema):
    PostgresStore(postgres_url).close()
    with postgres.connect() as connection:
        connection.execute("ALTER ROLE writer SET synchronous_commit = off")
        connection.execute("ALTER ROLE writer SET default_transaction_isolation = serializable")
    try:
        with PostgresStore(postgres_url) as store:
            for database in (store._database, store.writer()._database):
                ((durable,),) = database.query("SHOW synchronous_commit")
                ((isolation,),) = database.query("SHOW transaction_isolation")
                assert (durable, isolation) == ("on", "read committed")
    finally:
        with postgres.connect() as connection:
            connection.execute("ALTER ROLE writer RESET ALL")


def test_a_damaged_answer_counts_as_not_there(postgres, postgres_url, schema):
    with PostgresStore(postgres_url) as store:
        writer = store.writer()
        writer.put([Answer(TASK, key, '{"tone": "good"}') for key in ("k1", "k2")])
        writer.close()
        with postgres.connect() as connection:
            connection.execute(
                f'UPDATE "{schema}".results SET json_result = %s WHERE text_hash = %s',
                ('{"tone": "bad"}', "k1"),
            )
        assert store.present(TASK, ["k1", "k2"]) == {"k2"}
        assert store.read(TASK, ["k1", "k2"]) == {"k2": '{"tone": "good"}'}
        assert (store.damaged(), store.damaged()) == (1, 0)


def test_what_a_dead_worker_elsewhere_had_is_free_by_the_servers_clock(
    postgres, postgres_url, schema
):
    keys = [f"{number:032x}" for number in range(4)]
    with PostgresStore(postgres_url) as store:
        first, second = store.leases(TASK), store.leases(TASK)
        first.acquire(keys)

        def set_heartbeat(ago):
            with postgres.connect() as connection:
                connection.execute(
                    f"UPDATE \"{schema}\".owners SET machine = 'elsewhere', "
                    "beaten = clock_timestamp() - %s::interval",
                    (ago,),
                )

        set_heartbeat("29 s")
        assert not second.free(keys)
        assert second.acquire(keys).ours == set()
        first._closing.set()  # its heart stops
        set_heartbeat("31 s")
        ((started,),) = store._database.query(
            "SELECT pg_postmaster_start_time() < clock_timestamp() - interval '30 s'"
        )
        # A server that has just started waits as long for everybody.
        assert second.free(keys) is started
        assert (second.acquire(keys).ours == set(keys)) is started
        first.close()
        second.close()


# Whole paths


@pytest.fixture
def frame():
    return pd.DataFrame({"text": [f"row {number}" for number in range(12)]})


def echo(text):
    return {"answer": text}


def options(provider, url, **others):
    return {"base_url": provider.openai_url, "api_key": "k", "cache": url, **others}


def test_a_run_is_paid_once_reported_and_joined(frame, postgres_url):
    with LoopbackProvider(echo) as provider:
        given = options(provider, postgres_url)
        first = frame.genai.extract("Echo.", {"answer": str}, **given)
        again = frame.iloc[::-1].genai.extract("Echo.", {"answer": str}, **given)
        assert set(provider.ledger.answered.values()) == {1}
        assert frame.genai.estimate("Echo.", {"answer": str}, **given).cached == 12
    assert first["answer"].tolist() == frame["text"].tolist()
    assert again["answer"].tolist() == frame["text"].tolist()[::-1]
    assert again.genai.report.cached == 12
    assert first.genai.join(frame)["answer"].tolist() == frame["text"].tolist()
    runs = pandas_genai.runs(postgres_url)
    assert runs.index.tolist() == [again.genai.report.run_id, first.genai.report.run_id]
    assert runs["rows"].tolist() == [12, 12]


def test_the_environment_may_name_it(frame, postgres_url, monkeypatch, tmp_path):
    monkeypatch.setenv("PANDAS_GENAI_CACHE", postgres_url)
    with LoopbackProvider(echo) as provider:
        out = frame.genai.extract(
            "Echo.", {"answer": str}, base_url=provider.openai_url, api_key="k"
        )
    assert len(pandas_genai.runs()) == 1
    assert out.genai.report.ok == 12
    assert not list(tmp_path.rglob("*sqlite*"))


def test_a_job_goes_through_it_and_no_file_has_the_password(
    frame, postgres, postgres_url, tmp_path, monkeypatch
):
    from pandas_genai.store.postgres import address

    refusing = [Fault("refusal", text="row 3")]
    with LoopbackProvider(echo, faults=refusing) as provider:
        given = options(provider, postgres_url, chunk_size=1)
        job = frame.genai.batch_submit("Echo.", {"answer": str}, name="n", **given)
        provider.advance(100_000)
        address._known.clear()  # as in a later kernel
        later = pandas_genai.open_job("n", api_key="k", base_url=provider.openai_url)
        with pytest.raises(UsageError, match="was not named in this session"):
            later.collect()
        monkeypatch.setenv("PGHOST", "127.0.0.1")
        monkeypatch.setenv("PGPORT", str(postgres.port))
        monkeypatch.setenv("PGPASSWORD", "p@ss/w:rd%41")
        with pytest.warns(pandas_genai.RowsFailedWarning):
            out = later.collect()
    assert out["answer"].isna().tolist() == [number == 3 for number in range(12)]
    assert pandas_genai.runs(postgres_url)["kind"].tolist() == ["batch_collect"]
    for path in tmp_path.rglob("*"):
        content = b"" if path.is_dir() else path.read_bytes()
        assert b"p@ss" not in content
        assert b"p%40ss" not in content
    for text in (repr(later.report), repr(later), repr(job), repr(open_store(postgres_url)[0])):
        assert "p%40ss" not in text
        assert "p@ss" not in text
