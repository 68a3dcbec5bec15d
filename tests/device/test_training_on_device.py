"""The model, training, evaluation, checkpoints and generation on arrays that are not NumPy's.

Everything random is drawn in main memory, so a run on another device is the run on NumPy's arrays
(with the reference kernels) up to rounding.
"""

import json
import sys

import numpy as np
import pytest
from caches import new_cache
from small_corpus import small_corpus

from autograd import use_kernels
from autograd.device import namespace_on, to_numpy
from tinygrad_llm import cli
from tinygrad_llm.config import GPTConfig, LlamaConfig, TrainConfig
from tinygrad_llm.data import IGNORE, Loader
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import generate
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained.gpt2 import load_model, save_model
from tinygrad_llm.tokenizer import Tokenizer
from tinygrad_llm.training import checkpoint as ckpt
from tinygrad_llm.training.evaluation import evaluate, whole
from tinygrad_llm.training.metrics import MetricsWriter
from tinygrad_llm.training.next_tokens import NextTokens
from tinygrad_llm.training.optim import AdamW, global_norm
from tinygrad_llm.training.trainer import Trainer

SHAPE = GPTConfig(vocab_size=257, block_size=8, n_layer=2, n_head=2, n_embd=8, dropout=0.1)
TOKENS = np.tile(np.arange(40, dtype=np.uint16), 20)


@pytest.fixture(autouse=True)
def references():
    """NumPy computes with the references too: what is compared is the device."""
    with use_kernels("reference"):
        yield


def close(found, expected, rtol):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def batch(seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 257, (2, 3, 8))
    y[0, :3] = IGNORE
    return x, y


def test_loss_and_gradients_with_dropout(device):
    x, y = batch()
    results = []
    for where in ("cpu", device):
        model = GPT(SHAPE, seed=3).astype(np.float64).to(where)
        loss = model.loss(x, y)
        loss.backward()
        assert loss.device == where
        assert {p.grad.device for p in model.parameters()} == {where}
        results.append((loss.item(), {n: p.grad.numpy() for n, p in model.named_parameters()}))
    (here, gradients), (there, found) = results
    assert there == pytest.approx(here, rel=1e-12)
    for name in gradients:
        close(found[name], gradients[name], 1e-9)


def test_a_llamas_loss_and_gradients(device):
    shape = LlamaConfig(
        257, 8, 2, 4, 2, 16, 24, norm_placement="both", norm_offset=True, qk_norm="head",
        sliding_window=3, sliding_layers=(True, False), rope_theta_sliding=100.0, tied=True,
        attention_softcap=2.0, logit_softcap=3.0,
    )  # fmt: skip
    x, y = batch()
    results = []
    for where in ("cpu", device):
        model = Llama(shape, seed=3).astype(np.float64).to(where)
        loss = model.loss(x, y)
        loss.backward()
        assert loss.device == where
        assert {p.grad.device for p in model.parameters()} == {where}
        results.append([to_numpy(a.data) for a in (loss, *(p.grad for p in model.parameters()))])
    for expected, found in zip(*results, strict=True):
        close(found, expected, 1e-10)


def test_moving_a_module(device):
    x, y = batch()
    model = GPT(SHAPE, seed=3)
    parameters = model.parameters()
    model.loss(x, y).backward()
    gradient = model.wte.weight.grad.numpy().copy()
    assert model.to(device) is model
    assert model.parameters() == parameters and model.wte.weight is parameters[0]
    assert {p.device for p in parameters} == {p.grad.device for p in parameters} == {device}
    assert {type(a) for a in model.state_dict().values()} == {namespace_on(device).array_type}
    np.testing.assert_array_equal(model.wte.weight.grad.numpy(), gradient)
    model.loss(x, y).backward()  # is added to what was moved
    assert not np.array_equal(model.wte.weight.grad.numpy(), gradient)
    model.to("cpu")
    assert {type(p.data) for p in parameters} == {np.ndarray}
    other = GPT(SHAPE, seed=4).to(device)
    other.load_state_dict(model.state_dict())
    model.load_state_dict(other.state_dict())
    np.testing.assert_array_equal(other.wte.weight.numpy(), model.wte.weight.data)


def test_ids_on_the_device(device):
    x, y = batch()
    model = GPT(SHAPE, seed=3).eval().to(device)
    expected = model.loss(x, y).item()
    xp = namespace_on(device)
    assert model.loss(xp.asarray(x), xp.asarray(y)).item() == expected
    with pytest.raises(UserError, match="id 400 is outside the table"):
        model(xp.asarray(x * 0 + 400))


