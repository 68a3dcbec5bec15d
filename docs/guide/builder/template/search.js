// Search, as the reader types, in an index that was made with the site (see site_search.py).
//
// Which section answers a query best? The ranking is BM25, of three ideas:
//   1. A word that few documents have says more than one that all have: its weight is
//      idf = log(1 + (N - n + 1/2) / (n + 1/2)), with n of N documents containing it.
//   2. Said twice is better than said once, but not twice as good: c times count
//      c (k + 1) / (c + k), which never exceeds k + 1.
//   3. A long document says everything: where it has more words than the average, each counts less;
//      k above is multiplied by 1 - b + b length / average.
// A document's score is the sum over the query's words. Each word may be the beginning of a longer
// one, so "grad" finds "gradient"; a whole word counts more. Documents have to match every word.
"use strict";

{
  const K = 1.2; // how soon repeating a word stops to help
  const B = 0.6; // how much a long document is held back; 0 is not at all
  const PART = 0.4; // what the beginning of a word counts, against the word
  const SHOWN = 20;
  const KINDS = { term: "term", name: "API", page: "page" };

  const input = document.getElementById("site-search");
  const panel = document.getElementById("site-results");
  const list = document.getElementById("site-found");
  const said = document.getElementById("site-said");
  const root = document.documentElement.dataset.root;
  let index = null; // a promise of the index, once somebody searches
  let chosen = -1;

  // --- The index

  // A script and no fetch: a page that was opened from a file may load scripts, not data.
  function load() {
    index ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${root}assets/search-index.js`;
      script.onload = () => resolve(prepare(window.INDEX));
      script.onerror = () => reject(new Error(`${script.src} cannot be loaded`));
      document.head.append(script);
    });
    return index;
  }

  function prepare(given) {
    const total = given.lengths.reduce((sum, length) => sum + length, 0);
    const pages = given.documents.filter(([kind]) => kind === "page");
    return {
      ...given,
      all: Object.keys(given.words),
      average: total / given.lengths.length,
      pages: new Map(pages.map(([, , title, address]) => [address, title])),
    };
  }

  // As words_of in site_search.py, without the parts of a name: who types one wants all of it.
  function wordsOf(text) {
    return (text.toLowerCase().match(/[\p{L}\p{N}]+(?:_+[\p{L}\p{N}]+)*/gu) ?? []).map(stem);
  }

  function stem(word) {
    return word.length > 3 && /s$/.test(word) && !/(ss|us|is)$/.test(word) ? word.slice(0, -1) : word;
  }

  // --- Ranking

  function search(index, query) {
    const words = wordsOf(query);
    let scores = null; // document -> score, of the documents that have every word so far
    for (const word of words) {
      const found = scoresOf(index, word);
      if (scores === null) scores = found;
      else {
        for (const [document, score] of scores) {
          if (found.has(document)) scores.set(document, score + found.get(document));
          else scores.delete(document);
        }
      }
    }
    const ranked = [...(scores ?? [])].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    return { words, ranked };
  }

  // What one word of the query contributes to each document that has it, or has a longer one.
  function scoresOf(index, word) {
    const best = new Map();
    for (const other of index.all) {
      if (!other.startsWith(word)) continue;
      const places = index.words[other].split(" ");
      const n = places.length;
      const idf = Math.log(1 + (index.lengths.length - n + 0.5) / (n + 0.5));
      const weight = (other === word ? 1 : PART) * idf;
      for (const place of places) {
        const [document, count = 1] = place.split(",").map(Number);
        const held = K * (1 - B + (B * index.lengths[document]) / index.average);
        const score = (weight * count * (K + 1)) / (count + held);
        if (score > (best.get(document) ?? 0)) best.set(document, score);
      }
    }
    return best;
  }

  // --- What is shown

  // The text around the first of the words, some 140 characters.
  function context(text, words) {
    const small = text.toLowerCase();
    const at = words.map((word) => beginning(small, word)).filter((each) => each >= 0);
    if (!at.length) return text.slice(0, 140);
    const first = Math.min(...at);
    const start = first < 60 ? 0 : text.indexOf(" ", first - 50) + 1;
    const end = text.length <= start + 140 ? text.length : text.lastIndexOf(" ", start + 140);
    return (start ? "… " : "") + text.slice(start, Math.max(end, first + 20)) + (end < text.length ? " …" : "");
  }

  function beginning(text, word) {
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
      if (at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1])) return at;
    }
    return text.indexOf(word);
  }

  // Text with the words marked, as nodes: nothing of the index is ever read as HTML.
  function marked(text, words) {
    const escaped = words.map((word) => word.replace(/[^\p{L}\p{N}_]/gu, "\\$&"));
    const parts = text.split(new RegExp(`(?<![\\p{L}\\p{N}])(${escaped.join("|")})`, "giu"));
    return parts.map((part, at) => (at % 2 ? element("mark", {}, part) : part));
  }

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function row(index, document, words, at) {
    const [kind, number, title, address, text] = index.documents[document];
    const head = element("span", { class: "title" });
    if (number) head.append(element("span", { class: "number" }, number), " ");
    head.append(...marked(title, words));
    if (KINDS[kind]) head.append(" ", element("span", { class: "kind" }, KINDS[kind]));
    else head.append(" ", element("span", { class: "page" }, index.pages.get(address.split("#")[0])));
    const line = element("span", { class: "context" }, ...marked(context(text, words), words));
    const attributes = { role: "option", id: `site-found-${at}`, "aria-selected": "false" };
    const link = element("a", { ...attributes, href: root + address, tabindex: "-1" }, head, line);
    link.addEventListener("click", close);
    return link;
  }

  async function show() {
    const query = input.value;
    if (!query.trim()) return close();
    const loaded = await load();
    if (query !== input.value) return; // the reader has typed on
    const { words, ranked } = search(loaded, query);
    const shown = ranked.slice(0, SHOWN);
    list.replaceChildren(...shown.map(([at], place) => row(loaded, at, words, place)));
    said.textContent = sentence(ranked.length, shown.length);
    panel.hidden = false;
    input.setAttribute("aria-expanded", "true");
    choose(shown.length ? 0 : -1);
  }

  function sentence(count, shown) {
    if (!count) return "Nothing has all these words.";
    if (count > shown) return `${count} places, the best ${shown}:`;
    return count === 1 ? "1 place:" : `${count} places:`;
  }

  function close() {
    panel.hidden = true;
    input.setAttribute("aria-expanded", "false");
    choose(-1);
  }

  function choose(at) {
    chosen = at;
    [...list.children].forEach((each, place) => {
      each.setAttribute("aria-selected", String(place === at));
      if (place === at) each.scrollIntoView({ block: "nearest" });
    });
    if (at >= 0) input.setAttribute("aria-activedescendant", `site-found-${at}`);
    else input.removeAttribute("aria-activedescendant");
  }

  // --- Keys

  const isTyping = (target) => target.matches("input, textarea, select, [contenteditable]");

  addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (isTyping(event.target)) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
  addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".search")) close();
  });
  input.addEventListener("focus", () => {
    load();
    if (input.value) show();
  });
  input.addEventListener("input", show);
  input.addEventListener("keydown", (event) => {
    const count = list.children.length;
    if (event.key === "Escape") {
      if (panel.hidden) input.blur();
      close();
    } else if (panel.hidden || !count) {
      return;
    } else if (event.key === "ArrowDown") choose((chosen + 1) % count);
    else if (event.key === "ArrowUp") choose((chosen + count - 1) % count);
    else if (event.key === "Enter" && chosen >= 0) list.children[chosen].click();
    else return;
    event.preventDefault();
  });
}
