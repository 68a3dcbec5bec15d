"""``tinygrad-llm pipeline``: the whole run, what it writes, and going on after anything."""

import hashlib
import json
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from caches import new_cache
from command_server import KILLED, CommandServer
from small_library import write_library

from tinygrad_llm import cli
from tinygrad_llm.commands import pipeline
from tinygrad_llm.commands.pipeline_stages import STAGES, TASKS
from tinygrad_llm.data.splitting import is_validation
from tinygrad_llm.evals.results import read_results
from tinygrad_llm.pipeline.facts import MODELS, read_lines
from tinygrad_llm.training.metrics import read_metrics

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")

SMOKE = ["pipeline", "--preset", "smoke", "--data", "../../library"]
RUN = "runs/pipeline-smoke"


class World:
    """A corpus, a run that nothing interrupted, and places for others."""

    def __init__(self, folder, server):
        self.folder, self.server, self.count = folder, server, 0
        write_library(folder)
        self.here = self.place()
        self.result = self.run(self.here)
        assert self.result["code"] == 0, self.result["log"]
        self.expected = end(self.here / RUN)

    def place(self, like=None):
        self.count += 1
        folder = self.folder / str(self.count) / "here"
        if like is None:
            folder.mkdir(parents=True)
        else:
            shutil.copytree(like, folder)
        return folder

    def run(self, folder, fault=None, argv=()):
        return self.server.run([*SMOKE, *argv], folder, folder.parent / "cache", fault)


