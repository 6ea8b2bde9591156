// Fault: the engine gives the memory of a closed, dropped or terminated log to others, who store
//   into it, or a view of it is used again (H52).
// Promise: no byte of a file changes, no view of another log shows it, and nothing crashes (G9).
// Method: children that can run the collector store through whatever is left of a log's memory, and
//   fill buffers of all sizes with other bytes, after 1,000 logs, dropped regions and terminated
//   workers.

import { assert, assertEquals } from "@std/assert";
import * as fs from "node:fs";
import process from "node:process";
import { WAL } from "../../mod.ts";
import { projectUrl, runSnippet, WITH_COLLECTOR } from "../support/child.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

const notLinux = process.platform !== "linux" && "looks into /proc";
const RAM = fs.existsSync("/dev/shm") ? "/dev/shm" : undefined;

const PRELUDE = `
  import { Buffer } from "node:buffer";
  import * as fs from "node:fs";
  import process from "node:process";
  import { WAL } from ${JSON.stringify(projectUrl("mod.ts"))};
  import { diskStorage } from ${JSON.stringify(projectUrl("ffi/storage.ts"))};
  import { openRequest } from ${JSON.stringify(projectUrl("tests/support/region.ts"))};

  const directory = process.argv[2];
  const collect = globalThis.Bun ? () => Bun.gc(true) : globalThis.gc;
  const turn = () => new Promise((resolve) => setTimeout(resolve, 5));
  const mapped = () => fs.readFileSync("/proc/self/maps", "utf8").split("\\n").filter((line) => line.includes(directory)).length;
  const request = () => openRequest({ sizeBytes: 1048576, allowUnsafeFileSystem: true });
  const image = (path) => new Uint8Array(fs.readFileSync(path));
  // Buffers compare without a call for each byte.
  const hasOnly = (bytes, byte) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).equals(Buffer.alloc(bytes.length, byte));
  const isFull = (path, byte) => hasOnly(image(path).subarray(16384), byte);

  /** Takes what the engine has to give, and stores into all of it. */
  async function takeMemory() {
    for (let i = 0; i < 5; i++) {
      collect();
      await turn();
    }
    const taken = [];
    for (let i = 0; i < 400; i++) {
      const bytes = new Uint8Array([1000, 4096, 65536, 262144, 1048576, 1179648][i % 6]);
      if (!hasOnly(bytes, 0)) throw new Error("a new buffer has bytes of others");
      taken.push(bytes.fill(0xee));
      if (i % 8 === 0) {
        const memory = new WebAssembly.Memory({ initial: 18 });
        taken.push(new Uint8Array(memory.buffer).fill(0xee));
      }
    }
  }`;

function run(directory: string, script: string) {
  return runSnippet(PRELUDE + script, { args: [directory], ...WITH_COLLECTOR });
}

test("Region.close() leaves no way to the file, through the memory either", async () => {
  using directory = tempDir();
  const { stdout, stderr } = await run(
    directory.path,
    `
    const path = directory + "/log";
    const regions = [];
    for (let round = 1; round <= 12; round++) {
      const region = diskStorage().open(path, request());
      const { memory } = region;
      const bytes = memory.bytes();
      bytes.fill(round, 16384);
      region.sync(0, bytes.length);
      const pending = round % 3 === 0 ? region.syncAsync(0, bytes.length) : null;
      region.close();
      if (bytes.length !== 0) throw new Error("a view is left");
      await pending;
      await turn();
      // The engine, or whoever has the memory next.
      if (memory.memory !== null) {
        const found = new Uint8Array(memory.memory.buffer, memory.at, memory.sizeBytes);
        if (!hasOnly(found, 0)) throw new Error("the file is still there");
        found.fill(0xdd);
        found.fill(0);
      }
      if (!isFull(path, round)) throw new Error("the file has changed");
    }
    console.log("unchanged", mapped());`,
  );
  assertEquals([stdout, stderr], ["unchanged 0\n", ""]);
}, { skip: notLinux });

test("Region that was dropped keeps its memory, so that no file changes", async () => {
  using directory = tempDir(RAM);
  const { stdout, stderr } = await run(
    directory.path,
    `
    for (let i = 0; i < 20; i++) {
      const bytes = diskStorage().open(directory + "/log" + i, request()).memory.bytes();
      bytes.fill(0x5a, 16384);
    }
    await takeMemory();
    let changed = 0;
    for (let i = 0; i < 20; i++) if (!isFull(directory + "/log" + i, 0x5a)) changed++;
    console.log(changed, mapped());`,
  );
  assertEquals([stdout, stderr], ["0 20\n", ""]);
}, { skip: notLinux });

