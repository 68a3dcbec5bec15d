"""The runner: limits, examples, samples, and a run that goes on after a kill."""

import json

import pytest
from known_scores import NO_LIMITS, score_of
from small_mmlu import write_mmlu

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.known import KnownModel, known_model
from tinygrad_llm.evals.requests import ContextTooSmall
from tinygrad_llm.evals.runner import Settings, flat, prepare, read_samples, run_items
from tinygrad_llm.evals.tasks import TASKS

MMLU = TASKS["mmlu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_mmlu(tmp_path_factory.mktemp("data"), n_test=8)


def items_of(folder, **settings):
    return prepare(MMLU, folder, Settings(**settings), NO_LIMITS)


class Killed(KnownModel):
    """Answers so many requests, two at a time and from the end, before it is killed."""

    def __init__(self, model, count):
        super().__init__(model.name, model._prepared)
        self.count = count

    def answers(self, requests, done=()):
        numbers = [i for i in reversed(range(len(requests))) if i not in done]
        for place in range(0, min(self.count, len(numbers)), 2):
            yield {i: self._prepared[i] for i in numbers[place : place + 2]}
        if self.count < len(numbers):
            raise KeyboardInterrupt


def test_the_limit_counts_in_each_group(folder):
    numbers = [(i.document.group, i.document.number) for i in items_of(folder, limit=2)]
    assert numbers == [
        ("differences", 0), ("differences", 1), ("small_sums", 0), ("small_sums", 1)
    ]  # fmt: skip


def test_examples_are_the_first_of_the_same_group(folder):
    for item in items_of(folder, n_shots=3):
        context = item.requests[0].context
        assert context.count("Answer:") == 4
        assert context.count("minus" if item.document.group == "differences" else "plus") == 4


def test_too_many_examples_are_refused(folder):
    with pytest.raises(UserError, match="mmlu has 5 examples of differences, but 6 are asked for"):
        items_of(folder, n_shots=6)


def test_a_context_too_small_says_how_many_examples_fit(folder):
    class Small:
        def check(self, requests):
            for i, request in enumerate(requests):
                if request.context.count("Answer:") > 3:
                    raise ContextTooSmall(i, 1234, 1000)

    sentence = (
        "mmlu: document 0 of differences has 1,234 tokens with 5 examples, but the model reads at "
        "most 1,000; it fits with 2 examples: use --num-fewshot 2"
    )
    with pytest.raises(UserError, match=f"^{sentence}$"):
        prepare(MMLU, folder, Settings(), Small())


def test_a_sample_has_everything_about_its_document(folder, tmp_path):
    items = items_of(folder, limit=1, n_shots=0)
    run_items(MMLU, known_model("oracle", MMLU, items), items, tmp_path / "samples.jsonl")
    sample, other = read_samples(tmp_path / "samples.jsonl")
    document = items[0].document
    assert sample["doc"] == document.fields and sample["target"] == document.gold
    assert sample["arguments"]["gen_args_1"] == {
        "arg_0": items[0].requests[1].context,
        "arg_1": " B",
    }
    assert sample["filtered_resps"] == document.gold
    assert sample["metrics"] == ["acc"] and sample["acc"] == 1
    assert [r[0][1] for r in sample["resps"]] == [i == document.gold for i in range(4)]
    assert sample["prompt_hash"] != other["prompt_hash"]


@pytest.mark.parametrize("count", [0, 2, 20, 30])
def test_a_killed_run_goes_on_and_ends_the_same(folder, tmp_path, count):
    items = items_of(folder)
    model = known_model("random", MMLU, items, seed=4)
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    run_items(MMLU, model, items, whole)
    with pytest.raises(KeyboardInterrupt):
        run_items(MMLU, Killed(model, count), items, killed)
    if count >= 4:
        assert len(read_samples(killed)) == count // 4
        with open(killed, "ab") as file:
            file.write(b'{"doc_id": 3, "gro')  # the kill came while a line was written
    seen = []
    run_items(MMLU, Killed(model, 1000), items, killed, lambda done, total: seen.append(done))
    assert killed.read_bytes() == whole.read_bytes()
    assert seen[0] == count // 4 and seen[-1] == len(items)
    run_items(MMLU, Killed(model, 0), items, killed)  # nothing is left to ask
    assert killed.read_bytes() == whole.read_bytes()


def test_answers_that_come_again_change_nothing(folder, tmp_path):
    """A batch that was half done is computed again as a whole."""

    class Again(KnownModel):
        def answers(self, requests, done=()):
            yield dict(enumerate(self._prepared))

    items, path = items_of(folder), tmp_path / "samples.jsonl"
    model = known_model("random", MMLU, items)
    run_items(MMLU, model, items, path)
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    seen = []
    again = Again("random", known_model("first", MMLU, items)._prepared)
    samples = run_items(MMLU, again, items, path, lambda done, total: seen.append(done))
    assert path.read_bytes().splitlines()[:5] == whole.splitlines()[:5]
    assert seen == [5, len(items)] and len(samples) == len(items)


def test_samples_of_other_prompts_are_refused(folder, tmp_path):
    path, items = tmp_path / "samples.jsonl", items_of(folder)
    run_items(MMLU, known_model("first", MMLU, items), items, path)
    before = path.read_bytes()
    fewer = items_of(folder, n_shots=2)
    with pytest.raises(UserError, match="line 1 of .* has another document or prompt"):
        run_items(MMLU, known_model("first", MMLU, fewer), fewer, path)
    assert path.read_bytes() == before


def test_samples_are_json_without_escapes(folder, tmp_path):
    items = items_of(folder, limit=1)
    run_items(MMLU, known_model("first", MMLU, items), items, tmp_path / "s.jsonl")
    for line in (tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["doc"]["subject"] in ("differences", "small_sums")


def test_known_models_refuse_other_requests(folder):
    items = items_of(folder)
    with pytest.raises(UserError, match="was made for 64 requests, but there are 4"):
        list(known_model("first", MMLU, items).answers(flat(items)[:4]))
    with pytest.raises(UserError, match="no model 'second' of known score"):
        known_model("second", MMLU, items)


@pytest.mark.parametrize("control", ["shuffle-choices", "no-question", "other-shots"])
def test_the_oracle_is_perfect_on_corrupted_inputs(folder, control):
    assert score_of("oracle", MMLU, folder, control=control)[0] == 1


def test_what_the_controls_change(folder):
    (plain, *_), (shuffled, *_) = items_of(folder), items_of(folder, control="shuffle-choices")
    assert sorted(shuffled.document.choices) == sorted(plain.document.choices)
    (no_question, *_) = items_of(folder, control="no-question")
    choices = plain.requests[0].context.rpartition("?")[2]
    assert no_question.requests[0].context.endswith(f"\n\n{choices}")
    (other, *_) = items_of(folder, control="other-shots")
    assert other.requests[0].context.count("plus") == 5
    places = [i.document.gold for i in items_of(folder, control="shuffle-choices")]
    assert places != [i.document.gold for i in items_of(folder)]
    again = [i.document.gold for i in items_of(folder, control="shuffle-choices", seed=1)]
    assert places != again


def test_an_unknown_control_is_a_sentence(folder):
    with pytest.raises(UserError, match="there is no control 'none': there are shuffle-choices"):
        items_of(folder, control="none")
