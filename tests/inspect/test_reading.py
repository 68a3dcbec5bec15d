"""A prompt as a model reads it: the terminal's tables, the pictures, JSON, and the page's data."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from small_models import VOCAB_SIZE, small_model, small_tokenizer

from autograd.debug.explorer.page import pack, page
from tinygrad_llm.inspect import reading as module
from tinygrad_llm.inspect.lens import attention_maps, input_gradients, logit_lens
from tinygrad_llm.inspect.reading import as_json, document, read, spread
from tinygrad_llm.inspect.reading_pictures import draw_heads, draw_lens, seen
from tinygrad_llm.inspect.reading_terminal import show

TOKENIZER = small_tokenizer()
IDS = TOKENIZER.encode("the cat sat on the mat, and the dog")
EVIL = "</script><script>alert(1)</script>\x1b[2J\u202e$x^2$\ud800"


@pytest.fixture(scope="module", params=["gpt2", "gemma3"])
def case(request):
    model = small_model(request.param)
    return model, read(model, TOKENIZER, IDS, of="all")


def printed(reading, width=100, position=None, **options):
    out = io.StringIO()
    console = Console(file=out, width=width, markup=False, highlight=False, emoji=False, **options)
    show(reading, console, position)
    return out.getvalue()


def test_it_holds_what_the_functions_of_the_lens_return(case):
    model, reading = case
    expected = (
        logit_lens(model, IDS),
        attention_maps(model, IDS),
        input_gradients(model, IDS, "all"),
    )
    for found, other in zip((reading.lens, reading.maps, reading.gradients), expected, strict=True):
        for name, value in vars(other).items():
            np.testing.assert_equal(getattr(found, name), value)
    assert "".join(reading.texts) == "the cat sat on the mat, and the dog"
    assert set(reading.lens.top_ids.ravel()) | set(IDS) == set(reading.vocabulary)
    assert reading.vocabulary[IDS[2]] == reading.texts[2]


def test_the_terminal(case):
    _, reading = case
    out = printed(reading)
    lens = reading.lens
    assert f"{lens.names[-1]} " in out and "* it is the one that does" in " ".join(out.split())
    for t in range(1, len(IDS)):
        p, length = np.exp(lens.logp[-1, t - 1]), reading.gradients.length
        row = next(
            line for line in out.splitlines() if line.startswith(f"{t:2d}  {reading.texts[t]!r}")
        )
        assert f"{p:.4f}" in row and f"{lens.rank[-1, t - 1]}" in row
        assert t == len(IDS) - 1 or f"{length[t]:.3g}" in row
    assert f"the loss of a token, on average: {reading.gradients.loss:.4f} nats" in out
    assert "differ by at most 0.0e+00" in out
    assert all(len(line) <= 100 for line in out.splitlines()[: len(lens.names) + 2])


def test_the_terminal_in_colours_and_narrow(case):
    _, reading = case
    out = printed(reading, force_terminal=True, color_system="truecolor", no_color=False)
    assert "\x1b[" in out and "the bluer, the more likely" in out
    assert printed(reading, width=30)


def test_the_table_ends_at_the_position_that_is_asked_for(case):
    _, reading = case
    head = printed(reading, position=1).splitlines()[1]
    assert head.split() == [reading.texts[0].strip(), reading.texts[1].strip()]


def hostile(reading):
    texts = (EVIL, *reading.texts[1:])
    return replace(reading, texts=texts, vocabulary=dict.fromkeys(reading.vocabulary, EVIL))


def test_control_codes_are_shown_and_not_sent(case):
    out = printed(hostile(case[1]))
    assert "\x1b" not in out and "\u202e" not in out and "\\x1b[2J" in out


def test_json_is_all_of_it_and_has_no_nan(case):
    _, reading = case
    reading = replace(
        reading, maps=replace(reading.maps, repeated=np.full_like(reading.maps.repeated, np.nan))
    )
    found = json.loads(json.dumps(as_json(reading), allow_nan=False))
    assert [token["id"] for token in found["tokens"]] == IDS
    for n, state in enumerate(found["states"]):
        assert state["name"] == reading.lens.names[n]
        assert state["entropy"] == reading.lens.entropy[n].tolist()
        assert state["next_rank"] == reading.lens.rank[n].tolist()
        assert [best[0]["p"] for best in state["top"]] == reading.lens.top_p[n, :, 0].tolist()
    assert found["heads"]["first"] == reading.maps.first.tolist()
    assert found["heads"]["repeated"][0][0] is None
    assert found["gradients"]["length"] == reading.gradients.length.tolist()


def test_the_page_holds_the_maps_to_the_last_bit(case):
    _, reading = case
    data = document(reading)
    below = np.tril_indices(len(IDS))
    for layer, kept in zip(data["maps"]["layers"], data["maps"]["weights"], strict=True):
        again = np.zeros_like(reading.maps.weights[layer])
        again[:, *below] = kept
        np.testing.assert_array_equal(again, reading.maps.weights[layer])
    np.testing.assert_array_equal(data["topIds"], reading.lens.top_ids)
    assert pack(data)[0]
    text = page({"graphs": [], "lens": document(hostile(reading))}, "title")
    assert "<script>alert" not in text


def test_a_page_is_kept_small(monkeypatch):
    model = small_model("gemma3")
    heads, pairs = model.config.n_head, len(IDS) * (len(IDS) + 1) // 2
    for most, kept in ((3, [0, 3, 6]), (1, [6]), (0, [])):
        monkeypatch.setattr(module, "MOST", most * heads * pairs)
        reading = read(model, TOKENIZER, IDS)
        assert sorted(reading.maps.weights) == document(reading)["maps"]["layers"] == kept
        assert len(reading.maps.entropy) == 7
    assert sorted(read(model, TOKENIZER, IDS, layers=[2]).maps.weights) == [2]


def test_spread():
    assert spread(5, 9) == [0, 1, 2, 3, 4] and spread(5, 3) == [0, 2, 4]
    assert spread(5, 2) == [0, 4] and spread(5, 1) == [4] and spread(5, 0) == []


def test_one_token_has_no_gradients(case):
    model, _ = case
    reading = read(model, TOKENIZER, IDS[:1])
    assert reading.gradients is None and as_json(reading)["gradients"] is None
    assert "the tokens" in printed(reading) and document(reading)["gradients"] is None


def test_an_id_without_a_text(case):
    model, _ = case
    assert read(model, TOKENIZER, [*IDS, VOCAB_SIZE - 1]).texts[-1] == f"<{VOCAB_SIZE - 1}>"


@pytest.mark.parametrize("make", [lambda r: r, hostile])
def test_pictures(case, make, tmp_path):
    import matplotlib.image

    reading = make(case[1])
    for draw in (draw_lens, draw_heads):
        path = tmp_path / "a.png"
        draw(reading, path, "$x_1$ " + EVIL)
        pixels = matplotlib.image.imread(path)
        assert pixels.shape[0] > 200 and pixels.shape[1] > 500
        assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) > 50


def test_a_token_in_a_picture():
    assert seen(" ") == "\u2423" and seen(" the") == " the"
    assert seen("a" * 20) == "a" * 8 + "\u2026" and "\x1b" not in seen("\x1b[2J")
