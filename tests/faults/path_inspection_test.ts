// Fault: the path of an open log cannot be inspected, because its directory is closed for a second
//   or for good, the table of files is full, or the medium fails (H41). Such a file is not gone.
// Promise: the log goes on, and warns with the reason as long as that lasts. It still notices that
//   the file has no name or another size (G1, G8).
// Method: each errno on the simulated disk, before each call of the log and below libc; for real by
//   closing the directory.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as fs from "node:fs";
import process from "node:process";
import { platform } from "../../ffi/libc/platform.ts";
import { mappedStorage } from "../../ffi/file/mapped_storage.ts";
import { openLibc, posixSystem } from "../../ffi/system/current.ts";
import { WAL, WALError, WALFileGoneError, WALIOError } from "../../mod.ts";
import { SimulatedDisk } from "../../testing.ts";
import { projectUrl, runSnippet } from "../support/child.ts";
import { CALLS, closeGone, openOn, PATH } from "../support/logs.ts";
import { failingLibc } from "../support/region.ts";
import { tempDir } from "../support/temp.ts";
import { test } from "../support/test.ts";

/** How an inspection fails. */
const ERRNOS = [
  "EACCES",
  "EPERM",
  "ENFILE",
  "EMFILE",
  "EIO",
  "ELOOP",
  "ENAMETOOLONG",
  "ESTALE",
  "ENOMEM",
  "EINTR",
  "ETIMEDOUT",
];
const BYTES = 65536;

/** The calls after such a failure. Each must succeed. */
const EACH: typeof CALLS = {
  ...CALLS,
  truncate: (wal) => wal.truncate(1),
  stats: (wal) => wal.stats(),
};

for (const errno of ERRNOS) {
  test(`WAL goes on, and warns, while the inspection of its path fails with ${errno}`, async () => {
    for (const flush of ["inline", "offload"] as const) {
      for (const [call, body] of Object.entries(EACH)) {
        const disk = new SimulatedDisk();
        const wal = openOn(disk, { flush });
        for (let i = 1; i <= 5; i++) await wal.logInsert(i, i, i, i);
        const before = wal.stats().warnings;
        disk.fail({ call: "pathIs", errno, times: Infinity });
        await body(wal);
        const { warnings, poisoned } = wal.stats();
        assertEquals([call, flush, poisoned, warnings.length], [call, flush, false, before.length + 1]);
        assert(warnings.at(-1)!.includes(errno) && warnings.at(-1)!.includes("statx"), warnings.at(-1));
        disk.clearFaults();
        assertEquals(wal.stats().warnings, before);
        disk.fail({ call: "pathIs", errno, times: Infinity });
        await wal.logInsert(7, 7, 7, 7);
        const { head } = wal;
        wal.close();
        disk.clearFaults();
        const again = openOn(disk);
        assertEquals([again.recovery.clean, again.head, again.stats().warnings], [true, head, before]);
        again.close();
      }
    }
  });
}

/** What another program does to the file while its path cannot be inspected. */
const LOSSES: Record<string, (disk: SimulatedDisk) => void> = {
  deleted: (disk) => disk.outsider.unlink(PATH),
  cut: (disk) => disk.outsider.truncate(PATH, BYTES - 16384),
  grown: (disk) => disk.outsider.truncate(PATH, BYTES + 16384),
};

for (const [name, lose] of Object.entries(LOSSES)) {
  test(`WAL notices that its file was ${name} though the path cannot be inspected`, async () => {
    for (const flush of ["inline", "offload"] as const) {
      const disk = new SimulatedDisk();
      const wal = openOn(disk, { flush });
      for (let i = 1; i <= 5; i++) await wal.logInsert(i, i, i, i);
      disk.fail({ call: "pathIs", errno: "EACCES", times: Infinity });
      await wal.logInsert(6, 6, 6, 6);
      lose(disk);
      await assertRejects(() => wal.logInsert(7, 7, 7, 7), WALFileGoneError);
      assertEquals([wal.durable, wal.stats().poisoned], [6, true]);
      closeGone(wal);
    }
  });
}

