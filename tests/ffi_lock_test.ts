import { assert, assertEquals, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import { RegionError } from "../ffi/region.ts";
import { diskStorage } from "../ffi/storage.ts";
import { projectUrl, spawnSnippet } from "./support/child.ts";
import { openRequest } from "./support/region.ts";
import { withTempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";
import { startWorker } from "./support/worker.ts";

/** Opens a file in a child, which holds it until it is killed. */
const holder = (path: string) => `
  import { diskStorage } from "${projectUrl("ffi/storage.ts")}";
  import { openRequest } from "${projectUrl("tests/support/region.ts")}";
  globalThis.region = diskStorage().open(${JSON.stringify(path)}, openRequest());
  console.log("holding " + region.created);
  setInterval(() => region.verify(), 1000);`;

function assertLocked(path: string): void {
  const error = assertThrows(() => diskStorage().open(path, openRequest()), RegionError);
  assertEquals([error.reason, error.details.ownerPid], ["LOCKED", 42], error.message);
}

test("open() is refused in the same thread, with the owner's process", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    const region = diskStorage().open(path, openRequest());
    assertLocked(path);
    // Another name of the same file has the same lock: it lies on the inode.
    fs.linkSync(path, `${directory}/other`);
    assertLocked(`${directory}/other`);
    // POSIX record locks would have been dropped by the closing of those attempts' descriptors.
    assertLocked(path);
    region.close();
    diskStorage().open(path, openRequest()).close();
  }));

test("open() names no owner when the first bytes tell none", () =>
  withTempDir((directory) => {
    const path = `${directory}/log`;
    const region = diskStorage().open(path, openRequest());
    for (const readOwnerPid of [() => null, () => assert(false, "damaged") as never]) {
      const error = assertThrows(() => diskStorage().open(path, openRequest({ readOwnerPid })), RegionError);
      assertEquals([error.reason, error.details.ownerPid], ["LOCKED", undefined]);
    }
    region.close();
  }));

test("open() is refused in a worker", () =>
  withTempDir(async (directory) => {
    const path = `${directory}/log`;
    const region = diskStorage().open(path, openRequest());
    const worker = startWorker(new URL("./support/region_worker.ts", import.meta.url));
    assertEquals(await worker.ask(path), "LOCKED 42");
    region.close();
    assertEquals(await worker.ask(path), "opened");
    await worker.terminate();
  }));

test("open() is refused while another process has the file, until that is killed", () =>
  withTempDir(async (directory) => {
    const path = `${directory}/log`;
    await using child = spawnSnippet(holder(path));
    await child.line(/holding true/);
    assertLocked(path);
    child.kill("SIGKILL");
    await child.result;
    const region = diskStorage().open(path, openRequest());
    assertEquals(region.created, false);
    region.close();
  }));

test("open() in many processes at once makes one file and lets one in", () =>
  withTempDir(async (directory) => {
    for (let round = 0; round < 3; round++) {
      const path = `${directory}/log${round}`;
      const source = `
        import { diskStorage } from "${projectUrl("ffi/storage.ts")}";
        import { openRequest } from "${projectUrl("tests/support/region.ts")}";
        let opened = 0, made = 0;
        const end = Date.now() + 400;
        do {
          try {
            const region = diskStorage().open(${JSON.stringify(path)}, openRequest());
            const bytes = region.memory.bytes();
            if (bytes[16384]++ !== 0) throw new Error("two openers at once");
            region.verify();
            bytes[16384]--;
            opened++;
            if (region.created) made++;
            region.close();
          } catch (error) {
            if (error.reason !== "LOCKED") { console.log("error " + error); break; }
          }
        } while (Date.now() < end);
        console.log(opened, made);`;
      const children = Array.from({ length: 4 }, () => spawnSnippet(source));
      const results = await Promise.all(children.map((child) => child.result));
      const counts = results.map(({ stdout }) => stdout.trim().split(" ").map(Number));
      assert(!results.some(({ stdout }) => stdout.includes("error")), results.map((r) => r.stdout + r.stderr).join());
      assertEquals(counts.reduce((sum, [, made]) => sum + made!, 0), 1);
      assert(counts.reduce((sum, [opened]) => sum + opened!, 0) >= 1);
      assertEquals(fs.readdirSync(directory).filter((name) => name.includes("wal-new")), []);
    }
  }));
