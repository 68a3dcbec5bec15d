"""from_pretrained, save_pretrained and generate of a model, in Hugging Face's names."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from chain_model import END, chain_model, chat_tokenizer
from small_models import small_model, small_tokenizer

from tinygrad_llm.config import PRESETS, LlamaConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.generation import generate
from tinygrad_llm.model import GPT, Llama
from tinygrad_llm.model.language_model import LanguageModel
from tinygrad_llm.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def gpt(tmp_path_factory):
    """A small GPT and its folder."""
    model, folder = small_model("gpt2"), tmp_path_factory.mktemp("gpt")
    model.save_pretrained(folder, small_tokenizer())
    return model, folder


def says(text="Rome."):
    model = chain_model(text)
    model.tokenizer = chat_tokenizer()
    return model


# --- files ---------------------------------------------------------------------------------------


def test_a_saved_model_is_the_same_model(gpt, tmp_path):
    model, folder = gpt
    loaded = GPT.from_pretrained(folder)
    assert not loaded.training and loaded.config == model.config
    for name, array in loaded.state_dict().items():
        np.testing.assert_array_equal(array, model.state_dict()[name])
    assert loaded.tokenizer.fingerprint() == small_tokenizer().fingerprint()
    loaded.save_pretrained(tmp_path)  # with the tokenizer that it came with
    names = {path.name for path in folder.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == names and "tokenizer.json" in names
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes()


def test_options_of_loading_and_saving(gpt, tmp_path):
    model, folder = gpt
    assert GPT.from_pretrained(folder, dtype="float64").wte.weight.dtype == np.float64
    model.save_pretrained(tmp_path / "half", dtype="f16")  # without a tokenizer
    half = LanguageModel.from_pretrained(tmp_path / "half")
    assert half.tokenizer is None and isinstance(half, GPT)
    np.testing.assert_allclose(half.wte.weight.data, model.wte.weight.data, rtol=1e-3, atol=1e-6)


def test_a_model_of_another_class_is_refused(gpt):
    with pytest.raises(UserError, match="is a GPT, not a Llama: use GPT.from_pretrained, or load_"):
        Llama.from_pretrained(gpt[1])
    with pytest.raises(TypeError, match="GPT: config is of type LlamaConfig, expected a GPTConfig"):
        GPT(PRESETS["llama-tiny"])
    with pytest.raises(TypeError, match="Llama: config is of type type, expected a LlamaConfig"):
        Llama(LlamaConfig)
    with pytest.raises(UserError, match="no model is known by this name"):
        GPT.from_pretrained("gpt22")


def test_transformers_opens_it(gpt):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(gpt[1]).eval()
    ids = np.array([[3, 14, 15, 92], [6, 5, 35, 89]])
    expected = theirs.generate(
        torch.tensor(ids), max_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=None
    )
    found = gpt[0].generate(ids, max_new_tokens=6, do_sample=False, eos_token_id=())
    np.testing.assert_array_equal(found, expected)
    ours = set(inspect.signature(GPT.generate).parameters) - {"self", "prompt", "seed", "rng"}
    known = set(vars(transformers.GenerationConfig())) | {"attention_mask", "tokenizer"}
    assert ours <= known  # the options have Hugging Face's names


# --- texts ----------------------------------------------------------------------------------------


def test_a_text_is_continued_to_its_end():
    model = says()
    assert model.generate("Where:", eos_token_id=END) == "Where:Rome."
    assert model.generate("Where:", 2) == "Where:Ro"
    assert model.generate(["a:", "Which town:", "o"], eos_token_id=END) == [
        "a:Rome.", "Which town:Rome.", "ome.",
    ]  # fmt: skip
    assert model.generate("a:", num_return_sequences=2, eos_token_id=END) == ["a:Rome."] * 2
    assert model.generate(["a:", "m"], num_return_sequences=2, eos_token_id=END) == [
        "a:Rome.", "a:Rome.", "me.", "me.",
    ]  # fmt: skip
    assert model.generate("a:", stop_strings=["me", "x"], eos_token_id=END) == "a:Ro"


def test_the_end_is_known_from_the_tokenizer():
    """The chat template writes <|im_end|> after an answer, which is then an end."""
    model = says()
    tokens = model.generate(np.array([[ord(":")], [ord("m")]]), 20)
    assert bytes(tokens[0, :6].tolist()) == b":Rome." and tokens[0, 6] == END
    assert tokens.shape == (2, 7) and (tokens[1, 3:] == END).all()
    padded = model.generate(np.array([[ord(":")], [ord("m")]]), 20, pad_token_id=7)
    assert padded[1].tolist() == [*b"me.", END, 7, 7, 7]


def test_a_tokenizer_can_be_passed_and_is_needed():
    model = chain_model("Rome.")
    assert model.generate("a:", tokenizer=chat_tokenizer()) == "a:Rome."
    with pytest.raises(UserError, match="a prompt that is text needs a tokenizer.*tokenizer="):
        model.generate("a:")
    with pytest.raises(UserError, match="a stop string needs a tokenizer"):
        model.generate([[58]], stop_strings=["x"])
    with pytest.raises(UserError, match="an attention_mask is for ids"):
        says().generate("a:", attention_mask=np.ones((1, 2)))


# --- ids ------------------------------------------------------------------------------------------


def test_ids_are_continued_as_generate_does(gpt):
    model, ids = gpt[0], np.array([[3, 14, 15], [9, 2, 6]])
    options = {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.2}
    for n in (1, 3):
        steps = list(generate(model, ids, 5, n=n, seed=11, **options))
        found = model.generate(ids, 5, num_return_sequences=n, seed=11, **options)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found[:, :3], np.repeat(ids, n, axis=0))
        np.testing.assert_array_equal(found[:, 3:], np.stack(steps, axis=1))
    a, b = (model.generate(ids, 5, rng=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert model.generate(ids, 0).tolist() == ids.tolist()


def test_padding_on_the_left_changes_nothing(gpt):
    alone = gpt[0].generate([[9, 2]], 4, temperature=0)
    mask = np.array([[1, 1, 1], [0, 1, 1]])
    both = gpt[0].generate([[3, 14, 15], [0, 9, 2]], 4, temperature=0, attention_mask=mask)
    np.testing.assert_array_equal(both[1, 1:], alone[0])


def test_the_mode_is_restored_and_dropout_is_off(gpt):
    model = copy.deepcopy(gpt[0]).train()
    state = model.rng.bit_generator.state
    found = model.generate([[3, 14]], 5, do_sample=False)
    assert model.training and model.drop.training and model.rng.bit_generator.state == state
    np.testing.assert_array_equal(found, gpt[0].generate([[3, 14]], 5, temperature=0))
    with pytest.raises(UserError):
        model.generate([[3, 14]], 5, top_p=2.0)
    assert model.training


def test_options_that_would_mean_nothing_are_refused(gpt):
    for options in ({"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.5}, {"min_p": 0.1}):
        with pytest.raises(UserError, match="do_sample=False takes the most likely token"):
            gpt[0].generate([[1]], do_sample=False, **options)
    with pytest.raises(UserError, match=r"prompt has shape \(2,\), expected \(B, T\)"):
        gpt[0].generate([1, 2])


def test_a_model_with_a_tokenizer_is_copied(gpt):
    loaded = GPT.from_pretrained(gpt[1])
    twin = copy.deepcopy(loaded)
    assert twin.generate("the cat", 5, temperature=0) == loaded.generate(
        "the cat", 5, temperature=0
    )
    fresh = says()
    fresh.tokenizer = Tokenizer([])  # which no file describes
    for twin in (copy.deepcopy(fresh), pickle.loads(pickle.dumps(fresh))):
        assert twin.tokenizer.fingerprint() == fresh.tokenizer.fingerprint()


def test_texts_of_different_lengths_are_continued_as_alone(gpt):
    model, texts = GPT.from_pretrained(gpt[1]), ["the cat sat on", "a", "and the"]
    together = model.generate(texts, 6, do_sample=False)
    assert together == [model.generate(text, 6, do_sample=False) for text in texts]
