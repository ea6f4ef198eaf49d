"""Real processes that look like an engine on GPUs: a server that serves a recorded page, and workers that descend from it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from paths import FIXTURES

# An engine: its server, which serves a recorded page, starts a core, which starts workers; each says its number.
ENGINE = """
import http.server, os, signal, sys, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open(sys.argv[1], "rb").read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
workers, (told, tell) = int(sys.argv[2]), os.pipe()
if os.fork() == 0:
    server.server_close()
    pids = []
    for _ in range(workers):
        pids.append(os.fork())
        if not pids[-1]:
            break
    else:
        os.write(tell, " ".join(map(str, pids)).encode())
    sys.stdin.read()
    os._exit(0)
print(server.server_address[1], os.read(told, 99).decode(), flush=True)
server.serve_forever()
"""


@contextmanager
def engine(workers: int) -> Iterator[tuple[str, list[int]]]:
    """A running engine's URL and its workers' numbers; all its processes end with their common input."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENGINE, FIXTURES / "vllm-0.32.0-load.prom", str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        port, *pids = map(int, process.stdout.readline().split())
        yield f"http://127.0.0.1:{port}", pids
    finally:
        process.stdin.close()
        process.kill()
        process.wait(30)
        process.stdout.close()
