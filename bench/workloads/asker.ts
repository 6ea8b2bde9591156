// The other process of W7b. It asks a server one question after the other, and prints how long each
// answer took.

import { Agent, get } from "node:http";
import process from "node:process";
import { quantile, Samples } from "../measure.ts";

const [port, warmMs, ms] = process.argv.slice(2).map(Number) as [number, number, number];
const agent = new Agent({ keepAlive: true, maxSockets: 1 });

function ask(): Promise<void> {
  return new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, agent }, (response) => {
      response.resume();
      response.on("end", resolve);
    }).on("error", reject);
  });
}

async function askFor(ms: number): Promise<Float64Array> {
  const samples = new Samples();
  let before = performance.now();
  const end = before + ms;
  while (before < end) {
    await ask();
    const after = performance.now();
    samples.add(after - before);
    before = after;
  }
  return samples.values.sort();
}

await askFor(warmMs);
const sorted = await askFor(ms);
console.log(JSON.stringify({
  requests: sorted.length,
  requestP50Ms: quantile(sorted, 0.5),
  requestP99Ms: quantile(sorted, 0.99),
  requestMaxMs: quantile(sorted, 1),
}));
process.exit(0);
