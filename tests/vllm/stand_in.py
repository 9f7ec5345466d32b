"""What stands in for `vllm.entrypoints.cli.main` where no real server is wanted: it lists its model, no more."""

from __future__ import annotations

import http.server
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    said = " ".join(["vLLM", importlib.metadata.version("vllm"), *sys.argv])
    sys.stdout.write(f"{said}\n")
    sys.stdout.flush()
    options = dict(zip(sys.argv[3:], sys.argv[4:], strict=False))
    if options["--dtype"] == "bad":
        sys.exit("no such dtype")
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(__file__).with_name("pids").write_text(f"{os.getpid()} {helper.pid}", encoding="utf-8")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/end":
                os._exit(7)
            body = json.dumps({"data": [{"id": options["--served-model-name"]}]}).encode()
            self.send_response(503 if options["--dtype"] == "never" else 200)
            self.end_headers()
            self.wfile.write(body)

    http.server.HTTPServer((options["--host"], int(options["--port"])), Handler).serve_forever()
