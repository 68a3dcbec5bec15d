"""The masks of supervised fine-tuning, token by token: what a model learns from, and what not.

What it teaches. Fine-tuning on conversations is training on text as before, but for one array: the
labels, which say for each position the token that should follow, or -100, which counts for nothing.
Nearly all mistakes of this field are mistakes in that array. The loss falls with all of them.

Part 1 shows which tokens of a conversation count: what the assistant says, and the token that ends
its turn. Part 2 shifts the labels by one position. Part 3 trains a small model with five masks, of
which three are wrong, and lets it answer. Part 4 packs three examples into one row and measures
which tokens see which. Part 5 shows why a loss is a mean over the tokens of a step, and what the
mean of the micro-batches' means does instead.

    python examples/17_sft_masks.py            # a small tokenizer and model, made here
    python examples/17_sft_masks.py MODEL      # parts 1, 2, 4 and 5 with a model that has a chat
                                               # template, such as smollm2-135m-instruct

Before: 16_speculative_decoding.py. Next: 18_lora.py. The page to read is
tinygrad_llm/finetune/masks.py.

Exercises, answered in solutions/17_sft_masks.py. Try first.

1. One row, or a row for each answer. Make two rows of CONVERSATION: up to the first answer, and the
   whole with only the last answer counted. Compare loss and gradient with those of the one row.
2. Padding that counts. Label the padding with END in place of -100, and train. Compare the loss
   that is shown with the loss of the answers.
"""

import sys

from _small_model import np
from rich.console import Console
from rich.text import Text

from autograd import no_grad, ops
from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.files.tables import Row
from tinygrad_llm.finetune.collate import collate
from tinygrad_llm.finetune.examples import Example, completed, shifted
from tinygrad_llm.finetune.logps import IGNORE
from tinygrad_llm.finetune.losses import sft_loss
from tinygrad_llm.finetune.masks import mask_conversations
from tinygrad_llm.finetune.packing import pack
from tinygrad_llm.finetune.rows import Chat, Report
from tinygrad_llm.generation import generate
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained import load_pretrained
from tinygrad_llm.tokenizer import Tokenizer, train_bpe
from tinygrad_llm.tokenizer.vocabulary import Conventions
from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm

CONVERSATION = [
    {"role": "system", "content": "Answer in one sentence."},
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris is the capital of France."},
    {"role": "user", "content": "And of Japan?"},
    {"role": "assistant", "content": "Tokyo."},
]
CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Italy": "Rome", "Peru": "Lima", "Cuba": "Havana"}
SHORT = [("Capital of Peru?", "Lima."), ("And of Cuba?", "Havana."), ("Italy?", "Rome.")]

START, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COUNTS, REST, EDGE = "bold green", "dim", "dim"
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def make_tokenizer():
    """Byte pairs of this example's texts, and a chat template in ChatML's form."""
    words = [m["role"] + "\n" + m["content"] for m in CONVERSATION]
    words += [text for name in CAPITALS for text in (question(name), answer(name))]
    trained = train_bpe(words, vocab_size=340, special_tokens=[START, END])
    conventions = Conventions(eos_id=trained.special_tokens[END], chat_template=TEMPLATE)
    return Tokenizer.from_vocabulary(trained.vocabulary, conventions)


def question(country):
    return f"What is the capital of {country}?"


def answer(country):
    return f"{CAPITALS[country]} is the capital of {country}."


def small_model(vocab_size):
    config = LlamaConfig(
        vocab_size=vocab_size, block_size=128, n_layer=2, n_head=4, n_kv_head=2, n_embd=64,
        n_hidden=128,
    )  # fmt: skip
    return Llama(config, seed=0)


def pieces(tokenizer, ids):
    """Each token as it is spelled, with line breaks as \\n."""
    return [repr(tokenizer.decode([int(i)]))[1:-1] for i in ids]


