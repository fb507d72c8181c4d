"""A real HTTP server on the loopback that misbehaves as asked: for tests of downloads."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kolab import download


class Server(ThreadingHTTPServer):
    """Serves `files`; `faults` says what happens to each request in turn (None: all is well)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list = []
        self.tags: dict[str, str] = {}
        self.ranges = True
        self.seen: list[tuple[str, str | None, int]] = []  # path, Range, bytes sent

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        server, name = self.server, self.path[1:]
        fault = server.faults.pop(0) if server.faults else None
        content, asked, tag = server.files.get(name), self.headers.get("Range"), server.tags.get(name)
        if fault == "page":
            return self.answer(200, b"<!DOCTYPE html><title>Login</title>", {"Content-Type": "text/html"})
        if fault == "disguised":
            return self.answer(200, b"\n<HTML>Sorry", {"Content-Type": "text/plain"})
        if isinstance(fault, int):
            return self.answer(fault, b"no")
        if content is None:
            return self.answer(404, b"404: Not Found")
        start, status, headers = 0, 200, {"ETag": tag} if tag else {}
        if asked and server.ranges and self.headers.get("If-Range", tag) == tag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        sent = body[: fault[1]] if isinstance(fault, tuple) else body
        self.answer(
            status, sent, headers, length=len(body), chunked=fault is not None and fault[0] == "chunked"
        )

    def answer(self, status, body, headers=None, length=None, chunked=False):
        self.server.seen.append((self.path[1:], self.headers.get("Range"), len(body)))
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if chunked else body)
        self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.001)
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
