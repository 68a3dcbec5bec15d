"""From SGD to Muon on one page: four rules, what each adds to the one before, and what it costs.

What it teaches. A gradient says in which direction the loss rises, and not how far to go. Every
optimizer is an answer to that, and the four in use differ in what they look at:

    SGD        the gradient                        one rate for all directions
    momentum   and those before it                 what they agree on adds up, the rest cancels
    AdamW      each number's usual size            every number moves about equally far
    Muon       each matrix's singular values       every direction of a matrix moves equally far

Read the parts in order. Part 1 is the four rules, each in its few lines and equal to the optimizer
of tinygrad_llm. Part 2 follows their paths on a valley that is a hundred times steeper across than
along, and then turns the valley. Part 3 looks at the gradient of a small GPT, and part 4 trains it
with each rule: a sweep of learning rates, the loss of texts that were held out, memory and time.

Before: 29_depth.py. Next: 31_one_tile_by_hand.py. The pages to read are
tinygrad_llm/training/optim/, and the derivation of Muon in autograd/kernels/muon/.

Exercises, answered in solutions/30_sgd_to_muon.py. Try first.

1. Nesterov. SGD(nesterov=True) steps along g + mu b, with the new b. Change one line of
   ``momentum``, and compare. In which sense does it look ahead?
2. Without memory. What is left of AdamW if both betas are 0, and of Muon if its momentum is 0? On
   which matrices do the two take the same step?
3. A louder loss. Multiply the loss by 1,000. Which of the four need another learning rate, and
   which one? What does that say about mixed precision, which multiplies losses?
"""

import inspect
import math
import time

from _places import characters, loss_of_counting_pairs, np

from autograd import Parameter, Tensor, no_grad
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.training.optim import SGD, AdamW, Muon

# --- part 1: the rules. w is an array, g its gradient, t counts the steps from 1 ------------------


def sgd(w, g, memory, lr, t):
    return w - lr * g, ()


def momentum(w, g, memory, lr, t, mu=0.9):
    (b,) = memory
    b = mu * b + g  # what they agree on grows to 1 / (1 - mu) = 10 g
    return w - lr * b, (b,)


def adamw(w, g, memory, lr, t, beta1=0.9, beta2=0.95, decay=0.1):
    m, v = memory
    m = beta1 * m + (1 - beta1) * g  # the mean of the gradients
    v = beta2 * v + (1 - beta2) * g * g  # the mean of their squares
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)  # both began at 0
    return w - lr * decay * w - lr * m_hat / (np.sqrt(v_hat) + 1e-8), (m, v)


def muon(w, g, memory, lr, t, mu=0.95, decay=0.1):
    (b,) = memory
    b = mu * b + (1 - mu) * g
    u = orthogonal(mu * b + (1 - mu) * g)  # singular values of about 1
    return w - lr * decay * w - lr * 0.2 * math.sqrt(max(w.shape)) * u, (b,)


def orthogonal(x):
    x = x / np.linalg.norm(x)
    for _ in range(5):  # Newton-Schulz: singular values move towards 1
        s = x @ x.T
        x = 3.4445 * x + (-4.7750 * s + 2.0315 * s @ s) @ x
    return x


RULES = {"SGD": sgd, "momentum": momentum, "AdamW": adamw, "Muon": muon}
MEMORY = {"SGD": 0, "momentum": 1, "AdamW": 2, "Muon": 1}  # arrays of the parameter's size


def product(name, params, lr, decay=0.1, **options):
    """The optimizer of tinygrad_llm with the constants of the rule."""
    if name == "AdamW":
        return AdamW(params, lr, betas=(0.9, 0.95), weight_decay=decay)
    if name == "Muon":
        return Muon(params, lr, weight_decay=decay, **options)
    return SGD(params, lr, momentum=0.9 if name == "momentum" else 0.0)


def zeros(name, w):
    return (np.zeros_like(w),) * MEMORY[name]


def largest(a, b):
    """The largest difference, relative to the largest number."""
    return np.abs(a - b).max() / np.abs(b).max()


def body(function):
    """The lines of a function, without its first."""
    lines = inspect.getsource(function).splitlines()[1:]
    return "".join(f"       {line.removeprefix('    ')}\n" for line in lines)


def part_1_the_rules():
    print("1. The four rules\n")
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal((6, 8)), rng.standard_normal((5, 6, 8))
    for name, rule in RULES.items():
        w, memory, p = start, zeros(name, start), Parameter(start.copy())
        options = {"matrices": lambda name, p: True} if name == "Muon" else {}
        optimizer = product(name, [p], lr=0.1, **options)
        for t, g in enumerate(gradients, start=1):
            w, memory = rule(w, g, memory, 0.1, t)
            p.grad = Tensor(g)
            optimizer.step()
        difference = largest(w, p.data)
        assert difference < 1e-12
        same = f"as {type(optimizer).__name__} of tinygrad_llm"
        print(f"   {name}, {same}: after 5 steps they differ by {difference:.0e}\n")
        print(body(rule))
    print("   where orthogonal(x) is\n")
    print(body(orthogonal))