test("WAL in workers that are terminated leaves its memory to others, and no file changes", async () => {
  using directory = tempDir(RAM);
  const { stdout, stderr } = await run(
    directory.path,
    `
    const worker = directory + "/worker.ts";
    fs.writeFileSync(worker, ${
      JSON.stringify(`
      import { WAL } from ${JSON.stringify(projectUrl("mod.ts"))};
      import { parentPort, workerData } from "node:worker_threads";
      globalThis.logs = [];
      for (let i = 0; i < 6; i++) {
        const wal = WAL.open(workerData + i, { size: 1048576, idleHeaderDelayMs: Infinity });
        for (let n = 0; n < 1000; n++) wal.logInsertSync(n, i, n, 4);
        globalThis.logs.push(wal);
      }
      parentPort.postMessage("open");
      if (workerData.endsWith("3-")) for (;;);
      setInterval(() => {}, 1000);`)
    });
    const { Worker } = await import("node:worker_threads");
    const names = [];
    const images = [];
    const workers = [];
    for (let w = 0; w < 4; w++) {
      const prefix = directory + "/log" + w + "-";
      const started = new Worker(worker, { workerData: prefix });
      await new Promise((resolve, reject) => {
        started.on("message", resolve);
        started.on("error", reject);
      });
      workers.push(started);
      for (let i = 0; i < 6; i++) names.push(prefix + i);
    }
    for (const name of names) images.push(image(name));
    for (const started of workers) await started.terminate();
    await takeMemory();
    const changed = names.filter((name, i) => Buffer.compare(image(name), images[i]) !== 0);
    console.log(changed.length);
    process.exit(0);`,
  );
  assertEquals([stdout, stderr], ["0\n", ""]);
  for (const name of fs.readdirSync(directory.path).filter((name) => name.startsWith("log"))) {
    using wal = WAL.open(directory.join(name));
    assertEquals(wal.replay().map(({ keyHigh }) => Number(keyHigh)), Array.from({ length: 1000 }, (_, n) => n), name);
  }
}, { skip: notLinux });

const LOGS = 1000;

test(
  `WAL keeps every byte of ${LOGS} logs that are open at once, closed or dropped, under garbage collection`,
  async () => {
    using directory = tempDir(RAM);
    const { stdout, stderr } = await run(
      directory.path,
      `
    const before = fs.readFileSync("/proc/self/maps", "utf8").split("\\n").length;
    async function openAll() {
      const open = [];
      for (let i = 0; i < ${LOGS}; i++) {
        const wal = WAL.open(directory + "/log" + i, { size: i % 100 === 0 ? 8388608 : 65536, idleHeaderDelayMs: Infinity });
        wal.logInsertSync(i, 1, i, 1);
        open.push(wal);
        if (i % 250 === 0) collect();
      }
      const most = mapped();
      await Promise.all(open.map((wal, i) => wal.logInsert(i, 2, i, 2)));
      collect();
      open.forEach((wal, i) => {
        wal.logInsertSync(i, 3, i, 3);
        if (i % 10 !== 0) wal.close();
      });
      return most;
    }
    const most = await openAll();
    await takeMemory();
    // Others take the places of the closed ones.
    for (let round = 0; round < 200; round++) {
      const wal = WAL.open(directory + "/other" + round % 7, { size: 65536 });
      await wal.logInsert(round, 4, round, 4);
      if (round % 50 === 0) collect();
      wal.close();
    }
    // An open log takes three to four lines. If each closed one left one, there would be more lines
    // than logs.
    const after = fs.readFileSync("/proc/self/maps", "utf8").split("\\n").length;
    console.log(most, mapped(), after - before < ${LOGS} ? "flat" : after - before);
    process.exit(0);`,
    );
    assertEquals([stdout, stderr], [`${LOGS} ${LOGS / 10} flat\n`, ""]);
    for (let i = 0; i < LOGS; i++) {
      using wal = WAL.open(directory.join(`log${i}`), { verify: true });
      assertEquals(
        wal.replay().map(({ keyHigh, keyLow }) => [keyHigh, keyLow]),
        [1n, 2n, 3n].map((k) => [BigInt(i), k]),
      );
      // Deno closes the dropped ones at the end of the program.
      assert(wal.recovery.clean || i % 10 === 0, `log ${i}`);
    }
  },
  { skip: notLinux },
);
