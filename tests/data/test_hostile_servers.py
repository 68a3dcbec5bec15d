"""Servers that lie, drip and never end, and files in the way: one sentence, bounded memory."""

import contextlib
import gzip
import hashlib
import itertools
import os
import socket
import threading
import time

import pytest

from tinygrad_llm.data import transfer
from tinygrad_llm.data.download import ATTEMPTS, download
from tinygrad_llm.errors import UserError

CONTENT = b"".join(b"line %d\n" % i for i in range(500))
SIZE = len(CONTENT)
SHA = hashlib.sha256(CONTENT).hexdigest()
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def serve(monkeypatch):
    """serve(answer) is the address of a server that sends these bytes, or this stream of bytes."""
    monkeypatch.setenv("no_proxy", "*")
    over = threading.Event()

    def answer_one(connection, answer):
        with connection, contextlib.suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(1 << 16)
            for part in [answer] if isinstance(answer, bytes) else answer(asked):
                if over.is_set():
                    return
                connection.sendall(part)

    def accept(listening, answer):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                thread = threading.Thread(target=answer_one, args=(connection, answer), daemon=True)
                thread.start()

    with contextlib.ExitStack() as stack:

        def serve(answer):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            threading.Thread(target=accept, args=(listening, answer), daemon=True).start()
            return f"http://127.0.0.1:{listening.getsockname()[1]}/file.txt"

        yield serve
        over.set()


def get(url, folder, timeout=5):
    return download(url, folder / "file.txt", SHA, lambda *_: None, size=SIZE, timeout=timeout)


def refused(url, folder, sentence, timeout=5):
    with pytest.raises(UserError, match=sentence) as caught:
        get(url, folder, timeout)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 600 and not (folder / "file.txt").exists()


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize(
    "header, sentence",
    [
        (b"Content-Length: " + b"9" * 5000, "sends the length '99999999999999999999' of the file"),
        (b"Content-Length: -5", "sends the length '-5' of the file, expected one number"),
        (b"Content-Length: 5\r\nContent-Length: %d" % SIZE, "sends several lengths of the file"),
        (b"Content-Length: %d, 5" % SIZE, "sends the length '4390, 5' of"),
        (b"Content-Length: \xd9\xa5", "sends the length"),
        (b"Content-Length: " + b"9" * 18, "has 999,999,999,999,999,999 bytes, expected 4,390"),
    ],
)
def test_lengths_that_are_none(serve, tmp_path, header, sentence):
    refused(serve(OK + header + b"\r\n\r\n" + CONTENT), tmp_path, sentence)


def test_the_same_length_twice_is_one(serve, tmp_path):
    header = b"Content-Length: %d\r\n" % SIZE
    assert get(serve(OK + header * 2 + b"\r\n" + CONTENT), tmp_path).read_bytes() == CONTENT


def test_a_part_with_a_number_of_five_thousand_digits(serve, tmp_path):
    (tmp_path / "file.txt.partial").write_bytes(CONTENT[:100])

    def answer(asked):
        if b"Range:" in asked:
            yield b"HTTP/1.1 206 P\r\nContent-Range: bytes " + b"9" * 5000 + b"-\r\n\r\n"
        else:
            yield OK + b"\r\n" + CONTENT

    assert get(serve(answer), tmp_path).read_bytes() == CONTENT


def test_honest_chunks(serve, tmp_path):
    body = chunk(CONTENT[:1000]) + chunk(CONTENT[1000:]) + b"0\r\n\r\n"
    assert get(serve(CHUNKED + body), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "size", [b"-5", b"-1", b"f" * 5000, b"zz", b"", b"7fffffffffffffff", b"-" + b"f" * 40]
)
def test_chunks_of_impossible_sizes(serve, tmp_path, size):
    """Nothing larger than the file is ever taken, whatever follows."""

    def answer(_):
        yield CHUNKED + size + b"\r\n"
        for _ in range(200):
            yield b"x" * 4096

    refused(serve(answer), tmp_path, "sends more than the expected 4,390|stopped after|has sha256")
    partial = tmp_path / "file.txt.partial"
    assert not partial.exists() or partial.stat().st_size <= SIZE


def endless(part):
    def answer(_):
        yield OK
        yield from itertools.repeat(part)

    return answer


def drip(head, part):
    def answer(_):
        yield head
        while True:
            time.sleep(0.01)
            yield part

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        drip(OK + b"X: ", b"y"),  # a header line
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),  # for ever "go on"
        drip(OK + b"\r\n", b"x"),  # the body
        drip(CHUNKED, b"1\r\nx\r\n"),
        drip(CHUNKED + b"1;", b"extension"),
        drip(CHUNKED + b"0\r\n", b"trailer: x\r\n"),
    ],
    ids=["header", "continue", "body", "chunks", "extension", "trailer"],
)
def test_a_drip_ends(monkeypatch, serve, tmp_path, answer):
    """Each byte comes well within the timeout; the whole has a limit of its own."""
    monkeypatch.setattr(transfer, "PATIENCE", 0.4)
    monkeypatch.setattr(transfer, "MINIMUM_RATE", 1e6)
    refused(serve(answer), tmp_path, "too slow|stopped after|could not reach")


