"""A conversation: a system prompt and turns, which are saved as JSON and read back as data.

The file is an object with a list of messages, as Hugging Face's data sets have it:

    {"messages": [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": "Hello."}]}
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path, write_atomically
from tinygrad_llm.files.json_file import read_json

Message = dict[str, str]

MAX_BYTES = 1 << 26
_ROLES = ("system", "user", "assistant")
_MESSAGES = [{"role": _ROLES, "content": str}]
_SCHEMA = ({"messages": _MESSAGES}, _MESSAGES)


@dataclass
class Conversation:
    """What has been said. ``turns`` alternates between the user and the assistant."""

    system: str | None = None
    turns: list[Message] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """All of it, as a chat template takes it."""
        first = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*first, *self.turns]

    def say(self, role: str, content: str) -> None:
        """Append a message."""
        self.turns.append({"role": role, "content": content})

    def drop_oldest(self) -> bool:
        """Forget the oldest question and its answer; False if only the last question is left."""
        if len(self.turns) < 3:
            return False
        del self.turns[:2]
        return True

    def save(self, path: Path) -> None:
        """Write the file, replacing any file there. Raises UserError if that is not possible."""
        text = json.dumps({"messages": self.messages}, ensure_ascii=False, indent=2)
        try:
            write_atomically(path, f"{text}\n".encode())
        except OSError as error:
            raise UserError(f"cannot write {path} ({error.strerror})") from None


def load_conversation(path: str | os.PathLike) -> Conversation:
    """The conversation in a file: an object with "messages", or their list alone.

    Raises UserError for a file that is anything else, and unless the messages are an optional
    system prompt and then, in turn, the user's and the assistant's.
    """
    file = user_path(path)
    content = read_json(file, _SCHEMA, max_bytes=MAX_BYTES)
    messages = content["messages"] if isinstance(content, dict) else content
    system = None
    if messages and messages[0]["role"] == "system":
        system = messages[0]["content"]
    turns = messages[system is not None :]
    for i, message in enumerate(turns):
        expected = _ROLES[1 + i % 2]
        if message["role"] != expected:
            raise UserError(
                f"{file}: message {i + (system is not None)} is from the {message['role']}, "
                f"expected one from the {expected}: after a system prompt, which may be missing, "
                "the user and the assistant take turns"
            )
    if len(turns) % 2:
        raise UserError(f"{file}: the last message is from the user, expected the answer to it")
    return Conversation(system, turns)
