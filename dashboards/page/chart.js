// One chart: a card with current values in its head, a uPlot below, a tooltip with local time and UTC.

import uPlot from "./vendor/uPlot.esm.js";
import { FORMATS, bind, day, general, hour, make, utc } from "./format.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

// Hours alone, and the day where it changes.
function timeLabels(u, splits, axis, space, step) {
  let shown = "";
  return splits.map((at) => {
    const date = new Date(at * 1e3);
    const today = day(date);
    const label = step >= 86400 ? today : today === shown ? hour(date) : `${hour(date)}\n${today}`;
    shown = today;
    return label;
  });
}

export class Chart {
  // spec: {id, title, unit, least?, wide?, head?: nodes, build(record, state) → {data, series, bands?, range?, limit?, now?}}
  constructor(spec, onZoom) {
    this.onZoom = onZoom;
    this.spec = spec;
    this.frame = make("div", { class: "plot" });
    this.empty = make("p", { class: "none plot-empty" }, "No data yet");
    this.tip = make("div", { class: "tip", hidden: "" });
    this.head = make("span", { class: "now" }, ...(spec.head ?? []));
    this.legend = make("ul", { class: "legend" });
    this.card = make("figure", { class: spec.wide ? "card wide" : "card", id: `chart-${spec.id}` },
      make("figcaption", {}, make("h3", {}, spec.title, make("span", { class: "unit" }, ` ${spec.unit}`)), this.head),
      this.legend, this.frame);
    this.frame.append(this.empty, this.tip);
    this.frame.setAttribute("role", "img");
    this.frame.setAttribute("aria-label", `${spec.title} over time, in ${spec.unit}`);
    this.plot = null;
    this.shape = "";
    this.zoomed = false;
    new ResizeObserver(() => this.fit()).observe(this.frame);
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (this.plot && width && (this.plot.width !== width || this.plot.height !== height)) this.plot.setSize({ width, height });
  }

  drop() {
    this.plot?.destroy();
    this.plot = null;
    this.shape = "";
    this.zoomed = false;
  }

  draw(record, state, shown) {
    const built = this.spec.build(record, state);
    const filled = built.data[0].length > 0 && built.data.slice(1).some((column) => column.some((value) => value !== null && value !== undefined));
    this.empty.hidden = filled;
    this.legend.hidden = !filled;
    if (!filled) return this.drop();
    const shape = JSON.stringify(built.series);
    this.built = built;
    this.state = state;
    this.shown = shown;
    if (shape !== this.shape) {
      this.drop();
      this.shape = shape;
      this.create();
    } else {
      this.plot.setData(built.data, !this.zoomed);
      if (this.zoomed) this.plot.redraw(true, false);
    }
  }

  create() {
    const { series, bands, data } = this.built;
    const grid = { stroke: css("--grid"), width: 1 };
    const axis = { stroke: css("--muted"), font: FONT, grid, ticks: { ...grid, size: 4 } };
    this.plot = new uPlot(
      {
        width: this.frame.clientWidth || 300,
        height: this.frame.clientHeight || 200,
        legend: { show: false },
        cursor: { sync: { key: "ctwin" }, points: { size: 6 }, drag: { x: true, y: false, dist: 8 } },
        scales: { x: { time: true, range: (u, low, high) => this.timeRange(low, high) }, y: { range: (u, low, high) => this.valueRange(low, high) } },
        axes: [
          { ...axis, values: timeLabels, size: 40, space: 64 },
          { ...axis, size: (u, values) => 14 + 6.5 * Math.max(2, ...(values ?? []).map((text) => text.length)), space: 32, gap: 4 },
        ],
        series: [{}, ...series.map((line) => ({
          label: line.label, stroke: line.color ? css(line.color) : undefined, width: line.color ? (line.width ?? 1.6) : 0,
          dash: line.dash, spanGaps: false, points: { show: false },
        }))],
        bands: (bands ?? []).map((band) => ({ series: band.series, fill: css(band.color) })),
        hooks: { drawClear: [(u) => this.marksBelow(u)], draw: [(u) => this.marksAbove(u)], setCursor: [(u) => this.hover(u)] },
      },
      data,
      this.frame,
    );
    this.legend.replaceChildren(...series.filter((line) => line.color || line.swatch).map((line) => {
      const key = make("i", { class: line.swatch ? "key area" : line.dash ? "key dashed" : "key" });
      key.style.setProperty("--key", css(line.swatch ?? line.color));
      const now = line.now ? [make("b", { "data-key": line.now.key, "data-format": line.now.format }, "–"), this.spec.unit] : [];
      return make("li", {}, key, line.label, ...now);
    }));
    bind(this.legend, this.state);
    this.plot.over.addEventListener("mouseleave", () => { this.tip.hidden = true; });
  }

