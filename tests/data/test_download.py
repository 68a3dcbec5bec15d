"""Downloads against a server of our own on the loopback: whole, cut off, resumed, changed, gone."""

import contextlib
import hashlib
import http.server
import re
import socket
import threading

import pytest

from tinygrad_llm.data import cache_folder, download as module, fetch, load_corpus, transfer
from tinygrad_llm.data.download import Dataset, download
from tinygrad_llm.errors import UserError

CONTENT = b"".join(b"line %d of the file\n" % i for i in range(20_000))
SIZE = len(CONTENT)
SHA = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.content`` the way ``server.mode`` says; notes the Range of each request."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append(asked)
        content, mode = server.content, server.mode
        if mode == "404":
            return self.send_error(404)
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked else 0
        if start and mode == "416":
            return self.send_error(416)
        if start and mode != "no range":
            self.send_response(206)
            first = start + 1 if mode == "wrong part" else start
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            start = 0
            self.send_response(200)
        body = content[start:]
        if mode != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cuts:
            body = body[: server.cuts.pop(0)]
        self.wfile.write(body[:500] if mode == "stall" else body)
        if mode == "stall":
            server.over.wait(30)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.mode, server.cuts, server.requests = CONTENT, "", [], []
        server.url = f"http://127.0.0.1:{server.server_address[1]}/file.txt"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.over = threading.Event()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def get(server, tmp_path):
    """Download into tmp_path/folder/file.txt, with a short timeout."""

    def get(progress=None, sha256=SHA, size=SIZE, timeout=5):
        path = tmp_path / "folder" / "file.txt"
        return download(server.url, path, sha256, progress, size=size, timeout=timeout)

    get.path = tmp_path / "folder" / "file.txt"
    get.partial = tmp_path / "folder" / "file.txt.partial"
    return get


def leave_partial(get, content):
    get.partial.parent.mkdir()
    get.partial.write_bytes(content)


def assert_whole(get):
    assert get.path.read_bytes() == CONTENT
    assert [path.name for path in get.path.parent.iterdir()] == ["file.txt"]


def test_whole(get, server):
    seen = []
    assert get(lambda done, total: seen.append((done, total))) == get.path
    assert_whole(get)
    assert seen[0] == (0, SIZE) and seen[-1] == (SIZE, SIZE) and seen == sorted(seen)
    get()  # a second time: nothing is asked for
    assert server.requests == [None]


def test_a_damaged_file_is_fetched_again(get, server):
    leave_partial(get, b"")
    get.path.write_bytes(b"x" * SIZE)
    get()
    assert_whole(get)


def test_cut_off_is_resumed_in_the_same_call(get, server):
    server.cuts = [100_000, 50_000]
    get()
    assert_whole(get)
    assert server.requests == [None, "bytes=100000-", "bytes=150000-"]


def test_cut_off_again_and_again_is_told_and_resumed_later(get, server):
    server.cuts = [1000] * module.ATTEMPTS
    kept = 1000 * module.ATTEMPTS
    with pytest.raises(UserError, match=f"file.txt stopped after {kept:,} of {SIZE:,} bytes"):
        get()
    assert not get.path.exists() and get.partial.read_bytes() == CONTENT[:kept]
    get()
    assert_whole(get)
    assert server.requests[-1] == f"bytes={kept}-"


def test_a_server_that_falls_silent_is_left(get, server, monkeypatch):
    monkeypatch.setattr(transfer, "CHUNK", 100)
    server.mode = "stall"
    with pytest.raises(UserError, match="stopped after 2,000 of"):
        get(timeout=0.2)
    assert get.partial.read_bytes() == CONTENT[:2000]


def test_no_range_support_begins_again(get, server):
    server.mode = "no range"
    leave_partial(get, CONTENT[:5000])
    get()
    assert_whole(get)
    assert server.requests == ["bytes=5000-"]


