"""``chat``: turns, commands, the context, pipes, and a real terminal with Ctrl-C."""

import io
import json
import os
import re
import select
import signal
import sys
import time
from pathlib import Path

import pytest
from chain_model import END, START, chain_model, chat_tokenizer
from piped_command import run_piped

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.commands.chat import Chat
from tinygrad_llm.commands.chat_screen import Pipe
from tinygrad_llm.commands.conversation import Conversation, load_conversation
from tinygrad_llm.commands.text_options import ChatOptions
from tinygrad_llm.commands.writing import Writer
from tinygrad_llm.errors import UserError
from tinygrad_llm.pretrained.save import save_pretrained
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.endings import ending_ids

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of models: "hi" says "Hi, you!", "hostile" control codes, "endless" never ends."""
    folder = tmp_path_factory.mktemp("models")
    texts = {"hi": "Hi, you!", "hostile": "a\x1b[2Jb\r\n\x07", "endless": "0123456789"}
    for name, text in texts.items():
        model = chain_model(text, loops=name == "endless")
        save_pretrained(model, chat_tokenizer(), folder / name)
    save_pretrained(chain_model("x"), chat_tokenizer(template=None), folder / "base")
    return folder


@pytest.fixture
def piped(models, monkeypatch, capsys, tmp_path):
    """A function that chats through a pipe: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def chat(text, *options, model="hi"):
        data = text if isinstance(text, bytes) else text.encode()
        argv = ["chat", str(models / model), "--no-verify", *options]
        return run_piped(argv, data, monkeypatch, capsys)

    return chat


def sentence(error):
    """The one sentence on standard error."""
    assert error.count("\n") == 1 and error.startswith("error: "), error
    return error


# --- through a pipe ------------------------------------------------------------------------------


def test_one_question_a_line_and_answers_alone_on_standard_output(piped):
    assert piped("Hello\nAgain\n") == (0, "Hi, you!\n\nHi, you!\n", "")
    assert piped("") == (0, "", "")


def test_lines_of_a_pipe(monkeypatch):
    # a mark of the byte order, Windows line ends, empty lines, no line end at the end
    data = b"\xef\xbb\xbfHello\r\n\r\n  \n 1 Again"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    pipe = Pipe()
    assert [pipe.ask() for _ in range(3)] == ["Hello", " 1 Again", None]


def test_the_speed_goes_to_standard_error(piped):
    code, out, err = piped("Hello\n", "--stats")
    assert (code, out) == (0, "Hi, you!\n")
    assert re.fullmatch(r"9 tokens in \S+ s \(\S+ tokens/s\), after 23 of the prompt in .*\n", err)


def test_control_codes_of_a_model_are_shown(piped):
    assert piped("Hello\n", model="hostile") == (0, "a\\x1b[2Jb\n\\x07\n", "")


def test_an_answer_that_is_cut_says_why(piped):
    code, out, err = piped("Hello\n", "--max-tokens", "7", model="endless")
    assert (code, out) == (0, "0123456\n")
    assert err == "the answer ends here because max_new_tokens is 7\n"
    code, out, err = piped("Hello\n", "--stop", "345", "--stop", "9", model="endless")
    assert (code, out, err) == (0, "012\n", "")
    code, out, err = piped("Hello\n", "--stop-ids", str(ord("5")), model="endless")
    assert (code, out, err) == (0, "01234\n", "")


def test_a_context_that_is_full(piped):
    # a question has 23 tokens with the template's, its answer 9: prompts have 23, 55, 87, 119, ...
    code, out, err = piped("Hello\n" * 9, "--context", "100")
    assert code == 2 and out == "\n".join(["Hi, you!\n"] * 3)
    assert "the context is full: the conversation has 119 tokens, 100 are possible" in sentence(err)
    assert "/reset" in err and "--drop-oldest" in err and "--context (up to 200)" in err
    code, out, err = piped("Hello\n" * 4, "--context", "100", "--drop-oldest")
    assert (code, out) == (0, "\n".join(["Hi, you!\n"] * 4))
    assert err == "the oldest turn was forgotten to make room\n" * 2
    code, out, err = piped("x" * 500 + "\n", "--drop-oldest")
    assert code == 2 and "the question has 518 tokens" in sentence(err) and out == ""


