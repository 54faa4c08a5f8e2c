// Table of sensors and their channels. Rows are rebuilt only when channels come or go; values are bound.

import { digitsOf, make, put } from "./format.js";

const UNITS = { degC: "°C", K: "K", um: "µm", px: "px", counts: "counts", percent: "%", V: "V", kV: "kV", uA: "µA" };
const STATES = { ok: "✓ OK", waiting: "… Waiting", retrying: "↻ Retrying", failed: "✕ Failed", ended: "■ Ended" };
let shape = "";

const bound = (key, format) => make("span", { "data-key": key, "data-format": format }, "–");

function cell(label, attributes, ...children) {
  return make("td", { "data-label": label, ...attributes }, ...children);
}

function rows(sensor, s) {
  const head = make("tr", { class: "sensor" },
    make("th", { scope: "rowgroup", colspan: "6" },
      bound(`sensors.${s}.name`, "text"), make("span", { class: "kind" }, ` ${sensor.kind} `),
      make("span", { class: "state" }), make("span", { class: "message" })));
  const channels = sensor.channels.map((channel, c) => {
    const key = `sensors.${s}.channels.${c}`;
    const unit = UNITS[channel.unit] ?? channel.unit;
    return make("tr", { class: "channel" },
      make("th", { scope: "row" }, bound(`${key}.name`, "text")),
      cell("State", {}, make("span", { class: "fresh" })),
      cell("Value", { class: "r" }, make("span", { class: "value" }, bound(`${key}.value`, "measured"),
        make("span", { class: "sigma" }, " ± ", bound(`${key}.sigma`, "measured")), make("span", { class: "unit" }, ` ${unit}`))),
      cell("Quality", {}, bound(`${key}.quality`, "text")),
      cell("Age", { class: "r" }, bound(`${key}.age_s`, "age")),
      cell("Not used", {}, make("span", { class: "drops" })));
  });
  return [head, ...channels];
}

// Rows for the channels there are, with the digits their values deserve; before binding.
export function prepare(state) {
  const sensors = state.sensors ?? [];
  rebuild(sensors);
  const lines = document.querySelectorAll("#sensors tr.channel .value");
  sensors.flatMap((sensor) => sensor.channels).forEach((channel, line) => {
    for (const element of lines[line].querySelectorAll("[data-key]")) element.dataset.digits = digitsOf(channel.sigma);
  });
}

function rebuild(sensors) {
  const now = JSON.stringify(sensors.map((sensor) => [sensor.name, sensor.kind, sensor.channels.map((c) => [c.name, c.unit])]));
  if (now === shape) return;
  shape = now;
  document.getElementById("sensors").replaceChildren(...sensors.flatMap(rows));
  document.getElementById("no-sensors").hidden = sensors.length > 0;
  document.querySelector(".table-frame").hidden = sensors.length === 0;
}

export function sensors(state) {
  const body = document.getElementById("sensors");
  const heads = body.querySelectorAll("tr.sensor");
  const lines = body.querySelectorAll("tr.channel");
  let line = 0;
  for (const [s, sensor] of (state.sensors ?? []).entries()) {
    heads[s].dataset.state = sensor.state;
    put(heads[s].querySelector(".state"), STATES[sensor.state] ?? sensor.state);
    put(heads[s].querySelector(".message"), sensor.message);
    for (const channel of sensor.channels) {
      const row = lines[line++];
      const silent = channel.value === null ? "… No value yet" : channel.stale ? "▲ Stale" : "✓ Fresh";
      row.dataset.state = channel.value === null ? "none" : channel.stale ? "stale" : "fresh";
      row.dataset.quality = channel.quality;
      put(row.querySelector(".fresh"), silent);
      row.querySelector(".sigma").hidden = channel.sigma === null;
      const drops = Object.entries(channel.drops ?? {}).filter(([, count]) => count > 0);
      put(row.querySelector(".drops"), drops.map(([cause, count]) => `${cause.replaceAll("_", " ")} ${count}`).join(", ") || "none");
      row.toggleAttribute("data-clean", drops.length === 0);
    }
  }
}
