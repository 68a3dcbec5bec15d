"""Every symbol and form that a chapter's formulas may use comes through pandoc and Typst."""

import pytest
import typst
from builder.book import read_book
from builder.formulas import corrected
from builder.index import Index
from builder.paper import typst_source

SYMBOLS = r"""
alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau
phi varphi chi psi omega Gamma Delta Theta Lambda Pi Sigma Phi Psi Omega odot oplus otimes ominus
cdot times div pm mp ast star circ bullet cap cup sqcap sqcup vee wedge setminus leq le geq ge neq
ne equiv sim simeq approx propto ll gg prec succ subset subseteq supset in ni notin mid parallel
perp models vdash leftarrow rightarrow to gets Leftarrow Rightarrow leftrightarrow mapsto
longrightarrow uparrow downarrow iff implies forall exists neg land lor emptyset infty partial
nabla ell triangleleft triangleright top bot prime sum prod int bigcap bigcup bigoplus bigotimes
bigodot ldots cdots vdots ddots dots langle rangle lVert rVert sin cos tan exp log ln max min sup
inf lim arg det tanh sinh cosh Pr quad qquad
""".split()
FORMS = [
    r"\hat{x}", r"\tilde{x}", r"\bar{x}", r"\overline{x}", r"\vec{x}", r"\underbrace{x}_{y}",
    r"\mathcal{L}", r"\mathbf{x}", r"\mathrm{d}x", r"\mathbb{E}", r"\text{if } x", r"x^{\prime}",
    r"\operatorname*{arg\,max}_x f", r"\left\lVert x \right\rVert_2", r"\|x\|", r"\sqrt[3]{x}",
    r"\lfloor x \rfloor", r"\binom{n}{k}", r"\begin{aligned} a &= b \\ &= c \end{aligned}",
    r"\begin{cases} a & \text{if } b \\ c & d \end{cases}", r"\log p(x_t \mid x_{<t})",
    r"\begin{bmatrix} a & b \\ c & d \end{bmatrix}", r"\begin{pmatrix} a \\ b \end{pmatrix}",
    r"\underset{x}{\max}", r"\mathbf{1}[i = j]", r"\left( \frac{a}{b} \right)", r"\big( x \big)",
    r"\mathrm{KL}(p \,\|\, q)", r"a\%", r"\{a, b\}", r"1{,}024", r"10^{-8}", r"x'", r"\dot{x}",
]  # fmt: skip


def test_every_symbol_and_form_is_written(tmp_path):
    formulas = [rf"a \{symbol} b" for symbol in SYMBOLS] + FORMS
    folder = tmp_path / "docs" / "guide"
    folder.mkdir(parents=True)
    text = "# The engine\n\n" + "\n\n".join(f"$${formula}$$" for formula in formulas)
    (folder / "03-the-engine.md").write_text(text)
    book = read_book(folder)
    source = typst_source(book, book.chapters[0], Index(book))
    blocks = [block for block in source.split("// line ") if "#formula" in block]
    assert len(blocks) == len(formulas)
    compiler = typst.Compiler(font_paths=typst.Fonts(include_system_fonts=False))
    refused = []
    for formula, block in zip(formulas, blocks, strict=True):
        call = block[block.index("#lead") if "#lead" in block else block.index("#formula") :]
        page = "#let formula(tex, body) = body\n#let lead(body) = body\n" + call
        try:
            _, warnings = compiler.compile_with_warnings(input=page.encode())
        except typst.TypstError as error:
            refused.append((formula, error.message))
        else:
            refused += [(formula, warning.message) for warning in warnings]
    assert not refused


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        (r'[$"softmax" \( x \)$];', r'[$"softmax"\( x \)$];'),
        (r'[$a dot.circle b "a sect b"$];', r'[$a dot.o b "a sect b"$];'),
        (r"the sect \(of dot.circle)", r"the sect \(of dot.circle)"),
        (r"[$tanh #h(-1em) (x)$];", r"[$tanh #h(-0.1667em) (x)$];"),
        (r"[$intersect sect.sq x$];", r"[$intersect inter.sq x$];"),
    ],
)
def test_only_formulas_are_put_right(source, wanted):
    assert corrected(source) == wanted
