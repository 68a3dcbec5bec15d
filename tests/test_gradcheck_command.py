"""``tinygrad-llm gradcheck``: the exit code, the diagnosis of a wrong operation, the picture."""

import dataclasses

import pytest

from autograd import samples
from autograd.bug_zoo import ZOO
from tinygrad_llm.commands import gradcheck
from tinygrad_llm.commands.options import GradcheckOptions
from tinygrad_llm.errors import UserError


def test_a_right_operation(capsys):
    assert gradcheck.run(GradcheckOptions(op=("softmax",))) == 0
    assert "all right" in capsys.readouterr().out


def test_a_wrong_operation_is_diagnosed(capsys, monkeypatch):
    (good,) = [s for s in samples.SAMPLES if s.op == "matmul" and s.shapes == ((3, 4), (4, 2))]
    wrong = ZOO["quotient-sign"].wrong
    bad = dataclasses.replace(
        good, op="divide", call=lambda a, b: wrong()(a, b), numpy=lambda a, b: a / b,
        shapes=((2, 3), (2, 3)), domain="positive", definition=None, kernel=False,
    )  # fmt: skip
    monkeypatch.setattr(gradcheck, "SAMPLES", [bad])
    assert gradcheck.run(GradcheckOptions()) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "WRONG" in told and "1 WRONG" in told
    assert "diagnosis: order 1, input 1: your gradient has the wrong sign" in told


def test_the_picture(tmp_path, capsys):
    path = tmp_path / "new" / "u.png"
    options = GradcheckOptions(op=("layer_norm",), plot=(str(path),))
    assert gradcheck.run(options) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "float64, R(h), with Richardson's step" in capsys.readouterr().out


def test_the_picture_has_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gradcheck.run(GradcheckOptions(op=("exp",), plot=())) == 0
    assert (tmp_path / "gradcheck-exp.png").exists()


@pytest.mark.parametrize("options", [{"plot": ()}, {"op": ("exp",), "plot": ("a.png", "b.png")}])
def test_what_cannot_be_drawn(options):
    with pytest.raises(UserError, match="--op NAME --plot"):
        gradcheck.run(GradcheckOptions(**options))