def show(tokenizer, ids, counts, width=84):
    """The tokens in rows, those that count in color and with a ^ under each of their letters."""
    rows, used = [[]], 0
    for piece, counted in zip(pieces(tokenizer, ids), counts, strict=True):
        if used + len(piece) + 1 > width:
            rows.append([])
            used = 0
        rows[-1].append((piece, counted))
        used += len(piece) + 1
    for row in rows:
        line = Text("   ")
        for piece, counted in row:
            line.append(piece, COUNTS if counted else REST).append("|", EDGE)
        console.print(line)
        marks = "".join(("^" if counted else " ") * len(piece) + " " for piece, counted in row)
        console.print(Text(f"   {marks}".rstrip(), COUNTS))


# --- part 1 ---------------------------------------------------------------------------------------


def mask_by_hand(tokenizer, messages):
    """Ids, and which count: for the template above, in which each message is written the same."""
    ids, counts = [], []
    start, end = (tokenizer.special_tokens[name] for name in (START, END))
    for message in messages:
        parts = [
            ([start, *tokenizer.encode(message["role"] + "\n")], False),  # written by the program
            ([*tokenizer.encode(message["content"]), end], message["role"] == "assistant"),
            (tokenizer.encode("\n"), False),
        ]
        for part, counted in parts:
            ids += part
            counts += [counted] * len(part)
    return np.array(ids), np.array(counts)


def masked(tokenizer, messages):
    """The same from the library, which finds out how any template marks turns."""
    (found,) = mask_conversations(tokenizer, [Chat(Row({}, "row 1"), [], messages)], Report())
    return found.ids, found.turns >= 0


def part_1_what_counts(tokenizer):
    print("1. Which tokens count\n")
    ids, counts = masked(tokenizer, CONVERSATION)
    if tokenizer.conventions.chat_template == TEMPLATE:
        by_hand = mask_by_hand(tokenizer, CONVERSATION)
        assert np.array_equal(ids, by_hand[0]) and np.array_equal(counts, by_hand[1])
    show(tokenizer, ids, counts)
    answers = [m["content"] for m in CONVERSATION if m["role"] == "assistant"]
    said = tokenizer.decode(ids[counts])
    assert all(text in said for text in answers)
    assert not any(m["content"] in said for m in CONVERSATION if m["role"] != "assistant")
    print(f"""
   {counts.sum()} of {len(ids)} tokens count: both answers, each with the token that ends the turn.
   The mark that begins a turn does not count: the program writes it, not the model.
""")
    return ids, counts


# --- part 2 ---------------------------------------------------------------------------------------


def part_2_the_shift(tokenizer, ids, counts):
    print("2. Labels are shifted: position t is labelled with token t + 1\n")
    example = shifted(ids, counts)
    for t in range(len(ids) - 1):  # the definition
        assert example.ids[t] == ids[t]
        assert example.labels[t] == (ids[t + 1] if counts[t + 1] else IGNORE)
    first, stop = np.flatnonzero(counts)[0] - 3, np.flatnonzero(~counts & np.roll(counts, 1))[0] + 1
    print(
        f"   {'t':>4s}   {'the model reads':<18s}{'token counts':<16s}{'label':>6s}   it should say"
    )
    for t in range(first, stop):
        read, label = pieces(tokenizer, [ids[t]])[0], example.labels[t]
        says = "" if label == IGNORE else pieces(tokenizer, [label])[0]
        token_counts = "yes" if counts[t] else "no"
        line = f"   {t:4d}   {read:<18s}{token_counts:<16s}{label:6d}   {says}"
        console.print(Text(line, REST if label == IGNORE else COUNTS))
    first = np.flatnonzero(counts)[0]
    assert not counts[first - 1] and example.labels[first - 1] == ids[first]
    print(f"""
   The answer's first token is predicted at t = {first - 1}, the prompt's last token. So the mask
   belongs to the labels and moves with them. A mask of the tokens that is laid over the positions
   begins one too late: nothing ever trains the first word of an answer.
""")
    return example


# --- part 3 ---------------------------------------------------------------------------------------


def labels_of(ids, counts):
    """The labels (T - 1,) of a row with the right mask, with none, and with three wrong ones."""
    right = shifted(ids, counts).labels
    late, endless, same = right.copy(), right.copy(), np.where(counts, ids, IGNORE)[:-1]
    first, *_, last = np.flatnonzero(right != IGNORE)
    late[first] = endless[last] = IGNORE
    return {
        "right": right,
        "all tokens": ids[1:],
        "one too late": late,
        "without the end": endless,
        "not shifted": same,
    }


