// A disk and the machine around it. They crash, fail and rot as a test says, and in the same way
// for the same seed.
//
// The fault model
//
// What happens on any machine:
//   - A file is its page cache, which programs read, write and map, and its medium, which survives
//     power loss. A store is in the page cache only, until a sync of its range returns, or until
//     the kernel writes its page back on its own.
//   - What is dirty is written back in pieces of 64, 512 or 4096 bytes (`pieceBytes`), in any
//     order, any subset, at any time: at a crash, and without one (`writeBackSome()`, or at random
//     calls with `writeBackChance`). A piece may be torn at any byte (`tearPieces`). A sync makes
//     the pages of its range durable and the file's size, nothing else.
//   - An asynchronous sync writes its pages as they were when it was called. A later store needs a
//     later sync.
//   - Space that was never written reads as zeros.
//   - A name made, moved or removed is durable once its directory is synced. Power loss keeps some
//     of the changes that were not: the first few of them, or any (`directoryOrder`). Syncing a
//     file does not make its name durable.
//   - Locks, descriptors and mappings end with their process. Power loss takes the page cache; a
//     kill does not.
//
// What can be made to happen:
//   - A crash before, within or after any system call (`crashAt()`), also while an asynchronous
//     sync is under way, and between two calls (`crash()`); of the machine (power) or of the
//     process (kill); again and again.
//   - A failure of any call, once or for ever (`fail()`). After a failed sync the pages count as
//     clean although the medium does not have them, so that the next sync succeeds without writing
//     them. Each open file description learns of a failed write-back once. Opening does not re-read
//     pages; dropping clean pages from the page cache does.
//   - Lying: a sync that reports success and wrote nothing, or wrote elsewhere.
//   - Damage: flipped bits, wiped, swapped, copied, stale and misplaced sectors, on the medium
//     alone or in the page cache too.
//   - Another program that deletes, replaces or cuts an open file. A clock that stalls, jumps and
//     goes back.
//
// Outside the model:
//   - Stores cannot be observed, only their outcome at the next call. A store that changes no byte
//     makes no page dirty, but a `populate()` of its page does. A crash finds a
//     piece in its state at the previous call, or in its state now.
//   - SIGBUS: a load or store past the end of a cut file goes unpunished.
//   - Directories are never moved or removed. One process at a time; mappings of one file share one
//     buffer.
//   - Time: calls take none. The writes of one piece reach the medium in their order.

import { mappedStorage } from "../../../ffi/file/mapped_storage.ts";
import type { Storage } from "../../../ffi/region.ts";
import type { System } from "../../../ffi/system/system.ts";
import { SimulatedClock } from "./clock.ts";
import { DiskDamage } from "./damage.ts";
import { DiskTrace } from "./disk_trace.ts";
import type { CrashOptions, SimulatedDiskOptions } from "./options.ts";
import {
  type FailingCall,
  type Fault,
  FaultPlan,
  type Moment,
  type SystemCall,
  type TraceEntry,
} from "./fault_plan.ts";
import { chooser, type DirtyPiece, type Keep } from "./keep.ts";
import { Medium } from "./medium.ts";
import { OtherProgram } from "./other_program.ts";
import { Random, type RandomState } from "../random.ts";
import { SimulatedFile } from "./simulated_file.ts";
import type { SimulatedMachine } from "./simulated_process.ts";
import { SimulatedSystem } from "./simulated_system.ts";
import { type SimulatedNode, SimulatedTree } from "./simulated_tree.ts";

/** A state of a disk, to go back to. */
export interface DiskSnapshot {
  /** How many system calls there had been. */
  readonly steps: number;
}

interface SavedState {
  readonly tree: SimulatedTree;
  readonly halted: boolean;
  readonly random: readonly RandomState[];
  readonly trace: readonly TraceEntry[];
}

/** What is at a path of a disk, for tests that read beside the process; null if nothing is. */
export let nodeAt: (disk: SimulatedDisk, path: string) => SimulatedNode | null;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/**
 * A disk that loses, tears and damages what real disks do; see the fault model at the top of this
 * file.
 *
 * @example A full disk
 * ```ts
 * import { WAL } from "@cidstore/wal";
 * import { SimulatedDisk } from "@cidstore/wal/testing";
 *
 * const disk = new SimulatedDisk();
 * const options = { storage: disk.storage, now: disk.clock.now, size: 65536 };
 * disk.fail({ call: "allocate", errno: "ENOSPC" });
 * try {
 *   WAL.open("/sim/log", options);
 * } catch (error) {
 *   console.log((error as { code: string }).code); // NO_SPACE
 * }
 * ```
 */
export class SimulatedDisk {
  /** The wall clock of the machine: pass `disk.clock.now` to the log. */
  readonly clock: SimulatedClock = new SimulatedClock();
  /** The files of this disk, for the `storage` option of a log. It stays the same over crashes. */
  readonly storage: Storage;
  /** The seed. A disk with the same seed behaves in the same way. */
  readonly seed: number;
  /** Bit rot, and sectors that are not what was written. */
  readonly damage: DiskDamage;
  /** Another program that uses the same files. */
  readonly outsider: OtherProgram;

