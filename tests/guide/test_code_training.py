"""The guide's optimizer, schedule, sampling, weight files and fine-tuning equal the package's."""

import json

import numpy as np
import pytest
from guide_code import as_in_the_guide, both_models, differences_of_gradients, module
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file, save_file

from autograd import Tensor
from tinygrad_llm.files.tables import Row
from tinygrad_llm.finetune import losses
from tinygrad_llm.finetune.collate import collate
from tinygrad_llm.finetune.examples import encode_examples
from tinygrad_llm.finetune.rows import ALPACA, Report
from tinygrad_llm.generation import generate
from tinygrad_llm.generation.sampling import sample
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.tokenizer import train_bpe
from tinygrad_llm.training.optim.adamw import AdamW
from tinygrad_llm.training.optim.clipping import clip_scale, global_norm
from tinygrad_llm.training.schedule import learning_rate

attention, dpo, engine, generate_, model, pretrained, sft, stories, bpe, train = map(
    module,
    "attention dpo engine generate model pretrained sft stories tokenizer train".split(),
)
NUMBERS = st.floats(-50, 50, allow_nan=False, width=64)

# --- training -------------------------------------------------------------------------------------


def windows(package, steps, B=4):
    rng = np.random.default_rng(1)
    for _ in range(steps):
        ids = rng.integers(0, package.config.vocab_size, (B, package.config.block_size + 1))
        yield ids[:, :-1], ids[:, 1:]


