"""What learners ask about backpropagation, each with a short answer and the place that shows it.

The questions are the headings of questions.md in docs, in their order; an address is the page's own
(``autograd/debug/explorer/state.js``): its graph, step, tensor and view.
"""

from typing import NamedTuple


class Answer(NamedTuple):
    """Where the default page shows the answer, and the answer in a sentence or two."""

    address: str
    text: str


QUESTIONS = {
    "Why zero_grad?": Answer(
        "graph=twice&step=5&view=ledger&tensor=a&of=gradient",
        "The sum of this pass lands in a.grad, where it is added to what is there already. A "
        "second pass without zero_grad would add the same 24 again.",
    ),
    "Why += and not =?": Answer(
        "graph=twice&step=4&tensor=b&of=gradient&view=ledger&assign=1",
        "b is used twice, and each use returns a contribution. With = the second replaces the "
        "first; switch it off and on, and compare the gradient.",
    ),
    "Why newest first?": Answer(
        "graph=twice&view=order&walk=2",
        "A node may hand its gradient on only when all of it has arrived. An operation is newer "
        "than what it was computed from, so newest first waits for every use; recursion does "
        "not.",
    ),
    "What is a vjp?": Answer(
        "graph=residual&step=16&tensor=x&of=contribution.1&cell=0,0&view=cell",
        "Backward turns the gradient g of an output into one of an input: the sum of g times a "
        "derivative, over the outputs that this input element reaches. The Jacobian is never "
        "formed.",
    ),
    "What is saved for backward?": Answer(
        "graph=gpt&step=5&view=card",
        "What the derivative reads, and nothing else: see 'What this call keeps' on this card, "
        "with the formula that needs each array.",
    ),
    "Why can backward run only once?": Answer(
        "graph=gpt&step=40&view=memory",
        "As soon as a node's backward has run, what it saved is freed: the blue area falls. "
        "Tick retain_graph to see what a second pass would cost.",
    ),
    "Why is y.grad None?": Answer(
        "graph=neuron&step=13&view=memory",
        "Only leaves keep their gradient in .grad. That of a computed tensor such as y is "
        "handed on and freed; retain_grad keeps it.",
    ),
    "Why is there nothing to differentiate?": Answer(
        "graph=lora&step=8&tensor=layer.base_layer.weight&hold=1&view=tensor",
        "A gradient flows only to tensors that require one. This weight is frozen, so it has a "
        "value and no gradient; a graph of such tensors alone has nothing to differentiate.",
    ),
    "When do I detach?": Answer(
        "graph=dpo&step=0&tensor=constant&hold=1&view=tensor",
        "When a number must be treated as given. These are the reference model's log- "
        "probabilities: the loss reads them, and no gradient flows to them.",
    ),
    "Why is an in-place change an error?": Answer(
        "graph=residual&step=0&view=card",
        "MatMul keeps its inputs, because each one's derivative is the other. Were one "
        "overwritten before backward, the gradient would be computed from the new numbers: the "
        "engine refuses.",
    ),
    "Why is p -= lr * p.grad an error?": Answer(
        "graph=gpt&view=optimizer",
        "It would compute a new tensor and record that. An optimizer changes the numbers of the "
        "parameter itself, after backward: see the last line, the new weight.",
    ),
    "Where does the sum in a broadcast's gradient come from?": Answer(
        "graph=broadcasting&step=6&tensor=row&of=gradient&cell=1&view=cell",
        "This number was copied to three rows. Each copy has a gradient, and the derivative of "
        "a copy is 1, so the gradient of the number is their sum.",
    ),
    "Why is there a transpose in a matrix product's gradient?": Answer(
        "graph=residual&step=16&tensor=first&of=contribution.0&cell=0,0&view=cell",
        "first[0, 0] multiplies x[i, 0] and adds to the output [i, 0], for every row i. Its "
        "gradient sums over these rows, and a product that sums over rows has its first factor "
        "transposed.",
    ),
    "Why is the gradient of softmax with cross-entropy p - y?": Answer(
        "graph=softmax&view=loss",
        "The logarithm's 1/p and the Jacobian's p cancel. Both paths are computed here: the "
        "same numbers, until the longer one overflows.",
    ),
    "Why has layer norm's gradient three terms?": Answer(
        "graph=layer-norm&step=8&view=card",
        "An input moves the output directly, through the mean and through the standard "
        "deviation: three terms in the lines of backward. Leave one out and the sum over a row "
        "is not 0.",
    ),
    "How does the gradient go through attention?": Answer(
        "graph=attention&view=attention",
        "Backward through the product with V, the softmax of each row, and the product of Q and "
        "K. Every matrix and its gradient is here; choose an element to see what it was "
        "computed from.",
    ),
    "Why has argmax no gradient?": Answer(
        "graph=softmax&step=1&tensor=logits&hold=1&view=tensor",
        "A small change of these logits changes no argmax, so its derivative is 0 or undefined. "
        "The loss changes smoothly with all of them: that is why softmax is trained, and not "
        "argmax.",
    ),
    "How does double backward work?": Answer(
        "graph=tape-of-a-tape&step=3&view=card",
        "A backward computes with the same operations as a forward, so it is recorded too. The "
        "steps from here on are the backward of y, as operations that can be differentiated "
        "again.",
    ),
    "Whose gradient does a tied weight get?": Answer(
        "graph=gpt&step=72&tensor=wte.weight&of=gradient&hold=1&view=ledger",
        "One table reads tokens in and scores them at the end. It is one tensor with two uses, "
        "and its gradient is the sum of both contributions.",
    ),
    "When do micro-batches add up to the large batch?": Answer(
        "graph=micro-batches&step=17&tensor=w&of=gradient&hold=1&view=ledger",
        "When each is divided by the number of rows of all. Here two sums are divided by 4, and "
        "the two contributions add up to the gradient of the whole batch.",
    ),
    "What does backward do with dropout?": Answer(
        "graph=dropout&step=8&view=card",
        "It multiplies the gradient by the same mask, which forward has kept. Drawing a new one "
        "would differentiate another function.",
    ),
    "What does recomputation save, and what does it cost?": Answer(
        "graph=gpt&step=30&view=memory&recompute=1",
        "Each block keeps its input only, and runs again when backward reaches it: half of the "
        "tape here, for one more forward.",
    ),
    "Why does Adam correct a bias?": Answer(
        "graph=gpt&view=optimizer&opt=1",
        "m and v start at 0, so after one step they are 0.1 g and a small part of g^2. Divided "
        "by 1 - beta^t they are averages: the first step has length lr.",
    ),
    "Why do gradients explode and vanish?": Answer(
        "graph=depth&step=43&tensor=plain&of=gradient&hold=1&view=tensor",
        "Each layer multiplies the gradient by its weights and by the slope of tanh. Compare "
        "plain with stream, whose gradient also has a way around every layer.",
    ),
    "What is mixed precision?": Answer(
        "graph=gpt&step=40&tensor=h.0.attn.c_attn.weight&of=gradient&hold=1&view=proof",
        "Products in few digits, sums and weights in more. The curves below show what digits "
        "are worth: float32 has 7 of them, float64 has 16.",
    ),
    "Why float64 to check a gradient?": Answer(
        "graph=gpt&step=40&tensor=h.0.attn.c_attn.weight&of=gradient&hold=1&view=proof",
        "A difference of two nearly equal losses loses digits. Of float32's 7 too few are left "
        "to tell a right gradient from a wrong one: compare the two curves.",
    ),
    "How do I check a whole Module?": Answer(
        "graph=gpt&step=72&tensor=wte.weight&of=gradient&hold=1&view=proof",
        "Move one weight a little, compute the loss again, and compare: for some elements of "
        "every parameter here, and for all of them with check_grad.",
    ),
}
