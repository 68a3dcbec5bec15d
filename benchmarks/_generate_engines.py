"""The engines that generate.py compares: each reads prompts and continues them, token by token.

An engine has two methods. ``prefill(T)`` reads a prompt of T tokens into an empty cache, and picks
the most likely id after it. ``decode(B, n)`` continues B prompts of 32 tokens by n tokens each,
always the most likely. Both return seconds; reading the prompts of ``decode`` is not timed.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _machine import cores
from _workers import use_project_as_command

PROMPT = 32  # tokens before decode's first
LONGEST = 1200  # tokens of a row, at most


def prompt(T, seed=0):
    """T token ids that every vocabulary has."""
    return np.random.default_rng(seed).integers(3, 250, T).tolist()


class Ours:
    """This project: ``weights`` is float32, int8 or as-stored."""

    def __init__(self, path, weights):
        use_project_as_command()
        from tinygrad_llm.generation.decoder import Decoder
        from tinygrad_llm.pretrained import load_pretrained

        model, _ = load_pretrained(path, weights=weights)
        self.decoder, self.model = Decoder(model), model
        self.longest = min(LONGEST, model.config.block_size)

    def prefill(self, T):
        cache = self.decoder.cache(1, self.longest)
        start = time.perf_counter()
        self.decoder([prompt(T)], cache)[0].argmax()
        return time.perf_counter() - start

    def decode(self, B, n):
        cache = self.decoder.cache(B, PROMPT + n + 1)
        ids = self.decoder([prompt(PROMPT, seed) for seed in range(B)], cache).argmax(1)
        self.written = [ids[0]]
        start = time.perf_counter()
        for _ in range(n):
            ids = self.decoder([[i] for i in ids.tolist()], cache).argmax(1)
            self.written.append(ids[0])
        return time.perf_counter() - start

    def bytes_per_token(self):
        """Bytes of the matrices that a token is multiplied with, and of the vectors."""
        from tinygrad_llm.model.quantize import stored_matrices
        from tinygrad_llm.quantized.matrix import QuantizedMatrix

        read = sum(matrix.nbytes for matrix in stored_matrices(self.model))
        read += sum(parameter.data.nbytes for parameter in self.model.parameters())
        table = getattr(self.model, "embed_tokens", None)
        if table is not None and self.model.lm_head is not None:
            weight = table.weight  # one row of it is looked up
            read -= weight.nbytes if isinstance(weight, QuantizedMatrix) else weight.data.nbytes
        return read


class Transformers:
    """Hugging Face's library on PyTorch: ``dtype`` is float32 or bfloat16."""

    def __init__(self, path, dtype):
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        self.torch = torch
        model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))
        self.model = model.eval()

    def prefill(self, T):
        with self.torch.inference_mode():
            ids = self.torch.tensor([prompt(T)])
            start = time.perf_counter()
            int(self.model(ids, use_cache=True, logits_to_keep=1).logits[0, -1].argmax())
            return time.perf_counter() - start

    def decode(self, B, n):
        with self.torch.inference_mode():
            ids = self.torch.tensor([prompt(PROMPT, seed) for seed in range(B)])
            out = self.model(ids, use_cache=True, logits_to_keep=1)
            ids = out.logits[:, -1].argmax(1)
            self.written = [int(ids[0])]
            start = time.perf_counter()
            for _ in range(n):
                out = self.model(ids[:, None], past_key_values=out.past_key_values, use_cache=True)
                ids = out.logits[:, -1].argmax(1)
                self.written.append(int(ids[0]))
            return time.perf_counter() - start


class LlamaCpp:
    """llama.cpp, through the functions of llama-cpp-python."""

    def __init__(self, path, _):
        import llama_cpp

        self.c = c = llama_cpp
        c.llama_backend_init()
        self.silent = c.llama_log_callback(lambda level, text, data: None)
        c.llama_log_set(self.silent, None)
        self.model = c.llama_model_load_from_file(
            str(path).encode(), c.llama_model_default_params()
        )
        options = c.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = 8 * 256 + LONGEST, 2048, 512
        options.n_seq_max, options.kv_unified = 8, True
        options.n_threads = options.n_threads_batch = cores()
        self.context = c.llama_init_from_model(self.model, options)
        self.V = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))

    def _read(self, rows, position):
        """Give every row its new tokens, and return the most likely ids after them."""
        c, n = self.c, sum(map(len, rows))
        batch, i = c.llama_batch_init(n, 0, 1), 0
        for b, row in enumerate(rows):
            for t, token in enumerate(row):
                batch.token[i], batch.pos[i] = token, position + t
                batch.n_seq_id[i], batch.seq_id[i][0] = 1, b
                batch.logits[i] = t == len(row) - 1
                i += 1
        batch.n_tokens = n
        if c.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode failed")
        last = np.cumsum([len(row) for row in rows]) - 1
        found = [
            int(
                np.ctypeslib.as_array(
                    c.llama_get_logits_ith(self.context, int(i)), (self.V,)
                ).argmax()
            )
            for i in last
        ]
        c.llama_batch_free(batch)
        return found

    def _clear(self):
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)

    def prefill(self, T):
        self._clear()
        start = time.perf_counter()
        self._read([prompt(T)], 0)
        return time.perf_counter() - start

    def decode(self, B, n):
        self._clear()
        ids = self._read([prompt(PROMPT, seed) for seed in range(B)], 0)
        self.written = [ids[0]]
        start = time.perf_counter()
        for step in range(n):
            ids = self._read([[i] for i in ids], PROMPT + step)
            self.written.append(ids[0])
        return time.perf_counter() - start


KINDS = {"ours": Ours, "transformers": Transformers, "llama.cpp": LlamaCpp}


def prepare(kind, path, weights):
    """The worker of an engine: its first message, and the function that answers."""
    engine = KINDS[kind](path, weights)

    def answer(what, **options):
        if what == "bytes":
            return engine.bytes_per_token()
        seconds = getattr(engine, what)(**options)
        return {"seconds": seconds, "ids": [int(i) for i in getattr(engine, "written", [])]}

    return {"ready": True}, answer


def prepare_bandwidth(megabytes):
    """A worker that measures how fast this machine reads memory: NumPy's sum, on every core."""
    numbers = np.ones(megabytes * 2**20 // 4, np.float32)
    parts = np.array_split(numbers, cores())
    threads = ThreadPoolExecutor(len(parts))

    def answer(n):
        rates = []
        for _ in range(n + 1):
            start = time.perf_counter()
            list(threads.map(np.add.reduce, parts))
            rates.append(numbers.nbytes / (time.perf_counter() - start))
        return rates[1:]

    return {"ready": True}, answer
