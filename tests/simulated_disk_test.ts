// Fault: none; the subject is the machine that makes faults (H1, H2, H9, H10, H11, H14).
// Promise: the simulated disk does what the fault model at its top says, and does the same for the
//   same seed.
// Method: each property by itself, through the system calls, in a case that comes out otherwise
//   without the property.

import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { type System, SystemError } from "../ffi/system/system.ts";
import {
  type DirtyPiece,
  everySubset,
  Random,
  SimulatedClock,
  SimulatedCrash,
  SimulatedDisk,
  type SimulatedDiskOptions,
} from "../testing.ts";
import { test } from "./support/test.ts";

const PATH = "/sim/file";
const SIZE = 65536;

/** A durable file of zeros, opened and mapped. */
function prepared(options: SimulatedDiskOptions = {}) {
  const disk = new SimulatedDisk(options);
  disk.outsider.writeFile(PATH, new Uint8Array(SIZE));
  return { disk, ...mapped(disk.system) };
}

function mapped(system: System) {
  const fd = system.open(PATH, "file");
  const spareFd = system.open(PATH, "file");
  const mapping = system.map({ fd, spareFd, lengthBytes: system.fstat(fd).sizeBytes, barrierOnly: false });
  const bytes = mapping.memory.bytes();
  const sync = (offset: number, length: number) => mapping.sync(offset, length);
  const syncAsync = (offset: number, length: number) => mapping.syncAsync(offset, length);
  return { system, fd, spareFd, mapping, bytes, sync, syncAsync };
}

/** Makes the names in the directory durable. */
function syncDirectory(system: System): void {
  const fd = system.open("/sim", "directory");
  system.fsync(fd);
  system.close(fd);
}

/** The bytes at these offsets of what power loss would leave. */
function onMedium(disk: SimulatedDisk, ...offsets: number[]): number[] {
  const image = disk.image(PATH);
  return offsets.map((offset) => image[offset]!);
}

test("SimulatedDisk loses at power loss what was stored and not synced", () => {
  const { disk, bytes } = prepared();
  bytes[5] = 7;
  assertEquals(disk.image(PATH, "cache")[5], 7);
  disk.crash({ mode: "power", keep: "none" });
  assertEquals(disk.image(PATH, "cache")[5], 0);
});

test("SimulatedDisk keeps at a kill what was stored, and its medium still lacks it", () => {
  const { disk, bytes } = prepared();
  bytes[5] = 7;
  disk.crash({ mode: "kill" });
  assertEquals(mapped(disk.system).bytes[5], 7);
  assertEquals(disk.dirtyPieces().length, 1);
  disk.crash({ mode: "power", keep: "none" });
  assertEquals(mapped(disk.system).bytes[5], 0);
});

test("SimulatedDisk makes exactly the pages of a sync's range durable", () => {
  const { disk, bytes, sync } = prepared();
  for (let page = 0; page < 5; page++) bytes[page * 4096] = bytes[page * 4096 + 4095] = 1;
  sync(4096, 4097);
  assertEquals(onMedium(disk, 0, 4095, 4096, 8191, 8192, 12287, 12288), [0, 0, 1, 1, 1, 1, 0]);
  disk.crash({ keep: "none" });
  assertEquals(onMedium(disk, 0, 4095, 4096, 8191, 8192, 12287, 12288), [0, 0, 1, 1, 1, 1, 0]);
});

test("SimulatedDisk keeps any subset of the dirty pieces of each granularity", () => {
  for (const pieceBytes of [64, 512, 4096] as const) {
    const { disk, bytes } = prepared({ pieceBytes });
    const offsets = [0, pieceBytes, 3 * pieceBytes];
    for (const offset of offsets) bytes[offset] = 9;
    const pieces = disk.dirtyPieces(PATH);
    assertEquals(pieces, offsets.map((offset) => ({ kind: "bytes", offset, length: pieceBytes, path: PATH })));
    const snapshot = disk.snapshot();
    const outcomes = new Set<string>();
    for (const keep of everySubset(pieces.length)) {
      disk.restore(snapshot);
      disk.crash({ keep });
      outcomes.add(onMedium(disk, ...offsets).join());
    }
    assertEquals(outcomes.size, 8);
  }
});