@pytest.mark.parametrize("mode", ["416", "wrong part"])
def test_refused_or_wrong_part_begins_again(get, server, mode):
    server.mode = mode
    leave_partial(get, CONTENT[:5000])
    get()
    assert_whole(get)
    assert server.requests == ["bytes=5000-", None]


def test_without_content_length(get, server):
    server.mode = "no length"
    get()
    assert_whole(get)


def test_partial_of_another_version(get, server):
    leave_partial(get, b"y" * 5000)
    get()
    assert_whole(get)
    assert server.requests == ["bytes=5000-", None]


def test_partial_that_is_whole_needs_no_request(get, server):
    leave_partial(get, CONTENT)
    get()
    assert_whole(get)
    assert server.requests == []


def test_partial_that_is_too_long_is_thrown_away(get, server):
    leave_partial(get, CONTENT + b"more")
    get()
    assert_whole(get)
    assert server.requests == [None]


def test_wrong_sha(get, server):
    with pytest.raises(UserError, match="has sha256 .*expected 0000000000000000") as error:
        get(sha256="0" * 64)
    assert server.url in str(error.value)
    assert list(get.path.parent.iterdir()) == []
    assert server.requests == [None]


def test_another_size_is_refused_before_a_byte_is_written(get, server):
    with pytest.raises(UserError, match=f"has {SIZE:,} bytes, expected 1,000: it has changed"):
        get(size=1000)
    assert list(get.path.parent.iterdir()) == []


def test_more_than_expected_without_content_length(get, server):
    server.mode = "no length"
    with pytest.raises(UserError, match="sends more than the expected 1,000 bytes"):
        get(size=1000)
    assert list(get.path.parent.iterdir()) == []


def test_server_refuses(get, server):
    server.mode = "404"
    with pytest.raises(UserError, match="refused .*file.txt .404.*by hand and pass its path"):
        get()
    assert not get.path.exists()


def test_connection_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: no answer
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        with pytest.raises(UserError, match="could not reach http://127.*by hand") as error:
            download(url, tmp_path / "x", SHA, size=SIZE, timeout=5)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_other_schemes_are_refused(tmp_path):
    (tmp_path / "secret").write_text("x")
    with pytest.raises(UserError, match="expected an address with http"):
        download((tmp_path / "secret").as_uri(), tmp_path / "x", SHA, size=SIZE)


def test_target_that_cannot_be_written(get, server, tmp_path):
    (tmp_path / "folder").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot write .*set TINYGRAD_LLM_CACHE"):
        get()


def test_unknown_name():
    with pytest.raises(UserError, match="no download named 'x'; expected tinyshakespeare or"):
        fetch("x")


def test_by_name(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(module.DATASETS, "the-verdict", Dataset(server.url, SHA, SIZE))
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "cache"))
    corpus = load_corpus("the-verdict")
    assert corpus.source == "the-verdict" and corpus.documents[0].text == CONTENT.decode()
    assert (tmp_path / "cache" / "downloads" / "the-verdict.txt").exists()
    lines = capsys.readouterr().err.splitlines()  # not a terminal: plain lines
    assert lines[0] == f"downloading the-verdict: 0 of {SIZE:,} bytes"
    assert lines[-1] == f"downloading the-verdict: {SIZE:,} of {SIZE:,} bytes"
    assert fetch("the-verdict", progress=lambda done, total: pytest.fail("again")).exists()


def test_bar_on_a_terminal(monkeypatch):
    class Terminal:
        text = ""

        def write(self, text):
            self.text += text
            return len(text)

        def flush(self):
            pass

        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    label = "downloading a model with a rather long name from somewhere"
    with module.progress_bar(label) as bar:
        bar(50_000_000, 100_000_000)
    assert label in terminal.text and "50.0/100.0 MB" in terminal.text


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "a"))
    assert cache_folder() == tmp_path / "a"
    assert cache_folder(tmp_path / "b") == tmp_path / "b"
    monkeypatch.delenv("TINYGRAD_LLM_CACHE")
    assert "tinygrad-llm" in cache_folder().parts
