// The glance: scan, resolution against its limit, loss and risk.

import { duration, moment, put, utc } from "./format.js";

const WORDS = { ok: "✓ OK", risk: "▲ At risk", lost: "✕ Lost", unknown: "" };

// Judge a half-pitch against the limit: lost beyond it, at risk if the forecast's 95 % band reaches it.
export function judge(value, resolution, fan, times, now) {
  const limit = resolution?.limit_um;
  if (value === null || value === undefined || !limit) return { level: "unknown", why: "No data yet" };
  if (value > limit) {
    const beyond = `${(100 * (value / limit - 1)).toFixed(1)} % beyond the limit`;
    const still = resolution.static_half_pitch10_um > limit;
    return { level: "lost", why: still ? `${beyond}, which is out of reach even without drift` : beyond };
  }
  const ahead = times?.length ? times[times.length - 1] - now : 0;
  const after = (curve) => times?.find((time, index) => time > now && curve?.[index] > limit);
  const likely = after(fan?.mean);
  if (likely !== undefined) {
    return { level: "risk", why: `Expected to pass the limit at ${moment(new Date(likely * 1e3))}, in ${duration(likely - now)}`, at: likely };
  }
  const possible = after(fan?.high);
  if (possible !== undefined) {
    return { level: "risk", why: `Could pass the limit from ${moment(new Date(possible * 1e3))}, in ${duration(possible - now)}`, at: possible };
  }
  return { level: "ok", why: ahead > 0 ? `Stays within the limit for ${duration(ahead)} (95 %)` : "Within the limit; no forecast yet" };
}

function tile(id, value, resolution, verdict) {
  const element = document.getElementById(id);
  element.dataset.level = verdict.level;
  put(element.querySelector("[data-verdict]"), WORDS[verdict.level]);
  const why = element.querySelector("[data-why]");
  put(why, verdict.why);
  why.title = verdict.at ? utc(new Date(verdict.at * 1e3)) : "";
  const gauge = element.querySelector(".gauge");
  const limit = resolution?.limit_um;
  gauge.hidden = !limit || value === null || value === undefined;
  if (gauge.hidden) return;
  const end = Math.max(1.25 * limit, value);
  const place = (of) => `${Math.min(100, (100 * (of ?? 0)) / end)}%`;
  gauge.style.setProperty("--value", place(value));
  gauge.style.setProperty("--static", place(resolution.static_half_pitch10_um));
  gauge.style.setProperty("--limit", place(limit));
}

function scan(state) {
  const running = state.scan ?? null;
  document.getElementById("scan").hidden = running === null;
  document.getElementById("no-scan").hidden = running !== null;
  if (running === null) return;
  document.getElementById("scan-bar").value = running.fraction;
  const left = document.getElementById("scan-left");
  const elapsed = state.time_s - Date.parse(running.started) / 1e3;
  if (running.fraction >= 1) {
    put(left, "done");
  } else if (running.fraction > 0.005 && elapsed > 0) {
    const remaining = (elapsed * (1 - running.fraction)) / running.fraction;
    const end = new Date((state.time_s + remaining) * 1e3);
    put(left, `${duration(remaining)} left, ends ${moment(end)}`);
    left.title = utc(end);
  } else {
    put(left, "");
  }
}

export function tiles(state) {
  const resolution = state.resolution;
  const forecast = state.forecast;
  const times = forecast?.time_s;
  const now = judge(resolution?.half_pitch10_um, resolution, forecast?.uncorrected_half_pitch10_um, times, state.time_s);
  const corrected = judge(
    resolution?.corrected_half_pitch10_um, resolution, forecast?.corrected_half_pitch10_um, times, state.time_s,
  );
  tile("tile-now", resolution?.half_pitch10_um, resolution, now);
  tile("tile-corrected", resolution?.corrected_half_pitch10_um, resolution, corrected);
  scan(state);
  const why = document.getElementById("risk-why");
  if (forecast && times?.length) {
    const made = new Date(forecast.made_at_s * 1e3);
    put(why, `that even corrections don't keep the limit until ${moment(new Date(times[times.length - 1] * 1e3))}. Forecast made at ${moment(made)}.`);
    why.title = utc(made);
  } else {
    put(why, "No forecast yet");
  }
  document.getElementById("simulated").hidden = !state.simulated;
  const word = WORDS[now.level].slice(2);
  document.title = `${word ? `${word} · ` : ""}${state.system} · ctwin`;
}