test("SimulatedDisk tears a piece at any byte", () => {
  const counts = new Set<number>();
  for (let seed = 0; seed < 200; seed++) {
    const { disk, bytes } = prepared({ seed, pieceBytes: 64 });
    bytes.fill(9, 128, 192);
    disk.crash({ keep: () => "torn" });
    counts.add(disk.image(PATH).subarray(128, 192).filter((byte) => byte === 9).length);
  }
  assert(counts.size > 20, `as few as ${counts.size} different cuts`);
});

test("SimulatedDisk writes dirty pages back without being asked, and then they survive", () => {
  const { disk, bytes } = prepared();
  bytes[5] = 7;
  bytes[9000] = 8;
  disk.writeBackSome((piece) => piece.kind === "bytes" && piece.offset === 0);
  disk.crash({ keep: "none" });
  assertEquals(onMedium(disk, 5, 9000), [7, 0]);

  const often = prepared({ writeBackChance: 1 });
  often.bytes[5] = 7;
  for (let i = 0; i < 20; i++) often.system.fstat(often.fd);
  assertEquals(onMedium(often.disk, 5), [7]);
});

test("SimulatedDisk detaches a dead process's mappings and refuses its calls for ever", () => {
  const { disk, bytes, mapping, system, fd } = prepared();
  const look = system.watch(PATH);
  bytes[5] = 7;
  disk.crash({ mode: "kill" });
  assertEquals([bytes.length, mapping.memory.buffer.byteLength], [0, 0]);
  assertThrows(() => new DataView(mapping.memory.buffer).setUint8(0, 1), TypeError);
  assertThrows(() => system.fstat(fd), SimulatedCrash);
  assertThrows(() => look.is(1n, 1n, 1), SimulatedCrash);
  assertEquals(disk.image(PATH, "cache")[5], 7);
});

test("SimulatedDisk keeps the page cache when a mapping is detached before it is unmapped", () => {
  const { disk, bytes, mapping, system } = prepared();
  bytes[5] = 7;
  mapping.memory.detach();
  assertEquals(bytes.length, 0);
  mapping.close();
  assertEquals(disk.image(PATH, "cache")[5], 7);
  assertEquals(mapped(system).bytes[5], 7);
});

test("SimulatedDisk gives a lock to one descriptor, until unlock, close or crash", () => {
  const { disk, system, fd, spareFd } = prepared();
  assert(system.lock(fd));
  assert(system.lock(fd));
  assertEquals(system.lock(spareFd), false);
  system.unlock(fd);
  assert(system.lock(spareFd));
  system.close(spareFd);
  assert(system.lock(fd));
  disk.crash({ mode: "kill" });
  const next = mapped(disk.system);
  assert(next.system.lock(next.spareFd));
});

test("SimulatedDisk forgets a name until its directory is synced", () => {
  for (const synced of [false, true]) {
    const disk = new SimulatedDisk();
    const fd = disk.system.open("/sim/a", "create");
    disk.system.write(fd, Uint8Array.of(1, 2, 3), 0);
    disk.system.fsync(fd);
    if (synced) syncDirectory(disk.system);
    disk.crash({ keep: "none" });
    assertEquals(disk.exists("/sim/a"), synced);
    if (synced) assertEquals([...disk.image("/sim/a")], [1, 2, 3]);
  }
});

test("SimulatedDisk forgets a file's size until the file is synced", () => {
  const disk = new SimulatedDisk();
  const fd = disk.system.open("/sim/a", "create");
  disk.system.allocate(fd, 5000);
  syncDirectory(disk.system);
  const snapshot = disk.snapshot();
  disk.crash({ keep: "none" });
  assertEquals(disk.image("/sim/a").length, 0);
  disk.restore(snapshot);
  disk.crash({ keep: "all" });
  assertEquals(disk.image("/sim/a"), new Uint8Array(5000));
});

test("SimulatedDisk keeps names in journal order, or in any", () => {
  const outcomes = () => {
    const disk = new SimulatedDisk();
    disk.system.open("/sim/a", "create");
    disk.system.link("/sim/a", "/sim/b");
    disk.system.unlink("/sim/a");
    const snapshot = disk.snapshot();
    const seen = new Set<string>();
    for (const keep of everySubset(disk.dirtyPieces().length)) {
      disk.restore(snapshot);
      disk.crash({ keep });
      seen.add(disk.paths().join(" "));
    }
    return [...seen].sort();
  };
  assertEquals(outcomes(), ["", "/sim/a", "/sim/a /sim/b", "/sim/b"]);
  const renamed = (directoryOrder: "journal" | "any") => {
    const disk = new SimulatedDisk({ directoryOrder });
    disk.outsider.writeFile("/sim/a", Uint8Array.of(1));
    disk.system.link("/sim/a", "/sim/b");
    disk.system.rename("/sim/a", "/sim/c");
    disk.crash({ keep: (piece) => piece.kind === "entry" && piece.operation.startsWith("rename") });
    return disk.paths();
  };
  assertEquals(renamed("journal"), ["/sim/a"]);
  assertEquals(renamed("any"), ["/sim/c"]);
});

