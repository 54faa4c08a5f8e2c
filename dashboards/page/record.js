// The record behind the charts: columns of samples, fetched once thinned and then continued.

const POINTS = 1200; // about what a wide screen can show
const MOST = 6000; // rows after which the record is fetched thinned again

export class Record {
  constructor() {
    this.clear();
    this.span = null;
  }

  clear() {
    this.last = 0;
    this.columns = {};
  }

  get length() {
    return this.columns.time_s?.length ?? 0;
  }

  column(name) {
    return this.columns[name] ?? new Array(this.length).fill(null);
  }

  // Fetch what is new; returns whether anything came.
  async more() {
    if (this.last === 0 || this.length > MOST) return this.load();
    const answer = await get(`api/history?after=${this.last}`);
    if (answer.first !== this.last + 1) return this.load(); // another run of the service, or we slept too long
    this.append(answer);
    return answer.seq >= answer.first;
  }

  async load() {
    const span = this.span;
    const answer = await get(`api/history?points=${POINTS}${span ? `&span_s=${span}` : ""}`);
    if (span !== this.span) return false;
    this.clear();
    this.append(answer);
    return true;
  }

  append(answer) {
    const before = this.length;
    const rows = answer.columns.time_s?.length ?? 0;
    for (const name of new Set([...Object.keys(this.columns), ...Object.keys(answer.columns)])) {
      this.columns[name] ??= new Array(before).fill(null);
      const values = answer.columns[name] ?? new Array(rows).fill(null);
      for (const value of values) this.columns[name].push(value);
    }
    this.last = answer.seq;
  }
}

async function get(url) {
  const answer = await fetch(url, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}
