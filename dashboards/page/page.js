// The status page: binds the stream of states to the tiles, alerts, charts and table.

import { alerts } from "./alerts.js";
import { Charts } from "./charts.js";
import { bind, setPresent } from "./format.js";
import { Record } from "./record.js";
import { prepare, sensors } from "./sensors.js";
import { Stream } from "./stream.js";
import { tiles } from "./tiles.js";

const CHARTS_MS = 500; // charts follow at most twice per second

const record = new Record();
const charts = new Charts(record);
let state = null;
let painted = null;
let fetching = false;
let fetched = 0;
let behind = false;

function render() {
  if (painted === state) return;
  painted = state;
  document.body.removeAttribute("data-empty");
  setPresent(new Date(state.time_s * 1e3));
  prepare(state);
  bind(document.body, state);
  tiles(state);
  alerts(state);
  sensors(state);
}

function onState(next) {
  if (state === painted) requestAnimationFrame(render);
  state = next;
  follow();
}

// Fetch what the charts lack, one request at a time and not too often; what comes meanwhile is fetched after.
async function follow(anew = false) {
  if (anew) record.clear();
  if (fetching) {
    behind = true;
    return;
  }
  fetching = true;
  const wait = fetched + CHARTS_MS - performance.now();
  if (wait > 0 && !anew) await new Promise((done) => setTimeout(done, wait));
  fetched = performance.now();
  behind = false;
  try {
    if (await record.more()) charts.draw(state);
  } catch {
    // the stream tells whether the line stands; the next state tries again
  }
  fetching = false;
  if (behind) follow();
}

function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function label() {
  document.getElementById("theme").setAttribute("aria-label", `Change to ${dark() ? "light" : "dark"} colours`);
}

document.getElementById("theme").addEventListener("click", () => {
  const chosen = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("ctwin-theme", chosen);
  } catch {
    // not kept, then
  }
  label();
  charts.repaint(state);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  label();
  charts.repaint(state);
});
document.getElementById("unzoom").addEventListener("click", () => charts.unzoom(state));
for (const button of document.querySelectorAll("[data-span]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-span]")) other.setAttribute("aria-pressed", String(other === button));
    record.span = Number(button.dataset.span) || null;
    charts.unzoom(state);
    follow(true);
  });
}
label();
charts.draw(state);
new Stream({ onState, onOpen: () => follow(true) });
