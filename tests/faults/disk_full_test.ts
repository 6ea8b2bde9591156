// Fault: the disk is full when a log is made, or fills up afterwards. A copy has holes or shares
//   its blocks, so that a store needs space that is not there (H18, H20, H37).
// Promise: open() throws WALSpaceError and leaves nothing half made. A log that exists reuses its
//   slots for ever. No store touches a page without a block, so there is no SIGBUS (G8, G12).
// Method: small file systems on loop devices, filled to the last block, all in a child, because a
//   signal ends it.

import { assert, assertEquals } from "@std/assert";
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { WAL } from "../../mod.ts";
import { type ChildResult, projectUrl, runSnippet } from "../support/child.ts";
import { loopDevice, loopDeviceSkip } from "../support/loop_device.ts";
import { share } from "../support/share.ts";
import { test } from "../support/test.ts";

const MIB = 2 ** 20;
const SIZES: Readonly<Record<string, number>> = { ext4: 64, xfs: 320, btrfs: 256 };
const TYPES = Object.keys(SIZES);
const skips = new Map(TYPES.map((type) => [type, loopDeviceSkip(type)]));

/** Writes a file until nothing more fits. */
function fillUp(directory: string): void {
  const path = `${directory}/filler`;
  const fd = fs.openSync(path, "w");
  for (let bytes = 4 * MIB; bytes >= 4096;) {
    try {
      if (fs.writeSync(fd, new Uint8Array(bytes).fill(0xa5)) < bytes) bytes /= 2;
      else if (bytes < MIB) fs.fsyncSync(fd);
    } catch {
      bytes /= 2;
    }
  }
  try {
    fs.fsyncSync(fd);
  } catch { /* full */ }
  fs.closeSync(fd);
}

/** Runs a snippet with the library and a path at hand. */
async function inChild(path: string, body: string): Promise<ChildResult> {
  const result = await runSnippet(`
    import { execFileSync } from "node:child_process";
    import * as fs from "node:fs";
    import { WAL, WALError, WALSpaceError } from "${projectUrl("mod.ts")}";
    const path = ${JSON.stringify(path)};
    // Freed blocks can be used again only after the journal has recorded them.
    const free = () => {
      fs.rmSync(${JSON.stringify(path)}.replace(/[^/]*$/, "filler"));
      execFileSync("sync", ["-f", path]);
    };
    const tell = (error) => console.log(error.name, error.code, error instanceof WALError);
    ${body}
    console.log("end");`);
  const { code, signal, stdout, stderr } = result;
  assertEquals([code, signal, stdout.endsWith("end\n")], [0, null, true], `${stdout}\n${stderr}`);
  return result;
}

const LAPS = `
  async function laps(wal, count) {
    const { capacity } = wal;
    const end = wal.head + count * capacity;
    while (wal.head < end) {
      const size = capacity >> 1;
      if (capacity - wal.length < size + 2) wal.truncate(wal.durable);
      wal.batchInsertSync(Array.from({ length: size }, (_, i) => [wal.head + i, 1, 2, 3]));
      if (wal.head % 7 === 0) await wal.logInsert(wal.head, 1, 2, 3);
      else wal.flush();
    }
    for (const record of wal.replay()) if (record.valueLow !== 3n) throw new Error("a wrong record");
  }`;

