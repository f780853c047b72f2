"""A proxy between the program and the server, which cuts, refuses, alters and holds what passes."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple
from urllib.parse import urlsplit

HELD_S = 30


class Request(NamedTuple):
    """What the program asks for; `number` counts those of its method and path."""

    method: str
    path: str
    number: int


class Quiet(ThreadingHTTPServer):
    """A server that says nothing of connections which broke off: they are meant to."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


class Between:
    """Passes requests on, but for what `harm` says of each.

    `harm` may be: "cut" (half of what is sent or answered passes, then the connection closes), "refuse" (403),
    "shorten" (an answer that is whole and lacks its last byte), "alter" (its first byte is another), "swallow" (what is
    asked for is done, and not answered), "hold" (nothing passes until the test ends; `holding` is set), "" (no harm).
    """

    def __init__(self, server: str) -> None:
        self.harm: Callable[[Request], str] = lambda request: ""
        self.seen: list[Request] = []
        self.holding, self._ended, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._target = urlsplit(server).netloc
        between = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                between.pass_on(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._proxy = Quiet(("127.0.0.1", 0), Handler)
        self._proxy.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._proxy.server_port}"

    def __enter__(self) -> Between:
        threading.Thread(target=self._proxy.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._proxy.shutdown()
        self._proxy.server_close()

    def note(self, method: str, path: str) -> Request:
        """What is asked for now."""
        with self._lock:
            number = sum((one.method, one.path) == (method, path) for one in self.seen)
            self.seen.append(request := Request(method, path, number))
        return request

    def pass_on(self, asked: BaseHTTPRequestHandler) -> None:
        """Pass one request and its answer on, or do harm."""
        harm = self.harm(self.note(asked.command, asked.path))
        length = int(asked.headers.get("Content-Length") or 0)
        if harm == "hold":
            self.holding.set()
            self._ended.wait(HELD_S)
        if harm == "cut" and length:
            asked.rfile.read(length // 2)
            self.close(asked)
            return
        body = asked.rfile.read(length)
        if harm == "refuse":
            self.answer(asked, 403, {}, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
            return
        connection = http.client.HTTPConnection(self._target)
        connection.request(asked.command, asked.path, body, dict(asked.headers.items()))
        got = connection.getresponse()
        data, headers = got.read(), {name.lower(): value for name, value in got.getheaders()}
        connection.close()
        if harm == "swallow":
            self.close(asked)
            return
        if harm == "shorten":
            data = data[:-1]
        if harm == "alter":
            data = bytes([data[0] ^ 1]) + data[1:]
        if harm in ("shorten", "alter"):
            headers = {name: value for name, value in headers.items() if "checksum" not in name}
        if harm == "cut":
            self.answer(asked, got.status, headers, data[: len(data) // 2], len(data))
            self.close(asked)
            return
        stated = int(headers.get("content-length") or 0) if asked.command == "HEAD" else None
        self.answer(asked, got.status, headers, data, stated)

    def answer(
        self,
        asked: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        data: bytes,
        stated: int | None = None,
    ) -> None:
        """Answer; `stated` is the length that the answer claims."""
        asked.send_response(status)
        for name, value in headers.items():
            if name not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                asked.send_header(name, value)
        asked.send_header("Content-Length", str(len(data) if stated is None else stated))
        asked.end_headers()
        if asked.command != "HEAD":  # whose answer has no body: the next one on this connection would begin with it
            asked.wfile.write(data)
        asked.wfile.flush()

    def close(self, asked: BaseHTTPRequestHandler) -> None:
        """End the connection at once."""
        asked.close_connection = True
        asked.connection.shutdown(socket.SHUT_RDWR)
