// A chart that is also a slider: arrow keys move through time, Page Up and Page Down to where something is, Enter opens
// the requests behind a point, and a table has every number.
import { clock, element, fill, inUnit, table } from "./format.js";

const HEIGHT = 168, LEFT = 58, RIGHT = 6, TOP = 8, BOTTOM = 22;
const TABLE_MS = 2000; // a table that changes faster cannot be read
const COLOURS = 7; // in style.css
const DASHES = [null, "7 4", "2 3"];

function ticks(most) {
  const rough = most / 3, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((each) => each * power >= rough) * power;
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, i) => i * step);
}

export class Chart {
  // kind: "bars" stacks the lines, "lines" draws them over each other.
  constructor(name, title, kind, onOpen) {
    this.name = name;
    this.title = title;
    this.kind = kind;
    this.onOpen = onOpen;
    this.at = null;
    this.toldFrom = null;
    this.colours = new Map();
    this.tableAt = 0;
    this.readout = element("div", { class: "readout" });
    this.plot = element("div", {
      class: "plot", id: `chart-${name}`, tabindex: 0, role: "slider", "aria-label": `${title}, by time`,
      "aria-describedby": "chart-help", "aria-valuemin": 0,
    });
    this.details = element("details", {}, element("summary", {}, "Table of ", title.toLowerCase()), element("div", {}));
    this.unitText = element("span", { class: "unit" });
    this.root = element("figure", { class: "chart" },
      element("figcaption", {}, element("h3", {}, title), this.unitText), this.readout, this.plot, this.details);
    // Asking for the width at each drawing would lay out the page each time.
    this.wide = 400;
    new ResizeObserver(([seen]) => {
      this.wide = Math.max(Math.floor(seen.contentRect.width), 240);
      if (this.starts) this.draw();
    }).observe(this.plot);
    this.plot.addEventListener("keydown", (event) => this.onKey(event));
    this.plot.addEventListener("pointermove", (event) => this.move(this.bucketOf(event)));
    this.plot.addEventListener("pointerleave", () => this.move(document.activeElement === this.plot ? this.at : null));
    this.plot.addEventListener("click", (event) => this.open(this.bucketOf(event)));
    this.plot.addEventListener("blur", () => this.move(null));
    this.plot.addEventListener("focus", () => this.move(this.at ?? this.last()));
    this.details.addEventListener("toggle", () => this.drawTable());
  }

  last() { return this.starts ? this.starts.length - 1 : 0; }

  show(starts, width, { lines, unit }) {
    // The cursor stays at its moment while time moves on.
    if (this.at !== null && this.starts) {
      const moment = this.starts[this.at];
      this.at = Math.max(0, starts.findIndex((start) => start >= moment - 1e-6));
    }
    Object.assign(this, { starts, width, lines, unit, format: inUnit(unit) });
    this.unitText.textContent = unit;
    this.paint();
    this.draw();
    if (this.details.open && performance.now() - this.tableAt > TABLE_MS) this.drawTable();
  }

  // A name keeps its colour for as long as it is shown, whichever is the most frequent now.
  paint() {
    const shown = new Map(this.lines.map((line) => [line.name, this.colours.get(line.name)]));
    for (const [name, colour] of shown) {
      if (colour === undefined) shown.set(name, this.lines.findIndex((_, i) => ![...shown.values()].includes(i)));
    }
    for (const line of this.lines) line.colour = `c${shown.get(line.name) % COLOURS}`;
    this.colours = shown;
  }

  bucketOf(event) {
    const box = this.plot.getBoundingClientRect();
    const place = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    return Math.min(this.last(), Math.max(0, Math.floor(place * this.starts.length)));
  }

