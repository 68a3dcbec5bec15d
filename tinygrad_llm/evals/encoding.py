"""Requests as token ids, divided where lm-evaluation-harness divides them.

Context and continuation are encoded as one text, and the continuation is what follows the ids of
the context alone. Spaces and line ends at the end of the context belong to the continuation's first
token in most vocabularies (" A" is one), so they are moved there first:

    "Answer: ", "A"    becomes    "Answer:", " A"

A chat is encoded as its template writes it, and the continuation begins after it: nothing moves.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.requests import Chat, Context, Loglikelihood, Rolling
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.tokenizer.chat_template import render_hidden
from tinygrad_llm.tokenizer.special import END_OF_TEXT

CHATS_AT_A_TIME = 256  # that one process renders


class Pair(NamedTuple):
    """Ids of a context, never empty, and of what is scored after it."""

    context: list[int]
    continuation: list[int]


class Encoder:
    """Encodes requests for one tokenizer, and keeps the ids, since choices share contexts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.token_bytes = tokenizer.token_bytes()
        self._contexts: dict[Context, list[int]] = {}
        self._pairs: dict[Loglikelihood, Pair] = {}
        self._rendered: dict[Chat, tuple[str, Callable[[str], str]]] = {}

    @property
    def first_id(self) -> int:
        """The id after which a text without context is scored: BOS, or EOS where there is none.

        Raises UserError if the tokenizer has neither.
        """
        tokenizer = self.tokenizer
        for found in (tokenizer.bos_id, tokenizer.eos_id):
            if found is not None:
                return found
        if END_OF_TEXT in tokenizer.special_tokens:
            return tokenizer.eot_id
        raise UserError("the tokenizer has no token that begins or ends a text")

    def render(self, contexts: Iterable[Context]) -> None:
        """Let the chat template write all chats among these, many at a time."""
        chats = dict.fromkeys(c for c in contexts if isinstance(c, Chat))
        missing = [chat for chat in chats if chat not in self._rendered]
        for i in range(0, len(missing), CHATS_AT_A_TIME):
            some = missing[i : i + CHATS_AT_A_TIME]
            texts, restore = render_hidden(
                self.tokenizer.conventions,
                self.tokenizer.special_tokens,
                [_variables(chat) for chat in some],
            )
            self._rendered |= {c: (text, restore) for c, text in zip(some, texts, strict=True)}

    def shown(self, context: Context) -> str:
        """The text of a context."""
        if isinstance(context, str):
            return context
        self.render([context])
        text, restore = self._rendered[context]
        return restore(text)

    def context(self, context: Context) -> list[int]:
        """Ids of a context, after what the tokenizer's file says to put before a text; a chat
        template writes that itself. An empty context is ``first_id``."""
        if context not in self._contexts:
            if isinstance(context, str):
                prefix = self.tokenizer.conventions.prefix_ids
                ids = [*prefix, *self.tokenizer.encode(context)] or [self.first_id]
            else:
                self.render([context])
                ids = self.tokenizer.encode_rendered(*self._rendered[context])
            self._contexts[context] = ids
        return self._contexts[context]

    def pair(self, request: Loglikelihood) -> Pair:
        """The ids of a request."""
        if request not in self._pairs:
            self._pairs[request] = self._divided(request.context, request.continuation)
        return self._pairs[request]

    def _divided(self, context: Context, continuation: str) -> Pair:
        if isinstance(context, Chat):
            # the last character before the answer, so that the answer is not the start of a text
            before = self.shown(context)[-1:]
            return Pair(self.context(context), self._after(before, continuation))
        kept = context.rstrip()
        continuation = context[len(kept) :] + continuation
        ids = self.context(kept)
        if kept:
            prefix = self.tokenizer.conventions.prefix_ids
            whole = [*prefix, *self.tokenizer.encode(kept + continuation)]
            if len(whole) > len(ids) or not continuation:
                return Pair(ids, whole[len(ids) :])
        return Pair(ids, self.tokenizer.encode(continuation))

    def _after(self, before: str, text: str) -> list[int]:
        """The ids of ``text`` where it follows ``before``, if these are tokens of their own."""
        alone, both = self.tokenizer.encode(before), self.tokenizer.encode(before + text)
        divided = both[: len(alone)] == alone
        return both[len(alone) :] if divided else self.tokenizer.encode(text)

    def windows(self, request: Rolling, block_size: int) -> list[Pair]:
        """The windows of a text: together their continuations are its tokens.

        A window of W tokens reads all but its last, which it predicts. Each token of the text is
        scored once, after those that come before it in its window. Raises UserError for a window or
        stride that is too small or too large.
        """
        W = block_size + 1 if request.window is None else request.window
        if not 2 <= W <= block_size + 1:
            raise UserError(
                f"the window is {W}, but must be between 2 and {block_size + 1} tokens: what the "
                "model can read, and the one that it predicts"
            )
        stride = W - 1 if request.stride is None else request.stride
        if not 1 <= stride <= W - 1:
            raise UserError(
                f"the stride is {stride}, but must be between 1 and {W - 1}: each window of {W} "
                "tokens needs one to begin with"
            )
        prefix = list(self.tokenizer.conventions.prefix_ids)
        if request.prefix and not prefix:
            prefix = [self.first_id]
        ids = [*prefix, *self.tokenizer.encode(request.text)]
        return list(_windows(ids, W, stride))


def _windows(ids: Sequence[int], W: int, stride: int) -> Iterable[Pair]:
    scored, end = 1, min(W, len(ids))
    while scored < end:
        begin = max(0, end - W)
        yield Pair(list(ids[begin:scored]), list(ids[scored:end]))
        scored, end = end, min(end + stride, len(ids))


def _variables(chat: Chat) -> dict[str, object]:
    messages = [message._asdict() for message in chat.messages]
    return {"messages": messages, "add_generation_prompt": True}
