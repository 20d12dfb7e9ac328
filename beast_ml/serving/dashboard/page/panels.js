// Figures in tiles and tables.
import { spark } from "./chart.js";
import { clock, count, dollars, element, fill, number, seconds, share, span, table, tag, times } from "./format.js";

const minute = (iso) => iso.slice(0, 16).replace("T", " ");
const quiet = (text) => element("p", { class: "quiet" }, text);
const put = (id, ...children) => fill(document.getElementById(id), ...children);

function tile(id, name, value, more, level = "") {
  return element("div", { class: `tile ${level}` },
    element("dt", {}, name), element("dd", { id: `f-${id}` }, value), element("dd", { class: "more" }, more));
}

function saved(baseline) {
  return baseline?.is_told ? `${dollars(baseline.saved_usd)} (${share(baseline.saved_share, 0)})` : "–";
}

function knownFor(baseline) {
  const known = baseline.n_by_own + baseline.n_by_mean;
  return `known for ${count(known)} of ${count(known + baseline.n_unknown)} requests`;
}

export function showTiles(t, savings, audits, source) {
  const wide = source === "metrics";
  const cost = wide ? "answers that were paid" : `${dollars(t.cost_actual_usd)} paid (${count(t.n_actual)}), ${dollars(t.cost_usd - t.cost_actual_usd)} predicted (${count(t.n_predicted)})`;
  const best = savings?.best ?? savings?.dearest;
  const wrong = Object.entries(audits);
  const worst = wrong.filter(([, each]) => each.interval).sort(([, a], [, b]) => b.false_hit_rate - a.false_hit_rate)[0];
  put("tiles",
    tile("requests", "Requests", count(t.requests), t.unreported ? `${count(t.unreported)} with no outcome told yet` : "in the window"),
    tile("per_s", "Requests/s", number(t.per_s), "mean of the last 10 s"),
    tile("latency", "Latency p50 / p95 / p99", times(t.latency_s), t.n_latency ? `of ${count(t.n_latency)} ${wide ? "answers over HTTP" : "answers"}` : "no answer has a latency yet"),
    tile("decision", "Time to decide", times(t.decision_us.map((us) => (us === null ? null : us / 1e6))), "p50 / p95 / p99"),
    tile("errors", "Failed", t.error_rate === null ? "–" : share(t.error_rate, 2), `${count(t.failed)} of ${count(t.ended)} requests; ${count(t.rescued)} more rescued by fallback`, t.error_rate > 0.01 ? "bad" : ""),
    tile("refused", "Refused", t.refused_rate === null ? "–" : share(t.refused_rate, 2), `${count(t.refused)} of ${count(t.requests)} requests, by a budget, limit or rule`),
    tile("cost", "Cost", dollars(t.cost_usd), cost),
    tile("saved", best === savings?.best ? "Saved against the best single model" : "Saved against the dearest model", saved(best), best ? `all by ${best.model}; ${knownFor(best)}${best.is_told ? "; estimate, see Savings" : ", too few to tell"}` : wide ? "metrics do not tell" : "needs two models with known costs"),
    tile("hits", "Cache hits", share(t.hit_rate), `${count(t.hits)} of ${count(t.lookups)} look-ups`),
    tile("false_hits", "False hits, estimate", worst ? share(worst[1].false_hit_rate, 2) : "–", worst ? `${worst[0]}: 95% interval ${share(worst[1].interval[0], 2)} to ${share(worst[1].interval[1], 2)}` : "no hit was verified (cache.judge)"),
    tile("quality", "Quality of answers", t.quality === null ? "–" : number(t.quality), wide ? "metrics do not tell" : `${count(t.labelled)} labelled; predicted ${t.predicted_quality === null ? "–" : number(t.predicted_quality)}`));
}

export function showModels(models, source) {
  if (!models.length) return put("models", quiet(source === "metrics" ? "Metrics do not tell models apart: choose the source “log”." : "No model was chosen in this window."));
  const rows = [
    ["Requests", (m) => element("span", { class: "with-spark" }, spark(m.requests), ` ${count(m.chosen)}`)],
    ["Share of decisions", (m) => share(m.share)],
    ["Answers", (m) => count(m.served)],
    ["Failed or replaced", (m) => share(m.failure_rate, 2)],
    ["Latency p95", (m) => element("span", { class: "with-spark" }, spark(m.p95), ` ${seconds(m.latency_s[1])}`)],
    ["Latency p50 / p99", (m) => `${seconds(m.latency_s[0])} / ${seconds(m.latency_s[2])}`],
    ["Cost per request", (m) => dollars(m.cost_usd)],
    ["Quality, labelled", (m) => (m.labelled ? `${number(m.quality)} (${count(m.labelled)})` : "–")],
    ["Quality, predicted", (m) => number(m.predicted_quality)],
  ];
  put("models", table("Models side by side", ["", ...models.map((m) => m.model)], rows.map(([name, of]) => [name, ...models.map(of)]), { numeric: models.map((_, i) => i + 1), sticky: true }));
}