@pytest.mark.parametrize("max_norm", [1.0, 0.05, 1e6])
def test_a_training_of_some_steps_moves_every_weight_as_the_packages_does(max_norm):
    """Gradients, clipping, schedule and AdamW together, in float64."""
    package, guide = both_models()
    named = list(package.named_parameters())
    theirs = AdamW(
        [
            {"params": [(n, p) for n, p in named if p.ndim == 2], "weight_decay": 0.1},
            {"params": [(n, p) for n, p in named if p.ndim != 2], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
    )
    ours, before = train.AdamW(guide.parameters), {n: p.data for n, p in guide.parameters.items()}
    for step, (x, y) in enumerate(windows(package, 12)):
        theirs.zero_grad()
        loss, loss_ = guide.loss(x, y), package.loss(x, y)
        loss.backward()
        loss_.backward()
        assert float(loss.data) == pytest.approx(float(loss_.data), rel=1e-9)
        scale = train.clip(guide.parameters, max_norm)
        norm = global_norm(p for _, p in named)
        assert scale == pytest.approx(clip_scale(norm, max_norm), rel=1e-9)
        ours.step(train.learning_rate(step, 12, 0.01, warmup=4), scale)
        theirs.lr = learning_rate(step, peak=0.01, floor=0.0, warmup_steps=4, steps=12)
        theirs.step(scale)
        for name, p in named:
            found, expected = guide.parameters[name].data, as_in_the_guide(name, p.numpy())
            # the bias of the keys has no gradient but rounding, of which AdamW makes whole steps
            if name.endswith("c_attn.bias"):
                C = package.config.n_embd
                found, expected = (np.delete(a, slice(C, 2 * C)) for a in (found, expected))
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8, err_msg=name)
    assert all(np.abs(p.data - before[n]).max() > 1e-3 for n, p in guide.parameters.items())
    assert all(p.grad is None for p in guide.parameters.values())


@given(st.integers(0, 400), st.integers(1, 400), st.integers(1, 50), st.floats(1e-6, 1))
@settings(deadline=None)
def test_the_schedule_is_the_packages(step, more, warmup, peak):
    steps = step + more
    found = train.learning_rate(step, steps, peak, warmup)
    expected = learning_rate(step, peak=peak, floor=0.0, warmup_steps=warmup, steps=steps)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


@given(st.lists(arrays(np.float64, 3, elements=NUMBERS), min_size=1, max_size=4))
@settings(deadline=None)
def test_clipping_is_the_packages(gradients):
    package = [Tensor(g, requires_grad=True) for g in gradients]
    guide = {str(i): engine.Tensor(g) for i, g in enumerate(gradients)}
    for i, p in enumerate(package):
        p.grad, guide[str(i)].grad = Tensor(gradients[i]), gradients[i]
    assert train.clip(guide) == pytest.approx(clip_scale(global_norm(package), 1.0), rel=1e-12)


def test_perplexity_counts_every_token_of_whole_texts_once():
    package, guide = both_models()
    end, rng = 22, np.random.default_rng(4)
    texts = [rng.integers(0, 22, n) for n in (3, 30, 12, 1)]  # one longer than two windows
    row = np.concatenate([[end], *(np.append(text, end) for text in texts)]).astype(np.uint16)
    nats = n = 0
    for text in texts:
        ids = np.concatenate([[end], text, [end]])
        for i in range(0, len(ids) - 1, 12):
            part = ids[i : i + 13]
            logp = losses.token_logps(package(part[None, :-1]), part[None, 1:]).numpy()
            nats, n = nats - logp.sum(), n + logp.size
    assert n == sum(len(text) + 1 for text in texts)
    assert train.perplexity(guide, row, end) == pytest.approx(np.exp(nats / n), rel=1e-10)


# --- generation -----------------------------------------------------------------------------------


@given(
    arrays(np.float32, st.integers(1, 30), elements=st.floats(-30, 30, width=32)),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([0, 0.1, 0.7, 1.0, 3.0]),
    st.sampled_from([None, 1, 2, 5, 50]),
)
@settings(max_examples=300, deadline=None)
def test_any_number_picks_the_packages_token(logits, u, temperature, top_k):
    found = generate_.sample(logits, u, temperature, top_k)
    assert found == sample(logits, u, temperature=temperature, top_k=top_k)


@pytest.mark.parametrize("temperature, top_k", [(0, None), (0.8, None), (1.3, 5)])
def test_the_same_random_numbers_continue_a_text_in_the_same_way(temperature, top_k):
    """Beyond the context too, where both see the last tokens only."""
    package, guide = both_models()
    options = {"temperature": temperature, "top_k": top_k}
    for seed in range(4):
        ids = np.random.default_rng(seed).integers(0, 23, 5).tolist()
        theirs = generate(package, [ids], 20, rng=np.random.default_rng(seed), **options)
        ours = generate_.generate(guide, ids, 20, np.random.default_rng(seed), **options)
        assert ours == [int(new[0]) for new in theirs] and len(ours) == 20


def test_generation_stops_at_the_end():
    package, guide = both_models()
    ids = [1, 2, 3]
    free = generate_.generate(guide, ids, 12, np.random.default_rng(0))
    end = free[4]
    stopped = generate_.generate(guide, ids, 12, np.random.default_rng(0), end=end)
    assert stopped == free[: free.index(end) + 1]
    theirs = generate(package, [ids], 12, rng=np.random.default_rng(0), stop_ids=[end])
    assert stopped == [int(new[0]) for new in theirs]


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, rtol", [("float32", 1e-5), ("float16", 1e-5), ("bfloat16", 1e-5)])
def test_gpt2_in_the_packages_files_is_the_same_model(tmp_path, dtype, rtol):
    package, _ = both_models(np.float32)
    save_pretrained(package, None, tmp_path, dtype)
    guide = pretrained.load_gpt2(tmp_path)
    stored = load_file(tmp_path / "model.safetensors") if dtype != "bfloat16" else None
    for name, p in guide.parameters.items():
        exact = as_in_the_guide(name, dict(package.named_parameters())[name].numpy())
        assert p.data.dtype == np.float32
        np.testing.assert_allclose(p.data, exact, rtol=2.0**-8, atol=1e-7)
        if stored is not None:
            assert np.array_equal(p.data, stored[f"transformer.{name}"].astype(np.float32))
    if dtype == "float32":
        x = np.arange(12)[None]
        np.testing.assert_allclose(guide(x).data, package(x).numpy(), rtol=0, atol=1e-4)


def test_a_folder_with_another_shape_is_refused(tmp_path):
    package, _ = both_models(np.float32)
    save_pretrained(package, None, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"n_positions": 16}))
    with pytest.raises(SystemExit, match=r"wpe.weight should be \(16, 8\), found \(12, 8\)"):
        pretrained.load_gpt2(tmp_path)


