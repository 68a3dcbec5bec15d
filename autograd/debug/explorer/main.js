import { cardView } from "./card.js";
import { loadPage } from "./data.js";
import { clear, h } from "./dom.js";
import { readState, resolveState, writeState } from "./state.js";

const views = [cardView];

function start() {
  const text = (id) => document.getElementById(id).textContent;
  const page = loadPage(text("data"), text("arrays"));
  const root = document.getElementById("explorer");
  const draw = () => {
    const state = readState(location.hash);
    const context = {
      page, state, ...resolveState(page, state),
      go: (changes) => { location.hash = writeState({ ...readState(location.hash), ...changes }); },
      link: (changes) => writeState({ ...state, ...changes }),
    };
    clear(root).append(h("h1", {}, page.title), h("p", {}, context.step?.sentence ?? ""));
    for (const view of views) {
      if (view.available(context.graph)) {
        const section = h("section", { "aria-label": view.title });
        root.append(section);
        view.render(section, context);
      }
    }
  };
  addEventListener("hashchange", draw);
  draw();
}

start();
