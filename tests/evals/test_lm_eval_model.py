"""lm-evaluation-harness on our models: its own MMLU, GSM8K and HellaSwag ask what ours ask, and
every document gets the same answers and the same metrics.

Its tasks are made from the YAML files of its package; only the data comes from local files.
"""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from small_mmlu import write_mmlu
from small_models import TEXT

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.gsm8k import GSM8K, solution
from tinygrad_llm.evals.known import KnownModel
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.requests import Chat, Generation, Loglikelihood, Message, Rolling, Text
from tinygrad_llm.evals.runner import Settings, prepare, run_items
from tinygrad_llm.evals.tasks import TASKS
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.tokenizer import Tokenizer, train_bpe

lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
for name in ("lm_eval.tasks", "lm_eval.evaluator"):
    pytest.importorskip(name, reason="lm-eval lacks a package", exc_type=ImportError)

from datasets import Dataset, DatasetDict  # noqa: E402
from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from lm_eval.tasks._yaml_loader import load_yaml  # noqa: E402

from tinygrad_llm.evals.lm_eval_model import LMEvalModel  # noqa: E402

DATA = os.environ.get("TINYGRAD_LLM_TEST_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TINYGRAD_LLM_TEST_DATA is not set")
TEMPLATES = Path(lm_eval.__file__).parent / "tasks"
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def model():
    """A model with random weights that reads 4,096 tokens."""
    tokenizer = train_bpe([TEXT * 3 + " A B C D?" * 99], 295)  # it has " A", " B", " C" and " D"
    config = LlamaConfig(
        vocab_size=295, block_size=4096, n_layer=2, n_head=4, n_kv_head=2, n_embd=32,
        n_hidden=64, tied=True,
    )  # fmt: skip
    llama, rng = Llama(config, seed=1), np.random.default_rng(2)
    for parameter in llama.parameters():
        noise = 0.3 * rng.standard_normal(parameter.shape)
        parameter.data = (parameter.data + noise).astype(np.float32)
    conventions = tokenizer.conventions._replace(chat_template=TEMPLATE)
    tokenizer = Tokenizer.from_vocabulary(tokenizer.vocabulary, conventions)
    return LanguageModel(llama.eval(), tokenizer, fused=False)


def their_samples(model, template, splits, n_shots, limit=None, **changes):
    """The samples of lm-evaluation-harness's task, by the number of the document."""
    config = load_yaml(TEMPLATES / template, resolve_func=True)
    data = DatasetDict({split: Dataset.from_list(rows) for split, rows in splits.items()})
    task = ConfigurableTask(config={**config, "custom_dataset": lambda **_: data, **changes})
    found = lm_eval.simple_evaluate(
        LMEvalModel(model), tasks=[task], num_fewshot=n_shots, limit=limit, bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),  # reading all tasks takes long
    )  # fmt: skip
    (samples,) = found["samples"].values()
    return samples


def our_samples(model, task, folder, **settings):
    items = prepare(task, folder, Settings(**settings), model)
    return run_items(task, model, items)


def check_choices(theirs, ours, metrics):
    """The same contexts, choices and scores of each document, and so the same metrics."""
    assert len(theirs) == len(ours) > 0
    for their, our in zip(sorted(theirs, key=lambda s: s["doc_id"]), ours, strict=True):
        asked = [(a["arg_0"], a["arg_1"]) for a in our["arguments"].values()]
        assert their["arguments"] == asked
        scores = [float(response[0][0]) for response in their["resps"]]
        assert scores == pytest.approx([response[0][0] for response in our["resps"]], abs=1e-4)
        best = our["filtered_resps"]
        assert best == int(np.argmax(scores))
        for metric in metrics:
            assert their[metric] == our[metric], (their["doc_id"], metric)


# --- MMLU -------------------------------------------------------------------------------------


