// The other process of W11. Each of its clients makes one request after the other: it puts a new id
// with the id itself as its place, or gets one of its last puts. Prints how long answers took, and
// for which share of gets the server did not know the id yet.

import { Agent, request } from "node:http";
import process from "node:process";
import { type Measurements, Samples, summarize } from "../measure.ts";

/** A client gets one of this many last puts. */
const LAST_PUTS = 1024;

const [port, clients, warmMs, ms] = process.argv.slice(2).map(Number) as [number, number, number, number];

let state = 0x9e3779b9;
function random(): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
}

function randomHex(): string {
  return Array.from({ length: 4 }, () => random().toString(16).padStart(8, "0")).join("");
}

const agent = new Agent({ keepAlive: true, maxSockets: clients });

/** @returns the status of the answer, and its text. */
function ask(method: "GET" | "PUT", id: string, body: string): Promise<{ status: number; text: string }> {
  const headers = body === "" ? {} : { "content-length": body.length };
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, agent, method, path: `/${id}`, headers }, (response) => {
      let text = "";
      response.setEncoding("latin1").on("data", (part: string) => text += part);
      response.on("end", () => resolve({ status: response.statusCode!, text }));
    });
    asked.on("error", reject).end(body);
  });
}

const latencies = new Samples();
let gets = 0;
let missed = 0;
const start = performance.now();
const warm = start + warmMs;
const end = warm + ms;

async function runClient(): Promise<void> {
  const ids: string[] = [];
  for (let before = start, puts = 0; before < end;) {
    const isPut = puts === 0 || random() % 2 === 0;
    const id = isPut ? randomHex() : ids[random() % ids.length]!;
    const { status, text } = await ask(isPut ? "PUT" : "GET", id, isPut ? id : "");
    const after = performance.now();
    if (isPut) ids[puts++ % LAST_PUTS] = id;
    const isMissed = status === 404;
    const isRight = isPut ? status === 204 : isMissed || (status === 200 && text === id);
    if (!isRight) throw new Error(`the answer has status ${status} and says ${text}`);
    if (before >= warm) {
      latencies.add((after - before) * 1e3);
      if (!isPut) gets++;
      if (isMissed) missed++;
    }
    before = after;
  }
}

await Promise.all(Array.from({ length: clients }, runClient));
const measurements: Measurements = {
  opsPerSecond: latencies.values.length / (ms / 1e3),
  missedShare: missed / gets,
  ...summarize(latencies.values),
};
console.log(JSON.stringify(measurements));
process.exit(0);
