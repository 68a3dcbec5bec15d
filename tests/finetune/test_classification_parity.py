"""The classifier against transformers: files, logits, gradients and steps of AdamW."""

import json

import numpy as np
import pytest
from small_models import small_model, small_tokenizer

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.classification import Classification, Examples, padded
from tinygrad_llm.model.classifier import Classifier
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.pretrained import load_pretrained
from tinygrad_llm.pretrained.classifier import load_classifier, save_classifier
from tinygrad_llm.training.optim import AdamW

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

LABELS = ("ham", "spam", "other")
KINDS = ["gpt2", "llama", "llama 3", "qwen2", "qwen3", "gemma3"]


def rows(count=6, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 200, n) for n in rng.integers(1, 9, count)]


def saved(kind, folder, pooling="last"):
    model = Classifier(small_model(kind), LABELS, pooling, seed=3).eval()
    save_classifier(model, small_tokenizer(), folder)
    return model


def theirs(folder, dtype=torch.float32):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager"
    )
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_opens_ours(kind, tmp_path):
    model = saved(kind, tmp_path)
    other = theirs(tmp_path)
    assert other.config.id2label == {0: "ham", 1: "spam", 2: "other"} and other.num_labels == 3
    ids, lengths = padded(rows())
    expected = model(ids, lengths).data
    mask = np.arange(ids.shape[1]) < lengths[:, None]
    ids[~mask] = other.config.pad_token_id  # by which transformers finds the last token
    with torch.no_grad():
        found = other(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
        alone = other(torch.tensor(rows()[0][None])).logits
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(alone.numpy(), expected[:1], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_transformers_writes_is_read(kind, tmp_path):
    saved(kind, tmp_path / "ours")
    other = theirs(tmp_path / "ours")
    other.config.tie_word_embeddings = False  # as in many models, which have no output layer here
    other.save_pretrained(tmp_path / "theirs")
    small_tokenizer().save(tmp_path / "theirs", model_max_length=64)
    if kind == "gpt2":
        other.config.tie_word_embeddings = True
        other.save_pretrained(tmp_path / "theirs")
    first, second = (load_classifier(tmp_path / name)[0] for name in ("ours", "theirs"))
    ids, lengths = padded(rows())
    np.testing.assert_array_equal(second(ids, lengths).data, first(ids, lengths).data)
    assert second.labels == LABELS


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma3"])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_ours_is_read_to_the_last_bit(kind, pooling, tmp_path):
    model = saved(kind, tmp_path, pooling)
    found, tokenizer = load_classifier(tmp_path)
    assert found.labels == LABELS and found.pooling == pooling and not found.training
    assert tokenizer.fingerprint() == small_tokenizer().fingerprint()
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(dict(found.named_parameters())[name].data, parameter.data)


def test_loss_gradients_and_three_steps_in_float64(tmp_path):
    """GPT-2: of a Llama, transformers computes parts in float32 whatever its type."""
    model = saved("gpt2", tmp_path).astype(np.float64)
    model.train()
    for module in model.modules():
        module.p = 0.0
    other = theirs(tmp_path, torch.float64)
    data = Examples(rows(), np.array([0, 1, 2, 1, 0, 1]))
    task = Classification(model, data, data, data)
    parameters = trainable_parameters(model)
    ours = AdamW(parameters, 1e-2, (0.9, 0.999), 1e-8, weight_decay=0.0)
    optimizer = torch.optim.AdamW(other.parameters(), 1e-2, weight_decay=0.0)
    ids, lengths = padded(data.ids)
    ids[np.arange(ids.shape[1]) >= lengths[:, None]] = other.config.pad_token_id
    mask = torch.tensor(np.arange(ids.shape[1]) < lengths[:, None])
    labels = torch.tensor(data.classes)
    for _ in range(3):
        loss, _ = task.loss(np.arange(6))
        loss.backward()
        expected = other(torch.tensor(ids), attention_mask=mask, labels=labels).loss
        expected.backward()
        np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)
        their = dict(other.named_parameters())
        for name, parameter in parameters:
            key = name.replace("body.", "transformer.")
            for found, tensor in (
                (parameter.grad.data, their[key].grad),
                (parameter.data, their[key]),
            ):
                array = tensor.detach().numpy()
                array = array.T if found.shape != array.shape or _is_conv1d(name) else array
                scale = max(1e-30, np.abs(array).max())
                np.testing.assert_allclose(found / scale, array / scale, atol=1e-10, err_msg=name)
        ours.step()
        ours.zero_grad()
        optimizer.step()
        optimizer.zero_grad()


def _is_conv1d(name):
    return name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))


# --- what is refused -----------------------------------------------------------------------------


def test_a_classifier_is_no_language_model(tmp_path):
    saved("llama", tmp_path)
    with pytest.raises(UserError, match="is a classifier or .*`tinygrad-llm classify`"):
        load_pretrained(tmp_path)


def test_a_language_model_is_no_classifier(tmp_path):
    from tinygrad_llm.pretrained import save_pretrained

    save_pretrained(small_model("llama"), small_tokenizer(), tmp_path)
    with pytest.raises(UserError, match="is not a classifier: expected a run of"):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"id2label": {"0": "a", "2": "b"}}, "id2label must name each of the classes 0, 1, 2"),
        ({"id2label": {"0": "a", "1": "a"}}, "id2label must name each of the classes 0, 1, 2"),
        ({"id2label": {}}, "id2label must name each of the classes 0, 1, 2"),
        ({"id2label": {"0": "a", "1": "b"}}, r"score.weight has shape \(3, 64\), but"),
        ({"pooling": "max"}, 'pooling is "max", expected "last" or "mean"'),
    ],
)
def test_a_config_that_does_not_fit(tmp_path, change, message):
    saved("llama", tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        load_classifier(tmp_path)
