// How numbers, money and times are written. Every function takes null for "not known" and writes a dash.
const NONE = "–";
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

const missing = (value) => value === null || value === undefined || value === "" || Number.isNaN(Number(value));

export const count = (value) => (missing(value) ? NONE : whole.format(Number(value)));

export const short = (value) => (missing(value) ? NONE : Math.abs(value) < 10000 ? whole.format(value) : compact.format(value));

// Cents, but never "$0.00" for something that was paid.
export function money(value) {
  if (missing(value)) return NONE;
  const usd = Number(value);
  if (usd !== 0 && Math.abs(usd) < 0.1) return `$${usd.toFixed(4)}`;
  return usd.toLocaleString("en-US", { style: "currency", currency: "USD" });
}

export const percent = (share, digits = 1) => (missing(share) ? NONE : `${(Number(share) * 100).toFixed(digits)} %`);

// Rounded down: 100 % is said only of what is whole.
export function percentDone(done, target) {
  if (!target) return "100 %";
  return `${(Math.floor((done / target) * 1000) / 10).toFixed(done >= target ? 0 : 1)} %`;
}

export function points(share) {
  const value = (share * 100).toFixed(2);
  return `${share >= 0 ? "+" : "−"}${value.replace("-", "")} pt`;
}

export function duration(seconds) {
  if (missing(seconds)) return NONE;
  const all = Math.round(Number(seconds));
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${String(all % 60).padStart(2, "0")} s`;
  if (all < 48 * 3600) return `${Math.floor(all / 3600)} h ${String(Math.floor((all % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(all / 86400)} d ${Math.floor((all % 86400) / 3600)} h`;
}

export const milliseconds = (value) => (missing(value) ? NONE : value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);

// The API's times: ISO 8601, or "2026-11-26 11:20:01.5+00:00".
export const parseTime = (value) => (value ? new Date(String(value).replace(" ", "T")) : null);

export function clock(value) {
  const time = value instanceof Date ? value : parseTime(value);
  return time ? time.toLocaleTimeString("en-GB") : NONE;
}

export function moment(value) {
  const time = value instanceof Date ? value : parseTime(value);
  if (!time) return NONE;
  const day = time.toLocaleDateString("en-CA");
  return `${day === new Date().toLocaleDateString("en-CA") ? "" : `${day} `}${time.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;
}

export const words = (name) => String(name).replaceAll("_", " ");

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
