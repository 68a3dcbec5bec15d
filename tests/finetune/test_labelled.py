"""Labelled texts: what is dropped, how they are split, labels that cannot be."""

import numpy as np
import pytest
from small_models import small_tokenizer

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.labelled import (
    class_numbers,
    encode,
    label_names,
    read_labelled,
    split,
)


def table(folder, *rows):
    path = folder / "a.tsv"
    path.write_text("\n".join(["label\ttext", *rows]) + "\n")
    return path


def read(path):
    return read_labelled(path, "text", "label")


def test_what_is_dropped_is_counted_by_reason(tmp_path):
    path = table(tmp_path, "a\tx", "b\t ", "a\tx", "b\tx", "b\ty", "a\t", "c\tx")
    found = read(path)
    assert found.texts == ["x", "y"] and found.labels == ["a", "b"]
    assert found.places == [f"line 2 of {path}", f"line 6 of {path}"]
    assert found.dropped == {
        "an empty text": 2, "a text that occurs twice": 1,
        "a text that occurs twice, with two labels": 2,
    }  # fmt: skip


def test_nothing_left(tmp_path):
    with pytest.raises(UserError, match=r"a\.tsv has no row with a text"):
        read(table(tmp_path, "a\t", "b\t  "))


def test_a_row_without_a_label(tmp_path):
    with pytest.raises(UserError, match=r"line 3 of .*: label is empty, expected a label"):
        read(table(tmp_path, "a\tx", "\ty"))


def test_one_class_only():
    assert label_names(["b", "a", "b"], "file") == ("a", "b")
    with pytest.raises(UserError, match="every row of file has the label 'a': .* at least two"):
        label_names(["a", "a"], "file")


def test_a_label_that_is_unknown():
    places = ["line 2 of f", "line 3 of f"]
    assert class_numbers(["b", "a"], places, ("a", "b")).tolist() == [1, 0]
    message = "line 3 of f: the label 'c' is unknown: known are a, b"
    with pytest.raises(UserError, match=message):
        class_numbers(["b", "c"], places, ("a", "b"))


def test_a_split_has_the_same_share_of_every_class():
    classes = np.array([0] * 100 + [1] * 20 + [2] * 10)
    parts = split(classes, (0.1, 0.2), seed=3)
    assert [np.bincount(classes[part]).tolist() for part in parts] == [
        [10, 2, 1], [20, 4, 2], [70, 14, 7]
    ]  # fmt: skip
    assert sorted(np.concatenate(parts).tolist()) == list(range(130))
    assert all((np.diff(part) > 0).all() for part in parts)
    again, other = split(classes, (0.1, 0.2), seed=3), split(classes, (0.1, 0.2), seed=4)
    assert all(a.tolist() == b.tolist() for a, b in zip(parts, again, strict=True))
    assert parts[0].tolist() != other[0].tolist()


def test_parts_that_are_not_wanted_are_empty():
    assert [len(part) for part in split(np.array([0, 0, 1, 1]), (0.0, 0.0), 0)] == [0, 0, 4]


def test_the_beginning_of_a_long_text_is_read():
    tokenizer = small_tokenizer()
    ids = tokenizer.encode("the cat sat on the mat")
    found, was_cut = encode(tokenizer, "the cat sat on the mat", 3)
    assert found.tolist() == ids[:3] and was_cut
    found, was_cut = encode(tokenizer, "the cat sat on the mat", len(ids))
    assert found.tolist() == ids and not was_cut
