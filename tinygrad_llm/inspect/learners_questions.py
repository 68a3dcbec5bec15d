"""What learners ask about backpropagation, each with the place on the default page that shows it.

The questions are the headings of questions.md in docs, in their order; an address is the page's own
(``autograd/debug/explorer/state.js``): its graph, step, tensor and view.
"""

QUESTIONS = {
    "Why zero_grad?": "graph=twice&step=5&view=ledger",
    "Why += and not =?": "graph=twice&step=4&tensor=b&of=gradient&view=ledger&assign=1",
    "Why newest first?": "graph=twice&view=order",
    "What is a vjp?": "graph=residual&step=16&tensor=x&of=contribution.1&cell=0,0&view=cell",
    "What is saved for backward?": "graph=gpt&step=5&view=card",
    "Why can backward run only once?": "graph=gpt&step=40&view=memory",
    "Why is y.grad None?": "graph=neuron&step=13&view=card",
    "Why is there nothing to differentiate?": "graph=lora&tensor=layer.base_layer.weight&hold=1"
    "&view=tensor",
    "When do I detach?": "graph=dpo&tensor=constant&hold=1&view=tensor",
    "Why is an in-place change an error?": "graph=residual&step=0&view=card",
    "Why is p -= lr * p.grad an error?": "graph=gpt&view=optimizer",
    "Where does the sum in a broadcast's gradient come from?": "graph=broadcasting&step=6"
    "&tensor=row&of=gradient&cell=1&view=cell",
    "Why is there a transpose in a matrix product's gradient?": "graph=residual&step=16&view=card",
    "Why is the gradient of softmax with cross-entropy p - y?": "graph=softmax&view=loss",
    "Why has layer norm's gradient three terms?": "graph=layer-norm&step=8&view=card",
    "How does the gradient go through attention?": "graph=attention&view=attention",
    "Why has argmax no gradient?": "graph=softmax&step=15&view=card",
    "How does double backward work?": "graph=tape-of-a-tape&step=0",
    "Whose gradient does a tied weight get?": "graph=gpt&tensor=wte.weight&of=gradient&hold=1"
    "&view=ledger",
    "When do micro-batches add up to the large batch?": "graph=micro-batches&tensor=w"
    "&of=gradient&hold=1&view=ledger",
    "What does backward do with dropout?": "graph=dropout&step=8&view=card",
    "What does recomputation save, and what does it cost?": "graph=gpt&view=memory&recompute=1",
    "Why does Adam correct a bias?": "graph=gpt&view=optimizer&opt=1",
    "Why do gradients explode and vanish?": "graph=depth&view=tensor",
    "What is mixed precision?": "graph=gpt&view=proof",
    "Why float64 to check a gradient?": "graph=gpt&view=proof",
    "How do I check a whole Module?": "graph=gpt&view=proof",
}
