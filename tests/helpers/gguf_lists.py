"""The tokenizer of a GGUF file's metadata, as a reader calls ``tokenizer_from_lists``."""

from tinygrad_llm.tokenizer import tokenizer_from_lists


def from_metadata(metadata):
    """The tokenizer of the keys ``tokenizer.*``."""

    def entry(key, default=None):
        return metadata.get(f"tokenizer.ggml.{key}", default)

    return tokenizer_from_lists(
        entry("model"),
        entry("tokens"),
        entry("token_type").tolist(),
        scores=entry("scores"),
        merges=entry("merges"),
        pre=entry("pre"),
        bos_id=entry("bos_token_id"),
        eos_id=entry("eos_token_id"),
        unknown_id=entry("unknown_token_id"),
        add_bos=entry("add_bos_token"),
        add_eos=entry("add_eos_token", False),
        add_space_prefix=entry("add_space_prefix", True),
        chat_template=metadata.get("tokenizer.chat_template"),
    )
