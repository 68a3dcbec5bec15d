"""The explorer: a page that steps through a forward and a backward pass, every number explained.

tape.py        what happened: every call, value, contribution and gradient, recorded
lines.py       what each operation computes inside, line by line
document.py    both as data for the page
page.py        the page, one file, from that data and the modules in this folder
"""

from autograd.debug.explorer.explored import Explored, explore

__all__ = ["Explored", "explore"]
