"""Our models as those of lm-evaluation-harness, so that its users run all of its tasks on them.

    from lm_eval import simple_evaluate
    from tinygrad_llm.evals.lm_eval_model import LMEvalModel

    simple_evaluate(LMEvalModel("smollm2-135m-instruct"), tasks=["mmlu", "gsm8k"])

It needs lm-eval: pip install "tinygrad-llm[lm-eval]". Once this file is imported, "tinygrad-llm" is
also a name that ``simple_evaluate`` takes for a model, with the arguments of ``LMEvalModel``.

One thing differs from lm-evaluation-harness's own models: they cut the beginning of a context that
is too long, and ours raises ``ContextTooSmall``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from tqdm import tqdm

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.requests import (
    Answer,
    Chat,
    Context,
    Generation,
    Loglikelihood,
    Message,
    Request,
    Rolling,
    Score,
    Text,
)
from tinygrad_llm.pretrained import load_pretrained
from tinygrad_llm.tokenizer.endings import ending_ids

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_KNOWN = {*_LENGTHS, "until", "do_sample", "temperature", "top_p"}


@register_model("tinygrad-llm")
class LMEvalModel(LM):  # type: ignore[misc]
    """A model for lm-evaluation-harness.

    model: a name, a model directory or a GGUF file, or a ``LanguageModel``. batch_size: contexts
    that are read together, for a model that is loaded here. seed: of texts that are sampled. Other
    arguments that lm-evaluation-harness passes, such as a device, mean nothing here.
    """

    def __init__(
        self, model: LanguageModel | str, batch_size: int | str = 8, seed: int = 0, **others: Any
    ) -> None:
        super().__init__()
        if isinstance(model, str):
            loaded, tokenizer = load_pretrained(model)
            if tokenizer is None:
                raise UserError(f"{model} has no tokenizer, without which it cannot read a text")
            size = int(batch_size) if str(batch_size).isdigit() else 8  # "auto" is not a number
            model = LanguageModel(loaded, tokenizer, ending_ids(tokenizer), model, size)
        self.model, self._seed = model, seed
        self._chats: dict[str, Chat] = {}

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """(log p in nats, whether each token is the most likely) for (context, continuation)."""
        asked = [Loglikelihood(self._context(r.args[0]), r.args[1]) for r in requests]
        scores = self._answers(asked, disable_tqdm)
        found = [(s.logp, s.greedy) for s in scores if isinstance(s, Score)]
        self._remember("loglikelihood", requests, found)
        return found

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """log p (nats) of whole texts, after the id that begins a text."""
        scores = self._answers([Rolling(r.args[0], prefix=True) for r in requests], disable_tqdm)
        found = [s.logp for s in scores if isinstance(s, Score)]
        self._remember("loglikelihood_rolling", requests, found)
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What the model writes after each context. Raises UserError for options of sampling that
        it does not know."""
        asked = [self._generation(*r.args) for r in requests]
        found = [t.text for t in self._answers(asked, disable_tqdm) if isinstance(t, Text)]
        self._remember("generate_until", requests, found)
        return found

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The conversation as the model's template writes it, up to where the answer begins.

        A context with this text is then encoded as the conversation that it is, so that what looks
        like a control token in a user's text remains text.
        """
        if not add_generation_prompt:
            raise UserError(
                "this task begins the assistant's answer itself (gen_prefix), which is not "
                "possible here: run it without the chat template"
            )
        chat = Chat(tuple(Message(turn["role"], turn["content"]) for turn in chat_history))
        text = self.model.shown([chat])[0]
        self._chats[text] = chat
        return text

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The source of the model's template, for the results."""
        return self.model.tokenizer.conventions.chat_template or ""

    @property
    def tokenizer_name(self) -> str:
        """The model's name."""
        return self.model.name

    def _context(self, text: str) -> Context:
        return self._chats.get(text, text)

    def _generation(self, context: str, options: Mapping[str, Any]) -> Generation:
        if unknown := sorted(options.keys() - _KNOWN):
            raise UserError(
                f"the task generates with {', '.join(unknown)}, but there are only "
                f"{', '.join(sorted(_KNOWN))}"
            )
        until = options.get("until") or ()
        length = next((int(options[name]) for name in _LENGTHS if name in options), 256)
        temperature = float(options.get("temperature", 0.0) or 0.0)
        if not options.get("do_sample", temperature > 0):
            temperature = 0.0
        elif "temperature" not in options:
            temperature = 1.0
        return Generation(
            self._context(context),
            (until,) if isinstance(until, str) else tuple(until),
            length,
            temperature,
            options.get("top_p"),
            self._seed,
        )

    def _answers(self, requests: Sequence[Request], quiet: bool) -> list[Answer]:
        """The answers in the order of the requests."""
        found: dict[int, Answer] = {}
        with tqdm(total=len(requests), desc=self.model.name, disable=quiet) as bar:
            for some in self.model.answers(requests):
                found |= some
                bar.update(len(some))
        return [found[number] for number in range(len(requests))]

    def _remember(self, kind: str, requests: Sequence[Any], answers: Sequence[Any]) -> None:
        """Give the answers to lm-evaluation-harness's own cache, where one is in use."""
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)
