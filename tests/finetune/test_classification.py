"""The classifier and its task: padding, freezing, the frozen part, the loss, the scores."""

import numpy as np
import pytest
from small_models import VOCAB_SIZE, small_model
from task_steps import continues_bit_for_bit, steps, trainer_of

from autograd.testing import check_grad
from tinygrad_llm.finetune import classification
from tinygrad_llm.finetune.classification import Classification, Examples, padded, probabilities
from tinygrad_llm.finetune.scores import accuracy, confusion_matrix, f1_scores
from tinygrad_llm.model.classifier import Classifier, pool
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.model.module import functional_call

LABELS = ("ham", "spam", "other")
both = pytest.mark.parametrize("kind", ["gpt2", "llama"])
poolings = pytest.mark.parametrize("pooling", ["last", "mean"])


def classifier(kind="llama", pooling="last", train_layers=None, dtype=np.float64):
    model = Classifier(small_model(kind), LABELS, pooling, seed=3).astype(dtype)
    model.freeze(train_layers)
    return model.eval()


def texts(seed=0, count=12, longest=9):
    rng = np.random.default_rng(seed)
    ids = [rng.integers(0, VOCAB_SIZE, n) for n in rng.integers(1, longest, count)]
    return Examples(ids, rng.integers(0, len(LABELS), count))


def task(kind="gpt2", train_layers=1, dtype=np.float32, **options):
    model = classifier(kind, train_layers=train_layers, dtype=dtype).train()
    defaults = {"seed": 5, "batch_size": 4, "grad_accumulation": 2}
    return Classification(model, texts(1), texts(2), texts(3), **defaults | options)


# --- the model ---------------------------------------------------------------------------------


@both
@poolings
def test_a_text_gets_the_same_whatever_it_is_padded_with(kind, pooling):
    model, rows = classifier(kind, pooling), texts().ids
    alone = np.concatenate([model(row[None], [len(row)]).data for row in rows])
    ids, lengths = padded(rows)
    np.testing.assert_allclose(model(ids, lengths).data, alone, rtol=1e-12, atol=1e-13)
    ids[np.arange(ids.shape[1]) >= lengths[:, None]] = 7  # what the padding is does not matter
    np.testing.assert_array_equal(model(ids, lengths).data, model(*padded(rows)).data)


@both
def test_the_definition(kind):
    model, row = classifier(kind), texts().ids[0]
    h = model.body.hidden(row[None]).data[0]  # (T, C)
    expected = h[-1] @ model.score.weight.data.T
    np.testing.assert_allclose(model(row[None], [len(row)]).data[0], expected, rtol=1e-12)
    model.pooling = "mean"
    expected = h.mean(axis=0) @ model.score.weight.data.T
    np.testing.assert_allclose(model(row[None], [len(row)]).data[0], expected, rtol=1e-11)


@poolings
def test_derivative_of_the_pooling(pooling):
    h = np.random.default_rng(0).standard_normal((3, 4, 2))
    check_grad(lambda h: pool(h, np.array([4, 1, 2]), pooling), h)


def test_lengths_that_cannot_be():
    model = classifier()
    for lengths in ([0], [4], [2, 2]):
        with pytest.raises(ValueError, match="expected 1 numbers from 1 to 3"):
            model(np.array([[1, 2, 3]]), lengths)


@both
@pytest.mark.parametrize("train_layers, frozen", [(0, 2), (1, 1), (2, 0), (5, 0)])
def test_freezing_by_layer(kind, train_layers, frozen):
    model = classifier(kind, train_layers=train_layers)
    blocks, norm = ("h", "ln_f") if kind == "gpt2" else ("layers", "norm")
    trained = {name for name, _ in trainable_parameters(model)}
    every = {name for name, _ in model.named_parameters()}
    expected = ("score.", f"body.{norm}.", *(f"body.{blocks}.{i}." for i in range(frozen, 2)))
    assert trained == {name for name in every if name.startswith(expected)}
    assert model.frozen == frozen
    model.freeze(None)
    assert {name for name, _ in trainable_parameters(model)} == every


