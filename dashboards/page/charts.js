// Which charts there are and what they draw from the record and the state.

import uPlot from "./vendor/uPlot.esm.js";
import { Chart } from "./chart.js";
import { make } from "./format.js";

const value = (key, format, unit) => [make("b", { "data-key": key, "data-format": format }, "–"), ` ${unit}`];
const combine = (a, b, how) => a.map((x, i) => (x === null || b[i] === null ? null : how(x, b[i])));

function spot(axis) {
  return {
    id: `spot-${axis}`, title: `Focal spot ${axis}`, unit: "µm", least: 0.002,
    head: [
      make("span", {}, make("b", { "data-key": `spot.${axis}.mean_um`, "data-format": "signed_um" }, "–"),
        " µm"),
      make("span", {}, "σ ", make("span", { "data-key": `spot.${axis}.std_um`, "data-format": "um" }, "–")),
      make("span", {}, "correction ", ...value(`spot.${axis}.correction_um`, "signed_um", "µm")),
    ],
    build(record) {
      const mean = record.column(`spot_${axis}_um`);
      const std = record.column(`spot_${axis}_std_um`);
      return {
        data: [record.column("time_s"), mean, combine(mean, std, (m, s) => m + 2 * s), combine(mean, std, (m, s) => m - 2 * s),
          record.column(`correction_${axis}_um`)],
        series: [
          { label: "estimate", color: "--estimate", width: 2.4 },
          { label: "±2σ", tip: "+2σ", swatch: "--estimate-band" },
          { label: "", tip: "−2σ" },
          { label: "correction given out", tip: "correction", color: "--correction", width: 1 },
        ],
        bands: [{ series: [2, 3], color: "--estimate-band" }],
      };
    },
  };
}

const resolution = {
  id: "resolution", title: "Resolution: half-pitch at 10 % MTF", unit: "µm", wide: true,
  head: [
    make("span", {}, ...value("resolution.half_pitch10_um", "um", "µm now")),
    make("span", {}, ...value("resolution.corrected_half_pitch10_um", "um", "µm after correction")),
  ],
  build(record, state) {
    const forecast = state?.forecast;
    const limit = state?.resolution?.limit_um;
    const past = [record.column("time_s"), record.column("half_pitch10_um"), record.column("corrected_half_pitch10_um")];
    const last = past[0][past[0].length - 1] ?? 0;
    // Only what lies ahead: the part of a forecast that has become past is better told by the record.
    const ahead = (forecast?.time_s ?? []).map((time, i) => (time > last ? i : -1)).filter((i) => i >= 0);
    const fan = (curve) => ["mean", "low", "high"].map((part) => ahead.map((i) => curve?.[part]?.[i] ?? null));
    const future = [ahead.map((i) => forecast.time_s[i]), ...fan(forecast?.uncorrected_half_pitch10_um), ...fan(forecast?.corrected_half_pitch10_um)];
    const data = uPlot.join([past, future]);
    const now = past[1][past[1].length - 1];
    const most = Math.max(limit ?? 0, ...past[1].filter((v) => v !== null)) || 1;
    const least = state?.resolution?.static_half_pitch10_um ?? now;
    return {
      data, limit, now: last,
      series: [
        { label: "as it is", color: "--estimate" },
        { label: "after correction", color: "--correction" },
        { label: "forecast", tip: "forecast, as it is", color: "--estimate", dash: [5, 4] },
        { label: "", tip: "low (95 %)" },
        { label: "95 % band", tip: "high (95 %)", swatch: "--estimate-band" },
        { label: "forecast after correction", color: "--correction", dash: [5, 4] },
        { label: "", tip: "low (95 %)" },
        { label: "95 % band", tip: "high (95 %)", swatch: "--correction-band" },
      ],
      bands: [{ series: [5, 4], color: "--estimate-band" }, { series: [8, 7], color: "--correction-band" }],
      // A wide band must not squeeze the record: the axis follows the limit and the past.
      range: (low, high) => {
        const top = Math.min(Math.max(high, limit ?? high), 1.35 * most);
        const bottom = Math.min(low, least ?? low);
        const pad = 0.06 * (top - bottom) || 0.1 * top || 1;
        return [Math.max(0, bottom - pad), top + pad];
      },
    };
  },
};

