"""A Hugging Face hub on this machine: what huggingface_hub asks one for, and no more."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The commit, the list of files, and files of the server's ``repositories``.

    A name is "owner/name", or "datasets/owner/name" for a data set; any commit is known.
    """

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path, _, _ = self.path.partition("?")
        server = self.server
        server.asked.append(path)
        for name, files in server.repositories.items():
            start = f"/api/{name if name.startswith('datasets/') else f'models/{name}'}"
            if path.startswith(f"{start}/tree/"):
                entries = [
                    {"type": "file", "path": file, "size": len(data), "oid": str(hash(data))}
                    for file, data in files.items()
                ]
                return self.send(json.dumps(entries).encode(), body)
            if path == start or path.startswith(f"{start}/revision/"):
                revision = path.rpartition("/")[2]
                named = ("main", "v1", name.rpartition("/")[2])
                if revision not in named and len(revision) != len(COMMIT):
                    return self.refuse(404, "RevisionNotFound")
                commit = COMMIT if revision in named else revision
                siblings = [{"rfilename": file} for file in files]
                about = {"id": name.removeprefix("datasets/"), "sha": commit, "siblings": siblings}
                return self.send(json.dumps(about).encode(), body)
            if path.startswith(f"/{name}/resolve/"):
                commit, _, file = path.removeprefix(f"/{name}/resolve/").partition("/")
                return self.send(files[file], body, commit)
        if path.startswith("/api/models/owner/gated"):
            return self.refuse(403, "GatedRepo")
        self.refuse(404, "RepoNotFound")

    def send(self, data, body, commit=COMMIT):
        self.send_response(200)
        for name, value in (
            ("Content-Length", len(data)), ("ETag", f'"{hash(data)}"'), ("X-Repo-Commit", commit),
        ):  # fmt: skip
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def refuse(self, status, code):
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def small_hub(repositories):
    """A server; ``repositories``: name -> {name of a file: its bytes}. ``asked`` has the paths that
    it was asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked, server.repositories = [], repositories
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def hub_settings(server, home):
    """The environment in which huggingface_hub asks this server, and stores files in ``home``."""
    return {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",  # whatever the tests of lm-evaluation-harness have set
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
    }
