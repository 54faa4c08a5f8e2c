// Numbers, times and durations as people read them. Every number on the page passes through here.

const MINUS = "\u2212";
export const NOTHING = "–";

function fixed(value, digits) {
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? MINUS : "") + text;
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0, useGrouping: true });
const grouped = (value) => whole.format(value).replaceAll(",", "\u202f").replace("-", MINUS);

// Digits after the point that a number with this uncertainty deserves: two significant ones of the uncertainty.
export function digitsOf(sigma) {
  return sigma > 0 ? Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(sigma)))) : "";
}

// Significant digits for quantities whose size isn't known beforehand.
export function general(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace("-", MINUS);
  return fixed(value, size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4);
}

function probability(value) {
  if (value < 0.001) return "< 0.1";
  if (value > 0.999) return "> 99.9";
  return fixed(100 * value, value < 0.1 || value > 0.9 ? 1 : 0);
}

export function age(seconds) {
  if (seconds < 10) return `${fixed(seconds, 1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return duration(seconds);
}

export function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return "less than 1 min";
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function bytes(value) {
  const units = ["B", "kB", "MB", "GB"];
  let step = 0;
  while (value >= 1000 && step < units.length - 1) {
    value /= 1000;
    step += 1;
  }
  return `${fixed(value, step ? 1 : 0)} ${units[step]}`;
}

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const hourFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });

export const clock = (date) => clockFormat.format(date);
export const hour = (date) => hourFormat.format(date);
export const day = (date) => dayFormat.format(date);
export const utc = (date) => `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;

// The machine's present, which in a replay or an accelerated run isn't the reader's.
let present = new Date();
export function setPresent(date) {
  present = date;
}

// Hour alone on the machine's today, with the day otherwise.
export function moment(date) {
  return date.toDateString() === present.toDateString() ? hour(date) : `${day(date)} ${hour(date)}`;
}

export const FORMATS = {
  text: (value) => String(value),
  whole: grouped,
  general,
  two: (value) => fixed(value, 2),
  measured: (value, element) => (element.dataset.digits ? fixed(value, Number(element.dataset.digits)) : general(value)),
  um: (value) => fixed(value, 3),
  signed_um: (value) => (value >= 0 ? "+" : "") + fixed(value, 3),
  signed_px: (value) => (value >= 0 ? "+" : "") + fixed(value, 2),
  degc: (value) => fixed(value, 2),
  percent: (value) => fixed(100 * value, 1),
  probability,
  age,
  bytes,
  clock: (value) => `${day(new Date(value))} ${clock(new Date(value))}`,
  moment: (value) => moment(new Date(value)),
};

// Show a value in an element: rounded for people, whole in data-value for machines, and UTC on hover for times.
export function show(element, value) {
  const missing = value === null || value === undefined;
  const raw = missing ? "" : String(value);
  put(element, missing ? NOTHING : FORMATS[element.dataset.format](value, element));
  if (element.dataset.value === raw) return;
  element.dataset.value = raw;
  if (element.localName === "time") {
    element.title = missing ? "" : utc(new Date(value));
    element.dateTime = missing ? "" : value;
  }
}

export function at(state, path) {
  return path.split(".").reduce((value, key) => value?.[key], state);
}

// Fill every element with data-key below root from the state.
export function bind(root, state) {
  for (const element of root.querySelectorAll("[data-key]")) show(element, at(state, element.dataset.key));
}

export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A new element: make("td", {class: "r"}, child, "text")
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