  onKey(event) {
    const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }, leaps = { PageDown: -1, PageUp: 1 };
    const at = this.at ?? this.last();
    if (event.key in steps) this.move(at + steps[event.key]);
    else if (event.key in leaps) this.move(this.filled(at, leaps[event.key]));
    else if (event.key === "Home") this.move(0);
    else if (event.key === "End") this.move(this.last());
    else if (event.key === "Enter" || event.key === " ") this.open(at);
    else return;
    event.preventDefault();
  }

  // The next point that has something, before or after one; where there is none, that one itself.
  filled(at, step) {
    for (let i = at + step; i >= 0 && i <= this.last(); i += step) {
      if (this.lines.some((line) => (this.kind === "bars" ? line.values[i] : line.values[i] != null))) return i;
    }
    return at;
  }

  move(at) {
    this.at = at === null ? null : Math.min(this.last(), Math.max(0, at));
    if (this.starts) this.draw();
  }

  open(at) {
    this.onOpen(this.name, this.title, this.starts[at], this.starts[at] + this.width);
  }

  draw() {
    const n = this.starts.length, wide = this.wide;
    const x = (i) => LEFT + (i * (wide - LEFT - RIGHT)) / n;
    const stacked = this.starts.map((_, i) => this.lines.reduce((sum, line) => sum + (line.values[i] ?? 0), 0));
    const values = this.kind === "bars" ? stacked : this.lines.flatMap((line) => line.values.filter((v) => v !== null));
    const most = Math.max(0, ...values);
    const marks = ticks(most || 1), top = marks.at(-1);
    const y = (value) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
    const svg = element("svg:svg", { width: wide, height: HEIGHT, viewBox: `0 0 ${wide} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" });
    for (const mark of marks) {
      svg.append(element("svg:line", { class: "grid", x1: LEFT, x2: wide - RIGHT, y1: y(mark), y2: y(mark) }),
        element("svg:text", { class: "axis", x: LEFT - 6, y: y(mark) + 4, "text-anchor": "end" }, most ? this.format(mark) : mark ? "" : "0"));
    }
    const every = wide < 420 ? 20 : 12;
    for (let i = n - 1; i >= 0; i -= every) {
      svg.append(element("svg:text", { class: "axis", x: Math.min(x(i + 0.5), wide - 24), y: HEIGHT - 6, "text-anchor": "middle" }, clock(this.starts[i], this.width < 60)));
    }
    if (!most) svg.append(element("svg:text", { class: "empty", x: (LEFT + wide) / 2, y: HEIGHT / 2, "text-anchor": "middle" }, this.kind === "bars" ? "none in this window" : "nothing known in this window"));
    if (this.kind === "bars") {
      const base = new Array(n).fill(0), bar = x(1) - x(0);
      this.lines.forEach((line) => line.values.forEach((value, i) => {
        if (!value) return;
        svg.append(element("svg:rect", { class: `fill ${line.colour}`, x: x(i) + bar * 0.08, width: bar * 0.84, y: y(base[i] + value), height: Math.max(y(base[i]) - y(base[i] + value), 0.5) }));
        base[i] += value;
      }));
    } else {
      this.lines.forEach((line, j) => {
        let path = "", pen = false;
        line.values.forEach((value, i) => {
          if (value !== null) path += `${pen ? "L" : "M"}${x(i + 0.5).toFixed(1)} ${y(value).toFixed(1)}`;
          if (value !== null && line.values[i - 1] == null && line.values[i + 1] == null) {
            svg.append(element("svg:circle", { class: `fill ${line.colour}`, cx: x(i + 0.5), cy: y(value), r: 2.5 }));
          }
          pen = value !== null;
        });
        svg.append(element("svg:path", { class: `stroke ${line.colour}`, d: path, "stroke-dasharray": DASHES[j % 3] }));
      });
    }
    if (this.at !== null) svg.append(element("svg:rect", { class: "cursor", x: x(this.at), width: x(1) - x(0), y: TOP, height: HEIGHT - TOP - BOTTOM }));
    this.plot.replaceChildren(svg);
    this.tell();
  }

  tell() {
    const at = this.at ?? this.last();
    const told = this.lines.map((line) => `${line.name} ${this.format(line.values[at] ?? (this.kind === "bars" ? 0 : null))}`);
    // A screen reader says what the arrow keys reach, not each time that a number changes meanwhile.
    if (document.activeElement !== this.plot || this.starts[at] !== this.toldFrom) {
      this.toldFrom = this.starts[at];
      this.plot.setAttribute("aria-valuemax", this.last());
      this.plot.setAttribute("aria-valuenow", at);
      this.plot.setAttribute("aria-valuetext", `${clock(this.starts[at])} UTC: ${told.join(", ") || "nothing"}`);
    }
    this.readout.replaceChildren(
      element("span", { class: "when" }, this.at === null ? "now" : clock(this.starts[at])),
      ...this.lines.map((line, j) => element("span", { class: "key" }, this.kind === "bars"
        ? element("i", { class: `swatch ${line.colour}` })
        : element("svg:svg", { class: "dash", width: 22, height: 8, "aria-hidden": "true" }, element("svg:path", { class: `stroke ${line.colour}`, d: "M0 4H22", "stroke-dasharray": DASHES[j % 3] })), told[j])));
  }

  drawTable() {
    if (!this.details.open || !this.starts) return;
    this.tableAt = performance.now();
    const rows = this.starts.map((start, i) => [clock(start), ...this.lines.map((line) => this.format(line.values[i] ?? (this.kind === "bars" ? 0 : null)))]);
    const columns = ["from", ...this.lines.map((line) => line.name)];
    fill(this.details.lastElementChild, table(`${this.title}, ${this.unit}, by time`, columns, rows.reverse(), { numeric: columns.map((_, i) => i).slice(1) }));
  }
}

export function spark(values) {
  const most = Math.max(...values.map((value) => value ?? 0)) || 1;
  const width = 110, height = 22;
  const svg = element("svg:svg", { class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  let path = "", pen = false;
  values.forEach((value, i) => {
    if (value !== null) path += `${pen ? "L" : "M"}${((i * width) / (values.length - 1)).toFixed(1)} ${(height - 2 - (value / most) * (height - 4)).toFixed(1)}`;
    pen = value !== null;
  });
  svg.append(element("svg:path", { class: "stroke c0", d: path }));
  return svg;
}