test("SimulatedDisk moves a name whole or not at all", () => {
  const disk = new SimulatedDisk();
  disk.outsider.writeFile("/sim/a", Uint8Array.of(1));
  disk.outsider.writeFile("/sim/b", Uint8Array.of(2));
  disk.system.rename("/sim/a", "/sim/b");
  const snapshot = disk.snapshot();
  disk.crash({ keep: "none" });
  assertEquals([disk.image("/sim/a")[0], disk.image("/sim/b")[0]], [1, 2]);
  disk.restore(snapshot);
  disk.crash({ keep: "all" });
  assertEquals([disk.paths(), disk.image("/sim/b")[0]], [["/sim/b"], 1]);
});

test("SimulatedDisk marks pages clean when a sync fails, so that the next one succeeds without them", () => {
  for (const pages of ["clean", "dirty"] as const) {
    const { disk, bytes, sync } = prepared();
    bytes[5] = 7;
    disk.fail({ call: "syncMapped", errno: "EIO", pages });
    assertThrows(() => sync(0, 4096), SystemError, "msync");
    sync(0, 4096);
    assertEquals([bytes[5], ...onMedium(disk, 5)], [7, pages === "dirty" ? 7 : 0]);
    // Only a new store, or a write fault, makes the page dirty again: then all of it is written.
    bytes[6] = 8;
    sync(0, 4096);
    assertEquals(onMedium(disk, 5, 6), [7, 8]);
  }
});

test("SimulatedDisk rewrites a page that was marked clean after pageIn(), as a write fault does", () => {
  const { disk, bytes, sync, mapping } = prepared();
  bytes[5] = 7;
  disk.fail({ call: "syncMapped" });
  assertThrows(() => sync(0, 4096), SystemError);
  mapping.pageIn(0, 64, "store");
  sync(0, 4096);
  assertEquals(onMedium(disk, 5), [7]);
  assertThrows(() => mapping.pageIn(SIZE - 4096, 8192, "store"), SystemError, "ENOMEM");
  disk.outsider.truncate(PATH, 4096);
  assertThrows(() => mapping.pageIn(4096, 64, "store"), SystemError, "EFAULT");
});

test("SimulatedDisk shows the medium again once clean pages leave the page cache", () => {
  const { disk, bytes, sync } = prepared();
  bytes[5] = 7;
  bytes[5000] = 8;
  disk.fail({ call: "syncMapped" });
  assertThrows(() => sync(0, 4096), SystemError);
  disk.evict(PATH);
  assertEquals([bytes[5], bytes[5000]], [0, 8]);
});

test("SimulatedDisk reports a failed write-back once to each open file description", () => {
  const { disk, bytes, system, fd, mapping } = prepared();
  bytes[5] = 7;
  disk.failWriteBack(PATH, "ENOSPC");
  const late = system.open(PATH, "file");
  assertThrows(() => system.fsync(fd), SystemError, "ENOSPC");
  system.fsync(fd);
  assertThrows(() => mapping.syncFile(), SystemError, "ENOSPC");
  mapping.syncFile();
  assertThrows(() => system.fsync(late), SystemError, "ENOSPC");
  system.fsync(system.open(PATH, "file"));
  assertEquals(onMedium(disk, 5), [0]);
});

test("SimulatedDisk promises to an asynchronous sync only what was stored before it", async () => {
  const { disk, bytes, syncAsync } = prepared();
  bytes[5] = 7;
  bytes[9000] = 7;
  const synced = syncAsync(0, 4096);
  bytes[6] = 8;
  await synced;
  assertEquals(onMedium(disk, 5, 6, 9000), [7, 0, 0]);
  disk.crash({ keep: "none" });
  assertEquals(onMedium(disk, 5, 6, 9000), [7, 0, 0]);
});