def part_3_five_masks(tokenizer):
    """Returns the model that was trained with the right mask."""
    print("3. Five masks, and what a small model learns with each\n")
    end = tokenizer.special_tokens[END]
    rows = []
    for name in CAPITALS:
        said = [{"role": "user", "content": question(name)}]
        said += [{"role": "assistant", "content": answer(name)}]
        rows.append(mask_by_hand(tokenizer, said))
    asked = [{"role": "user", "content": question("Peru")}]
    prompt = np.array([tokenizer.apply_chat_template(asked)])
    (first,) = tokenizer.encode("Lima")
    print(
        f"   {'mask':<18s}{'loss':>7s}   {'p(Lima)':>8s}   what it answers to: {question('Peru')}"
    )
    n, (terms,) = len(rows), {len(ids) - 1 for ids, _ in rows}
    floor = np.log(n) / terms
    found, models = {}, {}
    for kind in labels_of(*rows[0]):
        batch = collate([Example(ids[:-1], labels_of(ids, c)[kind]) for ids, c in rows])
        model = models[kind] = small_model(tokenizer.vocab_size)
        optimizer = AdamW(model.named_parameters(), lr=4e-3)
        for _ in range(100):
            loss = sft_loss(model(batch.ids), batch.labels)
            loss.backward()
            optimizer.step(grad_scale=clip_scale(global_norm(model.parameters()), 1.0))
            optimizer.zero_grad()
        model.eval()
        with no_grad():
            p = float(ops.softmax(model.next_token_logits(prompt))[0, first].item())
        says = [int(i) for (i,) in generate(model, prompt, 16, temperature=0)]
        stops = end in says
        text = tokenizer.decode(says[: says.index(end)] if stops else says)
        found[kind] = loss.item(), p, text, stops
        line = f"   {kind:<18s}{loss.item():7.4f}   {p:8.4f}   {repr(text)[1:-1][:42]}"
        console.print(Text(line + (END if stops else " ..."), COUNTS if kind == "right" else ""))
    everything, _, _, _ = found.pop("all tokens")
    assert all(loss < 0.01 for loss, *_ in found.values()) and everything > floor
    assert found["right"][2] == answer("Peru") and found["right"][3]
    assert all(found[kind][1] < 0.01 for kind in ("one too late", "not shifted"))
    assert found["without the end"][2].startswith(answer("Peru"))
    assert not found["without the end"][3]
    print(f"""
   Three masks are wrong, and their losses are as low as that of the right one. One too late: the
   answer's first token, here the one that matters, was never trained. Without the end: the answer
   is right and does not stop. Not shifted: the model was asked to repeat what it reads.
   All tokens: the model learns the questions too. Which of {n} countries a question is about cannot
   be predicted, which costs ln {n} once in {terms} tokens: the loss stays above {floor:.4f}.
""")
    return models["right"]


# --- part 4 ---------------------------------------------------------------------------------------


