"""``completion SHELL``: the script is valid, and bash completes commands, options and values."""

import shutil
import subprocess

import pytest

from tinygrad_llm import cli


def script(shell, capsys):
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "shell, own",
    [
        ("bash", "complete -F _tyro_tinygrad_llm tinygrad-llm"),
        ("zsh", "#compdef tinygrad-llm"),
        ("fish", "commandline -"),
    ],
)
def test_a_script_for_each_shell(shell, own, capsys):
    text = script(shell, capsys)
    assert own in text and "optimizer" in text and "\x1b" not in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


COMPLETE = """
COMP_WORDS=(tinygrad-llm {words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
COMP_LINE="${{COMP_WORDS[*]}}"; COMP_POINT=${{#COMP_LINE}}
_tyro_tinygrad_llm; echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    "words, expected",
    [
        ("evalu", "evaluate"),
        ("train --optim", "--optimizer"),
        ("train --dat", "--data"),  # described in several lines
        ("train --optimizer mu", "muon"),
        ("finetune sf", "sft"),
    ],
)
def test_bash_completes(words, expected, capsys):
    program = script("bash", capsys) + COMPLETE.format(words=words)
    found = subprocess.run(["bash"], input=program, capture_output=True, text=True, check=True)
    assert found.stdout.split() == [expected]


def test_another_shell_is_refused(capsys):
    assert cli.main(["completion", "csh"]) == 2
    assert "invalid choice 'csh'" in capsys.readouterr().err