def test_safetensors_are_those_of_the_library(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {"a": rng.normal(size=(2, 3)), "b": np.float32(rng.normal(size=4))}
    save_file({**tensors, "i": np.arange(3), "h": np.float16([1.5])}, tmp_path / "x", {"k": "v"})
    found, metadata = pretrained.read(tmp_path / "x")
    assert metadata == {"k": "v"} and sorted(found) == ["a", "b", "h"]  # whole numbers left out
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    pretrained.write(tmp_path / "y", tensors, {"k": "v"})
    again = load_file(tmp_path / "y")
    assert all(
        np.array_equal(again[n], a) and again[n].dtype == a.dtype for n, a in tensors.items()
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x", "y"]


def test_a_model_and_its_tokenizer_come_back(tmp_path):
    tokenizer = bpe.train(stories.stories(20), 300)
    _, guide = both_models(np.float32, vocab_size=300)
    pretrained.save(tmp_path / "m.safetensors", guide, tokenizer)
    found, read = pretrained.load(tmp_path / "m.safetensors")
    assert found.config == guide.config and read.merges == tokenizer.merges
    for name, p in guide.parameters.items():
        assert np.array_equal(p.data, found.parameters[name].data)
    with pytest.raises(SystemExit, match="there is no .*gone; run train.py"):
        pretrained.load(tmp_path / "gone")


# --- fine-tuning ----------------------------------------------------------------------------------

ROWS = [(f"Q: {q}\nA:", f" {a}.", f" {b} {b}.") for q, a, b in (
    ("Who met Ben?", "Mia", "Sam"), ("Who had the ball in the end?", "Lily", "Leo"),
    ("ö?", "ü", "x"),
)]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizers():
    texts = stories.stories(50)
    return bpe.train(texts, 300), train_bpe(texts, 300, "gpt2")


def test_labels_are_the_packages(tokenizers):
    ours, theirs = tokenizers
    rows = [{"prompt": p, "completion": a} for p, a, _ in ROWS]
    expected = encode_examples(package_rows(rows), theirs, 200, Report(False))
    found = [sft.example(ours, p, a) for p, a, _ in ROWS]
    for (ids, labels), example in zip(found, expected, strict=True):
        assert ids.tolist() == example.ids.tolist() and labels.tolist() == example.labels.tolist()
    x, y = sft.pad(found, 0)
    batch = collate(expected)  # which pads with 0
    assert np.array_equal(x, batch.ids) and np.array_equal(y, batch.labels)


def package_rows(rows):
    return [Row(row, f"row {i}") for i, row in enumerate(rows)]


@given(st.text(max_size=30).filter(str.strip), st.text(max_size=30))
@settings(deadline=None)
def test_any_instruction_is_written_in_alpacas_template(instruction, context):
    more = f"\n\n### Input:\n{context}" if context else ""
    expected = ALPACA.replace("{input}", more).replace("{instruction}", instruction, 1)
    if "{instruction}" not in context:
        assert sft.alpaca(instruction, context) == expected


def batches_of(tokenizer, which):
    return sft.pad([sft.example(tokenizer, row[0], row[which]) for row in ROWS], tokenizer.end)


def test_the_loss_of_answers_and_its_gradients_are_the_packages(tokenizers):
    package, guide = both_models(vocab_size=300, block_size=64)
    ids, labels = batches_of(tokenizers[0], 1)
    theirs, ours = losses.sft_loss(package(ids), labels), guide.loss(ids, labels)
    assert float(ours.data) == pytest.approx(float(theirs.data), rel=1e-11)
    theirs.backward()
    ours.backward()
    assert max(differences_of_gradients(package, guide).values()) < 1e-9


def test_the_loss_of_preferences_and_its_gradients_are_the_packages(tokenizers):
    package, guide = both_models(vocab_size=300, block_size=64)
    reference, _ = both_models(vocab_size=300, block_size=64, seed=5)
    sides = [batches_of(tokenizers[0], which) for which in (1, 2)]
    fixed = [losses.sequence_logps(reference(ids), labels).numpy() for ids, labels in sides]
    theirs = [losses.sequence_logps(package(ids), labels) for ids, labels in sides]
    ours = [dpo.response_logps(guide, ids, labels) for ids, labels in sides]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.data, b.numpy(), rtol=1e-11)
    for beta in (0.1, 0.5):
        loss = dpo.dpo_loss(*ours, *fixed, beta=beta)
        expected = losses.dpo_loss(*theirs, *fixed, beta=beta)[0].numpy().mean()
        assert float(loss.data) == pytest.approx(float(expected), rel=1e-11)
    loss.backward()
    losses.dpo_loss(*theirs, *fixed, beta=0.5)[0].mean().backward()
    assert max(differences_of_gradients(package, guide).values()) < 1e-8


def test_preferences_begin_at_log_two_and_move(tokenizers):
    _, guide = both_models(vocab_size=300, block_size=64)
    found = dpo.prefer(guide, tokenizers[0], ROWS, 8, lr=1e-3)
    assert found[0] == pytest.approx(np.log(2), rel=1e-12) and found[-1] < found[0] - 0.01


def test_answers_are_learned(tokenizers):
    _, guide = both_models(vocab_size=300, block_size=64, n_embd=16)
    found = sft.fine_tune(guide, tokenizers[0], [row[:2] for row in ROWS], 60, peak=0.01)
    assert found[-1] < 0.2 * found[0]
    assert sft.answer(guide, tokenizers[0], ROWS[0][0]) == " Mia."
