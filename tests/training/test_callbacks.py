"""Callbacks of the Trainer: when they are called, and what they may do."""

import numpy as np
import pytest
from small_trainer import NoCheckpoints, options, trainer, weights

from tinygrad_llm.data import Loader
from tinygrad_llm.training.callbacks import EarlyStopping
from tinygrad_llm.training.metrics import read_metrics


class Diary:
    """Writes down every call."""

    def __init__(self):
        self.calls = []

    def on_step(self, trainer, line):
        self.calls.append(("step", trainer.step, line["train_loss"]))

    def on_evaluate(self, trainer, line):
        self.calls.append(("evaluate", trainer.step, line["val_loss"]))

    def on_save(self, trainer, checkpoint):
        self.calls.append(("save", trainer.step, checkpoint))


class Folders(NoCheckpoints):
    """Names what it would save."""

    def save(self, model, arrays, state, best_step=None):
        super().save(model, arrays, state, best_step)
        return f"step-{state['step']}"


def losses(*values):
    """A quick evaluation that gives these validation losses, one after another."""
    values = iter(values)
    return lambda: {"val_loss": next(values), "val_perplexity": 1.0, "val_bits_per_byte": 1.0}


def test_when_they_are_called(tmp_path):
    diary, config = Diary(), options(steps=5, eval_every=2, save_every=3)
    t = trainer(tmp_path, config, checkpoints=Folders(), callbacks=[diary])
    t.task.quick_evaluation = losses(3.0, 4.0, 5.0)
    t.train()
    assert [(what, step) for what, step, _ in diary.calls] == [
        ("step", 1),
        ("step", 2), ("evaluate", 2), ("save", 2),  # the best so far
        ("step", 3), ("save", 3),
        ("step", 4), ("evaluate", 4),
        ("step", 5), ("evaluate", 5), ("save", 5),
    ]  # fmt: skip
    written = read_metrics(tmp_path / "metrics.jsonl")
    assert [x for what, _, x in diary.calls if what == "step"] == [m["train_loss"] for m in written]
    assert [x for what, _, x in diary.calls if what == "evaluate"] == [3.0, 4.0, 5.0]
    assert [x for what, _, x in diary.calls if what == "save"] == ["step-2", "step-3", "step-5"]


def test_in_order_and_any_of_the_methods_will_do(tmp_path):
    calls = []

    class One:
        def __init__(self, name):
            self.name = name

        def on_step(self, trainer, line):
            calls.append(self.name)

    trainer(tmp_path, options(steps=2), callbacks=[One("a"), One("b")]).train()
    assert calls == ["a", "b", "a", "b"]


def test_a_callback_ends_the_training_which_is_saved(tmp_path):
    class Enough:
        def on_step(self, trainer, line):
            if trainer.step == 3:
                trainer.stop("that is enough")

    t = trainer(tmp_path, options(steps=9, eval_every=5, save_every=5), callbacks=[Enough()])
    assert t.train() is None
    assert t.step == 3 and t.stopped == "that is enough"
    assert t.checkpoints.saved == [(3, None)]
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 3


def test_what_a_callback_raises_ends_the_training(tmp_path):
    class Broken:
        def on_evaluate(self, trainer, line):
            raise RuntimeError("broken callback")

    with pytest.raises(RuntimeError, match="broken callback"):
        trainer(tmp_path, callbacks=[Broken()]).train()


def test_what_could_never_be_called_is_refused(tmp_path):
    with pytest.raises(TypeError, match="type function has none of the methods on_step"):
        trainer(tmp_path, callbacks=[lambda step: None])
    with pytest.raises(
        TypeError, match=r"the callback Diary is a class, expected an object: Diary"
    ):
        trainer(tmp_path, callbacks=[Diary])


def test_they_leave_the_training_as_it_is(tmp_path):
    found = []
    for name, callbacks in (("without", ()), ("with", [Diary()])):
        (tmp_path / name).mkdir()
        t = trainer(tmp_path / name, callbacks=callbacks)
        t.train()
        found.append(weights(t.model))
    for name in found[0]:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_any_function_of_the_step_is_a_schedule(tmp_path):
    t = trainer(tmp_path, options(steps=4), schedule=lambda step: 0.1 / (step + 1))
    t.train()
    rates = [line["lr"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert rates == [0.1, 0.1 / 2, 0.1 / 3, 0.1 / 4]
    t = trainer(tmp_path, options(steps=4), schedule=lambda step: float("nan"))
    with pytest.raises(ValueError, match="lr is nan"):
        t.train()


@pytest.mark.parametrize(
    "values, last",
    [
        ((5, 4, 3, 2, 1), 10),  # never
        ((5, 4, 4.5, 4.2, 1), 8),  # the best at step 4, then two that are no better
        ((5, 6, 4, 5, 3), 10),  # one is not enough
        ((5, 5, 5, 5, 5), 6),  # equal is no improvement
    ],
)
def test_early_stopping(tmp_path, values, last):
    config = options(steps=10, eval_every=2, save_every=100)
    t = trainer(tmp_path, config, callbacks=[EarlyStopping(2)])
    t.task.quick_evaluation = losses(*values)
    t.train()
    assert t.step == last
    assert t.checkpoints.saved[-1][0] == last
    if last < 10:
        assert t.stopped == "the validation loss has not improved in 2 evaluations"


def test_early_stopping_goes_on_counting_after_a_resume(tmp_path):
    config = options(steps=20, eval_every=2, save_every=1)
    first = trainer(tmp_path, config, loader=Loader(np.arange(200) % 40, 3, 8, seed=7))
    first.task.quick_evaluation = losses(5, 6)
    for _ in range(4):
        first._advance(last=False)
    (tmp_path / "second").mkdir()
    second = trainer(tmp_path / "second", config, callbacks=[EarlyStopping(2)])
    second.task.loader = Loader(np.arange(200) % 40, 3, 8, seed=7)
    second.load_state(*first.state())
    second.task.quick_evaluation = losses(7)
    second.train()
    assert second.step == 6  # the best was at step 2