test("WAL goes on if the open file cannot be inspected either, unless its server no longer has it", async () => {
  for (const errno of ["EIO", "EACCES", "ENOMEM"]) {
    const disk = new SimulatedDisk();
    const wal = openOn(disk);
    disk.fail({ call: "pathIs", errno: "EIO", times: Infinity });
    disk.fail({ call: "fstat", errno, times: Infinity });
    await wal.logInsert(1, 1, 1, 1);
    assertEquals([wal.durable, wal.stats().warnings.length], [1, 1]);
    wal.close();
  }
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  disk.fail({ call: "pathIs", errno: "ESTALE", times: Infinity });
  disk.fail({ call: "fstat", errno: "ESTALE", times: Infinity });
  await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALFileGoneError);
  wal.close();
});

test("WAL counts its file as gone if the path leads to nothing, by ENOENT or by ENOTDIR", async () => {
  for (const errno of ["ENOENT", "ENOTDIR"]) {
    const disk = new SimulatedDisk();
    const wal = openOn(disk);
    disk.fail({ call: "pathIs", errno, times: Infinity });
    await assertRejects(() => wal.logInsert(1, 1, 1, 1), WALFileGoneError);
    wal.close();
  }
});

test("WAL reports a failure to page in unchanged when the file cannot be inspected then", () => {
  const disk = new SimulatedDisk();
  const wal = openOn(disk);
  disk.fail({ call: "populate", errno: "ENOMEM" });
  disk.fail({ call: "fstat", errno: "EIO" });
  const error = assertThrows(() => wal.logInsertSync(1, 1, 1, 1), WALError);
  assertEquals([error.code, error.message.includes("ENOMEM")], ["NO_SPACE", true]);
  wal.logInsertSync(1, 1, 1, 1);
  wal.close();
});

test("open() names the errno of an inspection that fails", () => {
  for (const errno of ["ESTALE", "EIO", "ENFILE"]) {
    for (const call of ["stat", "realPath", "fstat", "pathIs"] as const) {
      const disk = new SimulatedDisk();
      openOn(disk).close();
      disk.fail({ call, errno });
      const error = assertThrows(() => openOn(disk), WALIOError);
      assertEquals([error.errno, error.message.includes(errno)], [errno, true], call);
      openOn(disk).close();
    }
  }
});

test("WAL.open() for salvage names the errno of an inspection that fails, and leaves the damaged file as it is", () => {
  for (const call of ["pathIs", "lstat", "fstat"] as const) {
    for (const nth of [1, 2, 3]) {
      const disk = new SimulatedDisk();
      const wal = openOn(disk);
      for (let i = 1; i <= 5; i++) wal.logInsertSync(i, i, i, i);
      wal.close();
      disk.damage.flipBit(PATH, 16384 + 64 + 40, 0);
      const bytes = disk.image(PATH);
      disk.fail({ call, errno: "EACCES", nth });
      let error: unknown = null;
      try {
        openOn(disk, { recovery: "salvage" }).close();
      } catch (thrown) {
        error = thrown;
      }
      disk.clearFaults();
      if (error === null) continue;
      assert(error instanceof WALError && error.code !== "GONE", `${call} ${nth}: ${error}`);
      assert(error.message.includes("EACCES"), `${call} ${nth}: ${error}`);
      const damaged = disk.paths().filter((path) => disk.image(path).every((byte, i) => byte === bytes[i]));
      assert(damaged.length > 0, `${call} ${nth}: the damaged file is gone`);
      openOn(disk, { recovery: "salvage" }).close();
    }
  }
});

test("WAL goes on after a signal during an inspection, and names any other errno of libc", async () => {
  using directory = tempDir();
  let errno: string | null = null;
  let failures = 0;
  const libc = failingLibc(openLibc(platform()), platform().errno, (call) => {
    if (call !== "statx" || errno === null) return null;
    failures++;
    const found = errno;
    if (found === "EINTR" && failures % 3 === 0) return null;
    return found;
  });
  const wal = WAL.open(directory.join("log"), { size: BYTES, storage: mappedStorage(posixSystem(libc)) });
  const warnings = () => wal.stats().warnings.filter((warning) => warning.includes("inspected"));
  for (const name of ERRNOS.filter((name) => name in platform().errno)) {
    errno = name;
    await wal.logInsert(1, 1, 1, 1);
    assertEquals(warnings().length, name === "EINTR" ? 0 : 1, name);
    if (name !== "EINTR") assert(warnings()[0]!.includes(name), warnings()[0]);
    errno = null;
    assertEquals(warnings(), []);
  }
  assert(failures > ERRNOS.length);
  errno = "EACCES";
  fs.renameSync(directory.join("log"), directory.join("away"));
  await wal.logInsert(2, 2, 2, 2);
  errno = null;
  await assertRejects(() => wal.logInsert(3, 3, 3, 3), WALFileGoneError);
  closeGone(wal);
}, { skip: process.platform !== "linux" && "statx is for Linux" });

