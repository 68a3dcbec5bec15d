"""A folder with a small model and its tokenizer, as ``eval`` takes it."""

from small_models import small_model, small_tokenizer

from tinygrad_llm.pretrained import save_pretrained


def write_small_model(path, kind="llama"):
    """Write the model ``small_models.small_model`` makes."""
    save_pretrained(small_model(kind), small_tokenizer(), path)
    return path