def end(run):
    """What a finished run left, without the times: sha256 of files, measurements, the report."""
    assert not [p for p in run.rglob("*") if ".partial" in p.name]
    timed = "metrics.jsonl run.json pipeline.json eval.json results.json report.html .lock".split()
    files = [p for p in run.rglob("*") if p.is_file() and p.name not in (*timed, "report.md")]
    sums = {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    lines = {}
    for stage in ("pretrain", "sft", "dpo"):
        lines[stage] = read_metrics(run / stage / "metrics.jsonl")
        for line in lines[stage]:
            line.pop("tokens_per_second", None)
    results = {m: read_results(run / "evals" / m)["results"] for m in MODELS}
    report = (run / "report.md").read_text()
    report = re.sub(r"(under )?\d+ (s|min)\b|[\d,]+ tokens per second", "(time)", report)
    return sums, lines, results, report.replace("(time) (time)", "(time)")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with CommandServer() as server:
        yield World(tmp_path_factory.mktemp("world"), server)


def test_every_stage_says_what_it_does_and_leaves_its_folder(world):
    log, run = world.result["log"], world.here / RUN
    for number, stage in enumerate(STAGES, 1):
        assert f"{number}/11 {stage.name}: {stage.about}\n" in log
    assert "tinygrad-llm chat runs/pipeline-smoke/dpo" in log
    state = json.loads((run / "pipeline.json").read_text())
    assert list(state["stages"]) == [stage.name for stage in STAGES]
    assert all(record["outputs"] for record in state["stages"].values())


def test_nothing_held_out_is_learned(world):
    data = world.here / RUN / "data"
    for kind, learned in (("sft", 2 * 6 * 23), ("dpo", 40)):
        train, held_out = (
            read_lines(data / f"{kind}_{side}.jsonl") for side in ("train", "held_out")
        )
        assert len(train) == learned and len(held_out) == 2 * 6
        assert not any(is_validation(row["module"]) for row in train)
        assert all(is_validation(row["module"]) for row in held_out)
    for name in ("docstrings", "signatures", "next_word"):
        assert all(is_validation(row["module"]) for row in read_lines(data / f"{name}.jsonl"))


def test_every_model_is_asked_the_same(world):
    run = world.here / RUN
    for model in MODELS:
        content = read_results(run / "evals" / model)
        assert list(content["configs"]) == list(TASKS)
        assert content["n-samples"]["docstrings_chat"]["effective"] == 6
        answers = read_lines(run / "evals" / model / "answers.jsonl")
        assert [row["kind"] for row in answers] == 3 * ["code"] + 3 * ["docstring"] + 3 * [
            "signature"
        ]
    first, last = (
        read_results(run / "evals" / m)["results"]["perplexity"] for m in ("untrained", "dpo")
    )
    assert first["bits_per_byte,none"] > last["bits_per_byte,none"]


class Links(HTMLParser):
    """The sources and links of a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href")]


def test_the_page_needs_no_other_file_and_says_what_the_markdown_says(world):
    run = world.here / RUN
    page, text = (run / "report.html").read_text(), (run / "report.md").read_text()
    links = Links(page).found
    assert len(links) == 5 and all(link.startswith("data:image/png;base64,") for link in links)
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", text)
    assert len(pictures) == 5 and all((run / name).is_file() for name in pictures)
    headings = re.findall(r"(?m)^## (.*)$", text)
    assert len(headings) == 8 and all(f"<h2>{heading}</h2>" in page for heading in headings)
    for part in ("From code to an assistant", "Options: preset smoke, "):  # first and last
        assert part in text and part in page.split("<body>")[1]
    for model in MODELS:
        bits = read_results(run / "evals" / model)["results"]["perplexity"]["bits_per_byte,none"]
        assert f" {bits:.3f} |" in text and f"<td>{bits:.3f}</td>" in page


def test_a_finished_run_is_left_alone(world):
    before = {p: p.stat().st_mtime_ns for p in (world.here / RUN).rglob("*") if p.name != ".lock"}
    result = world.run(world.here)
    assert result["code"] == 0
    for number, stage in enumerate(STAGES, 1):
        assert re.search(rf"(?m)^{number}/11 {stage.name}: done before in 0:\d\d, and unchanged$",
                         result["log"])  # fmt: skip
    after = {p: p.stat().st_mtime_ns for p in (world.here / RUN).rglob("*") if p.name != ".lock"}
    assert before == after


def test_killed_again_and_again_it_ends_the_same(world):
    """Each time a little later, so that every stage is killed, most of them in several places."""
    folder, at, kills = world.place(), 3, 0
    while (result := world.run(folder, {"kind": "kill", "at": at}))["code"] == KILLED:
        at, kills = at + 8, kills + 1
    assert result["code"] == 0, result["log"]
    assert kills > len(STAGES)
    assert end(folder / RUN) == world.expected


# --- what is done again, and what is refused ---------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a corpus, which is the current one; a pipeline has two short stages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", new_cache(tmp_path))
    monkeypatch.setattr(pipeline, "STAGES", STAGES[:2])
    write_library(tmp_path)
    return tmp_path


def smoke(*options):
    return cli.main(["pipeline", "--preset", "smoke", "--data", "library", *options])


def refused(capsys, *options):
    """The sentence with which the program ends."""
    capsys.readouterr()
    assert smoke(*options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_a_stage_with_damaged_files_is_done_again(place, capsys):
    assert smoke() == 0
    rows = place / RUN / "data" / "sft_train.jsonl"
    before = rows.read_bytes()
    rows.write_bytes(before[:100])
    capsys.readouterr()
    assert smoke() == 0
    out = capsys.readouterr().out
    assert "1/2 data: " in out and "(again: its files have changed since)" in out
    assert "2/2 tokenizer: done before" in out and rows.read_bytes() == before
    shutil.rmtree(place / RUN / "tokenizer")
    assert smoke() == 0
    assert "(again: files of it are missing)" in capsys.readouterr().out
    assert (place / RUN / "tokenizer" / "tokenizer.json").is_file()


def test_a_changed_corpus_is_read_again(place, capsys):
    assert smoke() == 0
    with open(place / "library" / "words_1.py", "a") as file:
        file.write('\n\ndef another(one):\n    """Something that was not there before."""\n')
    capsys.readouterr()
    assert smoke() == 0
    assert capsys.readouterr().out.count("(again: another corpus)") == 2
    assert "not there before" in (place / RUN / "data" / "sft_train.jsonl").read_text()


def interrupt(work):
    raise KeyboardInterrupt


@pytest.mark.parametrize("stops", [lambda work: 130, interrupt], ids=["training", "other"])
def test_a_stage_that_is_stopped_says_how_to_go_on(place, capsys, monkeypatch, stops):
    """A training ends with an exit code once it has saved, anything else with the exception."""
    monkeypatch.setattr(pipeline, "STAGES", (STAGES[0], replace(STAGES[1], do=stops)))
    assert smoke("--seed", "3", "--precision", "bf16") == 130
    command = "tinygrad-llm pipeline --preset smoke --data library --seed 3 --precision bf16"
    assert capsys.readouterr().out.endswith(f"the pipeline goes on with: {command}\n")
    monkeypatch.setattr(pipeline, "STAGES", STAGES[:2])
    assert smoke("--seed", "3", "--precision", "bf16") == 0
    assert "1/2 data: done before" in capsys.readouterr().out


def test_a_damaged_state_is_one_sentence(place, capsys):
    assert smoke() == 0
    state = place / RUN / "pipeline.json"
    whole = state.read_text()
    for damaged, reason in (
        (whole[:50], "is damaged or was cut short"),
        ("", "is damaged or was cut short"),
        (whole.replace('"seconds": ', '"seconds": -1'), "expected a number of at least 0"),
        (whole.replace('"data": {', '"data": 3, "x": {'), "expected a JSON object"),
        (whole.replace('"format": 1', '"format": 2'), "format is 2, expected 1"),
    ):
        state.write_text(damaged)
        error = refused(capsys)
        assert str(state.relative_to(place)) in error and reason in error, error
        assert "choose another --out" in error


def test_other_options_need_another_folder(place, capsys):
    assert smoke() == 0
    error = refused(capsys, "--seed", "2")
    assert "holds a pipeline with another seed: 1337 and not 2; choose another --out" in error
    error = refused(capsys, "--precision", "bf16")
    assert "with another precision: 'float32' and not 'bf16'" in error
    state = place / RUN / "pipeline.json"
    content = json.loads(state.read_text())
    for name in ("precision", "activations"):  # earlier versions did not have them
        del content["options"][name]
    state.write_text(json.dumps(content))
    assert smoke() == 0
    (place / "full").mkdir()
    (place / "full" / "precious").write_text("!")
    assert "full exists and holds no pipeline, but precious" in refused(capsys, "--out", "full")
    assert (place / "full" / "precious").read_text() == "!"


@pytest.mark.parametrize("link", [False, True])
def test_what_is_in_the_place_of_a_folder_is_left_alone(place, capsys, link):
    (place / "mine").mkdir()
    (place / "mine" / "precious").write_text("!")
    assert "mine/precious is a file" in refused(capsys, "--out", "mine/precious")
    assert smoke() == 0
    data = place / RUN / "data"
    shutil.rmtree(data)
    if link:
        data.symlink_to(place / "mine")
    else:
        data.write_text("precious")
    kind = "a link" if link else "a file"
    assert f"{data.relative_to(place)} is {kind}, expected a folder" in refused(capsys)
    assert (place / "mine" / "precious").read_text() == "!" and data.exists()


def test_a_corpus_without_enough_functions_is_refused(place, capsys):
    (place / "prose").mkdir()
    for i in range(60):
        (place / "prose" / f"{i}.txt").write_text(f"There is no function in text {i}.\n" * 20)
    assert smoke("--data", "prose") == 2
    assert (
        "prose has 0 different functions with docstrings to learn from" in capsys.readouterr().err
    )
    (place / "same").mkdir()
    for i in range(60):
        (place / "same" / f"{i}.py").write_text(f'def run():\n    """Do the thing number {i}."""\n')
    assert "same has 1 different functions" in refused(
        capsys, "--data", "same", "--out", "same_run"
    )
    error = refused(capsys, "--data", "library/words_1.py", "--out", "one_run")
    assert "words_1.py is one document" in error
    library = place / "library"
    for path in library.iterdir():
        if is_validation(path.name):
            path.write_text("x = 1\n" * 50)
    error = refused(capsys, "--out", "other")
    assert "the held-out part of the corpus has 0 functions with docstrings" in error
