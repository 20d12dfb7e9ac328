// Numbers as people read them, and elements without a word of HTML: names and prompts are only ever text.

export function element(tag, attributes = {}, ...children) {
  const made = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const count = (value) => (known(value) ? Math.round(value).toLocaleString("en") : "–");

export function number(value) {
  if (!known(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return size >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(size < 0.01 ? 2 : 3)));
}

export function seconds(value) {
  if (!known(value)) return "–";
  if (value === 0) return "0 s";
  if (value < 0.001) return `${number(value * 1e6)} µs`;
  return value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`;
}

// Several times in one unit, that of the largest: "125 / 354 / 803 ms".
export function times(values) {
  const most = Math.max(...values.filter(known));
  if (!Number.isFinite(most)) return "–";
  const [scale, unit] = most < 0.001 ? [1e6, "µs"] : most < 1 ? [1000, "ms"] : [1, "s"];
  return `${values.map((value) => (known(value) ? number(value * scale) : "–")).join(" / ")} ${unit}`;
}

export function dollars(value) {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (size === 0) return "$0";
  if (size >= 100) return `${sign}$${size.toLocaleString("en", { maximumFractionDigits: 0 })}`;
  if (size >= 0.01) return `${sign}$${size.toFixed(size >= 1 ? 2 : 3)}`;
  return `${sign}$${Number(size.toPrecision(2)).toLocaleString("en", { maximumSignificantDigits: 2 })}`;
}

export function share(value, digits = 1) {
  return known(value) ? `${(100 * value).toFixed(digits)}%`.replace("-", "−") : "–";
}

// UTC, as in the log, in notices and in reports; with its day where that is not today.
export function clock(at, withSeconds = true) {
  if (!known(at)) return "–";
  const iso = new Date(1000 * at).toISOString();
  const day = iso.slice(0, 10) === new Date().toISOString().slice(0, 10) ? "" : `${iso.slice(5, 10)} `;
  return day + iso.slice(11, withSeconds ? 19 : 16);
}

export function span(value) {
  if (!known(value)) return "–";
  for (const [length, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (value >= length) return `${number(value / length)} ${unit}`;
  }
  return `${Math.max(0, Math.round(value))} s`;
}

const UNITS = { USD: dollars, s: seconds, "s to decide": seconds, "s over HTTP": seconds };
export const inUnit = (unit) => UNITS[unit] ?? number;

// The caption is heard, and seen too where no heading says the same.
export function table(caption, columns, rows, { numeric = [], sticky = false, seen = false } = {}) {
  const align = (i) => (numeric.includes(i) ? "number" : null);
  const cell = (value, i) => element("td", { class: align(i) ?? (String(value).length > 40 ? "long" : null) }, value instanceof Node ? value : String(value));
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    element("table", { class: sticky ? "sticky" : null },
      element("caption", { class: seen ? "quiet" : "unseen" }, caption),
      element("thead", {}, element("tr", {}, columns.map((name, i) => element("th", { scope: "col", class: align(i) }, name)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map((value, i) =>
        i === 0 ? element("th", { scope: "row" }, value instanceof Node ? value : String(value)) : cell(value, i)))))));
}

// A table that is shown anew stays where it was scrolled to, and keeps the focus of who reads it by keyboard.
export function fill(parent, ...children) {
  const label = (node) => (node.matches(".scroll") ? node.getAttribute("aria-label") : null);
  const wanted = children.filter(Boolean), shown = [...parent.children];
  if (wanted.length !== shown.length || parent.childNodes.length !== shown.length) return parent.replaceChildren(...wanted);
  wanted.forEach((child, i) => {
    if (label(child) !== null && label(child) === label(shown[i])) shown[i].replaceChildren(...child.childNodes);
    else shown[i].replaceWith(child);
  });
}

export const tag = (text, level) => element("span", { class: `tag ${level}` }, text);
