// What is shown, and how it is kept up to date: one stream of figures for the filters that are set.
import { Chart } from "./chart.js";
import { clock, count, dollars, element, number, seconds, table, tag } from "./format.js";
import { showExperiments, showModels, showOperations, showSavings, showTiles } from "./panels.js";

const byId = (id) => document.getElementById(id);
const form = byId("filters"), connection = byId("connection");
let stream = null, paused = false, latest = { totals: null, traffic: null, operations: null }, raw = {}, waiting = new Map(), openPoint = null, noticed = "", focusBefore = null;

const charts = [
  new Chart("requests", "Requests per second", "bars", drill), new Chart("latency", "Latency", "lines", drill),
  new Chart("errors", "Failed requests by kind", "bars", drill), new Chart("refused", "Refused requests by kind", "bars", drill),
  new Chart("rescued", "Rescued by fallback, by kind", "bars", drill), new Chart("cost", "Cost", "bars", drill),
  new Chart("cache", "Cache by tier", "bars", drill), new Chart("selection", "Selection", "bars", drill)];
byId("charts").append(...charts.map((chart) => chart.root));

function query() {
  const told = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) told.set(name, value);
  return told;
}

function connect() {
  stream?.close();
  if (paused) return;
  stream = new EventSource(`/events?${query()}`);
  stream.onopen = () => say("live", "live");
  stream.onerror = () => say("away", "the dashboard does not answer; figures are the last ones, and it is asked again");
  stream.addEventListener("totals", (event) => { raw.totals = event.data; later("totals", showNow); });
  stream.addEventListener("traffic", (event) => { raw.traffic = event.data; later("traffic", showTraffic); });
  stream.addEventListener("operations", (event) => { raw.operations = event.data; later("operations", showRest); });
}

// What a slow browser has no time to draw is overtaken by what came after it.
function later(name, show) {
  if (!waiting.size) {
    requestAnimationFrame(() => {
      const shows = [...waiting];
      waiting.clear();
      for (const [each, draw] of shows) {
        latest[each] = JSON.parse(raw[each]);
        draw();
      }
    });
  }
  waiting.set(name, show);
}

function say(state, text) {
  if (connection.textContent === text) return;
  connection.dataset.state = state;
  connection.textContent = text;
}

function showNow() {
  showTiles(latest.totals, latest.traffic?.savings, latest.operations?.cache.audits ?? {}, form.elements.source.value);
}

function showTraffic() {
  const view = latest.traffic;
  for (const chart of charts) chart.show(view.starts, view.width, view.charts[chart.name]);
  showModels(view.models, view.source);
  for (const name of ["tenant", "model", "kind"]) offer(form.elements[name], view.choices[name], view.source === "metrics");
}

function showRest() {
  const { operations, traffic } = latest;
  showOperations(operations);
  if (traffic) {
    showSavings(traffic.savings);
    showExperiments(operations.experiments, traffic.variants);
  }
  const notices = [...operations.notices];
  if (traffic?.is_full) notices.push(["warning", `Memory is full: the oldest of ${count(traffic.n_seen)} requests were dropped; start with more --rows.`]);
  const text = JSON.stringify(notices);
  if (text === noticed) return; // said once, not once a second
  noticed = text;
  byId("notices").replaceChildren(...notices.map(([level, said]) => element("p", { class: `notice ${level}` }, tag(level, { error: "bad", warning: "warn", info: "plain" }[level]), ` ${said}`)));
}

function offer(select, names, disabled) {
  const wanted = ["", ...names];
  if (select.value && !wanted.includes(select.value)) wanted.push(select.value); // none of them now
  select.disabled = disabled;
  if (document.activeElement === select || [...select.options].map((o) => o.value).join("\n") === wanted.join("\n")) return;
  const chosen = select.value;
  select.replaceChildren(...wanted.map((name) => element("option", { value: name }, name || "all")));
  select.value = chosen;
}

async function drill(chart, title, from, until) {
  const told = query();
  openPoint = { chart, from, until };
  focusBefore = document.activeElement;
  for (const [name, value] of Object.entries({ chart, from_s: from, until_s: until })) told.set(name, value);
  byId("drill").hidden = false;
  byId("h-drill").textContent = `Requests behind “${title}”, ${clock(from)} to ${clock(until)} UTC`;
  if (told.get("source") === "metrics") {
    byId("drill-body").replaceChildren(element("p", { class: "quiet" }, "Metrics do not tell requests apart: choose the source “log”."));
    showDrill();
    return;
  }
  let found;
  try {
    const answer = await fetch(`/requests?${told}`);
    if (!answer.ok) throw new Error(String(answer.status));
    found = await answer.json();
  } catch (error) {
    byId("drill-body").replaceChildren(element("p", {}, `The dashboard does not answer (${error.message}): try again.`));
    showDrill();
    return;
  }
  const rows = found.rows.map((r) => [r.received_at.slice(11, 23), outcome(r), r.tenant_id, r.request_kind ?? "–",
    r.served_model && r.chosen_model && r.served_model !== r.chosen_model ? `${r.served_model} for ${r.chosen_model}` : r.served_model ?? r.chosen_model ?? "–",
    seconds(r.latency_s), dollars(r.cost_usd ?? r.predicted_cost_usd) + (r.cost_usd === null && r.predicted_cost_usd !== null ? " pred." : ""),
    [r.cache_result ?? "–", r.cache_tier].filter(Boolean).join(", "), r.quality === null ? "–" : number(r.quality), r.prompt ?? element("em", {}, "withheld"), element("code", {}, r.request_id)]);
  const more = found.n > found.rows.length ? `${count(found.rows.length)} of ${count(found.n)} requests` : `${count(found.n)} requests`;
  byId("drill-body").replaceChildren(
    found.n ? table(more, ["time (UTC)", "status", "tenant", "kind", "model", "latency", "cost", "cache", "quality", "prompt", "request"], rows, { numeric: [5, 6, 8], seen: true }) : element("p", { class: "quiet" }, "No request here."));
  showDrill();
}

// What became of a request, and, of one that was answered all the same, what had failed before.
function outcome(r) {
  const said = r.error_kind ? `${r.status}: ${r.error_kind}` : r.failed_first ? `${r.status} after ${r.failed_first}` : r.status;
  return tag(said, r.status === "ok" ? (r.failed_first ? "warn" : "good") : ["cancelled", "rejected"].includes(r.status) ? "plain" : "bad");
}

function showDrill() {
  byId("h-drill").focus();
  byId("drill").scrollIntoView({ block: "nearest" });
}

function closeDrill() {
  byId("drill").hidden = true;
  openPoint = null;
  focusBefore?.focus();
}

byId("close-drill").addEventListener("click", closeDrill);
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && openPoint) closeDrill(); });
form.addEventListener("change", connect);
form.addEventListener("submit", (event) => event.preventDefault());
byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", paused);
  if (paused) say("paused", "paused");
  connect();
});

function theme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = name === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", `Switch to ${name === "dark" ? "light" : "dark"} colours`);
}
byId("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  theme(next);
});
theme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
connect();