  readonly #options: SimulatedDiskOptions;
  readonly #machine: Mutable<SimulatedMachine>;
  /** For system calls, for crashes, for write-back. */
  readonly #randoms: readonly [calls: Random, crashes: Random, writeBack: Random];
  readonly #plan = new FaultPlan();
  #system: SimulatedSystem;
  #halted = false;
  #steps = 0;
  readonly #trace: DiskTrace;
  readonly #saved = new WeakMap<DiskSnapshot, SavedState>();

  /** A disk with empty directories. */
  constructor(options: SimulatedDiskOptions = {}) {
    this.#options = options;
    this.#trace = new DiskTrace(options.traceLimit ?? 10_000);
    this.seed = options.seed ?? 1;
    const random = new Random(this.seed);
    this.#randoms = [random.fork("calls"), random.fork("crashes"), random.fork("write-back")];
    this.#machine = {
      tree: new SimulatedTree(options.directoryOrder ?? "journal"),
      random: this.#randoms[0],
      settings: {
        pageBytes: options.pageBytes ?? 4096,
        fileSystem: options.fileSystem ?? "ext4",
        noCopyOnWrite: options.noCopyOnWrite ?? true,
        dropsCache: options.dropsCache ?? true,
        asyncUsesSpare: options.asyncUsesSpare ?? false,
        asyncTicks: options.asyncTicks ?? 8,
      },
      newFile: () => this.#newFile(),
      halt: () => this.#halted = true,
      enter: (call, subject) => this.#enter(call, subject),
    };
    for (const path of options.directories ?? ["/sim"]) this.#machine.tree.makeDirectory(path);
    this.#system = new SimulatedSystem(this.#machine);
    const note = (text: string) => this.#trace.note(text);
    this.damage = new DiskDamage(this.#machine, note);
    this.outsider = new OtherProgram(this.#machine, note);
    this.storage = mappedStorage(() => this.#system);
  }

  // Calls, and the faults that they meet.

  /**
   * The system calls of the process that runs now; those of a process that has crashed throw
   * `SimulatedCrash`.
   *
   * @internal For this library's own tests.
   */
  get system(): System {
    return this.#system;
  }

  /** How many system calls there have been. The next one has this number plus one. */
  get steps(): number {
    return this.#steps;
  }

  /** The calls so far and what else happened, oldest first, as far back as `traceLimit`. */
  get trace(): readonly TraceEntry[] {
    return this.#trace.entries;
  }

  /** True between a crash and `restart()`. */
  get halted(): boolean {
    return this.#halted;
  }

  /** Descriptors, mappings and locks that the process still holds. */
  get openHandles(): { readonly descriptors: number; readonly mappings: number; readonly locks: number } {
    return this.#system.openHandles;
  }

  /**
   * Crashes at a later call. After that, all calls of the process throw, until `restart()`.
   *
   * @param step counts calls from 1, as `steps` does.
   * @throws {RangeError} if that call is over.
   */
  crashAt(step: number, when: Moment = "before"): void {
    if (!(step > this.#steps)) throw new RangeError(`Step ${step} is over: there have been ${this.#steps}`);
    this.#plan.crashAt({ step, when });
  }

  /** Makes one or more later calls fail. */
  fail(call: FailingCall): void {
    this.#plan.fail(call);
  }

  /** Cancels the planned crash and the planned failures. */
  clearFaults(): void {
    this.#plan.clear();
  }

  /** How many asynchronous syncs are under way. */
  get pendingAsync(): number {
    return this.#system.syncs.pendingAsync;
  }

  /** Ends an asynchronous sync: the oldest, or the one of that index. */
  finishAsync(index = 0): void {
    this.#system.syncs.finishAsync(index);
  }

  // Crashes.

  /**
   * Crashes here and now, and starts again. Regions that were open are detached, and of no use.
   */
  crash(options: CrashOptions = {}): void {
    if (!this.#halted) this.#halt("Simulated crash between two calls");
    this.restart(options);
  }

  /**
   * Starts again after a crash at a call: decides what survived.
   *
   * @throws {Error} if the machine has not crashed.
   */
  restart(options: CrashOptions = {}): void {
    if (!this.#halted) throw new Error("The machine has not crashed");
    if ((options.mode ?? "power") === "kill") this.#trace.note("killed: the page cache survives");
    else this.#losePower(options.keep ?? "random");
    this.#plan.crashAt(null);
    this.#system = new SimulatedSystem(this.#machine);
    this.#halted = false;
  }

  /**
   * The pieces that power loss may keep or lose now, of one path or of all. They are in the order
   * in which `keep` is asked.
   */
  dirtyPieces(path?: string): DirtyPiece[] {
    const pieces: DirtyPiece[] = [];
    this.#eachFile((file, name) => {
      if (path === undefined || path === name) {
        for (const piece of file.pieces()) pieces.push({ ...piece, path: name });
      }
    });
    return path === undefined ? [...pieces, ...this.#machine.tree.pieces()] : pieces;
  }

  /**
   * The kernel writes back some of the dirty pieces on its own: a seeded choice, or the given one.
   */
  writeBackSome(keep: Keep = "random"): void {
    const random = this.#randoms[2];
    const choice = chooser(keep, random, 0);
    this.#eachFile((file, path) => file.writeBack((piece) => choice.decide({ ...piece, path }), random));
    this.#machine.tree.writeBack((piece) => choice.decide(piece) !== false);
    if (choice.kept.length > 0) this.#trace.noteChoice("written back", choice);
  }

  /**
   * The kernel writes back a file's dirty pages on its own, and fails. The next sync of each
   * descriptor reports that.
   */
  failWriteBack(path: string, errno = "EIO"): void {
    const { file } = this.#machine.tree.file("write-back", path);
    file.failSync(0, file.sizeBytes, false, () => false);
    file.errors.raise(errno);
    this.#trace.note(`write-back of ${path} fails with ${errno}`);
  }

  /**
   * The kernel drops a file's clean pages from the page cache, and reads them from the medium
   * again.
   */
  evict(path: string): void {
    this.#machine.tree.file("evict", path).file.evict();
    this.#trace.note(`clean pages of ${path} dropped`);
  }

  /**
   * The state of the disk. A running process is not part of it: what it mapped is in the page
   * cache.
   */
  snapshot(): DiskSnapshot {
    const snapshot = { steps: this.#steps };
    this.#saved.set(snapshot, {
      tree: this.#machine.tree.clone(),
      halted: this.#halted,
      random: this.#randoms.map((random) => random.save()),
      trace: [...this.#trace.entries],
    });
    return snapshot;
  }

  /**
   * Goes back to a state, as often as you like. The running process ends as in a crash, and
   * planned faults are cancelled.
   *
   * @throws {TypeError} if the snapshot is another disk's.
   */
  restore(snapshot: DiskSnapshot): void {
    const saved = this.#saved.get(snapshot);
    if (saved === undefined) throw new TypeError("This is no snapshot of this disk");
    this.#system.process.kill("The simulated disk went back to a snapshot");
    this.#plan.clear();
    this.#machine.tree = saved.tree.clone();
    this.#steps = snapshot.steps;
    this.#halted = saved.halted;
    this.#randoms.forEach((random, index) => random.load(saved.random[index]!));
    this.#trace.restore(saved.trace);
    // A halted machine keeps the process that has ended.
    if (!this.#halted) this.#system = new SimulatedSystem(this.#machine);
  }

  /**
   * A copy of a file's bytes: those that programs read, or those that power loss would leave if it
   * kept no unsynced piece.
   */
  image(path: string, of: "medium" | "cache" = "medium"): Uint8Array<ArrayBuffer> {
    return this.#machine.tree.file("read", path).file.image(of);
  }

  /** True if programs find something at a path. */
  exists(path: string): boolean {
    return this.#machine.tree.walk("stat", path, false).node !== null;
  }

  /** The paths of all files and links. */
  paths(): string[] {
    return [...this.#machine.tree.nodes()].filter(([, node]) => node.kind !== "directory").map(([path]) => path);
  }

  /** How many bytes of a file's pages syncs have written to the medium. */
  bytesWritten(path: string): number {
    return this.#machine.tree.file("stat", path).file.bytesWritten;
  }

  // Reports.

  /** What has happened so far, for a failure's report. */
  describe(lastCalls = 60): string {
    const options = JSON.stringify({ ...this.#options, seed: this.seed });
    return [`SimulatedDisk ${options}, ${this.#steps} calls`, ...this.#trace.lines(lastCalls)].join("\n");
  }

  // Within.

  static {
    nodeAt = (disk, path) => disk.#machine.tree.walk("stat", path, true).node;
  }

  #enter(call: SystemCall, subject: string): { readonly entry: TraceEntry; readonly fault: Fault | null } {
    this.#steps++;
    if (this.#randoms[2].chance(this.#options.writeBackChance ?? 0)) this.writeBackSome();
    const entry: TraceEntry = { step: this.#steps, call, subject, outcome: "ok" };
    this.#trace.push(entry);
    return { entry, fault: this.#plan.next(this.#steps, call, subject) };
  }

  #newFile(): SimulatedFile {
    const { pieceBytes = 512, keepVersions = false } = this.#options;
    return new SimulatedFile(this.#machine.settings.pageBytes, pieceBytes, new Medium(keepVersions));
  }

  #halt(message: string): void {
    this.#system.process.kill(message);
    this.#halted = true;
  }

  #losePower(keep: Keep): void {
    const random = this.#randoms[1];
    const choice = chooser(keep, random, this.#options.tearChance ?? 0);
    this.#eachFile((file, path) => file.losePower((piece) => choice.decide({ ...piece, path }), random));
    this.#machine.tree.losePower((piece) => choice.decide(piece) !== false);
    this.#trace.noteChoice("power lost", choice);
  }

  /** Each file once, also one that only a durable name leads to. */
  #eachFile(visit: (file: SimulatedFile, path: string) => void): void {
    for (const [inode, file] of this.#machine.tree.files()) visit(file, this.#machine.tree.nameOf(inode));
  }
}