class Quiet:
    def start(self, done, total):
        pass

    def step(self, line, loss, note):
        pass

    def stop(self):
        pass


def trainer(folder, where, model=None, steps=4):
    config = TrainConfig(
        preset="tiny", steps=steps, batch_size=3, lr=1e-2, warmup_steps=2, dropout=0.1,
        eval_every=2, save_every=2, grad_accumulation=2, grad_clip=0.5,
    ).with_recipe()  # fmt: skip
    model = model or GPT(SHAPE, seed=5).to(where)
    checkpoints = ckpt.Checkpoints(folder, Tokenizer([]))
    checkpoints.folder.mkdir(parents=True, exist_ok=True)
    task = NextTokens(
        model, Loader(TOKENS, 3, SHAPE.block_size, seed=7), TOKENS[:100],
        np.ones(SHAPE.vocab_size, np.int64), grad_accumulation=2,
    )  # fmt: skip
    return Trainer(
        model, task, AdamW(model.named_parameters(), betas=(0.9, 0.95), weight_decay=0.1), config,
        checkpoints=checkpoints, metrics=MetricsWriter(folder / "metrics.jsonl"), console=Quiet(),
    )  # fmt: skip


def test_training_step_by_step(tmp_path, device):
    here, there = trainer(tmp_path / "cpu", "cpu"), trainer(tmp_path / "there", device)
    for _ in range(3):
        expected, found = here.train_step(), there.train_step()
        assert expected["grad_norm"] > 0.5  # so it was clipped
        for key in ("step", "train_loss", "lr", "grad_norm"):
            assert found[key] == pytest.approx(expected[key], rel=1e-4)
    for name, p in here.model.named_parameters():
        moved = dict(there.model.named_parameters())[name]
        assert moved.device == device
        close(moved.numpy(), p.numpy(), 1e-3)
    a, b = (
        evaluate(run.model, whole(TOKENS[:100], 8, 3), run.task.token_bytes)
        for run in (here, there)
    )
    assert b.loss == pytest.approx(a.loss, rel=1e-4) and (a.tokens, a.bytes) == (b.tokens, b.bytes)
    assert there.task.quick_evaluation() == pytest.approx(here.task.quick_evaluation(), rel=1e-4)


def test_the_whole_loop_and_its_checkpoints(tmp_path, device):
    run = trainer(tmp_path, device)
    assert run.train() is None
    path = tmp_path / "checkpoints" / "step-000004"
    model = load_model(path)  # in main memory, wherever it was written
    assert {p.device for p in model.parameters()} == {"cpu"}
    for name, p in model.named_parameters():
        there = dict(run.model.named_parameters())[name]
        assert there.device == device
        np.testing.assert_array_equal(p.numpy(), there.numpy())
    arrays, state = ckpt.load_training_state(path)
    assert state["step"] == 4
    for name, array in run.optimizer.state_dict().items():
        assert type(array) is np.ndarray
        np.testing.assert_array_equal(arrays[name], array)


def test_a_resumed_run_is_the_run(tmp_path, device):
    whole_run = trainer(tmp_path / "whole", device)
    whole_run.train()
    first = trainer(tmp_path / "cut", device)
    while first.step < 2:
        first._advance(last=False)
    path = tmp_path / "cut" / "checkpoints" / "step-000002"
    second = trainer(tmp_path / "cut", device, load_model(path).train().to(device))
    second.load_state(*ckpt.load_training_state(path))
    second.train()
    assert second.model.rng.bit_generator.state == whole_run.model.rng.bit_generator.state
    for a, b in zip(second.parameters, whole_run.parameters, strict=True):
        assert a.device == device
        if device == "cuda":  # its sums may be made in another order each time
            close(a.numpy(), b.numpy(), 1e-3)
        else:
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_bad_number_is_found_there(tmp_path, device):
    t = trainer(tmp_path, device)
    weight = t.model.h[1].mlp.c_fc.weight
    weight.data[3, 2] = float("nan")
    with pytest.raises(UserError, match=r"parameter h.1.mlp.c_fc.weight \(1 "):
        t.train_step()


def test_the_optimizers_moments_follow_the_model(device):
    x, y = batch()
    # In float64: the gradient of the keys' bias is zero but for rounding, and AdamW divides by it.
    model = GPT(SHAPE, seed=3).astype(np.float64).eval()
    optimizer = AdamW(model.named_parameters())
    twin = GPT(SHAPE, seed=3).astype(np.float64).eval()
    plain = AdamW(twin.named_parameters())
    for where in ("cpu", device, "cpu"):
        model.to(where).loss(x, y).backward()
        twin.loss(x, y).backward()
        assert global_norm(model.parameters()) == pytest.approx(
            global_norm(twin.parameters()), rel=1e-5
        )
        for o in (optimizer, plain):
            o.step()
            o.zero_grad()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        close(a.numpy(), b.numpy(), 1e-4)


