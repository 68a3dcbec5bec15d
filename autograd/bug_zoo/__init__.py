"""The bug zoo: typical wrong backwards, each with the check that catches it.

``zoo.py`` is the list and ``bug.py`` defines an entry. The other files contain the bugs by subject:
``math``, ``layers``, ``memory``, ``engine``, ``training``.
"""

from autograd.bug_zoo.bug import Bug
from autograd.bug_zoo.zoo import ZOO, table

__all__ = ["ZOO", "Bug", "table"]
