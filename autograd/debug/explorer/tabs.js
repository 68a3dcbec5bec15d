// The tabs of the views, and the panel in which the open view is drawn.

import { h, clear } from "./dom.js";
import { views, viewsWithoutTensor } from "./views.js";
import { predictGate } from "./predict.js";
import { questionStrip } from "./questions.js";

const TABS_TAKEN = "jkbgfd";  // keys that mean something else

// The letter that opens each view: the first of its name that is still free.
export function viewLetters(list) {
  const letters = new Map(), taken = new Set(TABS_TAKEN);
  for (const view of list) {
    const letter = [...`${view.id}${view.title}`.toLowerCase()].find((c) => /[a-z]/.test(c) && !taken.has(c));
    if (letter) { taken.add(letter); letters.set(letter, view); }
  }
  return letters;
}

export function createTabs(go) {
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": "Views" });
  const panel = h("div", { class: "page-view", role: "tabpanel", tabindex: "0" });
  let pressed = null;  // a frame around the whole panel only where the Tab key led to it
  addEventListener("keydown", (event) => { pressed = event.key; }, true);
  addEventListener("pointerdown", () => { pressed = null; }, true);
  panel.addEventListener("focus", () => panel.classList.toggle("is-tabbed", pressed === "Tab"));
  let shown = [], open = null, focus = null, marked = "", place = null, asked = null;

  // Where there is no graph, those views that need none: ``forPage``.
  function available(graph, page) {
    return views.filter((view) => (graph !== null || view.forPage) && view.available(graph, page));
  }

  function update(context) {
    shown = available(context.graph, context.page);
    const named = (id) => shown.find((view) => view.id === id);
    open = named(context.state.view) ?? named("tensor") ?? shown[0];
    const key = `${shown.map((view) => view.id)} ${open && open.id}`;
    if (key !== marked) {
      const inside = list.contains(document.activeElement);
      marked = key;
      focus = open;
      clear(list).append(...shown.map((view) => tab(view)));
      requestAnimationFrame(() => tabsCenter(list));
      if (inside) list.querySelector("[tabindex='0']").focus();
    }
    if (!open) { clear(panel); return; }
    if (context.state.view && context.state.view !== asked) tabsShow(list);
    asked = context.state.view;
    panel.setAttribute("aria-labelledby", `tab-${open.id}`);
    tabsRedraw(panel, open, context, place);
    place = null;
  }

  // Where the reader is, asked for before anything is changed: later it would cost a layout.
  function remember() {
    place = { top: panel.scrollTop, scrolled: [...panel.querySelectorAll(".scroll")]
      .filter((box) => box.scrollLeft || box.scrollTop)
      .map((box) => [tabsPath(panel, box), box.scrollLeft, box.scrollTop]) };
  }

  function tab(view) {
    const chosen = view === open;
    return h("button", { type: "button", role: "tab", id: `tab-${view.id}`, "aria-selected": String(chosen),
      tabindex: chosen ? "0" : "-1", onclick: () => go({ view: view.id }) }, view.title);
  }

  list.addEventListener("keydown", (event) => {
    const at = shown.indexOf(focus), end = shown.length - 1;
    const [before, after] = [at === 0 ? end : at - 1, at === end ? 0 : at + 1];
    const next = { ArrowRight: after, ArrowLeft: before, Home: 0, End: end }[event.key];
    if (next === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    focus = shown[next];
    for (const button of list.children) button.tabIndex = button.id === `tab-${focus.id}` ? 0 : -1;
    list.querySelector("[tabindex='0']").focus();
    event.preventDefault();
    event.stopPropagation();
  });

  // True if the letter opens a view that is shown.
  function key(name) {
    const view = viewLetters(views).get(name);
    if (!view || !shown.includes(view)) return false;
    go({ view: view.id });
    return true;
  }

  // The letters of the views that are shown: [letter, title].
  function letters() {
    return [...viewLetters(views)].filter(([, view]) => shown.includes(view)).map(([letter, view]) => [letter, view.title]);
  }

  const usesTensor = () => !viewsWithoutTensor.includes(open);
  return { list, panel, remember, update, key, letters, usesTensor };
}

// Draw a view anew, and leave the reader where he was: focus and scrolled boxes stay.
function tabsRedraw(panel, view, context, place) {
  const same = panel.dataset.view === view.id;
  const focused = document.activeElement;
  const active = panel.contains(focused) && focused !== panel ? focused : null;
  const key = active && active.getAttribute("data-key"), path = active && tabsPath(panel, active);
  clear(panel);
  panel.dataset.view = view.id;
  try {
    const strip = questionStrip(context);
    if (strip) panel.append(strip);
    const gate = predictGate(context); // a question to answer before this step is shown
    if (gate) panel.append(gate);
    else view.render(panel, context);
  } catch (error) {
    console.error(error);
    clear(panel).append(h("p", { class: "bad" }, `This view could not be drawn: ${error.message}`));
  }
  const { top, scrolled } = same && place ? place : { top: 0, scrolled: [] };
  if (place && place.top !== 0) panel.scrollTop = top;
  for (const [path, left, up] of scrolled) {
    const box = tabsFollow(panel, path);
    if (box) [box.scrollLeft, box.scrollTop] = [left, up];
  }
  if (!active) return;
  const again = (key && panel.querySelector(`[data-key="${CSS.escape(key)}"]`)) || tabsFollow(panel, path);
  if (again && again.tagName === active.tagName) again.focus({ preventScroll: true });
  if (document.activeElement === document.body) panel.focus({ preventScroll: true });
}

// Where the page is one column, the views lie below: what was asked for comes into sight.
function tabsShow(list) {
  if (!matchMedia("(max-width: 1099px)").matches) return;
  requestAnimationFrame(() => list.scrollIntoView({ block: "start" }));
}

// On a phone the tabs are one row that scrolls.
function tabsCenter(list) {
  const tab = list.querySelector("[aria-selected='true']");
  if (tab && list.scrollWidth > list.clientWidth)
    list.scrollLeft = tab.offsetLeft - list.offsetLeft - (list.clientWidth - tab.offsetWidth) / 2;
}

function tabsPath(root, element) {
  const path = [];
  for (let e = element; e !== root; e = e.parentNode) path.unshift([...e.parentNode.children].indexOf(e));
  return path;
}

function tabsFollow(root, path) {
  return path.reduce((element, i) => element && element.children[i], root) ?? null;
}
