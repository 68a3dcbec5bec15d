"""``tinygrad-llm chat [MODEL]``: a conversation with a model, at a terminal or through a pipe."""

import signal
from dataclasses import fields, replace
from typing import NoReturn

from tinygrad_llm.commands.chat_commands import COMMANDS, ChatState, run_command
from tinygrad_llm.commands.chat_screen import Pipe, make_screen
from tinygrad_llm.commands.conversation import Conversation
from tinygrad_llm.commands.models import open_writer
from tinygrad_llm.commands.text_options import ChatOptions, SamplingOptions
from tinygrad_llm.commands.writing import Writer, Writing, check_sampling
from tinygrad_llm.errors import UserError
from tinygrad_llm.machine.interrupt import Stopped, StopSignals, ctrl_c_raises
from tinygrad_llm.model.quantize import num_weights
from tinygrad_llm.terminal import typed_text

LARGEST_CONTEXT = 8192  # unless asked for; some models would need gigabytes of memory for theirs
ROOM = 256  # tokens that the oldest turns make room for


def run(options: ChatOptions) -> int:
    """Load the model and take turns until the user leaves or the input ends."""
    check_sampling(options)
    writer = open_writer(options.model, options)
    if writer.tokenizer.conventions.chat_template is None:
        raise UserError(
            f"{options.model} has no chat template: it was not trained on conversations; "
            "`tinygrad-llm generate` continues texts with it"
        )
    chat = Chat(writer, options, make_screen(list(COMMANDS)))
    if not chat.screen.interactive:
        chat.take_turns()
        return 0
    with ctrl_c_raises():
        chat.greet()
        chat.take_turns()
    return 0


class Chat(ChatState):
    """A conversation with a model."""

    def __init__(self, writer: Writer, options: ChatOptions, screen: Pipe) -> None:
        system = options.system and typed_text(options.system, "the system prompt")
        sampling = {f.name: getattr(options, f.name) for f in fields(SamplingOptions)}
        super().__init__(screen, Conversation(system), SamplingOptions(**sampling), options.stats)
        self.writer = writer
        self.options = options
        limit = writer.model.config.block_size
        self.context = min(options.context or LARGEST_CONTEXT, limit)
        self.cache = writer.decoder.cache(max_length=self.context)

    def greet(self) -> None:
        """Say what the user is talking to."""
        parameters = num_weights(self.writer.model)
        self.screen.notice(
            f"{self.options.model}: {parameters / 1e6:,.1f} million parameters, context "
            f"{self.context:,} tokens\n/help lists the commands; Ctrl-C stops an answer, Ctrl-D "
            "ends the chat"
        )

    def take_turns(self) -> None:
        """Answer, and run commands, until the end. A mistake ends the chat only in a pipe."""
        while not self.over and (line := self.screen.ask()) is not None:
            try:
                if line.startswith("/") and not line.startswith("//"):
                    run_command(self, line)
                else:
                    self.answer(line.removeprefix("/"))
            except UserError as error:
                if not self.screen.interactive:
                    raise
                self.screen.error(str(error))
            except KeyboardInterrupt as stop:
                if self._is_the_end(stop):
                    raise
                self.screen.notice("\nstopped")

    def answer(self, question: str) -> None:
        """Add a question to the conversation, and the model's answer as far as it comes."""
        self.conversation.say("user", question)
        text = ""
        try:
            ids = self._prompt()
            room = min(self.sampling.max_new_tokens, self.context - len(ids))
            sampling = replace(self.sampling, max_new_tokens=room)
            writing = self.writer.write(ids, sampling, self.rng, cache=self.cache)
            stopped = self._show(writing)
            (text,) = writing.texts
        finally:
            if text:
                self.conversation.say("assistant", text)
            else:
                del self.conversation.turns[-1]
        if stopped:
            self.screen.notice("stopped" if text else "stopped: the question is withdrawn")
        elif not writing.ended[0]:
            self.screen.notice(self._why_cut(len(ids) + len(writing.ids[0])))
        if self.stats:
            self.screen.notice(writing.speed())

    def _prompt(self) -> list[int]:
        """The ids of the conversation. Raises UserError if they do not fit into the context."""
        tokenizer = self.writer.tokenizer
        ids = tokenizer.apply_chat_template(self.conversation.messages)
        room = 1
        if self.options.drop_oldest:
            room = min(ROOM, self.sampling.max_new_tokens, self.context // 4)
        dropped = 0
        while len(ids) + room > self.context and self.options.drop_oldest:
            if not self.conversation.drop_oldest():
                break
            dropped += 1
            ids = tokenizer.apply_chat_template(self.conversation.messages)
        if dropped:
            turns = "turn was" if dropped == 1 else f"{dropped} turns were"
            self.screen.notice(f"the oldest {turns} forgotten to make room")
        if len(ids) >= self.context:
            self._refuse(len(ids))
        return ids

    def _show(self, writing: Writing) -> bool:
        """Write an answer out; returns whether Ctrl-C stopped it."""
        signals = (signal.SIGINT,) if self.screen.interactive else ()
        try:
            with StopSignals(signals) as stop:
                for (piece,) in writing:
                    self.screen.write(piece)
                    if stop.received:
                        break
            return stop.received is not None
        except KeyboardInterrupt as stop_now:  # the second: it does not wait for a good moment
            if self._is_the_end(stop_now):
                raise
            return True
        finally:
            self.screen.end()

    def _is_the_end(self, stop: KeyboardInterrupt) -> bool:
        """Whether the program must end: by SIGTERM, and in a pipe by Ctrl-C too."""
        return isinstance(stop, Stopped) or not self.screen.interactive

    def _refuse(self, tokens: int) -> NoReturn:
        if len(self.conversation.turns) == 1:
            raise UserError(
                f"the question has {tokens:,} tokens with what the template adds, but the context "
                f"is {self.context:,}: shorten it{self._larger()}"
            )
        raise UserError(
            f"the context is full: the conversation has {tokens:,} tokens, {self.context:,} are "
            f"possible; start again with /reset, or start the chat with --drop-oldest"
            + self._larger()
        )

    def _why_cut(self, tokens: int) -> str:
        if tokens >= self.context:
            return (
                f"the answer ends here because the context of {self.context:,} tokens is full; "
                "/reset starts again"
            )
        return f"the answer ends here because max_new_tokens is {self.sampling.max_new_tokens:,}"

    def _larger(self) -> str:
        limit = self.writer.model.config.block_size
        return f", or with a larger --context (up to {limit:,})" if self.context < limit else ""
