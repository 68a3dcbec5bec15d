"""One HTTP request, to a server that may be slow, broken or malicious.

A thread of its own reads the answer and hands it over piece by piece; whoever waits for the pieces
looks at the clock, and can leave a server that drips headers, chunks or trailers for ever. No
piece is larger than CHUNK, whatever sizes the answer claims, and nothing in it is decompressed.
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
MINIMUM_RATE = 1000.0  # and one more for so many bytes
BY_HAND = "fetch the file by hand and pass its path"

monotonic = time.monotonic


class BeginAgain(Exception):
    """The server does not give the part that was asked for: ask for the whole."""


def request(url: str, had: int, size: int, timeout: float) -> Iterator[tuple[int, bytes]]:
    """(where it begins, a piece of the file), ..., of which the first ``had`` bytes are here.

    Ends where the file ends or the line goes dead. The first pair comes before any piece and tells
    the place alone. Raises BeginAgain for an answer that is another part, and UserError where the
    server cannot be reached, refuses, has a file of another size, or is too slow: it may take
    PATIENCE seconds, and one more for each MINIMUM_RATE bytes.
    """
    pieces: queue.Queue[Any] = queue.Queue(maxsize=4)
    stop = threading.Event()
    threading.Thread(target=_read, args=(url, had, timeout, pieces, stop), daemon=True).start()
    begun = monotonic()

    def next_piece(received: int) -> Any:
        left = PATIENCE + received / MINIMUM_RATE - (monotonic() - begun)
        try:
            if left > 0:
                return pieces.get(timeout=left)
        except queue.Empty:
            pass
        raise UserError(
            f"{url} sent {received:,} bytes in {PATIENCE + received / MINIMUM_RATE:.0f} s, which "
            f"is too slow; run again to go on from there, or {BY_HAND}"
        )

    try:
        at = start = _begin(next_piece(0), url, had, size)
        yield at, b""
        while piece := next_piece(at - start):
            if isinstance(piece, Exception):
                return  # the line went dead: what has come so far is kept
            yield at, piece
            at += len(piece)
    finally:
        stop.set()


def _begin(answer: Any, url: str, had: int, size: int) -> int:
    """Where the part begins that the answer's header announces."""
    import http.client
    import urllib.error

    if isinstance(answer, urllib.error.HTTPError):
        answer.close()
        if answer.code == 416 and had:  # "that part does not exist"
            raise BeginAgain
        raise UserError(
            f"the server refused {url} ({answer.code} {one_line(str(answer.reason))}); try later, "
            f"or {BY_HAND}"
        )
    if isinstance(answer, OSError | http.client.HTTPException | ValueError):
        reason = one_line(str(getattr(answer, "reason", None) or answer))
        raise UserError(
            f"could not reach {url} ({reason}); check the network and run again, or {BY_HAND}"
        )
    if isinstance(answer, Exception):
        raise answer
    status, headers = answer
    start = 0
    if status == 206:
        span = re.match(r"bytes ([0-9]{1,18})-", headers.get("Content-Range") or "")
        if span is None or int(span[1]) != had:  # not the part that was asked for
            raise BeginAgain
        start = had
    length = _content_length(headers, url)
    if length is not None and start + length != size:
        raise UserError(
            f"the file at {url} has {start + length:,} bytes, expected {size:,}: it has changed "
            f"since this version; {BY_HAND}"
        )
    return start


def _content_length(headers: Any, url: str) -> int | None:
    """The number in the header Content-Length, or None where there is none."""
    given = {value.strip() for value in headers.get_all("Content-Length") or ()}
    if not given:
        return None
    value = given.pop()
    if given or not re.fullmatch("[0-9]{1,18}", value):
        found = "several lengths" if given else f"the length {one_line(value[:20])!r}"
        raise UserError(
            f"{url} sends {found} of the file, expected one number of bytes; try later, or "
            f"{BY_HAND}"
        )
    return int(value)


def _read(
    url: str, had: int, timeout: float, pieces: queue.Queue[Any], stop: threading.Event
) -> None:
    """Hand over (status, headers), then pieces, then b"" or what went wrong; until told to stop."""

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
            # read1 returns what has come, so that a slow server is noticed, and never more than
            # asked for, also where a chunk claims a negative size.
            while piece := response.read1(CHUNK):
                hand_over(piece)
            hand_over(b"")
    except InterruptedError:
        return
    except Exception as error:  # raised again, or made a sentence, by the thread that waits
        try:
            hand_over(error)
        except InterruptedError:
            return


def _open(url: str, had: int, timeout: float) -> Any:
    # Imported here: with ssl they take longer than all the rest of a --help.
    import urllib.error
    import urllib.request

    class HttpRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):
            fp.close()  # urllib would read all of its body, however long
            schemes = ("https://",) if req.type == "https" else ("https://", "http://")
            if not newurl.startswith(schemes):
                raise urllib.error.URLError(f"it leads to {newurl}, which is not followed")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    headers = {"User-Agent": "tinygrad-llm", "Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
    request = urllib.request.Request(url, headers=headers)
    return urllib.request.build_opener(HttpRedirects).open(request, timeout=timeout)
