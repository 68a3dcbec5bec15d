"""One entry (or a few) for every differentiable operation: inputs to try it on, and its meaning.

``sample.py`` says what an entry is made of, ``check.py`` what is checked of each, and the other
files hold the entries by subject.
"""

from autograd.samples.check import SAMPLES, SampleReport, check_sample
from autograd.samples.sample import Sample

__all__ = ["SAMPLES", "Sample", "SampleReport", "check_sample"]
