"""One HTTP request, to a server that may be slow, broken or malicious.

A separate thread reads the answer and passes it on piece by piece; the caller watches the clock
while it waits, so it can abandon a server that drips headers, chunks or trailers for ever. No piece
is larger than CHUNK, whatever sizes the answer claims, and nothing in it is decompressed.
"""

import queue
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.terminal import one_line

CHUNK = 1 << 16
PATIENCE = 60.0  # seconds that a transfer may take
MINIMUM_RATE = 1000.0  # and one more second for this many bytes
BY_HAND = "download the file by hand and pass its path"

monotonic = time.monotonic


class BeginAgain(Exception):
    """The server does not send the requested part: ask for the whole file."""


class Refused(UserError):
    """The server answers with an error: ``status``, and the hub's word for it, or ""."""

    def __init__(self, url: str, status: int, reason: str, word: str) -> None:
        super().__init__(
            f"the server refused {url} ({status} {reason}); try again later, or {BY_HAND}"
        )
        self.status, self.word = status, word


class Unreachable(UserError):
    """The server does not answer, for this reason."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"could not reach {url} ({reason}); check the network and run again, or {BY_HAND}"
        )
        self.reason = reason


def request(url: str, had: int, size: int | None, timeout: float) -> Iterator[tuple[int, bytes]]:
    """(offset, a piece of the file), ..., from byte ``had`` on if the server can.

    ``size`` is the file's, if it is known. Ends with the file or when the connection dies. The
    first pair has an empty piece: it gives the offset before any data arrives. Raises BeginAgain if
    the server sends another part, Unreachable and Refused as their names say, and UserError if the
    file has another size or the server is too slow: it may take PATIENCE seconds, and one more for
    each MINIMUM_RATE bytes.
    """
    pieces: queue.Queue[Any] = queue.Queue(maxsize=4)
    stop = threading.Event()
    threading.Thread(target=_read, args=(url, had, timeout, pieces, stop), daemon=True).start()
    started = monotonic()

    def next_piece(received: int) -> Any:
        left = PATIENCE + received / MINIMUM_RATE - (monotonic() - started)
        try:
            if left > 0:
                return pieces.get(timeout=left)
        except queue.Empty:
            pass
        raise UserError(
            f"{url} sent {received:,} bytes in {PATIENCE + received / MINIMUM_RATE:.0f} s, which "
            f"is too slow; run again to continue from there, or {BY_HAND}"
        )

    try:
        at = start = _begin(next_piece(0), url, had, size)
        yield at, b""
        while piece := next_piece(at - start):
            if isinstance(piece, Exception):
                return  # the connection died: what has arrived so far is kept
            yield at, piece
            at += len(piece)
    finally:
        stop.set()


def _begin(answer: Any, url: str, had: int, size: int | None) -> int:
    """The offset of the part that the answer's header announces."""
    import http.client
    import urllib.error

    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        if answer.code == 416 and had:  # "that part does not exist"
            raise BeginAgain
        word = answer.headers.get("X-Error-Code") or ""
        raise Refused(url, answer.code, one_line(str(answer.reason)), word)
    if isinstance(answer, OSError | http.client.HTTPException | ValueError):
        raise Unreachable(url, one_line(str(getattr(answer, "reason", None) or answer)))
    if isinstance(answer, Exception):
        raise answer
    status, headers = answer
    start = 0
    if status == 206:
        span = re.match(r"bytes ([0-9]{1,18})-", headers.get("Content-Range") or "")
        if span is None or int(span[1]) != had:  # not the requested part
            raise BeginAgain
        start = had
    length = _content_length(headers, url)
    if length is not None and size is not None and start + length != size:
        raise UserError(
            f"the file at {url} has {start + length:,} bytes, expected {size:,}: it has changed "
            f"since this version; {BY_HAND}"
        )
    return start


def _content_length(headers: Any, url: str) -> int | None:
    """The number in the header Content-Length, or None if there is none."""
    lengths = {value.strip() for value in headers.get_all("Content-Length") or ()}
    if not lengths:
        return None
    value = lengths.pop()
    if lengths or not re.fullmatch("[0-9]{1,18}", value):
        what = "several lengths" if lengths else f"the length {one_line(value[:20])!r}"
        raise UserError(
            f"{url} sends {what} of the file, expected one number of bytes; try again later, or "
            f"{BY_HAND}"
        )
    return int(value)


def _read(
    url: str, had: int, timeout: float, pieces: queue.Queue[Any], stop: threading.Event
) -> None:
    """Put (status, headers), then pieces, then b"" or an exception into the queue."""

    def hand_over(item: Any) -> None:
        while not stop.is_set():
            try:
                return pieces.put(item, timeout=0.2)
            except queue.Full:
                continue
        raise InterruptedError

    try:
        with _open(url, had, timeout) as response:
            hand_over((response.status, response.headers))
            # read1 returns what has arrived, so a slow server is noticed, and never more than
            # requested, even if a chunk claims a negative size.
            while piece := response.read1(CHUNK):
                hand_over(piece)
            hand_over(b"")
    except InterruptedError:
        return
    except Exception as error:  # the waiting thread raises it or turns it into a sentence
        try:
            hand_over(error)
        except InterruptedError:
            return


def _open(url: str, had: int, timeout: float) -> Any:
    # Imported here: with ssl they take longer than the rest of --help together.
    import urllib.error
    import urllib.request

    class HttpRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            fp.close()  # urllib would read all of its body, however long
            schemes = ("https://",) if req.type == "https" else ("https://", "http://")
            if not newurl.startswith(schemes):
                raise urllib.error.URLError(f"it redirects to {newurl}, which is not followed")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    headers = {"User-Agent": "tinygrad-llm", "Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.build_opener(HttpRedirects).open(request, timeout=timeout)