def check_mmlu(model, folder, subject, template, limit):
    task = TASKS["mmlu"]
    rows = {
        split: [
            {"question": d.question, "choices": list(d.choices), "answer": d.gold}
            for d in documents
            if d.group == subject
        ]
        for split, documents in (("dev", task.examples(folder)), ("test", task.documents(folder)))
    }
    words = subject.replace("_", " ")
    header = f"The following are multiple choice questions (with answers) about {words}.\n\n"
    theirs = their_samples(model, template, rows, 5, limit, description=header)
    ours = our_samples(model, task, folder, limit=limit)
    check_choices(theirs, [s for s in ours if s["group"] == subject], ["acc"])


def test_mmlu(model, tmp_path):
    folder = write_mmlu(tmp_path, n_test=8)
    check_mmlu(model, folder, "small_sums", "mmlu/default/mmlu_astronomy.yaml", 8)


@needs_data
def test_mmlu_on_real_questions(model):
    template = "mmlu/default/mmlu_us_foreign_policy.yaml"
    check_mmlu(model, Path(DATA), "us_foreign_policy", template, 3)


# --- HellaSwag --------------------------------------------------------------------------------


def test_hellaswag(model, tmp_path):
    rng = random.Random(4)
    words = "the cat sat on a mat [header] and [title] dogs  It 's paws log no!".split(" ")

    def text(n):
        return " ".join(rng.choices(words, k=n))

    rows = [
        {
            "ind": i, "activity_label": text(2), "ctx_a": text(8), "ctx_b": text(2),
            "ctx": "unused", "endings": ["a" + text(rng.randrange(1, 9)) for _ in range(4)],
            "label": str(rng.randrange(4)),
        }
        for i in range(60)
    ]  # fmt: skip
    path = tmp_path / "hellaswag_val.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    splits = {"train": rows, "validation": rows}
    theirs = their_samples(model, "hellaswag/hellaswag.yaml", splits, 0)
    ours = our_samples(model, TASKS["hellaswag"], tmp_path)
    check_choices(theirs, ours, ["acc", "acc_norm"])


# --- GSM8K ------------------------------------------------------------------------------------


def gsm8k_rows(folder):
    """Rows of both splits. lm-evaluation-harness shows solutions with the calculator's spans."""
    task = TASKS["gsm8k"]
    train = [{"question": d.question, "answer": solution(d)} for d in task.examples(folder)]
    return {"train": train[:5], "test": [dict(d.fields) for d in task.documents(folder)]}


LM_EVAL_STOPS = ("Question:", "</s>", "<|im_end|>")  # of its gsm8k.yaml


