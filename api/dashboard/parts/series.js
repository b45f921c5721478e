// Throughput, latency and spend over time.
import { html, useMemo } from "../lib/ui.js";
import { duration, milliseconds, money, parseTime, short } from "../lib/format.js";
import { Chart } from "./chart.js";
import { Panel } from "./small.js";

export function SeriesPanels({ series, job }) {
  const times = useMemo(() => (series?.times || []).map(readTime), [series]);
  if (!series) return null;
  const aMinute = (values) => (values || []).map((value) => (value === null ? null : (value * 60) / series.step_seconds));
  const answers = job.progress.stages.some((stage) => stage.stage === "answer");
  const every = `by ${duration(series.step_seconds)}`;
  const forecast = Number(job.plan.forecast?.cost_usd);
  const spent = series.cost_usd || [];
  return html`
    <${Panel} title="Questions a minute" wide="w4" test="panel-throughput" aside=${every}>
      <${Chart} label="Questions a minute over time" times=${times} format=${short} test="chart-throughput" lines=${[
        { label: "admitted", values: aMinute(series.admitted), area: true },
        ...(answers ? [{ label: "answered", values: aMinute(series.answered), kind: "second" }] : []),
        { label: "refused", values: aMinute(series.rejected), kind: "refused" },
      ]} /><//>
    <${Panel} title="Latency of calls" wide="w4" test="panel-latency" aside=${every}>
      <${Chart} label="Latency of calls over time" times=${times} format=${milliseconds} test="chart-latency" lines=${[
        { label: "median", values: series.latency_p50_ms || [] },
        { label: "95th percentile", values: series.latency_p95_ms || [], kind: "second" },
      ]} /><//>
    <${Panel} title="Spend" wide="w4" test="panel-spend" aside=${job.rehearsal ? "simulated: nothing is paid" : ""}>
      <${Chart} label="Spend over time" times=${times} format=${money} test="chart-spend"
        lines=${[{ label: "spent", values: spent, area: true }]}
        marks=${[{ label: "budget", value: job.budget_usd, kind: "refused" }, ...(forecast > 0 ? [{ label: "forecast", value: forecast }] : [])]} /><//>`;
}

// Seconds, milliseconds or ISO 8601.
function readTime(value) {
  if (typeof value === "number") return new Date(value < 1e11 ? value * 1000 : value);
  return parseTime(value);
}