test("SimulatedDisk ends an asynchronous sync when the test says so, and a crash rejects it", async () => {
  const { disk, bytes, syncAsync, sync } = prepared({ asyncTicks: "manual" });
  bytes[5] = 7;
  const first = syncAsync(0, 4096);
  assertEquals([disk.pendingAsync, ...onMedium(disk, 5)], [1, 0]);
  disk.finishAsync();
  await first;
  assertEquals([disk.pendingAsync, ...onMedium(disk, 5)], [0, 7]);

  // A later sync waits for the page's earlier write, which must not overwrite it afterwards.
  bytes[5] = 8;
  const second = syncAsync(0, 4096);
  bytes[5] = 9;
  sync(0, 4096);
  disk.finishAsync();
  await second;
  assertEquals(onMedium(disk, 5), [9]);

  bytes[5] = 10;
  const third = syncAsync(0, 4096);
  bytes[5] = 11;
  disk.crash({ keep: "none" });
  await assertRejects(() => third, SimulatedCrash);
  assertEquals(onMedium(disk, 5), [9]);
});

test("SimulatedDisk loses or keeps the pages of an asynchronous sync at a crash, the later stores apart", () => {
  const { disk, bytes, syncAsync } = prepared({ asyncTicks: "manual" });
  bytes[5] = 7;
  syncAsync(0, 4096).catch(() => {});
  bytes[6] = 8;
  const pieces = disk.dirtyPieces();
  assertEquals(pieces.length, 2);
  const snapshot = disk.snapshot();
  const seen = new Set<string>();
  for (const keep of everySubset(pieces.length)) {
    disk.restore(snapshot);
    disk.crash({ keep });
    seen.add(onMedium(disk, 5, 6).join());
  }
  assertEquals([...seen].sort(), ["0,0", "7,0", "7,8"]);
});

test("SimulatedDisk syncs the whole file through the spare descriptor where asynchronous syncs use that", async () => {
  const { disk, bytes, syncAsync, sync } = prepared({ asyncUsesSpare: true });
  bytes[9000] = 7;
  await syncAsync(0, 4096);
  assertEquals(onMedium(disk, 9000), [7]);
  bytes[0] = 1;
  disk.fail({ call: "syncMappedAsync" });
  await assertRejects(() => syncAsync(0, 4096), SystemError, "EIO");
  // The other descriptor has not heard of it.
  assertThrows(() => sync(0, 4096), SystemError, "EIO");
  sync(0, 4096);
});

test("SimulatedDisk crashes at any call, before, within or after it", () => {
  for (const when of ["before", "during", "after"] as const) {
    const { disk, bytes, system, sync } = prepared();
    for (let page = 0; page < 16; page++) bytes[page * 4096] = 7;
    disk.crashAt(disk.steps + 2, when);
    system.stat(PATH);
    assertThrows(() => sync(0, SIZE), SimulatedCrash, "syncMapped");
    assertThrows(() => system.stat(PATH), SimulatedCrash);
    assert(disk.halted);
    disk.restart({ keep: "none" });
    const written = disk.image(PATH).filter((byte) => byte === 7).length;
    if (when === "during") assert(written > 0 && written < 16);
    else assertEquals(written, when === "before" ? 0 : 16);
    assertEquals(disk.system.stat(PATH)?.sizeBytes, SIZE);
  }
});

test("SimulatedDisk fails the n-th call, so many times, with the error asked for", () => {
  const { disk, system } = prepared();
  disk.fail({ call: "link", nth: 2, times: 2, errno: "EDQUOT" });
  const outcomes = ["a", "b", "c", "d"].map((name) => {
    try {
      system.link(PATH, `/sim/${name}`);
      return "ok";
    } catch (error) {
      return (error as SystemError).errno;
    }
  });
  assertEquals(outcomes, ["ok", "EDQUOT", "EDQUOT", "ok"]);
  disk.fail({ call: "link", when: "after" });
  assertThrows(() => system.link(PATH, "/sim/e"), SystemError, "EIO");
  assertEquals(disk.paths(), ["/sim/file", "/sim/a", "/sim/d", "/sim/e"]);
  disk.fail({ call: "open", times: Infinity });
  disk.clearFaults();
  system.close(system.open(PATH, "file"));
});