@both
def test_a_frozen_part_changes_no_logit_and_gets_no_gradient(kind):
    whole, model = classifier(kind), classifier(kind, train_layers=1)
    ids, lengths = padded(texts().ids)
    expected = whole(ids, lengths)
    logits = model.trained_part(model.frozen_part(ids), lengths)
    np.testing.assert_array_equal(logits.data, expected.data)
    logits.backward(np.ones(logits.shape))
    expected.backward(np.ones(logits.shape))
    gradients = dict(whole.named_parameters())
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        if parameter.requires_grad:
            np.testing.assert_array_equal(parameter.grad.data, gradients[name].grad.data, name)


def test_the_frozen_part_has_no_dropout():
    model = classifier("gpt2", train_layers=1).train()
    ids = padded(texts().ids)[0]
    before = model.rng.bit_generator.state
    np.testing.assert_array_equal(model.frozen_part(ids).data, model.frozen_part(ids).data)
    assert model.rng.bit_generator.state == before and model.training


# --- the loss ----------------------------------------------------------------------------------


def test_the_gradient_of_the_logits_in_closed_form():
    """dL/dlogits = (softmax(logits) - one-hot) / B, so dL/dW is that times the pooled states."""
    subject = task("llama", dtype=np.float64)
    numbers = np.arange(5)
    loss, metrics = subject.loss(numbers)
    loss.backward()
    ids, lengths = padded([subject.train.ids[i] for i in numbers])
    classes = subject.train.classes[numbers]
    p = probabilities(subject.model, [subject.train.ids[i] for i in numbers])
    np.testing.assert_allclose(loss.item(), -np.log(p[numbers, classes]).mean(), rtol=1e-12)
    assert metrics == {"accuracy": (p.argmax(axis=-1) == classes).mean()}
    h = subject.model.body.hidden(ids).data[numbers, lengths - 1]  # (B, C)
    expected = (p - np.eye(3)[classes]).T @ h / 5
    np.testing.assert_allclose(subject.model.score.weight.grad.data, expected, rtol=1e-10)


def test_derivative_of_the_loss():
    subject = task("llama", train_layers=None, dtype=np.float64)
    names = ("score.weight", "body.norm.weight", "body.layers.0.input_layernorm.weight")
    parameters = {n: p for n, p in subject.model.named_parameters() if n in names}

    def loss(*tensors):
        stand_ins = dict(zip(parameters, tensors, strict=True))
        numbers = np.arange(3)
        ids, lengths = padded([subject.train.ids[i] for i in numbers])
        logits = functional_call(subject.model, stand_ins, ids, lengths)
        return classification.ops.cross_entropy(logits, subject.train.classes[numbers])

    assert len(parameters) == len(names)
    check_grad(loss, *(p.data for p in parameters.values()))


@pytest.mark.parametrize("train_layers", [1, None])
def test_micro_batches_are_one_large_batch(train_layers):
    lines = []
    for size, count in ((8, 1), (4, 2), (1, 8)):
        options = {"batch_size": size, "grad_accumulation": count}
        lines.append(steps(trainer_of(task("llama", train_layers, np.float64, **options)), 3))
    for other in lines[1:]:
        for line, expected in zip(other, lines[0], strict=True):
            for name, value in expected.items():
                np.testing.assert_allclose(line[name], value, rtol=1e-10, err_msg=name)


@both
def test_what_is_kept_of_the_frozen_part_changes_nothing(kind):
    subjects = task(kind, dtype=np.float64), task(kind, dtype=np.float64)
    shown = []
    assert subjects[1].keep_frozen_parts(lambda done, total: shown.append((done, total)))
    assert shown[-1] == (36, 36)
    for subject in subjects:  # otherwise its dropout would differ, where rows of the mask are
        subject.model.body.rng = None
        for module in subject.model.modules():
            module.p = 0.0
    first, second = (steps(trainer_of(subject), 4) for subject in subjects)
    for line, expected in zip(first, second, strict=True):
        np.testing.assert_allclose(
            [line[name] for name in line], [expected[name] for name in line], rtol=1e-9
        )
    for a, b in zip(subjects[0].held_out().values(), subjects[1].held_out().values(), strict=True):
        assert a.confusion.tolist() == b.confusion.tolist()
        np.testing.assert_allclose(a.loss, b.loss, rtol=1e-9)


