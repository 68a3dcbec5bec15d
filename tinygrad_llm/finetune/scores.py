"""How well predicted classes agree with the labels: all of it follows from one matrix of counts.

    M[i, j]      texts of class i that were taken for class j
    accuracy     sum_i M[i, i] / sum M
    precision_i  M[i, i] / sum_j M[j, i]     how much of what was taken for i is i
    recall_i     M[i, i] / sum_j M[i, j]     how much of i was found
    F1_i         2 precision_i recall_i / (precision_i + recall_i) = 2 M[i, i] / (row_i + column_i)

A class that neither occurs nor was predicted has F1 = 0. The macro F1 is the plain mean over the
classes: a rare class counts as much as a common one, where accuracy hardly notices it.
"""

import numpy as np


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """M as above: class numbers (N,), (N,) -> counts (K, K)."""
    matrix = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def accuracy(matrix: np.ndarray) -> float:
    """The share of texts whose class was found."""
    return float(np.trace(matrix) / matrix.sum())


def f1_scores(matrix: np.ndarray) -> np.ndarray:
    """F1 of every class (K,); their mean is the macro F1."""
    counts = matrix.sum(axis=0) + matrix.sum(axis=1)
    return 2 * np.diag(matrix) / np.maximum(counts, 1)
