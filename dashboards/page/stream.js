// The line to the server: newest state as it is published, and whether the line stands.

import { clock, duration, put } from "./format.js";

const SILENCE_MS = 25000; // the server speaks at least every 10 s
const QUIET_MS = 60000; // it speaks, but the machine's state doesn't change

export class Stream {
  // onState(state), onOpen(): the line stands (again), perhaps to another run of the service
  constructor({ onState, onOpen }) {
    this.onState = onState;
    this.onOpen = onOpen;
    this.heard = 0;
    this.updated = null;
    this.connect();
    setInterval(() => this.check(), 1000);
  }

  connect() {
    this.source?.close();
    this.source = new EventSource("api/events");
    this.heard = Date.now();
    this.source.addEventListener("open", () => {
      this.hear();
      this.onOpen();
    });
    this.source.addEventListener("alive", () => this.hear());
    this.source.addEventListener("state", (event) => {
      this.updated = new Date();
      this.hear();
      this.onState(JSON.parse(event.data));
    });
    this.source.addEventListener("error", () => this.lose());
  }

  hear() {
    this.heard = Date.now();
    this.tell("live");
  }

  lose() {
    this.tell("lost");
  }

  check() {
    const silent = Date.now() - this.heard;
    if (silent > SILENCE_MS) this.lose();
    else if (this.source.readyState === EventSource.OPEN) this.tell("live");
    // A refused stream stays closed and a dead line isn't always noticed: begin anew.
    if (this.source.readyState === EventSource.CLOSED ? silent > 3000 : silent > 2 * SILENCE_MS) this.connect();
  }

  tell(connection) {
    const lost = document.getElementById("lost");
    const still = this.updated ? Date.now() - this.updated : 0;
    const quiet = connection === "live" && still > QUIET_MS;
    document.body.dataset.connection = quiet ? "quiet" : connection;
    const live = this.updated ? (quiet ? `No news for ${duration(still / 1e3)}` : "Live") : "Connected";
    put(document.getElementById("link-text"), connection === "lost" ? "Reconnecting" : live);
    lost.hidden = connection !== "lost";
    const last = this.updated ? `Last update ${clock(this.updated)}; what you see is from then.` : "Nothing has been received yet.";
    const text = `Connection lost — reconnecting. ${last}`;
    if (!lost.hidden) put(lost, text);
  }
}
