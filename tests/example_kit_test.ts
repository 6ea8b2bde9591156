// The testing kit as users get it: its example, and its import by URL.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { writeFileSync } from "node:fs";
import { JSONFileStore } from "../examples/own_store.ts";
import { storeConformance, type StoreEntry } from "../testing.ts";
import { projectUrl, runCommand, runScript, runtimeBinary } from "./support/child.ts";
import { assertImportsOwnFiles, runWithServer, serveModules } from "./support/module_server.ts";
import { runtime } from "./support/runtime.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

test("examples/test_your_store.ts runs with the permissions it names, and says which promise the wrong store breaks and how to replay it", async () => {
  const denoFlags = ["--allow-read", "--allow-write"];
  const { code, stdout, stderr } = await runScript("examples/test_your_store.ts", { denoFlags });
  assertEquals([code, stderr], [0, ""], stdout);
  assertMatch(stdout, /^OneFile: right in \d+ histories with \d+ crashes\n(ok {6}OneFile: .*\n)+\n/);
  assertMatch(stdout, /\nTwoFiles: G11 is broken .*is lost \(H28\)\n/);
  assertMatch(stdout, /\n {2}Replay: crashTest\({ …, seeds: \[\d+\], crashPoints: \[-?\d+\], crashes: 1 }\)\n/);
  assertMatch(stdout, /\nFAILED {2}TwoFiles: a run is there whole or not at all/);
});

test("examples/test_two_stores.ts runs with the permissions it names, and has the index filled again", async () => {
  const denoFlags = ["--allow-read", "--allow-write"];
  const { code, stdout, stderr } = await runScript("examples/test_two_stores.ts", { denoFlags });
  const said = /^both are right in 105 histories with \d+ crashes\nthe index was filled again \[\]\n$/;
  assertEquals([code, stderr], [0, ""], stdout);
  assertMatch(stdout, said);
});

test("examples/test_by_killing.ts runs with the permissions it names, and loses nothing", async () => {
  const denoFlags = ["--allow-ffi", "--allow-read", "--allow-write", "--allow-run", "--allow-env"];
  const { code, stdout, stderr } = await runScript("examples/test_by_killing.ts", { denoFlags });
  assertEquals([code, stderr], [0, ""], stdout);
  assertMatch(stdout, /^10 kills, [1-9]\d* numbers acknowledged, none is lost\n$/);
});

/** The store of examples/own_store.ts, which keeps its numbers in hexadecimal. */
function* entriesOf(store: JSONFileStore): Iterable<StoreEntry> {
  const halves = (text: string) => [BigInt(`0x${text.slice(0, 16)}`), BigInt(`0x${text.slice(16)}`)] as const;
  for (const [key, values] of store.keys) for (const value of values) yield [...halves(key), ...halves(value)];
}

storeConformance((home) => new JSONFileStore(`${home.directory}/store.json`), {
  name: "JSONFileStore of examples/own_store.ts",
  contents: entriesOf,
  test,
});

test("storeConformance() registers its cases with the runtime's own test function", async () => {
  using directory = tempDir();
  const path = directory.join("store_test.ts");
  writeFileSync(
    path,
    `
      ${runtime === "deno" ? "const { test } = Deno;" : `import { test } from "${runtime}:test";`}
      import { MemoryStore } from "${projectUrl("src/stores/memory.ts")}";
      import { storeConformance } from "${projectUrl("testing.ts")}";
      storeConformance((home) => home.outside(() => new MemoryStore()), { contents: (store) => store.entries(), test });
    `,
  );
  const runner = {
    deno: ["test", "--quiet", "--no-check", "--no-config", "--no-lock"],
    bun: ["test"],
    node: ["--test"],
  };
  const command = [runtimeBinary(), ...runner[runtime], path];
  const { code, stdout, stderr } = await runCommand(command, { cwd: directory.path });
  assertEquals(code, 0, stdout + stderr);
  const { length } = storeConformance((home) => new JSONFileStore(home.directory));
  assertMatch(stdout + stderr, new RegExp(`\\b${length} pass|\\bpass ${length}\\b`));
});

const PROGRAM = (testing: string) => `
  import { crashTest, SimulatedDisk, storeConformance } from ${JSON.stringify(testing)};

  class Store {
    constructor(home) { this.disk = home.saved(() => ({ state: { lsns: [], applied: 0 } })); }
    insert() {}
    delete() {}
    deleteValue() {}
    applyBatch(records) {
      const { lsns } = this.disk.state;
      this.disk.state = { lsns: [...lsns, ...records.map(({ lsn }) => lsn)], applied: records.at(-1).lsn };
    }
    appliedLsn() { return this.disk.state.applied; }
  }
  const store = (home) => new Store(home);
  const workload = async ({ wal }) => { for (let i = 0; i < 3; i++) await wal.logInsert(1, 2, 3, i); };
  const { histories } = await crashTest({ store, workload, seeds: 3 });
  for (const { run } of storeConformance(store)) await run();
  console.log(histories > 30, new SimulatedDisk({ seed: 7 }).steps);
`;

test("testing.ts is imported by URL in a Deno program, and needs no permission at all", async () => {
  using directory = tempDir();
  await using server = await serveModules();
  writeFileSync(directory.join("app.js"), PROGRAM(`http://${server.origin}/testing.ts`));
  const result = await runWithServer(server, directory, [], [directory.join("app.js")]);
  assertEquals(result.stderr.split("\n").filter((line) => line !== "" && !line.includes("Download")), []);
  assertEquals([result.code, result.stdout], [0, "true 0\n"]);
}, { skip: runtime !== "deno" && "import by URL is Deno's" });

test("testing.ts imports nothing but the project's files and node:", () => {
  assert(assertImportsOwnFiles(["testing.ts"]).size > 20);
});
