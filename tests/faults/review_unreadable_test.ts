// Fault: the medium gives an error for a part of the file, where a load from the map would be SIGBUS (H18, H19).
// Promise: a typed error and the process goes on; `recovery: "salvage"` reads past it (G5, G8).
// Method: the backing file of a loop device loses what holds the second half of the records; all in a child, whose end tells of a signal.

import { assert, assertEquals } from "@std/assert";
import * as fs from "node:fs";
import { projectUrl, runSnippet } from "../support/child.ts";
import { loopDevice, loopDeviceSkip } from "../support/loop_device.ts";
import { test } from "../support/test.ts";

/** A journal past the end of what is left would fail first. */
const TYPE = "ext4 without a journal";
const RECORDS = 20_000;
const KEY_HIGH = 0x5ca1ab1e0ddba11n;

/** Runs a snippet with the library; it has to end by itself. */
async function inChild(path: string, body: string): Promise<string[]> {
  const { code, signal, stdout, stderr } = await runSnippet(`
    import { WAL, WALError } from "${projectUrl("mod.ts")}";
    const path = ${JSON.stringify(path)};
    ${body}
    console.log("end");`);
  const lines = stdout.trimEnd().split("\n");
  assertEquals([code, signal, lines.pop()], [0, null, "end"], `${stdout}\n${stderr}`);
  return lines;
}

test(
  "WAL.open() rejects a file that cannot be read with a typed error, and salvage gets past what cannot",
  async () => {
    using device = loopDevice(TYPE, 64);
    const path = `${device.path}/log`;
    // Moves the log away from what the file system itself needs.
    const filler = `${device.path}/filler`;
    fs.writeFileSync(filler, new Uint8Array(24 << 20));
    await inChild(
      path,
      `const wal = WAL.open(path, { size: 4 << 20 });
    for (let i = 1; i <= ${RECORDS}; i++) wal.logInsertSync(${KEY_HIGH}n, i, 0, 0);
    wal.close();`,
    );
    fs.rmSync(filler);
    // The last page that is left holds the record before this one.
    const needle = new Uint8Array(16);
    const view = new DataView(needle.buffer);
    view.setBigUint64(0, KEY_HIGH, true);
    view.setBigUint64(8, BigInt(RECORDS / 2), true);
    device.cutAt(needle);

    const [refused] = await inChild(
      path,
      `try {
      WAL.open(path).close();
      console.log("opened");
    } catch (error) {
      console.log(error instanceof WALError ? error.name : "no WALError: " + error);
    }`,
    );
    assertEquals(refused, "WALIOError");

    // All that can be read is read; whether the new file finds room that can be written is up to the file system.
    const [salvaged] = await inChild(
      path,
      `try {
      const wal = WAL.open(path, { recovery: "salvage" });
      const records = wal.replay();
      const isPrefix = records.length > 0 && records.every(({ lsn, keyLow }, i) => lsn === i + 1 && BigInt(lsn) === keyLow);
      console.log(isPrefix && wal.recovery.losses.length > 0 && wal.recovery.damagedFile !== null ? "salvaged" : "wrong");
      wal.close();
    } catch (error) {
      console.log(error instanceof WALError ? error.name : "no WALError: " + error);
    }`,
    );
    assert(["salvaged", "WALSyncError"].includes(salvaged), salvaged);
  },
  { skip: loopDeviceSkip(TYPE) },
);
