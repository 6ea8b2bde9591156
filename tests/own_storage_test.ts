// A storage of a user's own, made of nothing but what mod.ts exports.

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import {
  FileMemory,
  type FileSystemInfo,
  type OpenRequest,
  REFRESH_BYTES,
  type Region,
  RegionError,
  type RegionFailure,
  type RegionFailureDetails,
  type Storage,
  WAL,
  WALClosedError,
  WALFileGoneError,
  WALFullError,
  WALIOError,
  WALLockedError,
  WALNotFoundError,
  WALPermissionError,
  WALSpaceError,
  WALSyncError,
} from "../mod.ts";
import { test } from "./support/test.ts";

const SIZE = 65536;

/** What is kept of a file: its bytes when it was last synced. */
interface Saved {
  bytes: Uint8Array;
}

/** A storage of files in a map. It does what a storage on a network or a block device would do. */
class MapStorage implements Storage {
  readonly files = new Map<string, Saved>();
  readonly #locked = new Set<Saved>();
  /** The error of all later syncs; null if they succeed. */
  failure: RegionError | null = null;
  /** How many bytes were refreshed at multiples of `REFRESH_BYTES`. */
  refreshed = 0;

  open(path: string, request: OpenRequest): Region {
    let saved = this.files.get(path);
    const created = saved === undefined;
    if (saved === undefined) {
      if (!request.create) throw new RegionError("NOT_FOUND", `Cannot open ${path}: there is no such file`, { path });
      saved = this.#make(path, [request.initialBytes()], request.sizeBytes);
    }
    if (this.#locked.has(saved)) {
      const ownerPid = request.readOwnerPid(saved.bytes.subarray(0, 8192)) ?? undefined;
      throw new RegionError("LOCKED", `Cannot open ${path}: it is locked`, { path, ownerPid });
    }
    if (saved.bytes.length < request.minimumBytes) {
      throw new RegionError("TOO_SHORT", `Cannot open ${path}: it is too short`, { path });
    }
    return this.#region(path, saved, created);
  }

  write(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): void {
    if (this.files.has(path)) {
      throw new RegionError("IO", `Cannot write ${path}: it exists`, { path, call: "link", errno: "EEXIST" });
    }
    this.#make(path, chunks, sizeBytes);
  }

  #make(path: string, chunks: Iterable<Uint8Array>, sizeBytes: number): Saved {
    const bytes = new Uint8Array(sizeBytes);
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, at);
      at += chunk.length;
    }
    const saved = { bytes };
    this.files.set(path, saved);
    return saved;
  }

  #region(path: string, saved: Saved, created: boolean): Region {
    this.#locked.add(saved);
    const memory = new FileMemory(saved.bytes.length);
    memory.bytes().set(saved.bytes);
    const fileSystem: FileSystemInfo = { name: "map", durable: true };
    const sync = (offset: number, length: number): void => {
      const failure = this.failure;
      if (failure !== null) throw failure;
      saved.bytes.set(memory.bytes(offset, length), offset);
    };
    return {
      memory,
      path,
      created,
      fileSystem,
      warnings: [`${path} lives in a map`],
      syncsRangeAside: true,
      sync,
      // deno-lint-ignore require-await
      async syncAsync(offset, length) {
        sync(offset, length);
      },
      pageIn() {},
      readable() {
        const copy = new FileMemory(saved.bytes.length);
        copy.bytes().set(memory.bytes());
        return copy;
      },
      release: (offset, length, from) => {
        if (from === "kernel" && offset % REFRESH_BYTES === 0) this.refreshed += length;
      },
      verify: () => {
        if (this.files.get(path) !== saved) {
          throw new RegionError("GONE", `Cannot go on with ${path}: another file is there`, { path });
        }
      },
      replace: (chunks, sizeBytes, keepAs) => {
        if (keepAs !== null) {
          if (this.files.has(keepAs)) throw new RegionError("IO", "Cannot keep it", { path: keepAs, errno: "EEXIST" });
          this.files.set(keepAs, saved);
        }
        return this.#region(path, this.#make(path, chunks, sizeBytes), true);
      },
      close: () => {
        this.#locked.delete(saved);
        memory.detach();
      },
    };
  }
}

/** The LSNs and values of a log. */
function contents(wal: WAL): [lsn: number, valueLow: bigint][] {
  return wal.replay().map(({ lsn, valueLow }) => [lsn, valueLow]);
}

test("Storage of one's own makes, fills, closes and reopens a log", async () => {
  const storage = new MapStorage();
  {
    await using wal = WAL.open("/map/log", { storage, size: SIZE });
    assertEquals([wal.recovery.created, wal.stats().fileSystem], [true, "map"]);
    assert(wal.stats().warnings.includes("/map/log lives in a map"));
    await wal.logInsert(1, 2, 3, 4);
    await wal.batchInsert([[1, 2, 3, 5], [1, 2, 3, 6]]);
  }
  using wal = WAL.open("/map/log", { storage });
  assertEquals([wal.recovery.created, wal.recovery.clean], [false, true]);
  assertEquals(contents(wal), [[1, 4n], [2, 5n], [3, 6n]]);
});

