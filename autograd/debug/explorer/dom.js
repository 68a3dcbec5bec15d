// Elements of the page. Text only ever becomes text nodes: names and tokens come from strangers.

const domEvents = /^on[a-z]/;

function domBuild(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (domEvents.test(name)) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

// h("button", {class: "x", onclick: f}, "text", ...): an HTML element.
export function h(tag, attributes, ...children) {
  return domBuild(document.createElement(tag), attributes, children);
}

// The same for SVG.
export function svg(tag, attributes, ...children) {
  return domBuild(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// MathML and text that our own Python code wrote (the derivations); never anything of the user's.
export function ownMarkup(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

export function clear(element) {
  element.replaceChildren();
  return element;
}
