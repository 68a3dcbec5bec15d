"""The bug zoo: wrong backwards that people write, each with the check that catches it.

``zoo.py`` is the list, ``bug.py`` says what an entry is made of, and the other files hold the bugs
by subject: ``math``, ``layers``, ``memory``, ``engine``, ``training``.
"""

from autograd.bug_zoo.bug import Bug
from autograd.bug_zoo.zoo import ZOO, table

__all__ = ["ZOO", "Bug", "table"]