def test_what_takes_too_much_memory_is_not_kept(monkeypatch):
    subject = task()
    size = sum(len(ids) for seed in (1, 2, 3) for ids in texts(seed).ids) * 64 * 4
    monkeypatch.setattr(classification, "MAX_KEPT", size - 1)
    assert not subject.keep_frozen_parts() and subject.train.kept is None
    monkeypatch.setattr(classification, "MAX_KEPT", size)
    assert subject.keep_frozen_parts() and subject.train.kept is not None
    assert not task(train_layers=None).keep_frozen_parts()


@pytest.mark.parametrize("train_layers", [1, None])
@pytest.mark.parametrize("balanced", [False, True])
def test_it_continues_bit_for_bit(train_layers, balanced):
    def make():
        subject = task(train_layers=train_layers, balanced=balanced)
        subject.keep_frozen_parts()
        return subject

    assert continues_bit_for_bit(make)


def test_a_few_texts_can_be_learned_by_heart():
    subject = task("llama", train_layers=None, batch_size=12, grad_accumulation=1)
    trainer = trainer_of(subject, steps=40, lr=3e-3)
    losses = [line["loss"] for line in steps(trainer, 40)]
    assert losses[0] > 1 and losses[-1] < 0.02
    assert accuracy(subject.evaluate(subject.train).confusion) == 1


# --- the scores --------------------------------------------------------------------------------


def test_an_evaluation_in_numbers():
    subject = task("gpt2", dtype=np.float64)
    scores = subject.evaluate(subject.validation)
    p = probabilities(subject.model, subject.validation.ids)
    classes = subject.validation.classes
    np.testing.assert_allclose(scores.loss, -np.log(p[np.arange(12), classes]).mean(), rtol=1e-12)
    right = (p.argmax(axis=-1) == classes).mean()
    assert scores.metrics("eval")["eval_accuracy"] == pytest.approx(right)
    assert scores.confusion.sum(axis=1).tolist() == np.bincount(classes, minlength=3).tolist()
    assert subject.model.training  # it was before, and is again
    metrics, sentence = subject.final_evaluation()
    assert metrics.keys() == {
        f"{split}_{name}" for split in ("eval", "test") for name in ("loss", "accuracy", "f1")
    }
    assert "validation, 12 texts: loss" in sentence and "test, 12 texts: loss" in sentence


def test_a_class_that_is_never_predicted_is_named():
    subject = task("gpt2", dtype=np.float64)
    names = subject.model.labels
    assert subject._never_predicted(np.array([[9, 0, 0], [2, 0, 0], [0, 0, 0]])) == names[1]
    assert subject._never_predicted(np.array([[9, 0, 0], [2, 1, 0], [1, 0, 0]])) == ""
    weight = subject.model.parameters()[-1]
    weight.assign_(np.zeros(weight.shape))  # all logits are equal, and the first class is taken
    _, sentence = subject.final_evaluation()
    missed = f"no text was taken for {names[1]}, {names[2]}: the accuracy is that of a guess"
    assert sentence.count(missed) == 2


def test_an_evaluation_changes_no_step():
    trainer, other = trainer_of(task()), trainer_of(task())
    other.task.quick_evaluation()
    assert steps(trainer, 2) == steps(other, 2)


def test_confusion_accuracy_and_f1_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 0, 1, 1, 0, 1])
    matrix = confusion_matrix(labels, predicted, 4)
    assert matrix.tolist() == [[3, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert accuracy(matrix) == 4 / 7
    # precision 3/4, 1/3; recall 3/4, 1/2; the last class neither occurs nor is predicted
    np.testing.assert_allclose(f1_scores(matrix), [0.75, 0.4, 0, 0])
