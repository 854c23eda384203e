"""Files, pages of lists, keys and addresses."""

from __future__ import annotations

import hashlib
import io

import pytest

from pandas_genai.testing import LoopbackProvider


@pytest.fixture
def provider(length):
    with LoopbackProvider(length) as running:
        yield running


@pytest.fixture
def openai(connect, provider):
    return connect("openai", provider)


@pytest.fixture
def anthropic(connect, provider):
    return connect("anthropic", provider)


class Endless(io.RawIOBase):
    """A stream without a length, which the SDK sends in chunks."""

    name = "stream.jsonl"

    def __init__(self, data):
        self._inner = io.BytesIO(data)

    def readable(self):
        return True

    def read(self, size=-1):
        return self._inner.read(size)


AWKWARD = b'{"a": 1}\r\n--boundary\r\n\r\n--\x00\xff\r\n'


@pytest.mark.parametrize("data", [b"", b"\r\n", AWKWARD, b"x" * 3_000_000])
def test_a_file_comes_back_as_it_was(openai, provider, data):
    file = openai.client.files.create(file=("päper.jsonl", data), purpose="batch")
    assert openai.client.files.content(file.id).content == data
    shown = openai.client.files.retrieve(file.id)
    assert (shown.bytes, shown.purpose, shown.status) == (len(data), "batch", "processed")
    [record] = provider.files
    assert record.digest == hashlib.sha256(data).hexdigest()
    assert (record.id, record.bytes, record.purpose) == (file.id, len(data), "batch")


def test_a_file_from_disk_and_from_a_stream(openai, provider, tmp_path):
    path = tmp_path / "on_disk.jsonl"
    path.write_bytes(AWKWARD)
    openai.client.files.create(file=path, purpose="batch")
    with path.open("rb") as opened:
        openai.client.files.create(file=opened, purpose="batch")
    openai.client.files.create(file=("stream.jsonl", Endless(AWKWARD)), purpose="batch")
    names = [record.filename for record in provider.files]
    assert names == ["on_disk.jsonl", "on_disk.jsonl", "stream.jsonl"]
    assert len({record.digest for record in provider.files}) == 1
    uploads = [request.headers for request in provider.ledger.requests if request.method == "POST"]
    assert [request.body for request in provider.ledger.requests] == [None] * 3
    assert all("sk-test" not in str(headers) for headers in uploads)


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({"content-type": "multipart/form-data"}, b""),
        ({"content-type": "multipart/form-data; boundary=b"}, b""),
        ({"content-type": "multipart/form-data; boundary=b"}, b"--b\r\nno end\r\n--b--"),
        (
            {"content-type": 'multipart/form-data; boundary="b"'},
            b'--b\r\ncontent-disposition: form-data; name="file"; filename="x"\r\n\r\nx\r\n--b--',
        ),
        (
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\na: x; name="file"\r\n\r\nx\r\n--b\r\na: x; name="purpose"\r\n\r\nfun\r\n--b--',
        ),
    ],
)
def test_an_upload_that_is_none(provider, headers, content):
    import httpx2

    url, key = f"{provider.openai_url}/files", {"authorization": "Bearer k"}
    answer = httpx2.post(url, content=content, headers={**key, **headers})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert provider.files == []


def test_a_deleted_file_is_gone(openai, provider):
    file = openai.upload(b"x")
    assert openai.client.files.delete(file).deleted
    for ask in (openai.client.files.retrieve, openai.client.files.content):
        with pytest.raises(Exception, match="No such File") as refused:
            ask(file)
        assert refused.value.status_code == 404
    assert provider.files == []


def test_a_batch_outlives_its_input_file(connect, length, time):
    with LoopbackProvider(length, batch_seconds=100, wall_clock=time) as provider:
        vendor = connect("openai", provider)
        batch = vendor.submit(vendor.bodies("a"))
        vendor.client.files.delete(vendor.batches.retrieve(batch).input_file_id)
        provider.advance(100)
        assert vendor.kinds(batch) == {"c0": "succeeded"}
        assert provider.batches[0].texts == ["a"]


def test_pages_of_files(openai, provider):
    ids = [openai.upload(b"x", f"{number}.jsonl") for number in range(7)]
    files = openai.client.files
    page = files.list(limit=3)
    assert [file.id for file in page.data] == ids[:3:-1]
    assert page.has_more
    assert [file.id for file in files.list(limit=3)] == ids[::-1]
    assert [file.id for file in files.list(limit=3, order="asc")] == ids
    assert [file.id for file in files.list(limit=2, after=ids[2])] == ids[1::-1]
    openai.batches.create(
        input_file_id=ids[0], endpoint="/v1/chat/completions", completion_window="24h"
    )
    batch = openai.submit(openai.bodies("a"))
    output = openai.batches.retrieve(batch).output_file_id
    assert [file.id for file in files.list(purpose="batch_output")] == [output]
    assert len(list(files.list(purpose="batch"))) == 8


