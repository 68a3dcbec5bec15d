"""Where DPO pushes: the gradient at every logit by hand, next to the engine's.

What it teaches. DPO is given a prompt with two answers, and changes a model so that the chosen one
becomes more likely than the rejected one, compared with the model as it was. What that does to a
single token is one line of algebra: dL/dz = c (e_y - p), with one number c for each answer. Part 1
shows which tokens count, part 2 computes this formula and asks the engine for the same, part 3
shows that the pushes on what both answers have in common cancel, and part 4 takes a few steps and
looks at what has become more likely.

    python examples/19_where_dpo_pushes.py

Before: 18_lora.py. Next: 20_grpo.py. The derivation is in docs/finetuning.md, and
docs/where_the_loss_pushes.md shows the same for any model and any row of data:
tinygrad-llm inspect MODEL --data FILE.

Exercises, answered in solutions/19_where_dpo_pushes.py. Try first.

1. The chosen answer becomes less likely. Can the loss fall while that happens? Compare chosen +15,
   rejected -15 nats with chosen -10, rejected -40.
2. When a pair stops pushing. At which margin D is c a tenth of what it was at first? What does that
   say about beta?
3. Long and short. Let every token of both answers become 0.01 nats likelier, of a chosen answer of
   10 tokens and a rejected one of 100. What does the loss do, and which loss_type does not?
"""

from _small_model import make_tokenizer, np, train_small_model

from autograd import grad, no_grad, ops
from tinygrad_llm.finetune.collate import all_tokens, collate
from tinygrad_llm.finetune.examples import IGNORE, Pair
from tinygrad_llm.finetune.logps import sequence_logps
from tinygrad_llm.finetune.losses import dpo_loss
from tinygrad_llm.inspect.pushes import explain_pair
from tinygrad_llm.training.optim import AdamW

PROMPT, CHOSEN, REJECTED = "Simple", " is better than complex.", " is better than a simple joke."
BETA = 0.1


def part_1_what_counts(tokenizer, rows):
    print("1. What counts: a label is the token that should come next, and the prompt has none\n")
    for name, row in zip(("chosen", "rejected"), rows, strict=True):
        texts = [tokenizer.decode([i]) for i in all_tokens(row)]
        counts = [False, *(row.labels != IGNORE)]
        shown = "".join(f"[{t}]" if c else t for t, c in zip(texts, counts, strict=True))
        print(f"   {name:<9s} {shown}")
    print()


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_hand(z, labels, reference):
    """dL/dz (2, T, V) of DPO, from logits z and the reference's log-probabilities (2,)."""
    p, counts = softmax(z), labels != IGNORE  # (2, T, V), (2, T)
    one_hot = np.arange(z.shape[-1]) == labels[:, :, None]  # e_y, (2, T, V)
    logps = np.log(p, where=one_hot, out=np.zeros_like(p)).sum(axis=(1, 2))  # of the answers (2,)
    ratios = logps - reference  # log pi - log rho
    delta = ratios[0] - ratios[1]
    c = -BETA / (1 + np.exp(BETA * delta)) * np.array([1, -1])  # -beta sigmoid(-beta D), and +
    return c, c[:, None, None] * counts[:, :, None] * (one_hot - p)


def part_2_the_gradient(model, batch):
    print("2. dL/dz by hand, and the engine's\n")
    with no_grad():
        reference = sequence_logps(
            model(batch.ids), batch.labels
        ).numpy()  # the first step: pi = rho
    logits = model(batch.ids)  # (2, T, V)
    logps = sequence_logps(logits, batch.labels)  # (2,)
    losses, *_ = dpo_loss(logps[:1], logps[1:], reference[:1], reference[1:], BETA)
    loss = ops.mean(losses)
    (engines,) = grad(loss, [logits])
    c, hand = by_hand(logits.numpy(), batch.labels, reference)
    difference = np.abs(engines.numpy() - hand).max()
    assert abs(loss.item() - np.log(2)) < 1e-15 and difference < 1e-15
    print(f"   loss {loss.item():.6f} = ln 2: policy and reference are still the same model")
    print(f"   c    {c[0]:+.3f} for the chosen answer, {c[1]:+.3f} for the rejected one: beta / 2")
    print(f"   {hand.size:,} numbers, of which the two differ by at most {difference:.0e}\n")


def part_3_what_is_left(model, tokenizer, pair):
    print("3. Each token's own logit: what its row says, and what is left of both rows\n")
    pushes = explain_pair(model, tokenizer, pair, beta=BETA)
    n = len(pair.prompt)
    for line in pushes.lines:
        print(f"   {line.name:<14s}{'p':>8s}{'dL/dz':>10s}{'of both':>10s}")
        for token in line.tokens[n:]:
            both = "" if token.both is None else f"{token.both:+.4f}"
            p = np.exp(token.logp)
            print(f"   {token.text!r:<14s}{p:8.4f}{token.gradient:+10.4f}{both:>10s}")
        print()
    shared = int(np.argmin(pair.chosen[: len(pair.rejected)] == pair.rejected[: len(pair.chosen)]))
    for line in pushes.lines:
        assert all(abs(token.both) < 1e-15 for token in line.tokens[n : n + shared])
        assert abs(line.tokens[n + shared].both - line.factor) < 1e-15
    print(f"""   The answers share {shared} tokens. So far the model has read the same, so both rows
   push the same logits, with opposite signs, and nothing is left. At the first token that differs
   p cancels, too: c (e_y - p) - c (e_r - p) = c (e_y - e_r). Two logits are pushed by beta / 2,
   however likely they were. After it each answer has its own past, and its own pushes.
""")


def part_4_steps(model, batch):
    print("4. After a few steps\n")
    with no_grad():
        reference = sequence_logps(model(batch.ids), batch.labels).numpy()
    optimizer = AdamW(model.named_parameters(), lr=3e-5, weight_decay=0.0)
    print(
        f"   {'step':>4s}{'loss':>10s}{'c':>10s}{'chosen':>10s}{'rejected':>10s}   nats more likely"
    )
    seen = []
    for step in range(31):
        logps = sequence_logps(model(batch.ids), batch.labels)
        losses, *_ = dpo_loss(logps[:1], logps[1:], reference[:1], reference[1:], BETA)
        loss = ops.mean(losses)
        moved = logps.numpy() - reference  # (2,)
        c = -BETA / (1 + np.exp(BETA * (moved[0] - moved[1])))
        if step % 10 == 0:
            print(f"   {step:4d}{loss.item():10.4f}{c:+10.4f}{moved[0]:+10.2f}{moved[1]:+10.2f}")
        seen.append((loss.item(), abs(c)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert seen == sorted(seen, reverse=True)  # the loss falls, and the push weakens with it
    print("""
   A pair that is in order hardly pushes any more: c is beta times the probability that the
   policy's own reward gives to the wrong order.""")


def main():
    print("The model is small and has been trained here within seconds.\n")
    tokenizer = make_tokenizer()
    model = train_small_model(tokenizer, steps=100).astype("float64")
    prompt, chosen, rejected = (np.array(tokenizer.encode(t)) for t in (PROMPT, CHOSEN, REJECTED))
    pair = Pair(prompt, chosen, rejected)
    rows = pair.examples()
    batch = collate(rows)
    part_1_what_counts(tokenizer, rows)
    part_2_the_gradient(model, batch)
    part_3_what_is_left(model, tokenizer, pair)
    part_4_steps(model, batch)


if __name__ == "__main__":
    main()