def test_the_rate_is_looked_at_by_the_clock(monkeypatch, serve, tmp_path):
    """A clock that we turn: 100 s for each look, and a server that is as quick as can be."""
    clock = itertools.count(0, 100)
    monkeypatch.setattr(transfer, "monotonic", lambda: next(clock))
    answer = serve(OK + b"Content-Length: %d\r\n\r\n" % SIZE + CONTENT)
    refused(answer, tmp_path, "sent 0 bytes in 60 s, which is too slow; run again to continue")
    monkeypatch.setattr(transfer, "MINIMUM_RATE", 1.0)
    monkeypatch.setattr(transfer, "PATIENCE", 1000.0)
    assert get(answer, tmp_path).read_bytes() == CONTENT


def test_headers_without_end(serve, tmp_path):
    refused(serve(endless(b"X: y\r\n")), tmp_path, "could not reach .*got more than 100 headers")
    refused(serve(endless(b"x" * 70_000)), tmp_path, "could not reach .*more than 65536 bytes")


def test_a_body_without_end_is_cut_at_the_size(serve, tmp_path):
    def answer(_):
        yield OK + b"\r\n"
        yield from itertools.repeat(b"x" * 4096)

    refused(serve(answer), tmp_path, "sends more than the expected 4,390 bytes")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_decompressed(serve, tmp_path):
    """A megabyte of zeros in a kilobyte: it is what was sent that is compared."""
    bomb = gzip.compress(bytes(1 << 20))
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    refused(serve(head + bomb), tmp_path, f"has {len(bomb):,} bytes, expected 4,390")


@pytest.mark.parametrize(
    "target, sentence",
    [
        (b"ftp://127.0.0.1/x", "redirects to ftp://127.0.0.1/x, which is not followed"),
        (b"file:///etc/passwd", "Redirection to url 'file:///etc/passwd' is not allowed"),
        (b"data:text/plain,x", "Redirection to url 'data:text/plain,x' is not allowed"),
    ],
)
def test_redirects_to_other_schemes(serve, tmp_path, target, sentence):
    refused(serve(b"HTTP/1.1 302 F\r\nLocation: " + target + b"\r\n\r\n"), tmp_path, sentence)


def test_a_redirect_is_followed_but_not_its_body(serve, tmp_path):
    url = serve(OK + b"Content-Length: %d\r\n\r\n" % SIZE + CONTENT).encode()

    def away(_):
        yield b"HTTP/1.1 302 F\r\nLocation: " + url + b"\r\n\r\n"
        yield from itertools.repeat(b"x" * 4096)

    assert get(serve(away), tmp_path).read_bytes() == CONTENT


def test_redirects_in_a_circle(serve, tmp_path):
    refused(
        serve(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"),
        tmp_path,
        r"the server refused .*302 .*infinite loop",
    )


def test_a_reason_with_control_codes_is_printed_without_them(serve, tmp_path):
    refused(
        serve(b"HTTP/1.1 500 \x1b[2J\x1b]0;title\x07 \x9b31m\r\n\r\n"), tmp_path, r"500 \\x1b\[2J"
    )
    refused(serve(b"\x1b[2J\x07\r\n\r\n"), tmp_path, r"could not reach .*\\x1b\[2J")


def test_silence_and_a_line_cut(serve, tmp_path):
    refused(serve(b""), tmp_path, "could not reach .*closed connection without response")
    refused(
        serve(OK + b"Content-Length: %d\r\n\r\n" % SIZE + CONTENT[:50]),
        tmp_path,
        f"stopped after 50 of 4,390 bytes, {ATTEMPTS} times",
    )


# ---- what lies where the partial file is to be ----


def whole(serve):
    return serve(OK + b"Content-Length: %d\r\n\r\n" % SIZE + CONTENT)


def test_a_link_where_the_partial_file_lies(serve, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    partial = tmp_path / "folder" / "file.txt.partial"
    partial.parent.mkdir()
    os.symlink(precious, partial)
    refused(whole(serve), partial.parent, "partial is a link, expected the beginning of a download")
    partial.unlink()
    os.symlink(tmp_path / "nowhere", partial)
    refused(whole(serve), partial.parent, "is a link")
    partial.unlink()
    os.link(precious, partial)
    refused(whole(serve), partial.parent, "is a link")
    assert precious.read_text() == "mine" and not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_or_a_folder_where_the_partial_file_lies(serve, tmp_path):
    partial = tmp_path / "file.txt.partial"
    os.mkfifo(partial)
    refused(whole(serve), tmp_path, "partial is not a regular file, expected the beginning")
    partial.unlink()
    partial.mkdir()
    refused(whole(serve), tmp_path, "partial is not a regular file, expected the beginning")


def test_two_at_a_time(serve, tmp_path):
    """The second is refused and disturbs nothing; after the first has ended, it finds the file."""
    go_on = threading.Event()

    def slowly(_):
        yield OK + b"Content-Length: %d\r\n\r\n" % SIZE + CONTENT[:1000]
        go_on.wait(30)
        yield CONTENT[1000:]

    url = serve(slowly)
    first = []
    seen = threading.Event()

    def report(done, total):
        if done >= 1000:
            seen.set()

    def work():
        first.append(download(url, tmp_path / "file.txt", SHA, report, size=SIZE, timeout=30))

    thread = threading.Thread(target=work)
    thread.start()
    assert seen.wait(30)
    refused(url, tmp_path, "another process is downloading .*file.txt.partial; wait for it")
    go_on.set()
    thread.join()
    assert first[0].read_bytes() == CONTENT == get(url, tmp_path).read_bytes()