def test_an_answer_that_fills_the_context(piped):
    code, out, err = piped("Hello\n", "--context", "50", model="endless")
    assert code == 0 and len(out) == 50 - 23 + 1
    assert err.startswith("the answer ends here because the context of 50 tokens is full")


def test_bad_input_ends_a_pipe_with_a_sentence(piped):
    code, out, err = piped(b"Hello\n\xff\n")
    assert code == 2 and out == "Hi, you!\n"
    assert "line 2 of standard input is not text: byte 0" in sentence(err)
    code, out, err = piped("Hello\n/fly\nAgain\n")
    assert code == 2 and out == "Hi, you!\n" and "there is no command /fly" in sentence(err)


def test_a_model_without_a_chat_template(piped):
    code, out, err = piped("Hello\n", model="base")
    assert code == 2 and out == ""
    assert "has no chat template: it was not trained on conversations" in sentence(err)


# --- at a terminal -------------------------------------------------------------------------------

PROGRAM = """
import sys
from autograd import use_kernels
from tinygrad_llm.__main__ import program
sys.argv = ["tinygrad-llm", *sys.argv[1:]]
with use_kernels("reference"):
    program()
"""


class Person:
    """The command line at a pseudo-terminal: type, and wait for what it shows."""

    def __init__(self, *argv, **environment):
        import pty

        self.process, self.screen = pty.fork()
        if self.process == 0:
            os.environ.update(TERM="xterm", NO_COLOR="1", PYTHONPATH=str(ROOT), **environment)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.execv(sys.executable, [sys.executable, "-c", PROGRAM, *argv])
        self.seen = ""

    def wait_for(self, text):
        """Everything shown since the last call, up to ``text``."""
        while text not in self.seen:
            data = self._read()
            assert data, f"{text!r} was not shown, but {self.seen!r}"
            self.seen += data.decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, text):
        self.wait_until_it_waits()
        os.write(self.screen, text.encode())

    def wait_until_it_waits(self):
        """A signal between the prompt and the wait for a key is seen at the next key only."""
        status = Path(f"/proc/{self.process}/stat")
        for _ in range(2):
            time.sleep(0.05)
            while status.exists() and status.read_text().rpartition(")")[2].split()[0] == "R":
                time.sleep(0.01)

    def press_ctrl_c(self):
        os.write(self.screen, b"\x03")

    def exit_code(self):
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def _read(self):
        """What is shown next; nothing when the program has ended, or has hung for two minutes."""
        if not select.select([self.screen], [], [], 120)[0]:
            os.kill(self.process, signal.SIGKILL)
            return b""
        try:
            return os.read(self.screen, 4096)
        except OSError:  # Linux's sign that the other side is closed
            return b""


SLOW_PROMPT = re.compile(
    r"(?:reading the prompt|compiling the kernels \(once per machine and kind of weights\))\r\n\Z"
)
"""What a terminal shows before the first answer if that takes some seconds, on a busy machine."""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_at_a_terminal(models):
    person = Person("chat", str(models / "endless"), "--no-verify", "--max-tokens", "100000")
    assert "/help lists the commands" in person.wait_for("> ")
    person.type("Hello\n")
    assert SLOW_PROMPT.sub("", person.wait_for("0123456789")) == "Hello\r\n\r\n"
    person.press_ctrl_c()
    assert "^C" in person.wait_for("stopped")
    person.wait_for("> ")
    person.type("/save /dev/null\n")
    person.wait_for("/dev/null already exists")
    person.wait_for("> ")
    person.type("not this\x03")
    person.wait_for("Ctrl-C again, or Ctrl-D, ends the chat")
    person.wait_for("> ")
    person.type("/sys\t\\\n")  # completed by the tab key, and going on in the next line
    person.wait_for(". ")
    person.type("Be kind.\n")
    person.wait_for("the system prompt is set")
    person.wait_for("> ")
    person.type("\x03")
    person.wait_for("ends the chat")
    person.wait_for("> ")
    person.type("\x03")
    assert person.exit_code() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize("when", ["at the prompt", "in an answer"])
