"""A server that speaks ntfy's protocol: it takes a message as JSON, https://docs.ntfy.sh/publish/#publish-as-json."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Ntfy:
    """What it received, in order; `status` is what it answers, `slow` is set while it answers nothing."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.tried = 0
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        ntfy = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                ntfy.tried += 1
                ntfy.answers.wait(20)
                if ntfy.status == 200:
                    ntfy.received.append(json.loads(body))
                answer = json.dumps({"id": "x", "event": "message"} if ntfy.status == 200 else {"code": 50001}).encode()
                self.send_response(ntfy.status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """As POSTINO_NOTIFY_URL takes it, with a password and a topic that are secret."""
        return f"ntfy://me:secret-1@127.0.0.1:{self._server.server_port}/secret-2"

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
