// Active alerts and their acknowledgement. Entries are kept while an alert lives, so that focus stays where it is.

import { at, make, moment, put, show, utc } from "./format.js";

const WORDS = {
  pending: "not yet raised, pending", "active-unacknowledged": "active", "active-acknowledged": "acknowledged, active",
  "returned-unacknowledged": "over, but not acknowledged; active",
};
const ORDER = ["critical", "major", "minor", "info"];
const entries = new Map();
let asked = null;

function entry(alert) {
  const button = make("button", { type: "button" }, "Acknowledge");
  button.setAttribute("aria-label", `Acknowledge ${alert.name}`);
  const item = make(
    "li", {},
    make("div", { class: "alert-text" },
      make("p", { class: "alert-head" },
        make("span", { class: "severity" }), make("strong", { class: "alert-name" }),
        make("span", { class: "badge simulated" }, "Simulated"), make("span", { class: "alert-state" })),
      make("p", { class: "alert-message" }),
      make("p", { class: "alert-guidance" })),
    button);
  button.addEventListener("click", () => ask(alert.id, alert.name));
  return item;
}

function update(item, alert, index) {
  item.dataset.severity = alert.severity;
  item.dataset.id = alert.id;
  item.classList.toggle("acknowledged", alert.acknowledged);
  put(item.querySelector(".severity"), alert.severity);
  put(item.querySelector(".alert-name"), alert.name.replaceAll("-", " "));
  item.querySelector(".badge").hidden = !alert.simulated;
  const state = item.querySelector(".alert-state");
  put(state, `${WORDS[alert.state] ?? alert.state} since ${moment(new Date(alert.since))}`);
  state.title = utc(new Date(alert.since));
  for (const field of ["message", "guidance"]) {
    const line = item.querySelector(`.alert-${field}`);
    line.dataset.key = `alerts.${index}.${field}`;
    line.dataset.format = "text";
    show(line, alert[field]);
    line.hidden = !alert[field];
  }
  item.querySelector("button").hidden = alert.acknowledged || alert.state === "pending";
}

export function alerts(state) {
  const all = state.alerts ?? [];
  const list = document.getElementById("alerts");
  const news = [];
  for (const [index, alert] of all.entries()) {
    let item = entries.get(alert.id);
    if (!item) {
      item = entry(alert);
      entries.set(alert.id, item);
      news.push(`New ${alert.severity} alert: ${alert.name.replaceAll("-", " ")}. ${alert.message}`);
    }
    update(item, alert, index);
  }
  const living = new Set(all.map((alert) => alert.id));
  for (const [id, item] of entries) {
    if (living.has(id)) continue;
    news.push(`Alert over: ${item.querySelector(".alert-name").textContent}.`);
    item.remove();
    entries.delete(id);
  }
  const rank = (alert) => (alert.acknowledged ? 10 : 0) + ORDER.indexOf(alert.severity);
  const wanted = [...all].sort((a, b) => rank(a) - rank(b)).map((alert) => entries.get(alert.id));
  const focused = document.activeElement; // moving an entry would take it away
  wanted.forEach((item, place) => {
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
  });
  if (focused !== document.activeElement && list.contains(focused)) focused.focus();
  const waiting = all.filter((alert) => !alert.acknowledged).length;
  put(document.getElementById("alert-count"), all.length ? `${all.length} active, ${waiting} to acknowledge` : "none active");
  if (news.length) document.getElementById("announce").textContent = news.join(" ");
}

function ask(id, name) {
  asked = id;
  document.getElementById("ack-what").textContent = name.replaceAll("-", " ");
  document.getElementById("ack-error").hidden = true;
  document.getElementById("ack-comment").value = "";
  const by = document.getElementById("ack-by");
  by.value = remembered();
  document.getElementById("ack").showModal();
  (by.value ? document.getElementById("ack-comment") : by).focus();
}

function remembered() {
  try {
    return localStorage.getItem("ctwin-name") ?? "";
  } catch {
    return "";
  }
}

async function send(event) {
  event.preventDefault();
  const by = document.getElementById("ack-by").value.trim();
  const comment = document.getElementById("ack-comment").value.trim();
  const failed = document.getElementById("ack-error");
  let reason = "";
  try {
    const answer = await fetch(`api/alerts/${encodeURIComponent(asked)}/ack`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-ctwin": "1" },
      body: JSON.stringify({ by, comment }),
    });
    if (!answer.ok) reason = at(await answer.json().catch(() => ({})), "error") ?? `the server answered ${answer.status}`;
  } catch {
    reason = "the server can't be reached";
  }
  failed.hidden = reason === "";
  failed.textContent = reason && `Not acknowledged: ${reason}.`;
  if (reason) return;
  try {
    localStorage.setItem("ctwin-name", by);
  } catch {
    // the name is asked again next time
  }
  document.getElementById("ack").close();
}

document.getElementById("ack-form").addEventListener("submit", send);
// The button that opened the dialog goes away with the acknowledgement.
document.getElementById("ack").addEventListener("close", () => document.getElementById("alerts-title").focus());
document.getElementById("ack-cancel").addEventListener("click", () => document.getElementById("ack").close());