const PALETTE = ["--line-1", "--line-2", "--line-3", "--line-4", "--line-5", "--line-6"];

const temperatures = {
  id: "temperatures", title: "Temperatures", unit: "°C", least: 0.05,
  build(record, state) {
    const names = Object.keys(record.columns).filter((name) => name.startsWith("temperature."));
    const nodes = (state?.temperatures ?? []).map((node) => `temperature.${node.name}`);
    const now = (name) => (nodes.includes(name) ? { key: `temperatures.${nodes.indexOf(name)}.mean_degc`, format: "degc" } : undefined);
    return {
      data: [record.column("time_s"), ...names.map((name) => record.column(name))],
      series: names.map((name, i) => ({
        label: name.slice("temperature.".length).replaceAll("_", " "), color: PALETTE[i % PALETTE.length], dash: i < PALETTE.length ? undefined : [5, 4], now: now(name),
      })),
    };
  },
};

const flux = {
  id: "flux", title: "Flux", unit: "%", least: 0.2,
  head: [make("span", {}, ...value("flux.relative", "percent", "% of reference")), make("span", {}, ...value("flux.counts", "whole", "counts"))],
  build: (record) => ({
    data: [record.column("time_s"), record.column("flux_relative").map((v) => (v === null ? null : 100 * v))],
    series: [{ label: "relative to reference", color: "--estimate" }],
  }),
};

const loss = {
  id: "loss", title: "Resolution lost", unit: "%", least: 0.5,
  head: [
    make("span", {}, ...value("resolution.loss_uncorrected", "percent", "%")),
    make("span", {}, ...value("resolution.loss_corrected", "percent", "% after correction")),
  ],
  build: (record) => ({
    data: [record.column("time_s"), ...["loss_uncorrected", "loss_corrected"].map((name) => record.column(name).map((v) => (v === null ? null : 100 * v)))],
    series: [{ label: "as it is", color: "--estimate" }, { label: "after correction", color: "--correction" }],
  }),
};

const shift = {
  id: "shift", title: "Shift on the detector", unit: "px", least: 0.05,
  head: [
    make("span", {}, "u ", ...value("shift.u.mean_px", "signed_px", "px")),
    make("span", {}, "v ", ...value("shift.v.mean_px", "signed_px", "px")),
  ],
  build: (record) => ({
    data: [record.column("time_s"), record.column("shift_u_px"), record.column("shift_v_px")],
    series: [{ label: "u", color: "--line-1" }, { label: "v", color: "--line-2" }],
  }),
};

const SPECS = [resolution, temperatures, spot("u"), spot("v"), spot("w"), loss, flux, shift];

export class Charts {
  constructor(record) {
    this.record = record;
    this.all = SPECS.map((spec) => new Chart(spec, () => this.offer()));
    document.getElementById("charts").append(...this.all.map((chart) => chart.card));
  }

  draw(state) {
    const times = this.record.column("time_s");
    const last = times[times.length - 1];
    const from = this.record.span && last ? last - this.record.span : undefined;
    for (const chart of this.all) {
      // The forecast is shown beside a record of about its own length at most.
      const ahead = chart.spec === resolution ? state?.forecast?.time_s?.at(-1) : undefined;
      const to = ahead === undefined ? last : this.record.span ? Math.min(ahead, last + this.record.span) : ahead;
      chart.draw(this.record, state, times.length ? [from ?? times[0], Math.max(to ?? last, last)] : null);
    }
  }

  // Charts are zoomed together by dragging in one; the button gives the whole back.
  offer() {
    document.getElementById("unzoom").hidden = !this.all?.some((chart) => chart.zoomed);
  }

  unzoom(state) {
    for (const chart of this.all) chart.zoomed = false;
    this.draw(state);
  }

  // Colours have changed: uPlot has painted them into its canvas.
  repaint(state) {
    for (const chart of this.all) chart.drop();
    this.draw(state);
  }
}
