"""Requests over TLS, directly and through a proxy's tunnel, large and small bodies in turn."""

from __future__ import annotations

import http.server
import json
import select
import shutil
import socket
import ssl
import subprocess
import threading

import pytest

from pandas_genai.backends.http import Bounds, Transport
from pandas_genai.backends.resolve import Question
from pandas_genai.errors import CallError
from pandas_genai.task.task import Task

KEY = "sk-proj-Zq7Wv3Xk9Jp2Rt5Yb8Nc4Mf6"
BOUNDS = Bounds(seconds=20.0, file_seconds=20.0, reply_bytes=1_000_000, file_bytes=1_000_000)
PATHS = {"openai": "/chat/completions", "anthropic": "/v1/messages"}
HOST = "models.example.net"
SIZES = [1, 2, 3, 1_000, 300_000, 65_400, 70_000, 1]

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


class Server(http.server.BaseHTTPRequestHandler):
    """Answers how much it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = len(self.rfile.read(int(self.headers["content-length"])))
        answer = json.dumps({"length": length}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        """Keep quiet."""


class Proxy(http.server.BaseHTTPRequestHandler):
    """Carries whatever is sent to the server, whoever was asked for."""

    port = 0

    def do_CONNECT(self):
        with socket.create_connection(("127.0.0.1", self.port)) as onward:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: onward, onward: self.connection}
            while True:
                for one in select.select(list(ends), [], [])[0]:
                    data = one.recv(65_536)
                    if not data:
                        return
                    ends[one].sendall(data)

    def log_message(self, *args):
        """Keep quiet."""


def serving(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    return server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    names = f"subjectAltName=DNS:localhost,DNS:{HOST}"
    made = f"req -x509 -newkey rsa:2048 -nodes -subj /CN=test -addext {names}"
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(["openssl", *made.split(), *files], check=True, capture_output=True)
    return folder


@pytest.fixture
def server(certificate):
    server = serving(Server)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    proxy = serving(type("Bound", (Proxy,), {"port": server.server_port}))
    for one in (server, proxy):
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_port, proxy.server_port
    for one in (server, proxy):
        one.shutdown()
        one.server_close()


@pytest.mark.parametrize("backend", ["openai", "anthropic"])
@pytest.mark.parametrize("tunnelled", [False, True])
def test_every_body_arrives_whole(server, certificate, monkeypatch, backend, tunnelled):
    port, proxy = server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
    url = f"https://{HOST}/v1" if tunnelled else f"https://localhost:{port}/v1"
    resolved = Question(Task("p", backend=backend), base_url=url, api_key=KEY).resolve()
    client, _ = resolved.open(1)
    transport = Transport(client, resolved.endpoint, BOUNDS)
    for size in SIZES:
        body = {"model": "m", "messages": [{"role": "user", "content": "x" * size}]}
        found = transport.post(PATHS[backend], body)
        assert json.loads(found.content)["length"] == len(json.dumps(body, separators=(",", ":")))
    client.close()


def test_a_certificate_that_nobody_trusts_is_refused(server):
    url = f"https://localhost:{server[0]}/v1"
    resolved = Question(Task("p"), base_url=url, api_key=KEY).resolve()
    client, _ = resolved.open(1)
    with pytest.raises(CallError, match="CERTIFICATE_VERIFY_FAILED"):
        Transport(client, resolved.endpoint, BOUNDS).post("/chat/completions", {"model": "m"})
    client.close()