test("SimulatedDisk lies: a sync that succeeds and wrote nothing, or elsewhere", () => {
  const lost = prepared();
  lost.bytes[5] = 7;
  lost.disk.fail({ call: "syncMapped", effect: "lost" });
  lost.sync(0, 4096);
  lost.sync(0, 4096);
  assertEquals(onMedium(lost.disk, 5), [0]);

  const elsewhere = prepared();
  elsewhere.bytes[5] = 7;
  elsewhere.disk.fail({ call: "syncMapped", effect: "misplaced", byBytes: 8192 });
  elsewhere.sync(0, 4096);
  assertEquals(onMedium(elsewhere.disk, 5, 8197), [0, 7]);
  assertEquals(elsewhere.bytes[8197], 0);
  elsewhere.sync(0, SIZE);
  assertEquals(onMedium(elsewhere.disk, 5, 8197), [0, 7]);
});

test("SimulatedDisk damages the medium alone, or what programs read too", () => {
  const { disk, bytes, sync } = prepared();
  disk.damage.flipBit(PATH, 5, 3, "medium");
  assertEquals([bytes[5], ...onMedium(disk, 5)], [0, 8]);
  sync(0, SIZE);
  assertEquals(onMedium(disk, 5), [8]);
  disk.damage.flipBit(PATH, 5000, 0);
  assertEquals([bytes[5000], ...onMedium(disk, 5000)], [1, 1]);
  assertEquals(disk.dirtyPieces(), []);
  disk.crash({ keep: "none" });
  assertEquals(mapped(disk.system).bytes[5], 8);
  assertThrows(() => disk.damage.flipBit(PATH, SIZE, 0), RangeError);
});

test("SimulatedDisk wipes, swaps, copies and revives sectors", () => {
  const { disk, bytes, sync } = prepared({ keepVersions: true });
  for (const value of [1, 2, 3]) {
    bytes.fill(value, 0, 512);
    bytes.fill(value * 10, 512, 1024);
    sync(0, 4096);
  }
  disk.damage.swapSectors(PATH, 0, 1);
  assertEquals(onMedium(disk, 0, 512), [30, 3]);
  disk.damage.copySector(PATH, 0, 1);
  assertEquals(onMedium(disk, 0, 512), [30, 30]);
  disk.damage.wipeSectors(PATH, 1);
  assertEquals(onMedium(disk, 0, 512), [30, 0]);
  assert(disk.damage.staleSector(PATH, 0, 1));
  assert(disk.damage.staleSector(PATH, 1, 2));
  assertEquals(onMedium(disk, 0, 512), [2, 10]);
  assertEquals(disk.damage.staleSector(PATH, 9), false);
  assertEquals(disk.dirtyPieces(), []);
});

test("SimulatedDisk shows a prepared path what another program did to the file", () => {
  const check = (act: (disk: SimulatedDisk) => void) => {
    const { disk, system, fd } = prepared();
    const { device, inode, sizeBytes } = system.fstat(fd);
    const path = system.watch(PATH);
    assert(path.is(device, inode, sizeBytes));
    act(disk);
    return path.is(device, inode, sizeBytes);
  };
  assertEquals(check(() => {}), true);
  assertEquals(check((disk) => disk.outsider.unlink(PATH)), false);
  assertEquals(check((disk) => disk.outsider.writeFile(PATH, new Uint8Array(SIZE))), false);
  assertEquals(check((disk) => disk.outsider.truncate(PATH, SIZE - 4096)), false);
  assertEquals(check((disk) => disk.outsider.truncate(PATH, SIZE + 4096)), false);
  assertEquals(check((disk) => disk.outsider.rename(PATH, "/sim/other")), false);
});

test("SimulatedDisk walks symbolic links, and does not open or make a file through the last one", () => {
  const disk = new SimulatedDisk({ directories: ["/sim", "/sim/deep"] });
  const { system } = disk;
  disk.outsider.writeFile("/sim/deep/file", Uint8Array.of(1));
  disk.outsider.symlink("deep/file", "/sim/link");
  disk.outsider.symlink("/sim/deep", "/sim/way");
  disk.outsider.symlink("loop", "/sim/loop");
  disk.outsider.symlink("nowhere", "/sim/dangling");
  assertEquals([system.stat("/sim/link")?.kind, system.lstat("/sim/link")?.kind], ["file", "symlink"]);
  assertEquals(system.realPath("/sim/way/file"), "/sim/deep/file");
  assertEquals(system.stat("/sim/dangling"), null);
  for (const path of ["/sim/link", "/sim/dangling", "/sim/loop"]) {
    assertThrows(() => system.open(path, "create"), SystemError, "ELOOP");
  }
  assertThrows(() => system.stat("/sim/loop"), SystemError, "ELOOP");
  assertThrows(() => system.open("/sim/none/file", "file"), SystemError, "ENOENT");
  assertThrows(() => system.open("/sim/deep/file/x", "file"), SystemError, "ENOTDIR");
});

