"""``generate``: what it writes and where, prompts, stop strings, several texts, drafts."""

import re

import pytest
from chain_model import END, START, chain_model, chat_tokenizer
from piped_command import run_piped

from autograd import use_kernels
from tinygrad_llm.commands.generate import stream_text
from tinygrad_llm.commands.text_options import SamplingOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.save import save_pretrained
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.prompts import prompt_ids
from tinygrad_llm.tokenizer.vocabulary import Conventions


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of models: "hi" says "Hi, you!" after ":", "endless" counts for ever."""
    folder = tmp_path_factory.mktemp("models")
    save_pretrained(chain_model("Hi, you!"), chat_tokenizer(), folder / "hi")
    save_pretrained(chain_model("0123456789", loops=True), chat_tokenizer(), folder / "endless")
    save_pretrained(chain_model("Hi, you!"), Tokenizer([]), folder / "other tokenizer")
    return folder


@pytest.fixture
def generate(models, capsys, monkeypatch, tmp_path):
    """A function that runs the command: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def command(model, *options, stdin=b""):
        options = [
            str(models / o.removeprefix("models/")) if "models/" in o else o for o in options
        ]
        argv = ["generate", str(models / model), "--no-verify", *options]
        return run_piped(argv, stdin, monkeypatch, capsys)

    return command


def test_quiet_writes_the_continuation_alone(generate):
    assert generate("hi", "--prompt", "Say:") == (0, "Say:Hi, you!\n", "")
    assert generate("hi", "--prompt", "Say:", "--quiet") == (0, "Hi, you!\n", "")
    assert generate("endless", "-p", "1:", "-n", "4", "--temp", "0", "--quiet") == (0, "0123\n", "")


def test_prompts_from_files_and_standard_input(generate, tmp_path):
    (tmp_path / "prompt.txt").write_bytes("\ufeffä\nb:".encode())
    expected = (0, "ä\nb:Hi, you!\n", "")
    assert generate("hi", "--prompt-file", "prompt.txt") == expected
    for options in (["-f", "-"], ["-p", "-"]):
        assert generate("hi", *options, stdin="ä\nb:".encode()) == expected
    code, out, err = generate("hi", "-p", "-", stdin=b"a\xff")
    assert (code, out) == (2, "") and "standard input is not text: byte 1 is not UTF-8" in err


def test_without_a_prompt_a_model_begins_a_text(generate):
    expected = generate("other tokenizer", "--prompt", "", "-n", "5", "--temp", "0")
    assert expected[0] == 0
    assert generate("other tokenizer", "-n", "5", "--temp", "0") == expected
    two = generate("endless", "-p", ":", "-n", "3", "--temp", "0", "--num-samples", "2")
    assert two[1] == ":012\n:012\n"


def test_the_text_ends_before_a_stop_string(generate):
    options = ["-p", ":", "--quiet", "--stop", "78", "--stop", "56"]
    assert generate("endless", *options) == (0, "01234\n", "")
    assert generate("endless", *options, "-n", "6") == (0, "012345\n", "")  # nothing follows the 5


def test_the_text_ends_before_a_stop_id(generate):
    options = ["-p", ":", "--quiet", "--stop-ids", str(ord("7")), str(ord("4"))]
    assert generate("endless", *options) == (0, "0123\n", "")
    assert generate("endless", *options, "--stop", "2") == (0, "01\n", "")
    assert generate("hi", "-p", ":", "--stop-ids", "1") == (0, ":Hi, you!\n", "")  # its own end
    code, out, err = generate("hi", "-p", ":", "--stop-ids", "257", "258")
    assert (code, out) == (2, "")
    assert err == "error: the stop id 258 is none of the model's, which are 0 to 257\n"


def test_several_texts(generate):
    code, out, err = generate("endless", "-p", ":", "-n", "3", "--n", "2", "--stats")
    assert (code, out) == (0, ":012\n:012\n")
    assert err.startswith("--- 1 of 2\n--- 2 of 2\n3 tokens of each of 2 texts in ")
    assert generate("endless", "-p", ":", "-n", "3", "--n", "2", "--quiet")[1] == "012\n012\n"


def test_sampling_options_reach_the_model(generate):
    def text(*options):
        return generate("endless", "-p", ":", "--quiet", "--temp", "0", "-n", "4", *options)[1]

    assert text() == "0123\n"
    # the logit of what follows is 16.06, all others are 0
    assert text("--logit-bias", "50", "-17", "97", "1") == "01a\n"
    assert text("--logit-bias", "97", "15.9", "--repetition-penalty", "1.2") == "0123\n"
    assert text("--presence-penalty", "17", "-n", "11")[:10] == "0123456789"
    assert text("--presence-penalty", "17", "-n", "11")[10] != "0"
    assert text("--frequency-penalty", "17", "-n", "11")[10] != "0"


