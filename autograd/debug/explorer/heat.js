// Colours of numbers: cold below 0, warm above, stronger with the root of the size.

export function heatStrength(x, largest) {
  if (!(largest > 0) || !Number.isFinite(x)) return 0;
  return Math.min(1, Math.sqrt(Math.abs(x) / largest));
}

// The background of a table's cell, in which text must remain readable.
export function heatBackground(x, largest) {
  if (!Number.isFinite(x)) return "var(--bad)";
  const share = Math.round(62 * heatStrength(x, largest));
  return share === 0 ? "transparent" : `color-mix(in srgb, var(--${x < 0 ? "cold" : "warm"}) ${share}%, transparent)`;
}

// The page's colours as [red, green, blue], for a canvas.
export function heatPalette(element) {
  const style = getComputedStyle(element);
  const read = (name) => heatColour(style.getPropertyValue(`--${name}`).trim());
  return { paper: read("sheet"), cold: read("cold"), warm: read("warm"), bad: read("bad"), ink: read("ink") };
}

function heatColour(text) {
  const digits = text.replace("#", "");
  const full = digits.length === 3 ? [...digits].map((c) => c + c).join("") : digits;
  return [0, 2, 4].map((i) => Number.parseInt(full.slice(i, i + 2), 16) || 0);
}

export function heatPixel(x, largest, palette) {
  if (!Number.isFinite(x)) return palette.bad;
  const end = x < 0 ? palette.cold : palette.warm;
  const share = heatStrength(x, largest);
  return palette.paper.map((c, i) => Math.round(c + share * (end[i] - c)));
}
