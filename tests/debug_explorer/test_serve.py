"""The process behind the page: what it answers, to whom, and what it refuses."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug.explorer import answers as answers_module
from autograd.debug.explorer.answers import Answers, QuestionError
from autograd.debug.explorer.document import Builder, graph_document
from autograd.debug.explorer.page import page
from autograd.debug.explorer.serve import (
    LARGEST_QUESTION,
    ServeError,
    listen,
    make_app,
    ready,
    serve,
)
from autograd.debug.explorer.tape import record
from tinygrad_llm.commands.explore import run
from tinygrad_llm.commands.explore_options import ExploreOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.inspect.explorable import EXPLORABLE

pytest.importorskip("fastapi", reason="needs fastapi, of the extra web")
pytest.importorskip("uvicorn", reason="needs uvicorn, of the extra web")
testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx2, of the extra test")

TOKEN, PORT = "a-token", 8642
OWN = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def tape():
    rng = np.random.default_rng([14, 13])
    x = Tensor(rng.standard_normal((100, 60)).astype(np.float32), requires_grad=True)
    w = Tensor(rng.standard_normal((60, 80)).astype(np.float32), requires_grad=True)
    return record(lambda: (ops.tanh(x @ w) ** 2).mean(), names={"x": x, "w": w})


@pytest.fixture(scope="module")
def answers(tape):
    return Answers({"g": tape})


@pytest.fixture(scope="module")
def client(tape):
    content = page({"graphs": []}, "a title", {"address": "", "token": TOKEN})
    app = make_app(content, {"g": tape}, TOKEN, PORT)
    with testclient.TestClient(app, base_url=OWN) as client:
        yield client


def ask(client, name, question, **headers):
    headers = {"X-Token": TOKEN} | {k.replace("_", "-"): v for k, v in headers.items()}
    return client.post(f"/{name}", json=question, headers=headers)


# --- answers -------------------------------------------------------------------------------------


def test_any_element_is_proven_on_demand(tape, client):
    w = next(v for v in tape.values if v.key == "w")
    for element in (0, 17, 4799):
        found = ask(client, "proof", {"graph": "g", "tensor": w.index, "element": element}).json()
        check, curve = found["check"], found["curve"]
        assert check["verdict"] == "agrees"
        assert check["gradient"] == float(w.gradient.flat[element])
        assert abs(check["difference"] - check["gradient"]) <= check["tolerance"]
        assert curve["element"] == element and len(curve["steps"]) == len(curve["slopes32"]) == 53


def test_values_of_a_sampled_tensor_are_sent_whole_or_in_a_window(tape, client):
    x = next(v for v in tape.values if v.key == "x")
    graph = graph_document(tape, "g", parts={})
    assert "sample" in graph["tensors"][x.index]  # the page does not have them
    for window, expected in ((None, x.array), ([[2, 5], [0, 60]], x.array[2:5])):
        found = ask(client, "values", {"graph": "g", "tensor": x.index, "window": window}).json()
        array = np.frombuffer(base64.b64decode(found["data"]), np.dtype(found["dtype"]))
        np.testing.assert_array_equal(array.reshape(found["shape"]), expected)


def test_values_of_every_type_can_be_read():
    for dtype, sent in (("int64", "f8"), ("bool", "i1"), ("float16", "f4"), ("int32", "i4")):
        x, other = Tensor(np.ones(3), requires_grad=True), np.ones(3, dtype)
        tape = record(lambda x=x, other=other: (x * other).sum())
        constant = next(v for v in tape.values if v.kind == "constant")
        found = Answers({"g": tape}).answer("values", {"graph": "g", "tensor": constant.index})
        assert found["dtype"] == sent
        assert np.frombuffer(base64.b64decode(found["data"]), found["dtype"]).tolist() == [1, 1, 1]


def test_the_tensors_of_the_process_are_numbered_as_on_the_page(tape):
    for made in (tape, *(lambda e: [record(e.loss, e.model)])(EXPLORABLE["gpt"]())):
        graph, builder = graph_document(made, "g", parts={}), Builder(made)
        assert len(graph["tensors"]) == len(builder.items)
        for described, item in zip(graph["tensors"], builder.items, strict=True):
            assert (described["kind"], described["name"]) == (item.kind, item.name)
            if item.array is not None:
                assert described["shape"] == list(item.array.shape)


# --- questions from outside ----------------------------------------------------------------------


WRONG = [
    ("proof", {}, "no such graph"),
    ("proof", {"graph": "other"}, "no such graph"),
    ("proof", {"graph": ["g"]}, "no such graph"),
    ("proof", {"graph": "g"}, "tensor must be a whole number"),
    ("proof", {"graph": "g", "tensor": True}, "tensor must be a whole number"),
    ("proof", {"graph": "g", "tensor": 1.0}, "tensor must be a whole number"),
    ("proof", {"graph": "g", "tensor": -1}, "there is no tensor -1"),
    ("proof", {"graph": "g", "tensor": 10**30}, "there is no tensor 1000"),
    ("proof", {"graph": "g", "tensor": 0}, "element must be a whole number"),
    ("proof", {"graph": "g", "tensor": 0, "element": "0"}, "element must be a whole number"),
    ("proof", {"graph": "g", "tensor": 0, "element": 6000}, "no element 6000"),
    ("proof", {"graph": "g", "tensor": 0, "element": -1}, "no element -1"),
    ("proof", {"graph": "g", "tensor": 8, "element": 0}, "only values can be moved"),
    ("values", {"graph": "g", "tensor": 0, "window": 3}, "a pair"),
    ("values", {"graph": "g", "tensor": 0, "window": [[0, 1]]}, "a pair"),
    ("values", {"graph": "g", "tensor": 0, "window": [[0, 1], [0, 61]]}, "a pair"),
    ("values", {"graph": "g", "tensor": 0, "window": [[-2, -1], [0, 1]]}, "a pair"),
    ("values", {"graph": "g", "tensor": 0, "window": [[1, 0], [0, 1]]}, "a pair"),
    ("values", {"graph": "g", "tensor": 0, "window": [["0", 1], [0, 1]]}, "a pair"),
    ("values", {"graph": "g", "tensor": 0, "window": [[0, 1, 1], [0, 1]]}, "a pair"),
    ("terms", {"graph": "g", "tensor": 0}, "cell must be a list of whole numbers"),
    ("terms", {"graph": "g", "tensor": 0, "cell": [0, True]}, "whole numbers"),
    ("terms", {"graph": "g", "tensor": 0, "cell": [0]}, "has no element [0]"),
    ("terms", {"graph": "g", "tensor": 0, "cell": [0, 60]}, "has no element [0, 60]"),
    ("terms", {"graph": "g", "tensor": 0, "cell": [-1, 0]}, "has no element [-1, 0]"),
    ("terms", [1], "a question is a JSON object"),
    ("terms", True, "a question is a JSON object"),
    ("terms", "g", "a question is a JSON object"),
]


@pytest.mark.parametrize(("name", "question", "sentence"), WRONG)
def test_a_wrong_question_is_answered_with_a_sentence(client, name, question, sentence):
    reply = ask(client, name, question)
    assert reply.status_code == 422
    assert sentence in reply.json()["error"]


def test_too_many_values_are_not_sent_at_once(answers, monkeypatch):
    monkeypatch.setattr(answers_module, "MOST_VALUES", 100)
    with pytest.raises(QuestionError, match="6,000 elements are more than the 100"):
        answers.answer("values", {"graph": "g", "tensor": 0})


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b'{"a": 1', b"[" * 15_000, b"1" * 15_000, b"NaN,", b"'g'", b"\x00"],
    ids=lambda body: repr(body[:8]),
)
def test_what_is_not_json_is_refused(client, body):
    reply = client.post("/proof", content=body, headers={"X-Token": TOKEN})
    assert reply.status_code == 400
    assert reply.json() == {"error": "the question is not JSON"}


def test_a_huge_question_is_not_read_to_its_end(client):
    read = 0

    def endless():
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b" " * LARGEST_QUESTION

    reply = client.post("/proof", content=b" " * (LARGEST_QUESTION + 1), headers={"X-Token": TOKEN})
    assert reply.status_code == 413 and "a question has at most" in reply.json()["error"]
    assert client.post("/proof", content=endless(), headers={"X-Token": TOKEN}).status_code == 413


def test_an_error_of_ours_is_a_sentence_and_the_next_question_is_answered(tape, monkeypatch):
    app = make_app("", {"g": tape}, TOKEN, PORT)
    client = testclient.TestClient(app, base_url=OWN, raise_server_exceptions=False)
    with monkeypatch.context() as patch:
        patch.setattr(Answers, "answer", lambda *_: 1 / 0)
        reply = ask(client, "proof", {})
        assert reply.status_code == 500
        assert reply.json() == {"error": "the question could not be answered"}
        assert reply.headers["x-frame-options"] == "DENY"
    assert ask(client, "terms", {"graph": "g", "tensor": 0, "cell": [0, 0]}).status_code == 200


# --- who may ask ---------------------------------------------------------------------------------


def test_the_page_is_there_for_its_address_alone(client):
    reply = client.get(f"/?token={TOKEN}")
    assert reply.status_code == 200 and "a title" in reply.text
    policy = reply.text.split('Content-Security-Policy" content="')[1].split('"')[0]
    assert "connect-src &#x27;self&#x27;" in policy and "default-src &#x27;none&#x27;" in policy
    for name in ("cache-control", "x-content-type-options", "x-frame-options"):
        assert name in reply.headers
    for wrong in (
        "",
        "?token=",
        "?token=other",
        f"?tokens={TOKEN}",
        f"?x={TOKEN}",
        "?token=%C3%A4",
    ):
        reply = client.get(f"/{wrong}")
        assert reply.status_code == 403 and TOKEN not in reply.text


@pytest.mark.parametrize("token", ["", "other", TOKEN + "x", TOKEN[:-1], "ä".encode()])
def test_a_question_needs_the_token(client, token):
    reply = client.post("/proof", json={}, headers={"X-Token": token})
    assert reply.status_code == 403 and "the token is wrong" in reply.json()["error"]
    assert client.post(f"/proof?token={TOKEN}", json={}).status_code == 403  # not from a form


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1",
        f"127.0.0.1.evil:{PORT}", f"0.0.0.0:{PORT}", "",
    ],
)  # fmt: skip
def test_a_name_that_was_pointed_here_is_refused(client, host):
    for reply in (
        client.get(f"/?token={TOKEN}", headers={"Host": host}),
        ask(client, "proof", {}, Host=host),
    ):
        assert reply.status_code == 403 and "its own address alone" in reply.json()["error"]


def test_localhost_is_this_machine_too(client):
    assert client.get(f"/?token={TOKEN}", headers={"Host": f"localhost:{PORT}"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}"])
def test_another_origin_may_neither_ask_nor_read(client, origin):
    reply = ask(client, "terms", {"graph": "g", "tensor": 0, "cell": [0, 0]}, Origin=origin)
    assert reply.status_code == 403
    asked_before = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for refused in (reply, client.options("/proof", headers=asked_before)):
        assert refused.status_code == 403
        assert not [h for h in refused.headers if h.lower().startswith("access-control")]
    own = ask(client, "terms", {"graph": "g", "tensor": 0, "cell": [0, 0]}, Origin=OWN)
    assert own.status_code == 200


def test_nothing_else_is_served(client):
    for path in ("/docs", "/openapi.json", "/redoc", "/../setup.cfg", "/static/x", "/proof/x"):
        assert client.get(f"{path}?token={TOKEN}").status_code in (403, 404, 405)
    assert client.get(f"/proof?token={TOKEN}").status_code == 405
    assert client.put("/proof", headers={"X-Token": TOKEN}).status_code == 405


# --- the real thing ------------------------------------------------------------------------------


SERVER = """
import numpy as np
from autograd import Tensor
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.serve import serve
from autograd.debug.explorer.tape import record

