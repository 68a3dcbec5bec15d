"""MMLU: its prompts to the letter, its data, and the models whose score is known."""

import pytest
from known_scores import NO_LIMITS, check_known_scores
from small_mmlu import write_mmlu

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.requests import Chat, Loglikelihood, Message, Score
from tinygrad_llm.evals.runner import Settings, prepare
from tinygrad_llm.evals.task import Document
from tinygrad_llm.evals.tasks import TASKS

NAMES = ("mmlu", "mmlu_completion", "mmlu_chat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_mmlu(tmp_path_factory.mktemp("data"))


def one_question(folder):
    """A folder with one question, and two examples."""
    for split in ("dev", "test"):
        (folder / split).mkdir()
    (folder / "dev" / "world_trade_dev.csv").write_text(
        '"Who said ""no""?",None,x,y,z,A\nSecond?,1,2,3,4,D\n'
    )
    (folder / "test" / "world_trade_test.csv").write_text('" What, then? ",p,q,r,None,C\n')
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_models_of_known_score(folder, name):
    check_known_scores(TASKS[name], folder)


def test_letters_are_asked_as_in_the_original(tmp_path):
    (item,) = prepare(TASKS["mmlu"], one_question(tmp_path), Settings(n_shots=2), NO_LIMITS)
    context = (
        "The following are multiple choice questions (with answers) about world trade.\n\n"
        'Who said "no"?\nA. None\nB. x\nC. y\nD. z\nAnswer: A\n\n'
        "Second?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer: D\n\n"
        "What, then?\nA. p\nB. q\nC. r\nD. None\nAnswer:"
    )
    assert item.requests == [Loglikelihood(context, f" {letter}") for letter in "ABCD"]
    assert item.document.gold == 2


def test_choices_continue_the_question(tmp_path):
    (item,) = prepare(TASKS["mmlu_completion"], one_question(tmp_path), Settings(), NO_LIMITS)
    context = "Question: What, then?\n\nAnswer:"
    assert item.requests == [Loglikelihood(context, f" {c}") for c in ("p", "q", "r", "None")]


def test_in_a_chat_the_letters_have_no_space(tmp_path):
    (item,) = prepare(TASKS["mmlu_chat"], one_question(tmp_path), Settings(n_shots=1), NO_LIMITS)
    text = (
        "The following is a multiple choice question about world trade. Reply with the letter of "
        "the correct answer only.\n\n"
    )
    context = Chat(
        (
            Message("user", f'{text}Who said "no"?\nA. None\nB. x\nC. y\nD. z'),
            Message("assistant", "A"),
            Message("user", f"{text}What, then?\nA. p\nB. q\nC. r\nD. None"),
        )
    )
    assert item.requests == [Loglikelihood(context, letter) for letter in "ABCD"]


@pytest.mark.parametrize("gold, metrics", [(0, (0, 1, 0)), (1, (0, 0, 1)), (2, (1, 0, 0))])
def test_the_two_normalizations_differ(gold, metrics):
    """The best per character, the best per token, the best, and one that is none of these."""
    document = Document("", ("characters", "low", "n", "m"), gold)
    answers = [Score(-6.0, 1), Score(-5.0, 2), Score(-4.5, 1), Score(-90.0, 1)]
    found = TASKS["mmlu_completion"].verdict(document, answers).metrics
    assert tuple(found[name] for name in ("acc", "acc_norm", "acc_norm_token")) == metrics


def test_a_letter_of_two_tokens_is_refused(tmp_path):
    (item,) = prepare(TASKS["mmlu"], one_question(tmp_path), Settings(n_shots=0), NO_LIMITS)
    with pytest.raises(UserError, match="' C' is 2 tokens .* use mmlu_completion"):
        TASKS["mmlu"].verdict(item.document, [Score(-1.0, 1 + (i == 2)) for i in range(4)])


@pytest.mark.parametrize(
    "row, complaint",
    [
        ("Q?,1,2,3,4\n", "line 2 of .*x_test.csv has 5 columns and ends with '4', expected"),
        ("Q?,1,2,3,4,E\n", "line 2 .* ends with 'E', expected question, A, B, C, D and one"),
        ("Q\xe9?,1,2,3,4,A\n", "line 2 of .* is not UTF-8 text"),
        ('Q?,"1"2,2,3,4,A\n', "line 2 .* is damaged"),
    ],
)
def test_another_layout_is_a_sentence(tmp_path, row, complaint):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "x_test.csv").write_text("Q?,1,2,3,4,A\n" + row, encoding="latin-1")
    with pytest.raises(UserError, match=complaint):
        TASKS["mmlu"].documents(tmp_path)


def test_a_folder_without_data_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"has no mmlu/test/\*_test.csv or data/test/\*_test.csv"):
        TASKS["mmlu"].documents(tmp_path)
