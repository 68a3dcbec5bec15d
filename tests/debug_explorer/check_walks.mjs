// node check_walks.mjs FOLDER DATA: reads every event of every walk, every account of the ledger and
// every question of the graphs in DATA, and prints what was found as JSON.

import { readFileSync } from "node:fs";

const [folder, file] = process.argv.slice(2);
const { loadPage } = await import(`${folder}/data.js`);
const { number } = await import(`${folder}/format.js`);
const order = await import(`${folder}/order_events.js`);
const ledger = await import(`${folder}/ledger_sums.js`);
const predict = await import(`${folder}/predict_questions.js`);

const page = loadPage(...readFileSync(file, "utf8").split("\n"));
const bad = /undefined|null|NaN|\[object/;
const result = { silent: [] };

function say(text) {
  if (!/^.+[.?]$/.test(text) || bad.test(text)) result.silent.push(text);
  return text;
}

function walked(found) {
  const graph = order.orderGraph(page, found), walks = {};
  for (const name of ["newest", "once", "every"]) {
    const walk = order.orderWalk(page, found, name);
    const events = [];
    for (let e = 0; e < walk.length; e++) {
      const event = order.orderEvent(graph, walk, e);
      const state = order.orderState(graph, walk, e);
      const elements = order.orderElements(page, graph, walk, e, 3);
      events.push({
        kind: event.kind, name: graph.nodes[event.node].name, early: event.early, wrong: event.wrong,
        arrived: event.arrived, delivered: state.edges.size,
        waits: order.orderUses(graph, event.missing).map((use) => use.text),
        sentence: say(order.orderSentence(page, graph, walk, e, number)), worst: elements && elements.shown[0].off,
      });
    }
    walks[name] = { events, outcome: order.orderOutcome(walk) };
  }
  return walks;
}

function accounts(graph) {
  const found = {};
  for (const [id, entries] of ledger.ledgerAccounts(graph)) {
    const tensor = graph.tensors[id];
    const added = ledger.ledgerSums(graph, id), kept = ledger.ledgerSums(graph, id, true);
    if (!added || tensor.grad === null) continue;
    const engine = graph.values(tensor.grad);
    const compare = (sums) => ledger.ledgerComparison(sums.at(-1), engine, tensor.dtype);
    const inner = entries.map(({ tensor: part }) => ledger.ledgerInnerSum(graph, part));
    found[tensor.key] = {
      uses: entries.map(({ op, input }) => [op, input]),
      sum: compare(added.sums), assigned: compare(kept.sums), last: Array.from(kept.sums.at(-1)),
      inner: inner.map((sum, i) => sum && ledger.ledgerTerms(graph, sum, tensor.shape.map(() => 0), tensor.shape)
        .map((term) => term.value).concat(graph.values(entries[i].tensor)[0])),
      rows: entries.map(({ tensor: part }) => ledger.ledgerRows(graph, part)),
    };
  }
  return found;
}

function questions(graph) {
  const found = [];
  for (const { n, phase } of graph.steps) {
    for (const wanted of ["", ...predict.PREDICT_KINDS]) {
      const question = predict.predictQuestion(graph, n, wanted);
      if (!question) continue;
      say(question.text);
      say(question.why);
      for (const { name, text } of question.given) if (bad.test(name + text)) result.silent.push(name + text);
      const { answer } = question;
      found.push({
        n, phase, wanted, kind: question.kind, answer, choices: question.choices, cell: question.cell, tensor: question.tensor,
        agrees: typeof answer === "number" ? [predict.predictAgrees(number(answer), answer),
          predict.predictAgrees(String(answer * 1.01 + 0), answer), predict.predictAgrees(String(-answer), answer),
          predict.predictAgrees(String(answer * 1.2), answer), predict.predictAgrees("two", answer)] : null,
      });
    }
  }
  return found;
}

result.graphs = Object.fromEntries(page.graphs.map((graph) => [graph.name, {
  walks: graph.walks ? walked(graph.walks.this) : null,
  examples: graph.walks ? Object.fromEntries(Object.entries(graph.walks.examples).map(([name, w]) => [name, walked(w)])) : null,
  twice: ledger.ledgerUsedTwice(graph).map((id) => graph.tensors[id].key),
  accounts: accounts(graph), questions: questions(graph),
}]));
console.log(JSON.stringify(result));