def part_4_packing(model, tokenizer):
    print("4. Three examples packed into one row\n")
    end = tokenizer.conventions.eos_id
    examples = []
    for prompt, says in SHORT:
        said = np.array([*tokenizer.encode(says), end])
        examples.append(completed(np.array(tokenizer.encode(prompt)), said))
    row = pack(examples, 64)[0]
    T = len(row.ids)

    # Which positions depend on token s? Row s of this batch has another token there.
    same = np.tile(row.ids, (T, 1))  # (T, T)
    changed = same.copy()
    changed[np.arange(T), np.arange(T)] = (row.ids + 1) % model.config.vocab_size
    documents = row.documents[None]
    with no_grad():
        before, after = (model(x, documents=documents.repeat(T, 0)).data for x in (same, changed))
    sees = (before != after).any(axis=-1).T  # (T, T): position t depends on token s
    t, s = np.indices((T, T))
    assert np.array_equal(sees, (row.documents[t] == row.documents[s]) & (s <= t))
    styles = dict(zip(np.unique(row.documents), ("green", "yellow", "cyan"), strict=True))
    print(f"   {'token':>12s}  position   {'which tokens it sees':<{2 * T}s}  label")
    for t, piece in enumerate(pieces(tokenizer, row.ids)):
        line = Text(f"   {piece:>12s}  {t - row.documents[t]:8d}   ")
        for s in range(T):
            line.append(
                "# " if sees[t, s] else ". ", styles[row.documents[t]] if sees[t, s] else REST
            )
        if row.labels[t] != IGNORE:
            line.append("  " + pieces(tokenizer, [row.labels[t]])[0], COUNTS)
        console.print(line)
    print("""
   A # says that the logits after a token depend on another: measured, by changing one token at a
   time. The examples do not see each other, and each counts its positions from 0.
""")

    with no_grad():
        packed = sft_loss(model(row.ids[None], documents=documents), row.labels[None]).item()
        mixed = sft_loss(model(row.ids[None]), row.labels[None]).item()
        batch = collate(examples)  # padded
        apart = sft_loss(model(batch.ids), batch.labels).item()
    assert abs(packed - apart) < 1e-5 * apart and abs(mixed - apart) > 1e-4 * apart
    print(f"   three padded rows          {batch.ids.size:3d} positions   loss {apart:.6f}")
    print(f"   packed as documents        {T:3d} positions   loss {packed:.6f}   the same")
    print(f"   packed as a single text    {T:3d} positions   loss {mixed:.6f}   another loss\n")


# --- part 5 ---------------------------------------------------------------------------------------


def gradient(model, losses):
    """The gradient of a sum of losses as one vector."""
    for loss in losses:
        loss.backward()
    g = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    for parameter in model.parameters():
        parameter.zero_grad()
    return g


def part_5_the_mean(model, tokenizer):
    print("5. A mean over tokens, not over micro-batches\n")
    examples = []
    for messages in (CONVERSATION[1:3], CONVERSATION[3:]):
        examples.append(shifted(*masked(tokenizer, messages)))
    batches = [collate([example]) for example in examples]  # micro-batches of one row
    n = np.array([batch.terms for batch in batches])

    def losses():
        return [sft_loss(model(batch.ids), batch.labels) for batch in batches]

    both = collate(examples)
    whole = sft_loss(model(both.ids), both.labels)
    exact = gradient(model, [whole])
    means = np.array([loss.item() for loss in losses()])
    shares = gradient(model, [loss * (k / n.sum()) for loss, k in zip(losses(), n, strict=True)])
    wrong = gradient(model, [loss * (1 / len(n)) for loss in losses()])
    weighted = (means * n).sum() / n.sum()
    for k, (count, loss) in enumerate(zip(n, means, strict=True)):
        print(f"   micro-batch {k + 1}: {count:3d} tokens count, mean loss {loss:.6f}")
    error = f"gradient off by {off(shares, exact):.0e}", f"gradient off by {off(wrong, exact):.0%}"
    print(f"\n   one large batch             {whole.item():.6f}")
    print(f"   weighted by their tokens    {weighted:.6f}   {error[0]}")
    print(f"   mean of the means           {means.mean():.6f}   {error[1]}")
    assert abs(weighted - whole.item()) < 1e-5 and off(shares, exact) < 1e-4
    assert abs(means.mean() - whole.item()) > 1e-3 and off(wrong, exact) > 0.1
    print(f"""
   In the mean of means a token of the short answer weighs 1/{2 * n[1]} and one of the long answer
   1/{2 * n[0]}, {n[0] / n[1]:.1f} times less. Each should weigh 1/{n.sum()}.""")


def off(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def main():
    tokenizer, model = make_tokenizer(), None
    if len(sys.argv) > 1:
        model, its_tokenizer = load_pretrained(sys.argv[1])
    else:
        print("No MODEL is named, so the tokenizer and the models are small and made here.\n")
        its_tokenizer = tokenizer
    ids, counts = part_1_what_counts(its_tokenizer)
    part_2_the_shift(its_tokenizer, ids, counts)
    trained = part_3_five_masks(tokenizer)
    model = (model or trained).eval()
    part_4_packing(model, its_tokenizer)
    part_5_the_mean(model, its_tokenizer)


if __name__ == "__main__":
    main()
