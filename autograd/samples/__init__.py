"""One entry (or a few) for every differentiable operation: test inputs, and its meaning in NumPy.

``sample.py`` defines an entry, ``check.py`` checks one, and the other files contain the entries by
subject.
"""

from autograd.samples.check import SAMPLES, SampleReport, check_sample
from autograd.samples.sample import Sample

__all__ = ["SAMPLES", "Sample", "SampleReport", "check_sample"]
