"""Why a file gives no text, and what to do about it."""

from tinygrad_llm.errors import UserError


class Unreadable(UserError):
    """A file that cannot be read. ``reason`` says what it is, ``remedy`` what to do, if anything.

    The file's name is not in it: a source of one file puts it in front ("the file X is ..."), a
    source of many counts the files of one reason.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.remedy = remedy


def missing_extra(what: str, package: str, extra: str) -> Unreadable:
    """The sentence for a format whose package is not installed."""
    return Unreadable(
        f"{what}, which needs {package}",
        f"install it with: pip install 'tinygrad-llm[{extra}]'",
    )


def damaged(what: str, error: Exception) -> Unreadable:
    """The sentence for a file that its format's reader refuses."""
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return Unreadable(f"a damaged {what} ({reason})", "replace it with a whole copy")
