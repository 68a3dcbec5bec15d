// What a page does with JavaScript: the switch for dark colours, buttons that copy code, and the
// mark in the list of contents. Without JavaScript all text is there and readable.
"use strict";

{
  document.querySelector(".tools").hidden = false;
  theThemeSwitch();
  for (const block of document.querySelectorAll(".code.program, .code.shell")) addCopy(block);
  for (const formula of document.querySelectorAll('math:not([display="block"])')) scrollLong(formula);
  for (const box of document.querySelectorAll(".display, .long")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; // so that the keyboard can scroll it
  }
  markContents();
}

function theThemeSwitch() {
  const button = document.getElementById("site-theme");
  const say = () => button.setAttribute("aria-pressed", String(theme.shown === "dark"));
  button.addEventListener("click", () => {
    const value = theme.shown === "dark" ? "light" : "dark";
    theme.show(value);
    theme.write(value);
    say();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  say();
}

// A formula in a line of text that is wider than the text, as on a phone, scrolls in itself.
function scrollLong(formula) {
  const parent = formula.parentElement;
  if (formula.getBoundingClientRect().width <= parent.clientWidth || !parent.clientWidth) return;
  const box = document.createElement("span");
  box.className = "long";
  formula.replaceWith(box);
  box.append(formula);
}

function addCopy(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy the code");
  button.addEventListener("click", async () => {
    const code = block.querySelector("pre");
    const copied = await copy(code);
    button.textContent = copied ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
  block.append(button);
}

// Returns whether it worked. A browser that forbids it gets the code selected, ready for Ctrl+C.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent + "\n");
    return true;
  } catch (error) {
    if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

// The section that is being read: the last one whose heading is above the upper third.
function markContents() {
  const links = [...document.querySelectorAll("nav.contents a")];
  if (!links.length) return;
  const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  let asked = false;
  const mark = () => {
    asked = false;
    const line = innerHeight / 3;
    const passed = headings.filter((each) => each.getBoundingClientRect().top < line);
    links.forEach((link, index) => {
      if (index === passed.length - 1) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };
  const ask = () => {
    if (!asked) requestAnimationFrame(mark);
    asked = true;
  };
  addEventListener("scroll", ask, { passive: true });
  mark();
}