def test_sigterm_ends_the_program(models, when):
    person = Person("chat", str(models / "endless"), "--no-verify", "--max-tokens", "100000")
    person.wait_for("> ")
    if when == "in an answer":
        person.type("Hello\n")
        person.wait_for("0123456789")
    else:
        person.wait_until_it_waits()
    os.kill(person.process, signal.SIGTERM)
    assert person.exit_code() == 143


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_ctrl_d_ends_the_chat(models):
    person = Person("chat", str(models / "hi"), "--no-verify")
    person.wait_for("> ")
    person.type("Hello\n")
    person.wait_for("Hi, you!\r\n\r\n> ")
    person.type("\x04")
    assert person.exit_code() == 0


# --- the conversation ----------------------------------------------------------------------------


class Prompts(Writer):
    """A Writer that remembers the prompts, and how many of their tokens it had in the cache."""

    def __init__(self):
        super().__init__(chain_model("Hi!"), chat_tokenizer())
        self.prompts, self.reused = [], []

    def write(self, prompt, *arguments, **options):
        self.prompts.append(self.tokenizer.decode(prompt))
        writing = super().write(prompt, *arguments, **options)
        self.reused.append(writing.reused_tokens)
        return writing


class Script(Pipe):
    """A screen with lines to read; what is written is in ``shown``, notices in ``notices``."""

    def __init__(self, *lines):
        super().__init__()
        self.lines, self.shown, self.notices = list(lines), "", []

    def ask(self):
        return self.lines.pop(0) if self.lines else None

    def notice(self, text):
        self.notices.append(text)

    def _print(self, text):
        self.shown += text


def talk(*lines, **options):
    """The chat after these lines."""
    chat = Chat(Prompts(), ChatOptions(**options), Script(*lines))
    with use_kernels("reference"):
        chat.take_turns()
    return chat


def test_the_model_sees_all_turns_and_the_system_prompt():
    chat = talk("One", "Two", "/reset", "Three", "/system Be rude.", "//Four", system="Be kind.")
    kind, rude = (f"<|im_start|>system:Be {word}.<|im_end|>" for word in ("kind", "rude"))
    one, two, three, four = (
        f"<|im_start|>user:{word}<|im_end|><|im_start|>assistant:"
        for word in ("One", "Two", "Three", "/Four")
    )
    assert chat.writer.prompts == [
        kind + one,
        kind + one + "Hi!<|im_end|>" + two,
        kind + three,
        rude + three + "Hi!<|im_end|>" + four,
    ]
    assert chat.screen.shown == "\n".join(["Hi!\n"] * 4)
    # one token for each mark: all turns so far, the system prompt with "user:T", "system:Be "
    encoded = [chat.writer.tokenizer.encode(text, allow_special=True) for text in (kind, one)]
    begin, first = map(len, encoded)
    assert chat.writer.reused == [0, begin + first + 3, begin + 6, 11]


def test_saved_and_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chat = talk(
        "Öne", "/save a b.json", "Two", "/save", "/reset", "/load 'a b.json'", "/exit", "no"
    )
    turns = [{"role": "user", "content": "Öne"}, {"role": "assistant", "content": "Hi!"}]
    turns += [{"role": "user", "content": "Two"}, {"role": "assistant", "content": "Hi!"}]
    assert json.loads(Path("a b.json").read_bytes()) == {"messages": turns}
    assert os.listdir() == ["a b.json"] and "Öne" in Path("a b.json").read_text("utf-8")
    assert chat.conversation == Conversation(None, turns) and chat.screen.lines == ["no"]
    Path("list.json").write_text(json.dumps([{"role": "system", "content": "s"}, *turns]))
    assert load_conversation("list.json") == Conversation("s", turns)