@pytest.mark.parametrize(
    "options", [{"top_k": None}, {"top_k": 0}, {"temperature": 0.0}, {"top_p": 0.5}]
)
def test_an_id_without_a_token_is_never_sampled(options):
    model = chain_model("0123456789", loops=True, vocab_size=320)
    dict(model.named_parameters())["lm_head.weight"].data[258:] = 2  # it prefers those ids
    options = SamplingOptions(max_new_tokens=20, **options)
    with use_kernels("reference"):
        text = "".join(stream_text(model, chat_tokenizer(), ":", options))
    assert text == ":01234567890123456789"


def test_the_table_of_log_probabilities(generate):
    code, out, err = generate("hi", "-p", ":", "--quiet", "--logprobs", "2", "-n", "2")
    assert (code, out) == (0, "Hi\n")
    rows = [line.split() for line in err.splitlines()]
    # e^16.06 against 257 times e^0: p = 1 - 2.7e-5
    assert rows == [
        ["-0.0000", f"'{letter}'", "-0.0000", f"'{letter}'", "-16.0603", "'\\x00'"]
        for letter in "Hi"
    ]


@pytest.mark.parametrize("options", [["--draft-model", "models/hi"], ["--prompt-lookup"]])
def test_guesses_change_the_speed_alone(generate, options):
    prompt = ["-p", "0123456789 :", "-n", "25", "--quiet"]
    plain = generate("endless", *prompt)
    assert plain == (0, "0123456789012345678901234\n", "")
    code, out, err = generate("endless", *prompt, *options, "--draft-tokens", "3", "--stats")
    assert (code, out) == plain[:2]
    assert re.search(r"; \d+ of [1-9]\d* guesses were right$", err)


def test_drafts_that_cannot_be(generate):
    for options, words in (
        (["--draft-model", "models/other tokenizer"], "has another tokenizer"),
        (["--draft-model", "models/hi", "--prompt-lookup"], "are both given"),
        (["--prompt-lookup", "--n", "2"], "for one text only"),
        (["--prompt-lookup", "--draft-tokens", "0"], "draft_tokens is 0"),
    ):
        code, out, err = generate("hi", *options)
        assert code == 2 and out == "" and words in err and err.count("\n") == 1, err


@pytest.mark.parametrize("weights", ["float32", "int8", "as-stored"])
def test_weights_in_every_form_say_the_same(generate, monkeypatch, weights):
    from tinygrad_llm.pretrained import load

    asked, real = [], load.load_pretrained

    def record(path, **options):
        asked.append(options)
        return real(path, **options)

    monkeypatch.setattr(load, "load_pretrained", record)
    assert generate("hi", "-p", ":", "--weights", weights) == (0, ":Hi, you!\n", "")
    assert generate("hi", "-p", ":") == (0, ":Hi, you!\n", "")
    assert asked == [{"weights": weights}, {"weights": "as-stored"}]


def test_special_tokens_only_where_they_are_allowed(generate):
    tokenizer = chat_tokenizer()
    assert prompt_ids(tokenizer, "<|im_start|>a", allow_special=True) == [START, ord("a")]
    assert prompt_ids(tokenizer, "<|im_start|>a") == [*b"<|im_start|>a"]
    for option in ([], ["--allow-special"]):
        assert generate("hi", "-p", "<|im_end|>:", *option)[1] == "<|im_end|>:Hi, you!\n"


def test_what_comes_before_a_prompt():
    plain = chat_tokenizer().vocabulary
    with_bos = Tokenizer.from_vocabulary(plain, Conventions(START, END, prefix_ids=(START,)))
    assert prompt_ids(with_bos, "a") == [START, ord("a")] and prompt_ids(with_bos, "") == [START]
    bos_not_added = Tokenizer.from_vocabulary(plain, Conventions(START, END))
    assert prompt_ids(bos_not_added, "a") == [ord("a")] and prompt_ids(bos_not_added, "") == [START]
    assert prompt_ids(Tokenizer([]), "") == [256]  # the end of a document
    only_eos = Tokenizer.from_vocabulary(plain, Conventions(None, END))
    assert prompt_ids(only_eos, "") == [END]
    with pytest.raises(UserError, match="the prompt is empty.*give the model a text to continue"):
        prompt_ids(Tokenizer([], special_tokens=()), "")


def test_control_codes_are_shown(generate):
    code, out, err = generate("hi", "-p", "\x1b[2J:", "--stop", "y")
    assert (code, out, err) == (0, "\\x1b[2J:Hi, \n", "")
