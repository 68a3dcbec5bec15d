"""Where an error message sends those who want to know why: a question of docs/questions.md."""


def see(question: str) -> str:
    """The end of a message: ' (docs/questions.md, "Why is y.grad None?")'.

    ``question`` is a heading of that page, word for word.
    """
    return f' (docs/questions.md, "{question}")'