def test_pages_of_openais_batches(openai, provider):
    assert openai.batches.list().data == []
    ids = [openai.submit(openai.bodies("a")) for _ in range(25)][::-1]
    page = openai.batches.list()
    assert [batch.id for batch in page.data] == ids[:20]
    assert page.has_more
    assert [batch.id for batch in openai.batches.list(limit=10)] == ids
    last = openai.batches.list(limit=100, after=ids[19])
    assert ([batch.id for batch in last.data], last.has_more) == (ids[20:], False)
    assert [batch.id for batch in provider.batches] == ids[::-1]


def test_pages_of_anthropics_batches(anthropic):
    empty = anthropic.batches.list()
    assert (empty.data, empty.first_id, empty.has_more) == ([], None, False)
    ids = [anthropic.submit(anthropic.bodies("a")) for _ in range(25)][::-1]
    page = anthropic.batches.list()
    assert [batch.id for batch in page.data] == ids[:20]
    assert (page.first_id, page.last_id, page.has_more) == (ids[0], ids[19], True)
    assert [batch.id for batch in anthropic.batches.list(limit=10)] == ids
    before = anthropic.batches.list(limit=4, before_id=ids[10])
    assert ([batch.id for batch in before.data], before.has_more) == (ids[6:10], True)
    assert [batch.id for batch in anthropic.batches.list(limit=20, before_id=ids[3]).data] == ids[
        :3
    ]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=batch_0"])
def test_a_page_that_cannot_be(openai, query):
    openai.submit(openai.bodies("a"))
    name, _, value = query.partition("=")
    with pytest.raises(Exception, match="400"):
        openai.batches.list(extra_query={name: value})


def test_ids_are_never_those_of_another_provider(connect, wire, length):
    seen = set()
    for _ in range(3):
        with LoopbackProvider(length) as provider:
            vendor = connect(wire, provider)
            seen |= {vendor.submit(vendor.bodies("a")) for _ in range(2)}
    assert len(seen) == 6


def test_a_deleted_batch_is_gone(connect, length, time):
    with LoopbackProvider(length, batch_seconds=100, wall_clock=time) as provider:
        vendor = connect("anthropic", provider)
        batch, other = vendor.submit(vendor.bodies("a")), vendor.submit(vendor.bodies("b"))
        with pytest.raises(Exception, match="cancel it first") as refused:
            vendor.batches.delete(batch)
        assert refused.value.status_code == 400
        provider.advance(100)
        assert vendor.batches.delete(batch).type == "message_batch_deleted"
        with pytest.raises(Exception, match="not found"):
            vendor.batches.retrieve(batch)
        assert [each.id for each in vendor.batches.list()] == [other]
        assert [each.id for each in provider.batches] == [other]


def test_unknown_ids(openai, anthropic):
    ours, theirs = openai.submit(openai.bodies("a")), anthropic.submit(anthropic.bodies("a"))
    for vendor, known_to_others in ((openai, theirs), (anthropic, ours)):
        for name in ("batch_0", known_to_others):
            for ask in (vendor.batches.retrieve, vendor.batches.cancel):
                with pytest.raises(Exception, match=name) as refused:
                    ask(name)
                assert refused.value.status_code == 404
    assert refused.value.body["error"]["type"] == "not_found_error"


def test_wrong_keys(connect, wire, length):
    with LoopbackProvider(length, keys={"right"}) as provider:
        vendor = connect(wire, provider, key="wrong")
        asked = [
            lambda: vendor.submit(vendor.bodies("a")),
            vendor.batches.list,
            lambda: vendor.batches.retrieve("batch_0"),
        ]
        for ask in asked:
            with pytest.raises(Exception, match="401") as refused:
                ask()
            assert refused.value.status_code == 401
        assert provider.batches == provider.files == []
        vendor = connect(wire, provider, key="right")
        vendor.submit(vendor.bodies("a"))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "files"),
        ("GET", "files/file-0/nothing"),
        ("POST", "batches/batch_0"),
        ("DELETE", "batches/batch_0"),
        ("GET", "messages/batches/msgbatch_0/nothing"),
        ("GET", "batches/batch_0/cancel/again"),
    ],
)
def test_addresses_that_are_none(provider, method, path):
    import httpx2

    headers = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}
    answer = httpx2.request(method, f"{provider.openai_url}/{path}", headers=headers)
    assert answer.status_code == 404
    assert "Invalid URL" in answer.json()["error"]["message"]