// The kernel is the same on each runtime.
for (const [type, skip] of share([...skips])) {
  test(`WAL.open() on a full ${type} is WALSpaceError and leaves nothing, or makes a log that works`, async () => {
    using device = loopDevice(type, SIZES[type]!);
    for (const [size, isFull] of [[512 * MIB, false], [64 * MIB, true], [MIB, true], [65536, true]] as const) {
      if (isFull && !fs.existsSync(`${device.path}/filler`)) fillUp(device.path);
      const before = fs.readdirSync(device.path).sort();
      const { stdout } = await inChild(
        `${device.path}/log`,
        `${LAPS}
        try {
          const wal = WAL.open(path, { size: ${size} });
          await laps(wal, 2);
          wal.close();
          console.log("works");
        } catch (error) {
          tell(error);
        }`,
      );
      const isRefused = stdout.startsWith("WALSpaceError NO_SPACE true");
      assert(isRefused || (size <= MIB && stdout.startsWith("works")), `${size}: ${stdout}`);
      const names = fs.readdirSync(device.path).filter((name) => isRefused || name !== "log").sort();
      assertEquals(names, before);
      fs.rmSync(`${device.path}/log`, { force: true });
    }
  }, { skip });

  test(`WAL on ${type} goes round and round on a disk that is full, is killed, and goes on`, async () => {
    using device = loopDevice(type, SIZES[type]!);
    const path = `${device.path}/log`;
    WAL.open(path, { size: MIB }).close();
    fillUp(device.path);
    for (const end of ["process.kill(process.pid, 'SIGKILL');", "wal.close();"]) {
      const source = `
        import process from "node:process";
        import { WAL } from "${projectUrl("mod.ts")}";
        ${LAPS}
        const wal = WAL.open(${JSON.stringify(path)});
        await laps(wal, 2);
        console.log("durable", wal.durable);
        ${end}`;
      const { code, signal, stdout, stderr } = await runSnippet(source);
      const isRight = end.includes("KILL") ? signal === "SIGKILL" : code === 0;
      assert(isRight && stdout.startsWith("durable"), `${code} ${signal} ${stdout} ${stderr}`);
      const wal = WAL.open(path);
      assert(wal.durable >= Number(stdout.trim().split(" ")[1]));
      assertEquals(wal.replay().every(({ valueLow }) => valueLow === 3n), true);
      wal.close();
    }
  }, { skip });

  test(
    `WAL.open() of a copy with holes on a full ${type} is WALSpaceError where there is no block, and works once there is space`,
    async () => {
      using device = loopDevice(type, SIZES[type]!);
      const path = `${device.path}/log`;
      const copy = `${device.path}/copy`;
      const wal = WAL.open(path, { size: 4 * MIB });
      for (let i = 1; i <= 100; i++) wal.logInsertSync(i, 1, 2, 3);
      wal.close();
      if (type === "btrfs") {
        // A copy has the attribute against copy-on-write only if its directory had it.
        fs.mkdirSync(`${device.path}/plain`);
        execFileSync("cp", ["--sparse=always", "--reflink=never", path, `${device.path}/plain/copy`]);
        const { stdout } = await inChild(
          `${device.path}/plain/copy`,
          "try { WAL.open(path); } catch (error) { tell(error); }",
        );
        assert(stdout.startsWith("WALFileSystemError FILE_SYSTEM true"), stdout);
        fs.writeFileSync(copy, "");
        execFileSync("chattr", ["+C", copy]);
      }
      execFileSync("cp", ["--sparse=always", "--reflink=never", path, copy]);
      assert(fs.statSync(copy).blocks * 512 < MIB, "the copy has no holes");
      fillUp(device.path);
      const { stdout } = await inChild(
        copy,
        `${LAPS}
      let acknowledged = 0;
      let wal = null;
      try {
        wal = WAL.open(path);
        for (let i = 0; i < 60; i++) {
          if (wal.length > 3000) wal.truncate(wal.durable);
          for (let more = 0; more < 1000; more++) wal.logInsertSync(i, 1, 2, 3);
          await wal.logInsert(i, 1, 2, 3);
          acknowledged = wal.durable;
        }
        console.log("works");
      } catch (error) {
        tell(error);
        for (let i = 0; i < 3; i++) await wal?.batchInsert([[1, 1, 2, 3]]).catch(tell);
      }
      free();
      try {
        wal?.close();
      } catch (error) {
        tell(error);
      }
      wal = WAL.open(path);
      if (wal.durable < Math.max(100, acknowledged)) throw new Error("acknowledged records are gone");
      await laps(wal, 2);
      wal.close();
      console.log("goes on");`,
      );
      // Where blocks are smaller than a header copy, that copy has holes too, and open() throws the
      // error.
      const lines = stdout.trim().split("\n");
      assertEquals([lines[0], lines.at(-2)], ["WALSpaceError NO_SPACE true", "goes on"], stdout);
    },
    { skip },
  );
}

test("WAL.open() of a copy that shares its blocks on a full xfs is WALSpaceError, and no SIGBUS", async () => {
  using device = loopDevice("xfs", SIZES["xfs"]!);
  const path = `${device.path}/log`;
  for (const end of ["closed", "open"]) {
    for (const name of fs.readdirSync(device.path)) fs.rmSync(`${device.path}/${name}`);
    const wal = WAL.open(path, { size: 4 * MIB });
    for (let i = 1; i <= 100; i++) wal.logInsertSync(i, 1, 2, 3);
    wal.flush();
    if (end === "closed") wal.close();
    execFileSync("cp", ["--reflink=always", path, `${device.path}/copy`]);
    wal.close();
    fillUp(device.path);
    const { stdout } = await inChild(
      `${device.path}/copy`,
      `
      let wal = null;
      try {
        wal = WAL.open(path);
        for (let i = 0; i < 60; i++) {
          if (wal.length > 3000) wal.truncate(wal.durable);
          for (let more = 0; more < 1000; more++) wal.logInsertSync(i, 1, 2, 3);
          await wal.logInsert(i, 1, 2, 3);
        }
        console.log("works");
      } catch (error) {
        tell(error);
      }
      free();
      try {
        wal?.close();
      } catch (error) {
        tell(error);
      }
      wal = WAL.open(path);
      console.log("kept", wal.durable >= 100);
      await wal.logInsert(1, 1, 2, 3);
      wal.close();`,
    );
    assert(/^WALSpaceError NO_SPACE true\n(.*\n)*kept true\nend\n$/.test(stdout), `${end}: ${stdout}`);
  }
}, { skip: skips.get("xfs")! });