# --- part 2: paths --------------------------------------------------------------------------------

STEEPNESS = np.array([[1.0, 10.0], [10.0, 100.0]])
START = np.diag([-1.0, 0.5])
STEPS = 100
RATES = (0.003, 0.01, 0.018, 0.1, 0.3, 1.0)


def turn(angle):
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s], [s, c]])


def path(name, lr, turned, louder=1.0):
    """Walk down L = 1/2 sum(steepness * z^2), z = U^T W V, on the numbers of W (2, 2).

    Turned, U and V are rotations: the same valley, but no longer along the axes of W. Returns z
    and L before each step and at the end. The rate falls to 0 in a line.
    """
    U, V = (turn(0.6), turn(-0.9)) if turned else (np.eye(2), np.eye(2))
    W = U @ START @ V.T
    memory, walked = zeros(name, W), []
    options = {"decay": 0.0} if name in ("AdamW", "Muon") else {}
    for t in range(STEPS + 1):
        z = U.T @ W @ V
        walked.append((z, 0.5 * (STEEPNESS * z * z).sum()))
        g = louder * U @ (STEEPNESS * z) @ V.T  # the chain rule
        W, memory = RULES[name](W, g, memory, lr * (1 - t / STEPS), t + 1, **options)
    return walked


def best_rate(name, turned, rates=RATES):
    """The rate with the lowest loss at the end, of a few."""
    with np.errstate(all="ignore"):  # some of them diverge
        ends = {lr: path(name, lr, turned)[-1][1] for lr in rates}
    return min(ends, key=lambda lr: ends[lr] if ends[lr] == ends[lr] else math.inf)


def map_of(walked, width=35, height=11):
    """The path in z[0, 0] (along the valley, to the right) and z[1, 1] (across)."""
    grid = [[" "] * width for _ in range(height)]
    letters = [*"0123456789", *("." * STEPS)][: len(walked)]
    points = [(z[0, 0], z[1, 1], letter) for (z, _), letter in zip(walked, letters, strict=True)]
    for along, across, letter in [*reversed(points), (0.0, 0.0, "+")]:
        column = round((along + 1.1) / 1.6 * (width - 1))
        row = round((0.6 - across) / 1.2 * (height - 1))
        if 0 <= column < width and 0 <= row < height:
            grid[row][column] = letter
    return ["".join(row) for row in grid]