export function showSavings(savings) {
  if (!savings) return put("savings", quiet("Metrics do not tell what others would have cost: choose the source “log”."));
  const rows = [["best single model", savings.best], ["dearest model", savings.dearest]].filter(([, each]) => each);
  if (!rows.length) return put("savings", quiet("Needs requests of two models, with costs."));
  const best = savings.best ? `The best single model is the one whose own answers have the highest mean quality, by ${savings.best_by}. ` : "";
  put("savings",
    table("Savings in the window", ["against", "model", "would cost", "saved", "by own cost or tokens × price", "by mean of the kind", "not known"],
      rows.map(([name, b]) => [name, b.model, dollars(b.cost_usd), saved(b), count(b.n_by_own), count(b.n_by_mean), count(b.n_unknown)]), { numeric: [2, 3, 4, 5, 6] }),
    quiet(`${best}Costs not told by an outcome are the predicted ones; nothing is said where less than half of the requests are known. An estimate; beast report savings weighs it against quality.`));
}

const STATES = { up: "good", down: "bad", refused: "bad", waiting: "warn" };

export function showOperations(told) {
  put("servers", told.servers.length ? table("Servers, last minute", ["server", "state", "since (UTC)", "requests/s", "failed/s", "refused/s", "p50 / p95 / p99, about", "workers", "bundle", "log lag"],
    told.servers.map((s) => [s.url, tag(s.state, STATES[s.state]), clock(s.since), number(s.per_s), number(s.failed_per_s), number(s.refused_per_s), times(s.latency_s), s.last === null ? "–" : count(s.workers), s.bundles.join(", ") || "–", s.log_lag_s === null ? "–" : span(s.log_lag_s)]), { numeric: [3, 4, 5, 6, 7, 9] }) : quiet("None is watched."));
  const breakers = { closed: "good", "half-open": "warn", open: "bad" };
  put("endpoints", told.endpoints.length ? table("Endpoints, last 10 minutes", ["endpoint", "breaker", "calls", "failed", "kinds", "p50 / p95 / p99, about"],
    told.endpoints.map((e) => [e.endpoint, tag(e.breaker, breakers[e.breaker] ?? "warn"), count(e.calls), share(e.failure_rate), Object.entries(e.failures).map(([kind, n]) => `${kind} ${n}`).join(", ") || "–", times(e.latency_s)]), { numeric: [2, 3, 5] }) : quiet("No endpoint is known: the gateway has none, or nothing was called."));
  showBudgets(told.budgets);
  const audits = Object.entries(told.cache.audits);
  const tiers = Object.entries(told.cache.hits_by_tier).map(([tier, n]) => `${tier} ${count(n)}`).join(", ");
  put("cache", audits.length ? table("Verified hits since the servers' start", ["kind", "verified", "wrong", "false-hit rate", "95% interval"],
    audits.map(([kind, a]) => [kind, count(a.verified), count(a.wrong), share(a.false_hit_rate, 2), a.interval ? `${share(a.interval[0], 2)} to ${share(a.interval[1], 2)}` : "–"]), { numeric: [1, 2, 3, 4], seen: true }) : quiet("No hit was verified yet: with cache.judge, a share of alike hits is asked anew and compared."),
    quiet(tiers ? `Hits by tier since the servers' start: ${tiers}; spared ${dollars(told.cache.saved_usd)}.` : "No hits since the servers' start."));
  showLoop(told.loop);
  showReport("drift", told.reports.drift, (report) => [
    element("p", {}, report.sentence),
    ...report.findings.slice(0, 5).map((finding) => element("p", {}, tag(finding.cause, "warn"), ` ${finding.sentence} ${finding.advice}`))]);
  showReport("selection", told.reports.selection, (report) => [
    table(`Choices within ${number(100 * report.epsilon)} points of the best`, ["requests", "n", "near the best", "points lost"],
      report.accuracy.slice(0, 8).map((a) => [`${a.field} ${a.value}`.trim(), count(a.n), `${share(a.accuracy)} [${share(a.accuracy_low)}, ${share(a.accuracy_high)}]`, number(100 * a.regret)]), { numeric: [1, 2, 3], seen: true })]);
  const bytes = told.process.rss_bytes / 1e6;
  document.getElementById("footer").textContent = `${count(told.log.kept)} requests in memory of ${count(told.log.rows)} read${told.log.bad ? `, ${count(told.log.bad)} lines could not be read` : ""}, from ${told.log.places.join(", ")}. This dashboard: ${number(bytes)} MB, ${share(told.process.cpu_share, 0)} of a core.`;
}