def test_evaluation(device):
    model = GPT(SHAPE, seed=3)
    bytes_of = np.ones(257, np.int64)
    expected = evaluate(model, whole(TOKENS[:50], 8, 2), bytes_of)
    found = evaluate(model.to(device), whole(TOKENS[:50], 8, 2), bytes_of)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert (found.tokens, found.bytes) == (expected.tokens, expected.bytes)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_generation(device, temperature):
    model = GPT(SHAPE, seed=3).astype(np.float64).eval()
    texts = []
    for where in ("cpu", device):
        model.to(where)
        for logits in (model.next_token_logits, lambda ids: model.next_token_logits(ids).data):
            steps = generate(
                logits, np.array([[1, 2], [3, 4]]), 12, block_size=8,
                rng=np.random.default_rng(1), temperature=temperature, top_k=50, top_p=0.9,
            )  # fmt: skip
            texts.append(np.stack(list(steps)))
    assert texts[0].shape == (12, 2)
    for text in texts[1:]:
        np.testing.assert_array_equal(text, texts[0])
    prompt = namespace_on(device).asarray(np.array([[1, 2]]))
    (new,) = generate(model.next_token_logits, prompt, 1, block_size=8, rng=None, temperature=0)
    assert type(new) is np.ndarray


def test_a_model_directory_written_from_the_device(tmp_path, device):
    model = GPT(SHAPE, seed=3)
    save_model(model, tmp_path / "here")
    save_model(model.to(device), tmp_path / "there")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def cuda(device, monkeypatch):
    """--device cuda means the fixture's device."""
    from autograd import device as devices

    monkeypatch.setattr(devices, "_devices", {**devices._devices, "cuda": namespace_on(device)})
    return device


def test_train_and_generate(tmp_path, cuda, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", new_cache(tmp_path))
    (tmp_path / "corpus.txt").write_text(small_corpus())
    moved = []
    real = GPT.to
    monkeypatch.setattr(
        GPT, "to", lambda model, device: moved.append(device) or real(model, device)
    )
    options = (
        "--preset tiny "
        "--data corpus.txt --n-layer 1 --n-head 2 --n-embd 8 --block-size 8 --batch-size 2 "
        "--vocab-size 300 --steps 4 --eval-every 2 --save-every 2 --eval-batches 1 "
        "--sample-tokens 4 --dropout 0.1 --device cuda"
    )
    assert cli.main(["train", *options.split()]) == 0
    assert moved == ["cuda", "cuda"]  # the model, and the small one that compiles the kernels
    path = tmp_path / "runs" / "tiny" / "run.json"
    written_options = path.read_text()
    content = json.loads(written_options)
    assert content["options"]["device"] == "cuda"
    content["options"]["lr"] = 0.002
    path.write_text(json.dumps(content))
    assert cli.main(["train", "--resume", "runs/tiny"]) == 2  # other options
    path.write_text(written_options)
    assert cli.main(["train", "--resume", "runs/tiny", "--steps", "6"]) == 0
    assert moved == ["cuda"] * 4
    capsys.readouterr()
    written = []
    for where in ("cpu", "cuda"):
        argv = ["generate", "runs/tiny", "--temperature", "0", "--max-new-tokens", "5"]
        assert cli.main([*argv, "--device", where]) == 0
        written.append(capsys.readouterr().out)
    assert written[0] == written[1] and moved[-2:] == ["cpu", "cuda"]


@pytest.mark.parametrize("command", ["train", "generate nowhere"])
def test_without_cupy_it_says_so_before_any_work(tmp_path, monkeypatch, capsys, command):
    from autograd import device as devices

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(devices, "_devices", {"cpu": devices.numpy_namespace})
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert cli.main([*command.split(), "--device", "cuda"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: the device cuda needs CuPy, which is not installed")
    assert printed.err.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_a_module_says_the_same(monkeypatch):
    from autograd import device as devices

    monkeypatch.setattr(devices, "_devices", {"cpu": devices.numpy_namespace})
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(UserError, match="needs CuPy"):
        GPT(SHAPE).to("cuda")


def test_numpy_of_an_array(device):
    assert type(to_numpy(namespace_on(device).zeros(2))) is np.ndarray