  // uPlot asks with the ends of the data for "everything", and with what a drag selected.
  timeRange(low, high) {
    const times = this.built.data[0];
    this.zoomed = low !== times[0] || high !== times[times.length - 1];
    this.onZoom();
    if (this.zoomed) return [low, high];
    const [from, to] = this.shown;
    return [from, Math.max(to, from + 60)];
  }

  valueRange(low, high) {
    if (low === null || high === null) return [0, 1];
    const custom = this.built.range?.(low, high);
    if (custom) return custom;
    const middle = (low + high) / 2;
    const half = Math.max((high - low) / 2, this.spec.least ?? 0) * 1.08 || 1;
    return [middle - half, middle + half];
  }

  marksBelow(u) {
    const limit = this.built.limit;
    if (!limit) return;
    const { left, top, width } = u.bbox;
    const y = u.valToPos(limit, "y", true);
    if (y <= top) return;
    u.ctx.save();
    u.ctx.fillStyle = css("--beyond");
    u.ctx.fillRect(left, top, width, Math.min(y - top, u.bbox.height));
    u.ctx.restore();
  }

  marksAbove(u) {
    const { left, top, width, height } = u.bbox;
    const { ctx } = u;
    const ratio = uPlot.pxRatio;
    ctx.save();
    ctx.font = `${11 * ratio}px ${FONT.slice(5)}`;
    ctx.lineWidth = ratio;
    ctx.textAlign = "left";
    const { limit, now } = this.built;
    if (limit) {
      const y = Math.round(u.valToPos(limit, "y", true));
      if (y > top && y < top + height) {
        ctx.strokeStyle = ctx.fillStyle = css("--ink");
        ctx.setLineDash([6 * ratio, 4 * ratio]);
        line(ctx, left, y, left + width, y);
        ctx.textBaseline = "bottom";
        ctx.setLineDash([]);
        ctx.lineWidth = 4 * ratio;
        ctx.strokeStyle = css("--surface");
        const label = `limit ${FORMATS.um(limit)} µm`;
        ctx.strokeText(label, left + 6 * ratio, y - 3 * ratio);
        ctx.fillText(label, left + 6 * ratio, y - 3 * ratio);
        ctx.lineWidth = ratio;
      }
    }
    if (now && now < u.scales.x.max && now > u.scales.x.min) {
      const x = Math.round(u.valToPos(now, "x", true));
      ctx.strokeStyle = ctx.fillStyle = css("--muted");
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      line(ctx, x, top, x, top + height);
      ctx.textBaseline = "top";
      ctx.fillText("now", x + 5 * ratio, top + 3 * ratio);
    }
    ctx.restore();
  }

  hover(u) {
    const { idx, left, top } = u.cursor;
    // Charts share the cursor; only the one under the pointer shows its values.
    if (idx === null || idx === undefined || left < 0 || !this.frame.matches(":hover")) {
      this.tip.hidden = true;
      return;
    }
    const date = new Date(u.data[0][idx] * 1e3);
    const rows = this.built.series.map((series, index) => [series, u.data[index + 1][nearest(u.data[index + 1], idx)]])
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([series, value]) => make("li", {}, make("span", {}, series.tip ?? series.label), make("b", {}, `${general(value)} ${this.spec.unit}`)));
    this.tip.replaceChildren(make("p", {}, `${day(date)} ${hour(date)}`, make("span", {}, utc(date).slice(0, 16).replace(" ", " · ") + " UTC")), make("ul", {}, ...rows));
    this.tip.hidden = false;
    const offset = u.over.offsetLeft + left;
    this.tip.style.left = `${Math.min(Math.max(0, offset + 14), this.frame.clientWidth - this.tip.offsetWidth)}px`;
    if (offset + 14 + this.tip.offsetWidth > this.frame.clientWidth) this.tip.style.left = `${Math.max(0, offset - 14 - this.tip.offsetWidth)}px`;
    this.tip.style.top = `${Math.max(0, Math.min(top - 20, this.frame.clientHeight - this.tip.offsetHeight))}px`;
  }
}

// History and forecast have times of their own: a value beside the cursor counts, one farther away doesn't.
function nearest(column, idx) {
  for (const step of [0, -1, 1, -2, 2]) {
    const value = column[idx + step];
    if (value !== null && value !== undefined) return idx + step;
  }
  return idx;
}

function line(ctx, x0, y0, x1, y1) {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}
