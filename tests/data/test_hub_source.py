"""Data sets of the hub, from a small hub on this machine that answers its three requests."""

import contextlib
import hashlib
import io
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
from made_files import ROWS, parquet

from tinygrad_llm.cli import main
from tinygrad_llm.data import (
    ReadOptions,
    absolute_sources,
    hub as hub_module,
    load_corpus,
    open_source,
)
from tinygrad_llm.data.corpus import CleanReport
from tinygrad_llm.data.formats import parquet as parquet_format
from tinygrad_llm.errors import UserError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BRANCH = "refs%2Fconvert%2Fparquet"
pytest.importorskip("pyarrow", reason="pyarrow is not installed: no Parquet")


class Handler(BaseHTTPRequestHandler):
    """Answers from the server's ``files`` {path: bytes} of the one data set owner/data.

    ``answers`` {the end of an address: (status, headers, body)} comes first.
    """

    def do_GET(self):
        server = self.server
        path = self.path
        server.asked.append(path)
        for end, answer in server.answers.items():
            if path.endswith(end):
                return self.reply(*answer)
        api = "/api/datasets/owner/data"
        if path == f"{api}/revision/{BRANCH}":
            return self.reply(200, {}, json.dumps({"sha": COMMIT, "gated": False}).encode())
        if path.startswith(f"{api}/tree/{COMMIT}"):
            return self.tree(unquote(path).removeprefix(f"{api}/tree/{COMMIT}").strip("/"))
        start = f"/datasets/owner/data/resolve/{COMMIT}/"
        if path.startswith(start):  # as the hub does, from another address
            return self.reply(302, {"Location": f"/cdn/{path.removeprefix(start)}"}, b"")
        if path.startswith("/cdn/"):
            data = server.files[unquote(path.removeprefix("/cdn/"))]
            asked = self.headers.get("Range")
            first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            span = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"} if asked else {}
            cut = server.cuts.pop() if server.cuts else None
            return self.reply(206 if asked else 200, span, data[first:], cut)
        return self.reply(404, {"X-Error-Code": "RepoNotFound"}, b"")

    def tree(self, folder):
        entries = {}
        for path, data in self.server.files.items():
            if not path.startswith(f"{folder}/" * bool(folder)):
                continue
            name = path.removeprefix(folder).strip("/")
            below, deeper, _ = name.partition("/")
            place = f"{folder}/{below}".strip("/")
            entries[place] = {"type": "directory" if deeper else "file", "path": place, "size": 0}
            if not deeper:
                oid = hashlib.sha256(data).hexdigest()
                entries[place] |= {"size": len(data), "lfs": {"oid": oid, "size": len(data)}}
        if not entries:
            return self.reply(404, {"X-Error-Code": "EntryNotFound"}, b"")
        return self.reply(200, {}, json.dumps(list(entries.values())).encode())

    def reply(self, status, headers, data, cut=None):
        self.send_response(status)
        for name, value in ({"Content-Length": len(data)} | headers).items():
            self.send_header(name, str(value))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data[:cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.answers, server.cuts = [], {}, []
        more = [{"id": "more", "text": "A row of the second shard. " * 20}]
        server.files = {
            "default/train/0000.parquet": parquet(),
            "default/train/0001.parquet": parquet(more),
            "default/test/0000.parquet": parquet(more),
            "en/partial-validation/0000.parquet": parquet(ROWS[:1]),
        }
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server
        server.shutdown()
        thread.join()


def names(source, **options):
    return [document.name for document in load_corpus(source, ReadOptions(**options)).documents]


def refused(source, sentence, **options):
    with pytest.raises(UserError, match=sentence) as caught:
        load_corpus(source, ReadOptions(**options))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


TRAIN = [f"default/train/0000.parquet:{i}" for i in (1, 2, 3)] + ["default/train/0001.parquet:1"]


@pytest.mark.parametrize(
    "source, expected",
    [
        ("hub:owner/data", TRAIN),
        ("hub:owner/data/default", TRAIN),
        ("hub:owner/data:test", ["default/test/0000.parquet:1"]),
        ("hub:owner/data/en", ["en/partial-validation/0000.parquet:1"]),
        ("hub:owner/data/en:validation", ["en/partial-validation/0000.parquet:1"]),
    ],
)
def test_a_split_is_read_shard_by_shard(hub, source, expected):
    corpus = load_corpus(source)
    assert [document.name for document in corpus.documents] == expected
    assert corpus.details == {"owner/data": COMMIT}
    partly = "The hub has converted only the beginning of" in str(corpus.report)
    assert partly == ("/en" in source)


def test_a_shard_is_downloaded_when_its_turn_comes_and_once(hub, monkeypatch, capsys):
    source = open_source("hub:owner/data", ReadOptions(field="page.body"))
    hub.files["default/train/0001.parquet"] = parquet(ROWS[1:])  # another file than in the list
    documents = source.documents(CleanReport())
    assert next(documents).text.startswith("a0 a0")
    assert [path for path in hub.asked if "/cdn/" in path] == ["/cdn/default/train/0000.parquet"]
    with pytest.raises(UserError, match="0001.parquet has .* bytes, expected"):
        list(documents)
    assert names("hub:owner/data:train", field="page.body")[-1] == "default/train/0001.parquet:2"
    assert "downloading owner/data, shard 2 of 2: " in capsys.readouterr().err
    hub.asked.clear()
    monkeypatch.setattr(hub_module, "progress_bar", lambda label: pytest.fail(label))
    assert names("hub:owner/data:train") == [*TRAIN, "default/train/0001.parquet:2"]
    assert hub.asked and not any("resolve" in path for path in hub.asked)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert len(names("hub:owner/data:train")) == 5
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert len(names("hub:owner/data:train")) == 5


def test_an_interrupted_shard_is_resumed(hub):
    hub.cuts = [100]
    assert names("hub:owner/data") == TRAIN
    assert sum(path == "/cdn/default/train/0000.parquet" for path in hub.asked) == 2


def test_without_a_network(hub, monkeypatch):
    for name, value, why in (
        ("HF_ENDPOINT", "http://127.0.0.1:9", ".*refused"),
        ("HF_HUB_OFFLINE", "1", "HF_HUB_OFFLINE is set"),
    ):
        monkeypatch.setenv(name, value)
        sentence = rf"cannot be reached \({why}\), and owner/data is not in the cache: check"
        refused("hub:owner/data", sentence)
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    refused("hub:owner/data", "HF_ENDPOINT is 'file:///etc', expected an address with http")


@pytest.mark.parametrize(
    "source, sentence",
    [
        (
            "hub:data",
            "'hub:data' is no name of a data set on the hub; expected hub:OWNER",
        ),
        ("hub:../data", "is no name of a data set"),
        ("hub:a/b/c/d", "is no name of a data set"),
        (
            "hub:owner/none",
            "there is no data set owner/none on the Hugging Face hub",
        ),
        ("hub:owner/data/fr", "owner/data has no configuration fr; expected one of: default, en$"),
        ("hub:owner/data:dev", "owner/data has no split dev; expected one of: train, test$"),
        ("hub:owner/data/en:train", "has no split train; expected one of: validation$"),
    ],
)
def test_what_is_not_there(hub, source, sentence):
    refused(source, sentence)
    assert not any("resolve" in path for path in hub.asked)


@pytest.mark.parametrize(
    "status, word, sentence",
    [
        (401, "RepoNotFound", "there is no data set owner/data .* or it is private; check"),
        (404, "RevisionNotFound", "the hub has not converted the data set owner/data to Parq"),
        (403, "GatedRepo", "owner/data is only for those who have accepted its terms on"),
        (503, "", r"the server refused .*/revision/.* \(503 .*try again later"),
    ],
)
def test_what_the_hub_refuses(hub, status, word, sentence):
    hub.answers = {BRANCH: (status, {"X-Error-Code": word} if word else {}, b"")}
    refused("hub:owner/data", sentence)


def test_a_field_that_no_row_has_and_no_pyarrow(hub, monkeypatch, capsys):
    refused("hub:owner/data", "without text in the field 'body'; .*--field: id, text", field="body")
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["data", "prepare", "hub:owner/data"]) == 2
    assert capsys.readouterr().err == (
        "error: hub:owner/data is Parquet, which needs pyarrow; install it with: pip install "
        "'tinygrad-llm[parquet]'\n"
    )


