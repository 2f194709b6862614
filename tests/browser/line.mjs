// A line between the browsers and the server that can be cut: a port of its own that passes on what comes.

import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

export class Line {
  static async to(url) {
    const line = new Line(new URL(url));
    await new Promise((done) => line.listener.listen(0, "127.0.0.1", done));
    line.url = `http://127.0.0.1:${line.listener.address().port}`;
    return line;
  }

  constructor(target) {
    this.target = target;
    this.isCut = false;
    this.sockets = new Set();
    this.listener = createServer((from) => {
      if (this.isCut) return from.destroy();
      const to = connect(Number(this.target.port), this.target.hostname);
      for (const [one, other] of [
        [from, to],
        [to, from],
      ]) {
        this.sockets.add(one);
        one.on("error", () => {});
        one.on("close", () => {
          this.sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    this.listener.unref();
  }

  cut() {
    this.isCut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  mend(url = null) {
    if (url) this.target = new URL(url);
    this.isCut = false;
  }
}

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the test that has started us for what only it can do: to kill a process, to start the server again. */
export async function asks(what) {
  console.log(`@${what}`);
  const { value } = await answers.next();
  return value;
}