test("Storage of one's own loses only what was not synced when its machine stops", async () => {
  const storage = new MapStorage();
  const wal = WAL.open("/map/log", { storage, size: SIZE, idleHeaderDelayMs: Infinity });
  await wal.logInsert(1, 2, 3, 4);
  wal.logInsertSync(5, 6, 7, 8);
  // The files as they are now, on another machine.
  const other = new MapStorage();
  for (const [path, { bytes }] of storage.files) other.files.set(path, { bytes: bytes.slice() });
  wal.close();
  using recovered = WAL.open("/map/log", { storage: other });
  assertEquals([recovered.recovery.clean, contents(recovered)], [false, [[1, 4n]]]);
});

test("Storage of one's own keeps a second opener out, and names the first", () => {
  const storage = new MapStorage();
  const wal = WAL.open("/map/log", { storage, size: SIZE });
  const error = assertThrows(() => WAL.open("/map/log", { storage }), WALLockedError);
  assertMatch(error.message, /this process/);
  wal.close();
  WAL.open("/map/log", { storage }).close();
});

test("backup() and salvage go through a Storage of one's own", async () => {
  const storage = new MapStorage();
  {
    await using wal = WAL.open("/map/log", { storage, size: SIZE });
    for (let i = 0; i < 10; i++) await wal.logInsert(i, i, i, i);
    assertEquals(wal.backup("/map/copy"), { first: 1, last: 10 });
    assertThrows(() => wal.backup("/map/copy"), WALIOError);
  }
  // Record 5 is damaged: byte 20 of the fifth slot.
  storage.files.get("/map/log")!.bytes[16384 + 4 * 64 + 20]! ^= 1;
  using salvaged = WAL.open("/map/log", { storage, recovery: "salvage" });
  assertEquals(salvaged.recovery.losses.map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn]), [[5, 5]]);
  assert(storage.files.has(salvaged.recovery.damagedFile!));
  using copy = WAL.open("/map/copy", { storage });
  assertEquals(contents(copy).length, 10);
});

test("resize() goes through a Storage of one's own", async () => {
  const storage = new MapStorage();
  {
    await using wal = WAL.open("/map/log", { storage, size: SIZE });
    for (let i = 0; i < 10; i++) await wal.logInsert(i, i, i, i);
    wal.resize(2 * SIZE);
    assertEquals([wal.size, storage.files.get("/map/log")!.bytes.length], [2 * SIZE, 2 * SIZE]);
    await wal.logInsert(10, 10, 10, 10);
  }
  using wal = WAL.open("/map/log", { storage });
  assertEquals([storage.files.size, wal.recovery.clean, contents(wal).length], [1, true, 11]);
});

/** What each reason of a `RegionError` becomes, thrown by `open()`. */
// deno-lint-ignore no-explicit-any
const OPENING: readonly [RegionFailure, RegionFailureDetails, new (...args: any[]) => Error][] = [
  ["PERMISSION", { flags: ["--allow-net"] }, WALPermissionError],
  ["NOT_FOUND", {}, WALNotFoundError],
  ["NO_SPACE", { errno: "ENOSPC" }, WALSpaceError],
  ["IO", { errno: "EREMOTEIO" }, WALIOError],
];

test("RegionError that a Storage of one's own throws becomes the WALError of its reason", () => {
  for (const [reason, details, expected] of OPENING) {
    const cause = new RegionError(reason, `Cannot open it: ${reason}`, details);
    const storage: Storage = {
      open() {
        throw cause;
      },
      write() {},
    };
    const error = assertThrows(() => WAL.open("/map/log", { storage }), expected);
    assertEquals([error.message, error.cause], [cause.message, cause]);
  }
});

test("Storage of one's own poisons the log by a failed sync and by a lost file", async () => {
  const storage = new MapStorage();
  const wal = WAL.open("/map/log", { storage, size: SIZE });
  storage.failure = new RegionError("SYNC", "Cannot sync it", { errno: "EREMOTEIO" });
  const error = await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALSyncError);
  assertEquals([error.errno, wal.stats().poisoned], ["EREMOTEIO", true]);
  assertThrows(() => wal.logInsertSync(1, 2, 3, 4), WALSyncError);
  assertThrows(() => wal.close(), WALSyncError);

  const other = new MapStorage();
  const second = WAL.open("/map/log", { storage: other, size: SIZE });
  other.files.delete("/map/log");
  await assertRejects(() => second.logInsert(1, 2, 3, 4), WALFileGoneError);
  second.close();
  assertThrows(() => second.replay(), WALClosedError);
});

test("Storage of one's own has a ring that is full, released, and used again", async () => {
  const storage = new MapStorage();
  await using wal = WAL.open("/map/log", { storage, size: SIZE });
  for (let i = 0; i < wal.capacity; i++) wal.logInsertSync(0, 0, 0, i);
  assertThrows(() => wal.logInsertSync(0, 0, 0, 0), WALFullError);
  wal.flush();
  wal.truncate(100);
  for (let i = 0; i < 100; i++) wal.logInsertSync(0, 0, 0, i);
  assertEquals([wal.tail, wal.length], [101, wal.capacity]);
});