def part_2_the_paths():
    print(f"2. A valley, a hundred times steeper across than along, in {STEPS} steps\n")
    maps, ends = {}, {}
    for name in RULES:
        rates = {turned: best_rate(name, turned) for turned in (False, True)}
        walks = {turned: path(name, rates[turned], turned) for turned in (False, True)}
        maps[f"{name}, rate {rates[False]:g}"] = map_of(walks[False])
        ends[name] = [(rates[turned], walks[turned][-1][1]) for turned in (False, True)]
    for one, other in (list(maps)[:2], list(maps)[2:]):
        print(f"   {one:<37s}{other}")
        for left, right in zip(maps[one], maps[other], strict=True):
            print(f"   {left}  {right.rstrip()}".rstrip())
        print()
    print("   (To the right is along the valley. 0 to 9 are the first steps, points later")
    print("   ones, + the goal. Each has the best of a few rates, which falls to 0.)\n")
    print(f"   {'the loss at the end':20s}{'rate':>8s}{'valley':>11s}{'rate':>10s}{'turned':>11s}")
    for name, ((lr, aligned), (lr_turned, turned)) in ends.items():
        print(f"   {name:20s}{lr:8g}{aligned:11.1e}{lr_turned:10g}{turned:11.1e}")
        one, other = (path(name, lr, turned)[: STEPS // 2] for turned in (False, True))
        apart = max(np.abs(a - b).max() for (a, _), (b, _) in zip(one, other, strict=True))
        assert apart > 0.1 if name == "AdamW" else apart < 1e-9 and lr == lr_turned
    (_, slow), (_, fast) = ends["SGD"][0], ends["momentum"][0]
    (_, aligned), (_, turned) = ends["AdamW"]
    assert slow > 100 * fast and turned > 10 * aligned and turned > 2 * ends["Muon"][1][1]
    print("""
   SGD       may step no further than the steep direction allows: it crawls
   momentum  adds up the small steps along, while those across cancel
   AdamW     goes equally fast along and across, if these are its numbers. In
             the turned valley each number is a mixture of both: less is gained
   Muon      finds the directions itself: turned or not, the path is the same.
             Its steps do not get shorter near the goal: the rate has to fall
""")


# --- parts 3 and 4: a language model --------------------------------------------------------------

T, B = 32, 16
TRAINING_STEPS = 60
SWEEP = {
    "SGD": (0.03, 0.1, 0.3, 1.0),
    "momentum": (0.01, 0.03, 0.1, 0.3),
    "AdamW": (0.001, 0.003, 0.01, 0.03),
    "Muon": (0.01, 0.03, 0.1, 0.3),
}
LETTERS, IDS, HELD_OUT_IDS = characters()


def new_model():
    shape = GPTConfig(vocab_size=len(LETTERS), block_size=T, n_layer=2, n_head=4, n_embd=64)
    return GPT(shape, seed=0)


def batch(rng):
    at = rng.integers(0, len(IDS) - T, size=(B, 1)) + np.arange(T)
    return IDS[at], IDS[at + 1]


def train(name, lr):
    """(held-out loss, seconds of a training step, those of the optimizer in it, memory).

    The memory is in units of the weights.
    """
    model, rng = new_model(), np.random.default_rng(0)
    optimizer = product(name, model.named_parameters(), lr)
    begin, in_optimizer = time.process_time(), 0.0
    for step in range(TRAINING_STEPS):
        model.loss(*batch(rng)).backward()
        optimizer.lr = lr * min(1, (step + 1) / 10) * (1 - step / TRAINING_STEPS)
        before = time.process_time()
        optimizer.step()
        in_optimizer += time.process_time() - before
        optimizer.zero_grad()
    seconds = time.process_time() - begin
    at = np.arange(0, len(HELD_OUT_IDS) - T - 1, 2 * T)[:, None] + np.arange(T)
    with no_grad():
        loss = model.loss(HELD_OUT_IDS[at], HELD_OUT_IDS[at + 1]).item()
    matrices = optimizer.parts if name == "Muon" else optimizer.params
    kept = [
        MEMORY[name if n in matrices else "AdamW"] * p.size for n, p in optimizer.params.items()
    ]
    memory = sum(kept) / sum(p.size for p in optimizer.params.values())
    return loss, seconds / TRAINING_STEPS, in_optimizer / TRAINING_STEPS, memory


def part_3_the_gradient():
    print("3. What there is to equalize: the gradient of a small GPT, before the first step\n")
    model = new_model()
    model.loss(*batch(np.random.default_rng(0))).backward()
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters()}
    sizes = {name: float(np.sqrt(np.mean(g * g))) for name, g in gradients.items()}
    low, high = min(sizes, key=sizes.get), max(sizes, key=sizes.get)
    name = "h.1.mlp.c_fc.weight"
    values = np.linalg.svd(gradients[name].astype(np.float64))[1]
    assert sizes[high] > 100 * sizes[low] and values[0] > 5 * values[16] > 5 * values[48]
    some = "".join(f"{values[i]:10.4f}" for i in (0, 4, 16, 32, 48))
    print(f"""\
   size of a gradient, the smallest   {sizes[low]:.4f}   {low}
                       the largest    {sizes[high]:.4f}   {high}

   singular value number      1         5        17        33        49   of 64
   {name:16s} {some}

   The first is what AdamW equalizes, and the second what Muon does.
""")


def part_4_a_language_model():
    print(f"4. That GPT after {TRAINING_STEPS} steps: nats per character, held out\n")
    nothing, pairs = math.log(len(LETTERS)), loss_of_counting_pairs(IDS, HELD_OUT_IDS)
    best = {}
    for name, rates in SWEEP.items():
        with np.errstate(all="ignore"):
            runs = {lr: train(name, lr) for lr in rates}
        losses = {lr: loss if loss == loss else math.inf for lr, (loss, *_) in runs.items()}
        lr = min(losses, key=losses.get)
        best[name] = (lr, *runs[lr])
        print(f"   {name:10s}  rate" + " ".join(f"{rate:>10g}" for rate in rates))
        cells = (f"{losses[r]:10.2f}{'*' if r == lr else ' '}" for r in rates)
        print(f"   {'':10s}  loss{''.join(cells).rstrip()}")
        assert lr not in (rates[0], rates[-1])
    print(f"""
   The best, *, lies between two rates that are worse. Knowing nothing costs
   {nothing:.2f}, and counting pairs of characters {pairs:.2f}.

   {"":10s}{"loss":>8s}{"memory":>18s}{"time of a step":>18s}{"of the optimizer":>20s}""")
    for name, (_, loss, seconds, own, kept) in best.items():
        memory = f"{kept:.1f} x weights"
        print(f"   {name:10s}{loss:8.2f}{memory:>18s}{1e3 * seconds:15.1f} ms{1e3 * own:17.1f} ms")
    losses = {name: values[1] for name, values in best.items()}
    assert losses["Muon"] < losses["AdamW"] - 0.2 < losses["momentum"] - 0.4
    assert abs(losses["momentum"] - losses["SGD"]) < 0.3
    print("""
   Momentum gains little in so few steps. AdamW lets one rate serve parameters
   whose gradients differ a hundredfold, and keeps two arrays for each. Muon
   moves a matrix equally far in all directions, whatever the gradient's size.
   It leaves embeddings and vectors to AdamW, and pays with fifteen products of
   small matrices for each of its own. These do not depend on the batch: the
   larger that is, the less they matter.""")


def main():
    part_1_the_rules()
    part_2_the_paths()
    part_3_the_gradient()
    part_4_a_language_model()


if __name__ == "__main__":
    main()
