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
    assert "all passed" in capsys.readouterr().out


def test_a_wrong_operation_is_diagnosed(capsys, monkeypatch):
    (good,) = [s for s in samples.SAMPLES if s.op == "matmul" and s.shapes == ((3, 4), (4, 2))]
    wrong = ZOO["quotient-sign"].wrong
    bad = dataclasses.replace(
        good, op="divide", call=lambda a, b: wrong()(a, b), numpy=lambda a, b: a / b,
        shapes=((2, 3), (2, 3)), domain="positive", definition=None, kernel=False,
    )  # fmt: skip
    monkeypatch.setattr(gradcheck, "SAMPLES", [bad])
    assert gradcheck.run(GradcheckOptions()) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "WRONG" in printed and "1 WRONG" in printed
    assert "diagnosis: order 1, input 1: your gradient has the wrong sign" in printed


def test_the_table_is_whole_in_a_file_and_at_80_columns():
    chosen = [s for s in samples.SAMPLES if s.op in ("scaled_dot_product_attention", "exp")]
    reports = [samples.check_sample(s) for s in chosen]
    for width in (None, 200, 80, 72):
        lines = "\n".join(gradcheck.table(reports, width)).splitlines()
        text = "\n".join(lines)
        assert "…" not in text and (width is None or max(map(len, lines)) <= width)
        for heading in ("forward", "order 1", "order 2", "definition", "kernel f32", "kernel f64"):
            assert heading in lines[0] + lines[1]
        for report in reports:
            assert report.sample.name in text and text.count("  ok") == len(reports)
            for shape in report.sample.shapes:
                assert str(shape).replace(" ", "") in text
        rows = len(lines) - 2
        assert rows == len(reports) if width in (None, 200) else rows >= 2 * len(reports)


def test_an_unknown_operation_is_one_sentence_that_knows_the_next_name():
    with pytest.raises(UserError, match=r"no operation 'sofmax': did you mean softmax or "):
        gradcheck.run(GradcheckOptions(op=("sofmax",)))
    with pytest.raises(UserError, match=r"no operation 'zzzz' among the \d+ \(tinygrad-llm gradch"):
        gradcheck.run(GradcheckOptions(op=("zzzz",)))


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
    with pytest.raises(UserError, match="--plot needs --op NAME"):
        gradcheck.run(GradcheckOptions(**options))