/** Opens a log in a directory of its own, in a child without root's rights, and runs a body. */
async function inClosedDirectory(storage: string, body: string): Promise<string[]> {
  const { code, stdout, stderr } = await runSnippet(`
    import * as fs from "node:fs";
    import process from "node:process";
    import { WAL } from "${projectUrl("mod.ts")}";
    import { mappedStorage } from "${projectUrl("ffi/file/mapped_storage.ts")}";
    import { openLibc, posixSystem } from "${projectUrl("ffi/system/current.ts")}";
    import { platform } from "${projectUrl("ffi/libc/platform.ts")}";
    const libc = openLibc(platform());
    const NOBODY = 65534;
    const isRoot = process.getuid() === 0;
    const directory = fs.mkdtempSync("/tmp/wal-inspect-");
    const path = directory + "/in/log";
    fs.mkdirSync(directory + "/in");
    fs.chmodSync(directory, 0o755);
    const open = () => WAL.open(path, { size: ${BYTES}, ${storage} });
    const warnings = (wal) => wal.stats().warnings.filter((warning) => warning.includes("inspected"));
    try {
      ${body}
    } catch (error) {
      console.log(String(error));
    }
    try {
      fs.chmodSync(directory + "/in", 0o700);
    } catch { /* the directory stays root's */ }
    console.log("end", directory);`);
  const lines = stdout.trimEnd().split("\n");
  const end = lines.pop() ?? "";
  if (end.startsWith("end ")) fs.rmSync(end.slice(4), { recursive: true, force: true });
  assertEquals([code, end.startsWith("end ")], [0, true], `${stdout}\n${stderr}`);
  return lines;
}

const SYSTEMS: Record<string, string> = {
  statx: "",
  "node:fs": "storage: mappedStorage(posixSystem({ ...libc, statx: null }))",
};

for (const [name, storage] of Object.entries(SYSTEMS)) {
  test(`WAL goes on while its directory is closed for a while, inspected by ${name}`, async () => {
    const lines = await inClosedDirectory(
      storage,
      `if (isRoot) {
        fs.chownSync(directory + "/in", NOBODY, NOBODY);
        process.setuid(NOBODY);
      }
      const wal = open();
      await wal.logInsert(1, 1, 1, 1);
      console.log("open", warnings(wal).length);
      fs.chmodSync(directory + "/in", 0o000);
      await wal.logInsert(2, 2, 2, 2);
      wal.logInsertSync(3, 3, 3, 3);
      wal.flush();
      console.log("closed", wal.durable, warnings(wal).length, warnings(wal)[0].includes("EACCES"), wal.stats().poisoned);
      fs.chmodSync(directory + "/in", 0o700);
      await wal.logInsert(4, 4, 4, 4);
      console.log("open", warnings(wal).length);
      fs.chmodSync(directory + "/in", 0o000);
      wal.close();
      fs.chmodSync(directory + "/in", 0o700);
      wal.open();
      console.log(wal.recovery.clean, wal.durable);
      wal.close();`,
    );
    assertEquals(lines, ["open 0", "closed 3 1 true false", "open 0", "true 4"]);
  });

  test(`WAL goes on after setuid() has taken the rights to its directory, inspected by ${name}`, async () => {
    const lines = await inClosedDirectory(
      storage,
      `fs.chmodSync(directory + "/in", 0o700);
      const wal = open();
      await wal.logInsert(1, 1, 1, 1);
      process.setuid(NOBODY);
      for (let i = 2; i <= 5; i++) await wal.logInsert(i, i, i, i);
      console.log(wal.durable, warnings(wal).length, warnings(wal)[0].includes("EACCES"), wal.stats().poisoned);
      wal.close();
      try {
        wal.open();
      } catch (error) {
        console.log(error.code);
      }`,
    );
    assertEquals(lines, ["5 1 true false", "PERMISSION"]);
  }, { skip: process.getuid?.() !== 0 && "only root can change who it is" });
}
