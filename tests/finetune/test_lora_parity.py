"""Adapters against the library PEFT, in float64: files both ways, logits and every gradient."""

import json

import numpy as np
import pytest
from transformers_models import SIZES, build, exact

from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.lora import add_lora, load_adapter, merge_lora, save_adapter
from tinygrad_llm.model.freezing import trainable_parameters
from tinygrad_llm.pretrained import load_pretrained

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
peft = pytest.importorskip("peft", reason="peft is not installed: nothing to compare with")
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
]

RNG = np.random.default_rng(0)
IDS, TARGETS = RNG.integers(0, 67, (2, 20)), RNG.integers(0, 67, (2, 20))
TARGETS[1, :7] = -100
CASES = {
    "LoRA": {},
    "rsLoRA": {"use_rslora": True},
    "DoRA": {"use_dora": True},
    "rsLoRA and DoRA": {"use_rslora": True, "use_dora": True},
}
BASES = ["SmolLM2", "Llama with biases", "GPT-2"]
PARTS = {"lora_A": "A", "lora_B": "B", "lora_magnitude_vector": "magnitude"}


def relative(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def their_model(base):
    """A random model of transformers in float64. Call it within ``exact()``."""
    if base != "GPT-2":
        return build(base)
    config = transformers.GPT2Config(
        vocab_size=67, n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=1,
        eos_token_id=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0, dtype=torch.float64,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in model.parameters():
        parameter.data += torch.tensor(0.1 * RNG.standard_normal(parameter.shape))
    return model.eval()


def with_adapter(model, base, **options):
    """PEFT's adapter on a model of transformers, each of its numbers moved."""
    options = {"target_modules": "all-linear", **options}
    config = peft.LoraConfig(
        r=4, lora_alpha=6, fan_in_fan_out=base == "GPT-2", task_type="CAUSAL_LM", **options
    )
    model = peft.get_peft_model(model, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.tensor(0.2 * RNG.standard_normal(parameter.shape))
    return model


def reopened(folder, adapter):
    """PEFT's model from files."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64, attn_implementation="eager"
    )
    return peft.PeftModel.from_pretrained(model, adapter).eval()


def logits_of(model):
    return model(torch.tensor(IDS)).logits


@pytest.fixture(scope="module", params=[(b, c) for b in BASES for c in CASES], ids=str)
def case(request, tmp_path_factory):
    """(folder of the base, folder of PEFT's adapter, logits, gradients by PEFT's names)."""
    base, options = request.param[0], CASES[request.param[1]]
    folder = tmp_path_factory.mktemp("model")
    with exact():
        model = their_model(base)
        model.save_pretrained(folder)
        model = with_adapter(model, base, **options)
        logits = logits_of(model)
        torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), torch.tensor(TARGETS).flatten()
        ).backward()
        model.save_pretrained(folder / "theirs")
    gradients = {n: p.grad.numpy() for n, p in model.named_parameters() if p.requires_grad}
    return folder, folder / "theirs", logits.detach().numpy(), gradients


def test_we_open_theirs(case):
    folder, theirs, expected, gradients = case
    model, _ = load_pretrained(folder, "float64")
    load_adapter(model, theirs)
    assert relative(model(IDS).data, expected) < 1e-10
    model.loss(IDS, TARGETS).backward()
    ours = dict(trainable_parameters(model))
    assert len(ours) == len(gradients)
    prefix = "transformer" if hasattr(model, "wte") else "model"
    for name, gradient in gradients.items():
        layer, part = name.removeprefix(f"base_model.model.{prefix}.").split(".lora_")
        part = PARTS["lora_" + part.split(".")[0]]
        found = ours[f"{layer}.adapters.default.{part}"].grad.data
        assert relative(found, gradient) < 1e-10, name
    merge_lora(model)
    assert relative(model(IDS).data, expected) < 1e-10


def test_they_open_ours(case, tmp_path):
    folder, theirs, expected, _ = case
    model, _ = load_pretrained(folder, "float64")
    load_adapter(model, theirs)
    save_adapter(model, tmp_path, base=str(folder))
    with exact():
        found = logits_of(reopened(folder, tmp_path)).detach().numpy()
        merged = logits_of(reopened(folder, tmp_path).merge_and_unload()).detach().numpy()
    assert relative(found, expected) < 1e-10 and relative(merged, expected) < 1e-10
    again, _ = load_pretrained(folder, "float64")
    load_adapter(again, tmp_path)
    np.testing.assert_array_equal(again(IDS).data, model(IDS).data)
    assert json.loads((tmp_path / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == (str(folder))


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
@pytest.mark.parametrize("targets", ["all-linear", ["0.self_attn.q_proj", "lm_head"], "down_proj"])
def test_adapters_that_were_made_here(tmp_path, options, targets):
    """Also on layers that the ends of their names do not tell from others."""
    with exact():
        build("TinyLlama").save_pretrained(tmp_path)
    model, _ = load_pretrained(tmp_path, "float64")
    add_lora(model, 3, 5.5, targets, dropout=0.1, **options)
    for _, parameter in trainable_parameters(model):
        parameter.assign_(parameter.data + 0.1 * RNG.standard_normal(parameter.shape))
    save_adapter(model, tmp_path / "ours")
    with exact():
        found = logits_of(reopened(tmp_path, tmp_path / "ours")).detach().numpy()
    assert relative(found, model(IDS).data) < 1e-10


@pytest.mark.parametrize(
    "patterns",
    [
        {"rank_pattern": {"q_proj": 2, "0.mlp.up_proj": 7}, "alpha_pattern": {"up_proj": 9}},
        {"rank_pattern": {r"^model\.layers\.1\.mlp\.up_proj": 1}},
    ],
)
def test_layers_with_other_ranks(tmp_path, patterns):
    with exact():
        model = their_model("SmolLM2")
        model.save_pretrained(tmp_path)
        model = with_adapter(model, "SmolLM2", **patterns)
        expected = logits_of(model).detach().numpy()
        model.save_pretrained(tmp_path / "theirs")
    ours, _ = load_pretrained(tmp_path, "float64")
    load_adapter(ours, tmp_path / "theirs")
    assert relative(ours(IDS).data, expected) < 1e-10
    save_adapter(ours, tmp_path / "ours")
    with exact():
        found = logits_of(reopened(tmp_path, tmp_path / "ours")).detach().numpy()
    assert relative(found, expected) < 1e-10


@pytest.mark.parametrize("case_options", CASES.values(), ids=CASES)
def test_three_steps_of_adamw(tmp_path, case_options):
    """From the same start, with torch's AdamW and ours; DoRA's magnitudes are vectors."""
    from tinygrad_llm.training.optim import AdamW

    options = {"lr": 0.01, "betas": (0.9, 0.99), "weight_decay": 0.1}
    with exact():
        model = their_model("SmolLM2")
        model.save_pretrained(tmp_path)
        model = with_adapter(model, "SmolLM2", **case_options)
        model.save_pretrained(tmp_path / "theirs")
        trained = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1]},
            {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, **options)
        for _ in range(3):
            loss = torch.nn.functional.cross_entropy(
                logits_of(model).flatten(0, 1), torch.tensor(TARGETS).flatten()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        expected = logits_of(model).detach().numpy()
    ours, _ = load_pretrained(tmp_path, "float64")
    load_adapter(ours, tmp_path / "theirs")
    before = ours(IDS).data
    optimizer = AdamW(trainable_parameters(ours), **options)
    for _ in range(3):
        ours.loss(IDS, TARGETS).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert relative(before, expected) > 1e-2
    assert relative(ours(IDS).data, expected) < 1e-10


def test_an_adapter_of_half_precision(tmp_path):
    with exact():
        model = their_model("SmolLM2")
        model.save_pretrained(tmp_path)
        with_adapter(model, "SmolLM2").to(torch.bfloat16).save_pretrained(tmp_path / "theirs")
        expected = logits_of(reopened(tmp_path, tmp_path / "theirs").double()).detach().numpy()
    ours, _ = load_pretrained(tmp_path, "float64")
    load_adapter(ours, tmp_path / "theirs")
    assert relative(ours(IDS).data, expected) < 1e-10


@pytest.mark.parametrize(
    "options, words",
    [
        ({"lora_bias": True}, '"lora_bias" is true'),
        ({"bias": "lora_only"}, 'bias is "lora_only", expected "none"'),
        ({"modules_to_save": ["lm_head"]}, '"modules_to_save" is a list'),
        ({"init_lora_weights": "pissa"}, 'init_lora_weights is "pissa"'),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "no part of an adapter on a linear layer"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(tmp_path, options, words):
    """As PEFT itself writes it."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**SIZES, "num_hidden_layers": 1})
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    config = peft.LoraConfig(r=2, **{"target_modules": ["q_proj"], **options})
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "theirs")
    ours, _ = load_pretrained(tmp_path)
    with pytest.raises(UserError, match=words):
        load_adapter(ours, tmp_path / "theirs")
