// Makes some puts, each awaited and marked by a write that strace can see.

import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { loadPeer, type PeerName } from "./peers/registry.ts";

const [name, directory, puts] = process.argv.slice(2) as [string, string, string];
const { open } = await loadPeer(name as PeerName);
const peer = await open({ directory, durable: true });
const marks = openSync(join(directory, "marks"), "w");
for (let n = 0; n < Number(puts); n++) {
  writeSync(marks, `PUT ${n} BEGINS`);
  await peer.put(n);
  writeSync(marks, `PUT ${n} DONE`);
}
await peer.close();
process.exit(0);