export function showExperiments(experiments, variants) {
  if (!experiments.length && !variants.length) return put("experiments", quiet("None: beast experiment create starts one."));
  const rows = [];
  for (const e of experiments) {
    const level = e.status === "running" ? "good" : e.status === "unreadable" ? "bad" : "warn";
    const names = Object.keys(e.variants);
    if (!names.length) rows.push([e.id, tag(e.status, level), e.shadow ? `shadow ${e.shadow}` : e.problem ?? "–", "–", "–", "–", "–", "–", "–"]);
    for (const name of names) {
      const seen = variants.find((v) => v.experiment === e.id && v.variant === name);
      rows.push([e.id, tag(e.status, level), `${name} (${e.policies[name]})`, share(e.variants[name], 0), ...figures(seen)]);
    }
  }
  for (const v of variants) {
    if (!experiments.some((e) => e.id === v.experiment)) rows.push([v.experiment, tag("not here", "warn"), v.variant, "–", ...figures(v)]);
  }
  put("experiments", table("Experiments, requests in the window", ["experiment", "status", "variant", "share", "requests", "quality (labels)", "cost each", "p95", "failed"], rows, { numeric: [3, 4, 5, 6, 7, 8] }),
    quiet("Means of the window, without intervals: beast experiment analyze decides."));
}

const figures = (v) => v ? [count(v.requests), v.labelled ? `${number(v.quality)} (${count(v.labelled)})` : "–", dollars(v.cost_usd), seconds(v.latency_s[1]), share(v.error_rate, 2)] : ["0", "–", "–", "–", "–"];

function showBudgets(budgets) {
  if (!budgets.length) return put("budgets", quiet("No budget is set."));
  // Who keeps a budget matters where it is kept more than once: then each of these has the limit for itself.
  const several = new Set(budgets.map((b) => b.ledger)).size > 1;
  const columns = ["budget", ...(several ? ["kept by"] : []), "used", "left", "limit", "burning", "empty in", "begins anew in"];
  const rows = budgets.map((b) => [b.budget, ...(several ? [b.servers.join(", ")] : []), meter(b), dollars(b.left_usd), dollars(b.limit_usd), b.burn_usd_per_h === null ? "–" : `${dollars(b.burn_usd_per_h)}/h`, b.empty_in_s === null ? "–" : tag(span(b.empty_in_s), b.empty_in_s < b.resets_in_s ? "bad" : "good"), span(b.resets_in_s)]);
  put("budgets", table("Budgets", columns, rows, { numeric: [2, 3, 4, 6].map((i) => i + several) }),
    several ? quiet("Servers in one row share a database and the limit; each row may spend its own whole limit.") : "",
    quiet("Burning is the mean of the last ten minutes, and told from five on."));
}

function meter(budget) {
  const used = Math.min(1, Math.max(0, budget.used_share));
  return element("span", { class: "with-spark" },
    element("meter", { min: 0, max: 1, low: 0.8, high: 0.95, optimum: 0, value: used, "aria-label": `${budget.budget} used` }), ` ${share(used)}`);
}

function showLoop(loop) {
  if (!loop) return put("loop", quiet("It has not run yet: beast learn watch."));
  if (loop.problem) return put("loop", quiet(loop.problem));
  const steps = ["collect", "validate", "train", "evaluate", "shadow", "canary", "promote", "watch", "conclude"];
  const here = loop.step === "roll_back" ? "watch" : loop.step;
  put("loop",
    element("ol", { class: "steps", "aria-label": `Cycle ${loop.cycle}` }, steps.map((step) => element("li", { "aria-current": step === here ? "step" : null }, step === here ? loop.step.replace("_", " ") : step))),
    element("p", {}, `Cycle ${loop.cycle}, since ${minute(new Date(1000 * loop.since).toISOString())} UTC: ${loop.reason}.`),
    loop.finished.length ? table("Last cycles", ["cycle", "ended (UTC)", "candidate", "verdict", "because"], loop.finished.map((f) => [f.cycle, minute(f.at), f.candidate ?? "–", f.verdict, f.reason]).reverse()) : "");
}

function showReport(id, run, body) {
  if (!run) return put(id, quiet("Off (--reports-every 0)."));
  const parts = run.report ? [...body(run.report), quiet(`${run.command}, at ${clock(run.at)} UTC`)] : [];
  if (run.problem) parts.push(quiet(`${run.command}: ${run.problem}`));
  put(id, ...(parts.length ? parts : [quiet(`${run.command} is running.`)]));
}