def test_no_file_is_overwritten_that_the_chat_did_not_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").write_text("keep")
    for line, words in (
        ("/save mine.txt", "mine.txt already exists"),
        ("/save", "the name of the file is missing"),
        ("/save nowhere/a.json", "cannot write nowhere/a.json"),
        ("/save 'a", "not one quoted word"),
        ("/load nowhere.json", "cannot read nowhere.json"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            talk(line)
    assert Path("mine.txt").read_text() == "keep" and os.listdir() == ["mine.txt"]


def test_bad_conversations_are_refused(tmp_path):
    user, answer = ({"role": role, "content": "x"} for role in ("user", "assistant"))
    system = {"role": "system", "content": "x"}
    for content, words in (
        ([answer], "message 0 is from the assistant, expected one from the user"),
        ([system, user, user], "message 2 is from the user, expected one from the assistant"),
        ([user, answer, system], "message 2 is from the system, expected one from the user"),
        ([user], "the last message is from the user"),
        ([{"role": "tool", "content": "x"}], 'role is "tool", expected "system" or "user" or'),
        ([{"role": "user", "content": 1}], "content is 1, expected text"),
        ({"messages": [user, answer], "more": 1}, "more is unknown"),
        ("text", 'is "text", expected a JSON object or a list'),
    ):
        path = tmp_path / "c.json"
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=re.escape(words)) as caught:
            load_conversation(path)
        assert "\n" not in str(caught.value) and "c.json" in str(caught.value)


def test_params():
    chat = talk(
        "/params temperature 0", "/params top-k 5", "/params --top-p none", "/params seed 3"
    )
    assert chat.screen.notices == ["temperature  0.0", "top_k  5", "top_p  none", "seed  3"]
    sampling = chat.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.seed) == (0, 5, None, 3)
    for line, words in (
        ("/params fly 1", "there is no option fly: known are max_new_tokens, temperature"),
        ("/params temperature warm", "temperature is warm, expected a number"),
        ("/params temperature -1", "the temperature is -1.0"),
        ("/params seed none", "seed is none, expected a whole number"),
        ("/params top_k abc", "top_k is abc, expected a whole number or none"),
        ("/params stop x", "stop cannot be changed during a chat: start again with --stop"),
        ("/params stop_ids 5", "cannot be changed during a chat: start again with --stop-ids"),
        ("/params logit_bias 3", "cannot be changed during a chat: start again with --logit-bias"),
        ("/params temperature", "/params takes nothing, or a name and a value"),
        ("/params max_new_tokens 0", "max_new_tokens is 0"),
    ):
        with pytest.raises(UserError, match=re.escape(words)):
            talk(line)
    notices = talk("/params", logit_bias={3: 0.5}).screen.notices
    shown = dict(line.split(maxsplit=1) for line in notices)
    assert shown["sampler_order"] == "temperature, top_k, top_p, min_p"
    assert (shown["logit_bias"], shown["stop"]) == ("3: 0.5", "none")


def test_help_lists_every_command():
    notices = talk("/help", "/system", "/stats").screen.notices
    assert [line.split()[0] for line in notices[:8]] == [
        "/reset", "/system", "/save", "/load", "/params", "/stats", "/help", "/exit",
    ]  # fmt: skip


def test_a_failed_turn_leaves_the_conversation_as_it_was(monkeypatch):
    chat = talk("One")

    def fail(*arguments):
        raise UserError("no")

    monkeypatch.setattr(chat, "_show", fail)
    with pytest.raises(UserError, match="no"):
        chat.answer("Two")
    assert [turn["content"] for turn in chat.conversation.turns] == ["One", "Hi!"]


def test_an_answer_that_has_not_begun_has_no_speed():
    chat = talk()
    assert chat.writer.write([1], chat.sampling, chat.rng).speed() == "no token was written"


def test_what_ends_an_answer_is_read_off_the_template():
    assert ending_ids(chat_tokenizer()) == (END,)
    assert ending_ids(chat_tokenizer("{{ raise_exception('no') }}")) == ()
    assert ending_ids(chat_tokenizer("{{ messages[-1].content }}\n<|im_start|>")) == (START,)
    assert ending_ids(chat_tokenizer(None)) == ()
    assert ending_ids(Tokenizer([])) == (256,)  # the end of a document


def test_a_real_model(monkeypatch, capsys):
    folder = os.environ.get("TINYGRAD_LLM_TEST_MODELS")
    files = sorted(Path(folder).glob("SmolLM2-135M-Instruct*.gguf")) if folder else []
    if not files:
        pytest.skip("TINYGRAD_LLM_TEST_MODELS names no folder with SmolLM2-135M-Instruct")
    questions = io.TextIOWrapper(io.BytesIO(b"What is the capital of France?\nAnd of Italy?\n"))
    monkeypatch.setattr(sys, "stdin", questions)
    assert cli.main(["chat", str(files[0]), "--temperature", "0"]) == 0
    assert capsys.readouterr() == (
        "The capital of France is Paris.\n\nThe capital of Italy is Rome.\n",
        "",
    )
