// All numbers of a tensor that is only sampled in the page, if a server can be asked for them.
import { h } from "./dom.js";
import { hasServer, serverValues } from "./server.js";

// From now on the page holds the whole tensor.
export async function loadWhole(page, graph, tensor) {
  tensor.data = page.addArray(await serverValues(page, graph, tensor.id));
  tensor.sample = null;
}

// A button for that, or what would make one possible; null for a tensor that is there already.
export function wholeButton({ page, graph }, tensor) {
  if (tensor.sample === null) return null;
  if (!hasServer(page)) {
    return h("p", { class: "faint" }, h("code", {}, "tinygrad-llm explore --serve"), " shows all of it.");
  }
  const said = h("output", {});
  const load = async () => {
    said.textContent = "Loading.";
    try {
      await loadWhole(page, graph, tensor);
      dispatchEvent(new Event("hashchange")); // every view is drawn anew
    } catch (error) {
      said.textContent = `${error.message}.`;
    }
  };
  return h("p", {}, h("button", { type: "button", onclick: load }, "Load all of its numbers"), " ", said);
}
