"""A worker of two dozen lines: reports to Redis, obeys orders, ends on SIGTERM. It serves no calls.

The file ``<DUMMY_DIR>/<id>.live`` holds how many calls it claims to have; ``<id>.wedged`` keeps it from ever
getting ready. DUMMY_CRASH: exit at once. It answers any GET on its HTTP port, as long as it runs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import redis

from voicefleet.contract import codec
from voicefleet.contract.keys import Keys
from voicefleet.contract.reports import WorkerOrder, WorkerReport


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    if os.environ.get("DUMMY_CRASH"):
        print("no tiers file here", file=sys.stderr)
        raise SystemExit(3)
    worker, region = os.environ["VOICEFLEET_WORKER_ID"], os.environ["VOICEFLEET_REGION"]
    slots, directory, keys = int(os.environ["VOICEFLEET_SLOTS"]), Path(os.environ["DUMMY_DIR"]), Keys(region)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    client = redis.Redis.from_url(os.environ["VOICEFLEET_REDIS_URL"], decode_responses=True)
    http = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    began, serial, cordon = time.monotonic(), 0, False
    startup_s: float | None = None
    while not ended.wait(0.1):
        calls = directory / f"{worker}.live"
        live = int(calls.read_text() or 0) if calls.exists() else 0
        ready = "starting" if (directory / "wedged").exists() else "ready"
        if ready == "ready" and startup_s is None:
            startup_s = time.monotonic() - began
        report = WorkerReport(
            worker,
            region,
            "draining" if cordon else ready,
            slots,
            live,
            0,
            uptime_s=time.monotonic() - began,
            startup_s=startup_s,
            pid=os.getpid(),
            order_seen=serial,
            http_port=http.server_port,
        )
        try:
            seconds, micros = client.time()
            client.zadd(keys.workers, {worker: int(seconds) * 1000 + int(micros) // 1000})
            client.set(keys.report(worker), codec.dump(report))
            if text := client.get(keys.order(worker)):
                order = codec.load(WorkerOrder, str(text))
                serial, cordon = order.serial, order.cordon
        except redis.RedisError:
            continue


if __name__ == "__main__":
    main()