x = Tensor(np.linspace(-1, 1, 5), requires_grad=True)
tape = record(lambda: (x * x * x).sum(), names={"x": x})
document = {"graphs": [graph_document(tape, "g", parts={})]}
code = serve({"g": tape}, document, "cubes", 0, False, lambda line: print(line, flush=True), "#a=1")
print("ended", code, flush=True)
"""


def start_server():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True,
    )  # fmt: skip
    line = process.stdout.readline().split()
    assert line and line[0] == "page", process.stderr.read()
    return process, line[1]


def test_a_real_server_answers_and_ctrl_c_ends_it():
    process, address = start_server()
    try:
        assert address.startswith("http://127.0.0.1:") and address.endswith("#a=1")
        origin, _, rest = address.partition("/?token=")
        token = rest.removesuffix("#a=1")
        assert len(token) >= 32
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        content = opener.open(address.removesuffix("#a=1"), timeout=60).read().decode()
        assert "<title>cubes</title>" in content
        question = json.dumps({"graph": "g", "tensor": 0, "element": 4}).encode()
        request = urllib.request.Request(
            f"{origin}/proof", question, {"X-Token": token, "Content-Type": "application/json"}
        )
        found = json.load(opener.open(request, timeout=60))
        assert found["check"]["gradient"] == 3 and found["check"]["verdict"] == "agrees"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            opener.open(f"{origin}/?token=wrong", timeout=60)
        port = int(origin.rpartition(":")[2])
        with pytest.raises(ServeError, match=f"port {port} cannot be used"):
            listen(port)
        with socket.create_connection(
            ("127.0.0.1", port)
        ) as broken:  # breaks off: nothing is logged
            broken.sendall(
                f"POST /proof HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Token: {token}\r\n"
                "Content-Length: 9\r\n\r\n{".encode()
            )
        others = _own_address()
        if (
            others is not None
        ):  # this machine has an address besides 127.0.0.1: nobody listens there
            with pytest.raises(OSError), socket.create_connection((others, port), timeout=5):
                pass
    finally:
        os.kill(process.pid, signal.SIGINT)
        said, complaints = process.communicate(timeout=60)
    assert said.endswith("ended 0\n") and process.returncode == 0
    assert complaints == ""


def _own_address():
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            address = probe.getsockname()[0]
        except OSError:
            return None
    return None if address.startswith("127.") or address == "0.0.0.0" else address


def test_a_port_in_use_is_one_sentence():
    with listen(0) as taken:
        port = taken.getsockname()[1]
        said = []
        with pytest.raises(ServeError) as refused:
            serve({}, {"graphs": []}, "", port, False, said.append)
        assert str(refused.value).startswith(f"port {port} cannot be used (")
        with pytest.raises(ServeError, match=f"port {port} cannot be used"):
            ready(port)
        with pytest.raises(UserError, match="choose another with --port"):
            run(ExploreOptions(serve=True, open=False, port=port))
    assert said == []


def test_without_the_extra_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(
        ServeError, match=r"serving needs uvicorn: pip install 'tinygrad-llm\[web\]'"
    ):
        serve({}, {"graphs": []}, "", 0, False, print)


def test_importing_it_imports_neither_fastapi_nor_uvicorn():
    check = (
        "import sys, autograd.debug.explorer.serve\n"
        "assert not {'fastapi', 'uvicorn', 'starlette'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", check], check=True, env=environment)


def test_questions_asked_at_once_are_answered_one_after_the_other(answers):
    found, threads = [], []
    for element in range(8):
        question = {"graph": "g", "tensor": 1, "element": element}
        threads.append(
            threading.Thread(target=lambda q=question: found.append(answers.answer("proof", q)))
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(f["check"]["element"] for f in found) == list(range(8))
    assert {f["check"]["verdict"] for f in found} == {"agrees"}