def write_gsm8k(folder, count=6):
    for split in ("train", "test"):
        rows = [
            {"question": f"What is {i} and 7?", "answer": f"<<{i}+7={i + 7}>>.\n#### {i + 7}"}
            for i in range(count)
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def check_gsm8k(model, folder, limit, n_tokens):
    theirs = their_samples(
        model, "gsm8k/gsm8k.yaml", gsm8k_rows(folder), 5, limit,
        fewshot_config={"sampler": "first_n"},
        generation_kwargs={
            "until": list(LM_EVAL_STOPS), "do_sample": False, "max_gen_toks": n_tokens
        },
    )  # fmt: skip
    ours = our_samples(model, GSM8K(LM_EVAL_STOPS, n_tokens), folder, limit=limit)
    for name in ("strict-match", "flexible-extract"):
        some = sorted((s for s in theirs if s["filter"] == name), key=lambda s: s["doc_id"])
        assert len(some) == len(ours) == limit
        for their, our in zip(some, ours, strict=True):
            assert their["arguments"][0][0] == our["arguments"]["gen_args_0"]["arg_0"]
            assert their["resps"] == [[our["resps"][0][0][0]]]
            taken = our["filtered_resps"][name]
            assert their["filtered_resps"] == ["[invalid]" if taken is None else taken]
            assert their["exact_match"] == our[f"exact_match,{name}"]


def test_gsm8k(model, tmp_path):
    check_gsm8k(model, write_gsm8k(tmp_path), 6, 24)


@needs_data
def test_gsm8k_on_real_questions(model):
    check_gsm8k(model, Path(DATA), 2, 16)


class Canned(KnownModel):
    """Answers each question with the next of some texts."""

    def __init__(self, texts):
        super().__init__("canned", [Text(text) for text in texts])


def test_both_filters_read_all_kinds_of_answers_alike(tmp_path):
    texts = [
        "#### 7", "#### 8.", "####9", "$10.00", "It is 11 ...", "#### 1,2", "-13", "#### $14",
        "15-16", "x", "", "#### #### 17 18", "#### 19\n#### 7", "\uff12\uff10", "21 , 22", "#### -",
    ]  # fmt: skip
    folder = write_gsm8k(tmp_path, len(texts))
    check_gsm8k(Canned(texts), folder, len(texts), 24)


# --- the model itself -------------------------------------------------------------------------


def ask(kind, model, *arguments):
    requests = [Instance("loglikelihood", {}, args, i) for i, args in enumerate(arguments)]
    return getattr(LMEvalModel(model), kind)(requests, disable_tqdm=True)


def test_texts_are_scored_from_their_first_token(model):
    texts = ["the cat sat on the mat", "no! the dog"]
    found = ask("loglikelihood_rolling", model, *[(text,) for text in texts])
    expected = [model_answer(model, Rolling(text, prefix=True)).logp for text in texts]
    assert found == pytest.approx(expected, abs=1e-5)
    assert model_answer(model, Rolling(texts[0])).logp > found[0] + 0.1


def model_answer(model, request):
    (answers,) = [a for a in model.answers([request]) if a]
    return answers[0]


def test_options_of_generation(model):
    lm = LMEvalModel(model, seed=3)
    for options, expected in [
        ({}, Generation("a")),
        ({"until": "x", "max_gen_toks": 5}, Generation("a", ("x",), 5)),
        ({"do_sample": False, "temperature": 0.7}, Generation("a")),
        ({"temperature": 0.7, "top_p": 0.9}, Generation("a", (), 256, 0.7, 0.9)),
        ({"do_sample": True, "max_new_tokens": 3}, Generation("a", (), 3, 1.0)),
    ]:
        found = lm._generation("a", options)
        seed = 3
        assert (found.context, found.until, found.max_new_tokens) == (
            expected.context, expected.until, expected.max_new_tokens
        )  # fmt: skip
        assert (found.temperature, found.top_p, found.seed) == (
            expected.temperature, expected.top_p, seed
        )  # fmt: skip
    with pytest.raises(UserError, match="the task generates with num_beams, but there are only do"):
        lm._generation("a", {"num_beams": 2})


def test_a_chat_is_scored_as_the_conversation_that_it_is(model):
    lm = LMEvalModel(model)
    turns = [{"role": "user", "content": "the <|endoftext|> cat"}]
    text = lm.apply_chat_template(turns)
    assert text == "<user>the <|endoftext|> cat<|endoftext|><assistant>"
    (found,) = lm.loglikelihood([Instance("loglikelihood", {}, (text, "the"), 0)], True)
    chat = Chat((Message("user", turns[0]["content"]),))
    assert found[0] == model_answer(model, Loglikelihood(chat, "the")).logp
    assert lm.chat_template() == TEMPLATE and lm.tokenizer_name == "model"
    with pytest.raises(UserError, match="begins the assistant's answer itself"):
        lm.apply_chat_template(turns, add_generation_prompt=False)


def test_a_name_is_loaded(model, tmp_path):
    save_pretrained(model.model, model.tokenizer, tmp_path / "m")
    lm = LMEvalModel.create_from_arg_string(f"model={tmp_path / 'm'}", {"batch_size": "2"})
    request = Instance("loglikelihood", {}, ("the", " cat"), 0)
    (found,) = lm.loglikelihood([request], disable_tqdm=True)
    assert found[0] == pytest.approx(
        model_answer(model, Loglikelihood("the", " cat")).logp, abs=1e-4
    )
