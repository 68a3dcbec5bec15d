// Settings of this page, kept by the browser where it keeps any.

export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // a page in a frame of another's may keep nothing
  }
}
