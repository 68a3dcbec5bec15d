"""``explore --serve``: the page, and a process that answers what the page alone cannot know.

FastAPI and uvicorn do the work (extra ``web``); they are imported here, when they are needed. What
can be asked is in ``answers.py``. A local server can be reached by every web page that is open in
the same browser, and by every user of the machine. So

- it listens on 127.0.0.1 alone;
- every address needs a random token, which only the page has: without it the answer is 403;
- the Host must be this one: a name that an attacker lets point to 127.0.0.1 is refused;
- the Origin, if the browser names one, must be this page's, and no other origin is allowed to read;
- a question has a largest size, and no field of it is believed.
"""

import json
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable, Mapping
from typing import Any

from autograd.debug.explorer.answers import Answers, QuestionError
from autograd.debug.explorer.page import as_script_data, page
from autograd.debug.explorer.tape import Tape

HOST = "127.0.0.1"
LARGEST_QUESTION = 20_000
"""Bytes of a question: a cell's address, not data."""
SAFE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class ServeError(RuntimeError):
    """The page cannot be served; the message is a sentence for the user."""


def serve(
    tapes: Mapping[str, Tape],
    document: dict[str, Any],
    title: str,
    port: int,
    open_browser: bool,
    say: Callable[[str], Any],
    at: str = "",
) -> int:
    """Serve the page of a document until Ctrl-C, and answer its questions about ``tapes``.

    ``tapes`` has the Tape of each of the document's graphs, by its name. ``say`` prints a line, and
    ``at`` is the end of the address to open. Port 0 takes one that is free. Returns the exit code,
    0. Raises ServeError where the extra ``web`` is not installed, or the port is taken.
    """
    uvicorn = _uvicorn()
    listening = listen(port)
    port, token = listening.getsockname()[1], secrets.token_urlsafe(24)
    content = page(document, title, {"address": "", "token": token})
    app = make_app(content, tapes, token, port)
    address = f"http://{HOST}:{port}/?token={token}{at}"
    say(f"page   {address}")
    say("it can be reached from this machine alone; Ctrl-C ends it")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=2,
            limit_concurrency=64,
        )
    )
    if open_browser:
        _open(address, say)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn has shut down, and raises it again
        pass
    finally:
        listening.close()
    return 0


def ready(port: int) -> None:
    """Raise the ServeError that ``serve`` would: before a page is made for nothing."""
    _uvicorn()
    listen(port).close()


def _uvicorn():
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ServeError(
            f"serving needs {error.name}: pip install 'tinygrad-llm[web]', or leave out --serve"
        ) from None
    return uvicorn


def listen(port: int) -> socket.socket:
    """A socket that listens on this machine alone. Raises ServeError if the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":  # after a restart at once; elsewhere it would share the port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ServeError(
            f"port {port} cannot be used ({error.strerror}): if another program listens there, "
            "choose another with --port"
        ) from None
    return listening


def _open(address, say):
    try:
        opened = webbrowser.open(address)
    except webbrowser.Error:
        opened = False
    if not opened:
        say("there is no browser to open here: open that address in one")


# --- HTTP ----------------------------------------------------------------------------------------


def make_app(content: str, tapes: Mapping[str, Tape], token: str, port: int) -> Any:
    """The ASGI application: GET / is the page, POST /proof, /values and /terms are questions."""
    from fastapi import FastAPI, Request, Response
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import ClientDisconnect

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    answers = Answers(tapes)

    async def first_page(request: Request) -> Response:
        return Response(content, media_type="text/html; charset=utf-8")

    async def question(request: Request) -> Response:
        try:
            asked = json.loads(await _body(request))
        except (ValueError, RecursionError):
            return _refusal(400, "the question is not JSON")
        except ClientDisconnect:  # nobody is there to read an answer
            return _refusal(400, "the question broke off")
        except _TooLargeError:
            return _refusal(413, f"a question has at most {LARGEST_QUESTION:,} bytes")
        try:
            found = await run_in_threadpool(answers.answer, request.url.path.strip("/"), asked)
        except QuestionError as error:
            return _refusal(422, str(error))
        return Response(as_script_data(found), media_type="application/json")

    app.add_api_route("/", first_page, methods=["GET"], response_model=None)
    for name in ("proof", "values", "terms"):
        app.add_api_route(f"/{name}", question, methods=["POST"], response_model=None)
    app.add_middleware(Guard, token=token, port=port)
    return app


class Guard:
    """Lets through what comes from our own page, and puts SAFE headers on every answer."""

    def __init__(self, app: Any, token: str, port: int) -> None:
        self.app, self.token = app, token.encode()
        names = (f"{HOST}:{port}", f"localhost:{port}")
        self.hosts = {name.encode() for name in names}
        self.origins = {f"http://{name}".encode() for name in names}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_safely(message):
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                extra = [(k.lower().encode(), v.encode()) for k, v in SAFE.items()]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        reason = self._refusal(scope)
        if reason is not None:
            await _refusal(403, reason)(scope, receive, send_safely)
            return
        try:
            await self.app(scope, receive, send_safely)
        except Exception:
            if not started:
                await _refusal(500, "the question could not be answered")(
                    scope, receive, send_safely
                )
            raise  # uvicorn logs it

    def _refusal(self, scope):
        """Why a request is refused; None if it is ours."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return "this server answers to its own address alone"
        if any(origin not in self.origins for origin in headers.get(b"origin", [])):
            return "this server answers its own page alone"
        if scope["method"] == "GET":
            given = _token_in(scope["query_string"])
        else:
            given = (headers.get(b"x-token") or [b""])[0]
        if not secrets.compare_digest(given, self.token):
            return "the token is wrong: open the address that explore --serve printed"
        return None


def _token_in(query: bytes) -> bytes:
    """The token of an address."""
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"token":
            return value
    return b""


class _TooLargeError(Exception):
    pass


async def _body(request):
    """The bytes of a question; it is not read further than a question may be long."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_QUESTION:
            raise _TooLargeError
        parts.append(part)
    return b"".join(parts)


def _refusal(status: int, sentence: str) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({"error": sentence}, status_code=status)
