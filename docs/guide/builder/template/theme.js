// Dark or light: what the reader chose, else what the system prefers. Loaded before the page is
// drawn, so that a dark page never flashes white. Where a browser keeps nothing (storage is off),
// the choice holds for one page.
"use strict";

const theme = {
  key: "guide-theme",

  read() {
    try {
      return localStorage.getItem(this.key);
    } catch (error) {
      if (error instanceof DOMException) return null;
      throw error;
    }
  },

  write(value) {
    try {
      localStorage.setItem(this.key, value);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
    }
  },

  get shown() {
    const chosen = document.documentElement.dataset.theme;
    if (chosen) return chosen;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  },

  show(value) {
    document.documentElement.dataset.theme = value;
  },
};

{
  const chosen = theme.read();
  if (chosen === "dark" || chosen === "light") theme.show(chosen);
}
