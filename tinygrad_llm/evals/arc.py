"""ARC (Clark et al. 2018): science questions of schools, easy ones and a challenge set.

Data: the JSON lines of AI2's archive, as in DATA/ARC-Challenge/ARC-Challenge-Test.jsonl, whose
question has a stem and choices; or rows of the hub, with question, choices.text and choices.label.
"""

from dataclasses import dataclass

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.hub_data import HubData
from tinygrad_llm.evals.multiple_choice import MultipleChoice
from tinygrad_llm.evals.rows import Row
from tinygrad_llm.evals.task import Document

_CHOICE = {"text": str, "label": str, ...: object}
_ARCHIVE = {"question": {"stem": str, "choices": [_CHOICE], ...: object}, "answerKey": str}
_HUB = {"question": str, "choices": {"text": [str], "label": [str]}, "answerKey": str}


def _files(part: str, split: str) -> tuple[str, ...]:
    name = f"{part}-{split.title()}"
    return f"{part}/{name}", name, f"{part}/{split}", f"{part.lower().replace('-', '_')}-{split}"


def _hub(part: str) -> HubData:
    revision = "210d026faf9955653af8916fad021475a3f00453"
    return HubData("allenai/ai2_arc", revision, (f"{part}/test",), (f"{part}/train",))


@dataclass(frozen=True)
class ARCEasy(MultipleChoice):
    """Every choice continues "Question: {q}\\nAnswer:"."""

    name = "arc_easy"
    about = "ARC, easy; DATA/ARC-Easy/ARC-Easy-Test.jsonl"
    chance = 1 / 4
    test = _files("ARC-Easy", "test")
    train = _files("ARC-Easy", "train")
    hub = _hub("ARC-Easy")

    def document(self, row: Row) -> Document:
        if isinstance(row.values.get("question"), dict):
            stem = row.fits(_ARCHIVE)["question"]
            question, listed = stem["stem"], stem["choices"]
            texts, labels = ([choice[name] for choice in listed] for name in ("text", "label"))
        else:
            values = row.fits(_HUB)
            question, choices = values["question"], values["choices"]
            texts, labels = choices["text"], choices["label"]
        if len(texts) != len(labels):
            raise UserError(f"{row.place} has {len(texts)} choices, but {len(labels)} labels")
        gold = row.choice(row.values["answerKey"], labels)
        return Document(question, tuple(texts), gold, row.values)

    def prompt(self, document: Document) -> str:
        return f"Question: {document.question}\nAnswer:"


@dataclass(frozen=True)
class ARCChallenge(ARCEasy):
    """The questions that word statistics of 2018 got wrong."""

    name = "arc_challenge"
    about = "ARC, challenge; DATA/ARC-Challenge/ARC-Challenge-Test.jsonl"
    test = _files("ARC-Challenge", "test")
    train = _files("ARC-Challenge", "train")
    hub = _hub("ARC-Challenge")