def test_weights_and_resuming(hub, monkeypatch, tmp_path):
    (tmp_path / "hub").mkdir()  # a name of its own, which is no source with a weight
    monkeypatch.chdir(tmp_path)
    source = "hub:owner/data:train:0.5,hub:owner/data/en:0.5"
    first = load_corpus(source).documents[0]
    assert first.name == "data:train/default/train/0000.parquet:1"
    assert absolute_sources(source) == source
    assert absolute_sources("hub:owner/data") == "hub:owner/data"
    assert names("hub:owner/data") == TRAIN


def entry(path="default/train/0000.parquet", size=10, **others):
    """The list of a split with one file."""
    lfs = {"oid": "0" * 64, "size": size}
    one = {"type": "file", "path": path, "size": size, "lfs": lfs, **others}
    return json.dumps([one]).encode()


@pytest.mark.parametrize(
    "address, answer, sentence",
    [
        ("/train", (200, {}, entry("../../../x.parquet")), "path is .*expected text like CONF"),
        ("/train", (200, {}, entry("a/..x/../x.parquet")), "path is .*expected text like CONF"),
        ("/train", (200, {}, entry(size=1 << 60)), "size is .*expected a whole number from 1 to"),
        ("/train", (200, {}, entry(lfs={"oid": "?"})), "oid is .*expected text like a sha256"),
        ("/train", (200, {}, b"[]"), "has 0 Parquet files for default:train"),
        ("/train", (200, {}, b"[" * 50), "is refused: it is nested more than"),
        ("/train", (200, {}, b"[" + b" " * (5 << 20)), "sends more than 4,194,304 bytes; download"),
        ("/train", (200, {}, b'[{"type": "fi'), "is not whole JSON"),
        (BRANCH, (200, {}, b'{"sha": "../../x"}'), "sha is .*expected text like a commit"),
        (BRANCH, (200, {}, json.dumps({"sha": COMMIT, "gated": "auto"}).encode()), "its terms on"),
        (
            COMMIT,
            (200, {}, b'[{"type": "directory", "path": "../.."}]'),
            "has no configuration of the data set owner/data as Parquet; download its files",
        ),
        (COMMIT, (200, {}, b"[]"), "has no configuration of the data set owner/data as Parquet"),
        (
            COMMIT,
            (302, {"Location": "file:///etc/passwd"}, b""),
            "Redirection to url 'file:///etc/passwd' is not all",
        ),
        (
            "0.parquet",
            (302, {"Location": "file:///etc/passwd"}, b""),
            "Redirection to url 'file:///etc/passwd' is not all",
        ),
        ("0.parquet", (302, {"Location": "ftp://a/b"}, b""), "redirects to ftp://a/b, which"),
        ("0.parquet", (200, {"Content-Length": 1 << 60}, b"x"), "sends the length '11529"),
    ],
)
def test_a_hostile_hub(hub, address, answer, sentence, tmp_path):
    hub.answers = {address: answer}
    refused("hub:owner/data", sentence)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.suffix == ".json" for path in written), written


def test_a_shard_that_unpacks_to_too_much(hub, monkeypatch):
    """A text of 1 MB that 300 rows have is in the file once, and compressed."""
    import pyarrow

    monkeypatch.setattr(parquet_format, "_TOGETHER", 2 << 20)
    hub.files["default/train/0000.parquet"] = bomb = parquet_with(["x" * (1 << 20)] * 300)
    assert len(bomb) < 2000
    before = pyarrow.total_allocated_bytes()
    monkeypatch.setattr(parquet_format, "SMALL", 400 << 20)
    for _ in open_source("hub:owner/data").documents(CleanReport()):
        assert pyarrow.total_allocated_bytes() - before < 20 << 20
    monkeypatch.setattr(parquet_format, "SMALL", 100 << 20)
    refused("hub:owner/data", "a Parquet file with at least 200 times its size in it")


def parquet_with(texts):
    """The bytes of a Parquet file with these texts."""
    import pyarrow
    from pyarrow import parquet as file_format

    file = io.BytesIO()
    file_format.write_table(pyarrow.table({"text": texts}), file, compression="zstd")
    return file.getvalue()
