"""Bytes alive after every step: those of the profiler, and those that NumPy really allocates."""

import gc
import tracemalloc

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug import profile
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.memory_parts import (
    GRAD,
    TAPE,
    WAITING,
    columns,
    part,
    series_of_run,
    series_of_tape,
)
from autograd.debug.explorer.tape import record
from autograd.kernels.dispatch import use_kernels
from autograd.observe import Observer
from tinygrad_llm.inspect.explorable import EXPLORABLE, gpt


@pytest.fixture(scope="module")
def example():
    return gpt()


@pytest.fixture(scope="module")
def tape(example):
    return record(example.loss, example.model)


def sizes_of_profile(function):
    """The profiler's size of the tape after each of its events, in order."""
    with use_kernels("reference"), profile() as p:
        function().backward()
    recorded = [e for e in p.events if e.kind == "backward" or "saved_bytes" in e.details]
    ends = [event.start + event.seconds for event in recorded]
    sizes, size, changes = [], 0, list(p._tape.changes)
    for end in ends:
        while changes and changes[0][0] <= end:
            size += changes.pop(0)[1]
        sizes.append(size)
    return sizes, p.peak.bytes


@pytest.mark.parametrize("name", ["gpt", "dpo", "lora"])
def test_the_tape_is_that_of_the_profiler(name):
    example = EXPLORABLE[name]()
    account = series_of_tape(record(example.loss, example.model))
    sizes, peak = sizes_of_profile(example.loss)
    kept = account.bytes(TAPE)
    ops_only = [n for n, label in zip(kept, account.labels, strict=True)
                if label[0] in ("forward", "backward")]  # fmt: skip
    assert ops_only == sizes
    assert max(kept) == peak
    assert kept[-1] == 0  # every node has been released


def test_recomputation_is_that_of_the_profiler_too(example):
    example.model.recompute = True
    try:
        account = series_of_run(example.loss, example.model)
        _, peak = sizes_of_profile(example.loss)
    finally:
        example.model.recompute = False
    assert max(account.bytes(TAPE)) == peak


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_a_tape_and_a_run_agree(name):
    built = BUILTIN[name]()
    tape = record(built.loss, None, built.names)
    run = series_of_run(built.loss, None, [c.out.key for c in tape.calls])
    account = series_of_tape(tape)
    assert [label[0] for label in account.labels] == [phase for phase, _ in tape.events]
    assert [label[0] for label in run.labels] == [label[0] for label in account.labels]
    np.testing.assert_array_equal(account.bytes(GRAD), run.bytes(GRAD))
    np.testing.assert_array_equal(account.bytes(WAITING), run.bytes(WAITING))
    if name == "tape-of-a-tape":  # the first loss is not a part of the second: its nodes die
        assert np.all(account.bytes(TAPE) >= run.bytes(TAPE))
    else:
        np.testing.assert_array_equal(account.bytes(TAPE), run.bytes(TAPE))


class Allocated(Observer):
    """What NumPy has allocated since, whenever a gradient is complete."""

    def __init__(self):
        self.before, self.sizes = numpy_bytes(), []

    def on_gradient(self, node, gradient):
        self.sizes.append(numpy_bytes() - self.before)


def numpy_bytes():
    only = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    return sum(t.size for t in tracemalloc.take_snapshot().filter_traces([only]).traces)


def test_numpy_allocates_what_the_series_says(example, tape):
    series = series_of_tape(tape)
    for parameter in example.model.parameters():
        parameter._grad = None
    with use_kernels("reference"):
        example.loss().item()
        gc.collect()
        tracemalloc.start()
        try:
            with Allocated() as allocated:
                loss = example.loss()
                loss.backward()
        finally:
            tracemalloc.stop()
            for parameter in example.model.parameters():
                parameter._grad = None
    start = len(tape.calls)
    kept = series.bytes()[start:]  # a gradient is complete after the step before its own
    ids = 72  # the token ids are kept by the tape, and were there before
    scalars = 16  # the loss, and the gradient 1 that the pass started with
    missed = [real - (said - ids) for real, said in zip(allocated.sizes, kept, strict=False)]
    # After the pass has let go of the last operation, the ids of the tape are gone from the series.
    last = next(i for i, label in enumerate(series.labels[start + 1 :]) if label[0] == "leaf")
    missed = missed[:last] + [m - ids for m in missed[last:]]
    rows_of_positions = 512  # the sum for wpe.weight, while it is written into a whole table
    assert all(0 <= m <= scalars for m in missed if m != missed[-2])
    assert missed[-2] <= scalars + rows_of_positions


def test_the_switches(example, tape):
    before = example.model.rng.bit_generator.state
    found = part(tape)
    assert example.model.recompute is False and example.model.rng.bit_generator.state == before
    assert found["series"]["steps"] == len(tape.events)
    again = found["recompute"]
    assert len(again["labels"]) == again["steps"]
    assert "again" in {label[0] for label in again["labels"]}
    assert "h.0.attn" in again["names"] and "h.1.mlp" in again["names"]
    peak = [sum(bytes_at(columns_, n)) for columns_ in (found["series"], again) for n in [22]]
    assert peak[1] < peak[0]


def bytes_at(series, step):
    stop = series["stop"]
    alive = (series["start"] <= step) & ((stop < 0) | (stop > step)) & (series["kind"] == TAPE)
    return series["bytes"][alive]


def test_columns_say_what_the_account_says(tape):
    account = series_of_tape(tape)
    found = columns(account)
    for step in range(account.now):
        assert bytes_at(found, step).sum() == account.bytes(TAPE)[step]
    holders = found["buffer"]
    assert set(range(len(account.buffers))) == set(holders.tolist())  # somebody holds each


def test_without_recomputation_the_reason_is_given():
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    assert "no attribute" not in part(record(ops.sum(x * x)))["why"]
    assert "function" in part(record(ops.sum(x * x)))["why"]
    assert "recompute" in part(record(lambda: ops.sum(x * x)))["why"]
    assert x.grad is None


def test_one_buffer_is_counted_once():
    x = Tensor(np.ones((4, 4), np.float32), requires_grad=True)
    y = x * 2.0
    account = series_of_tape(record(ops.sum(ops.exp(y) * y * y)))
    buffers = [b for b in account.buffers if b.kind == TAPE and len(b.holders) > 1]
    assert buffers and all(b.nbytes == 64 for b in buffers)
    assert all(b.stop == max(h.stop for h in b.holders) for b in buffers)


def test_an_array_that_is_kept_too_long_is_noticed(example, tape, monkeypatch):
    """The comparison with the profiler sees a node that the series forgets to release."""
    import autograd.debug.explorer.memory_parts as memory

    release = memory.Account.release
    released = []

    def forgetful(self, order):
        released.append(order)
        if len(released) != 3:
            release(self, order)

    monkeypatch.setattr(memory.Account, "release", forgetful)
    assert series_of_tape(tape).bytes(TAPE)[-1] != 0