test("SimulatedDisk goes on from a snapshot in every way, and the same way twice", () => {
  const { disk, bytes, system, fd } = prepared({ pieceBytes: 64 });
  new Random(3).fill(bytes.subarray(0, 4096));
  system.link(PATH, "/sim/other");
  const snapshot = disk.snapshot();
  disk.crash({ keep: "random" });
  const first = disk.image(PATH);
  const { steps } = disk;
  for (let i = 0; i < 3; i++) {
    disk.restore(snapshot);
    assertEquals(disk.steps, steps);
    assertThrows(() => system.fstat(fd), SimulatedCrash);
    disk.crash({ keep: "random" });
    assertEquals(disk.image(PATH), first);
  }
  disk.restore(snapshot);
  disk.crash({ keep: "all" });
  assertNotEquals(disk.image(PATH), first);
  assertEquals(disk.paths(), [PATH, "/sim/other"]);
});

test("SimulatedDisk does the same for the same seed, and something else for another", async () => {
  const history = async (seed: number) => {
    const { disk, bytes, syncAsync } = prepared({ seed, pieceBytes: 64, tearChance: 0.3, writeBackChance: 0.2 });
    const random = new Random(seed);
    for (let round = 0; round < 30; round++) {
      random.fill(bytes.subarray(random.below(SIZE - 100)).subarray(0, 100));
      if (random.chance(0.3)) await syncAsync(4096 * random.below(8), 9000);
    }
    disk.crash();
    return [disk.image(PATH).join(), disk.describe(1000)];
  };
  assertEquals(await history(5), await history(5));
  assertNotEquals((await history(5))[0], (await history(6))[0]);
});

test("SimulatedDisk.describe() tells the calls, what they met and what a crash kept", () => {
  const { disk, bytes, sync } = prepared({ seed: 11 });
  bytes[5] = 7;
  disk.fail({ call: "syncMapped", errno: "ENOSPC" });
  assertThrows(() => sync(0, 64), SystemError);
  bytes[4096] = 7;
  disk.crash({ keep: "all" });
  const report = disk.describe();
  for (const part of ['"seed":11', "syncMapped /sim/file: ENOSPC", "kept 1 of 1: /sim/file bytes 4096+512"]) {
    assert(report.includes(part), report);
  }
});

test("everySubset() gives each subset once, and refuses to try too many", () => {
  const piece: DirtyPiece = { kind: "entry", operation: "link /a" };
  const seen = [...everySubset(3)].map((keep) => [0, 1, 2].map((index) => keep(piece, index) ? 1 : 0).join(""));
  assertEquals(seen.sort(), ["000", "001", "010", "011", "100", "101", "110", "111"]);
  assertThrows(() => everySubset(13).next(), RangeError);
});

test("Random repeats itself for a seed, goes on from a saved state, and has other numbers for each label", () => {
  const random = new Random(1);
  const first = [random.uint32(), random.uint32(), random.uint32()];
  const again = new Random(1);
  assertEquals([again.uint32(), again.uint32(), again.uint32()], first);
  const saved = again.save();
  const next = again.uint32();
  again.load(saved);
  assertEquals(again.uint32(), next);
  assertEquals(new Random(1).fork("a").uint32(), random.fork("a").uint32());
  assertNotEquals(new Random(1).fork("a").uint32(), new Random(1).fork("b").uint32());
  const counts = new Array(10).fill(0);
  for (let i = 0; i < 10_000; i++) counts[random.below(10)]++;
  assert(counts.every((count) => count > 850 && count < 1150), counts.join());
});

test("SimulatedClock stalls, jumps and goes back", () => {
  const clock = new SimulatedClock(1000, 5);
  const { now } = clock;
  assertEquals([now(), now()], [1000, 1005]);
  clock.stall();
  assertEquals([now(), now()], [1010, 1010]);
  clock.advance(-500);
  assertEquals(now(), 510);
  clock.resume();
  clock.set(99);
  assertEquals([now(), clock.timeMs], [99, 104]);
});
