// Where a store under test keeps its data, and what a crash leaves of them.

import {
  accessSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { absolutePath } from "../../ffi/file/working_directory.ts";
import { type BeforeWrite, watchDatabases } from "./sqlite_watch.ts";

/** Thrown by `home.step()`: a write of the store failed. It may succeed when it is repeated. */
export class SimulatedFailure extends Error {
  /** Always `SimulatedFailure`. */
  override name = "SimulatedFailure";
}

/**
 * The machine that a store runs on, from one crash to the next. A store that is opened finds there
 * what the last crash left. A new store finds nothing.
 */
export interface StoreHome {
  /**
   * A real directory of the store's own, made when it is first asked for, and removed when the test
   * ends. A killed process leaves a copy of the files as they are. Power loss leaves a copy as they
   * were after any call to the store since its last `sync()`. The copy has another path.
   */
  readonly directory: string;
  /**
   * Plain data (numbers, strings, arrays, `Map`s, bytes) that stands for a disk: each change is a
   * write. A crash leaves a copy, as with `directory`. Ask for it once: whatever else the store has
   * in memory is lost. If it is an object, a crash may come before each assignment to one of the
   * properties that it has at first.
   */
  saved<T>(initial: () => T): T;
  /**
   * Something that does not crash with the log, such as a server elsewhere, or a store in memory:
   * the same object in each life.
   */
  outside<T>(make: () => T): T;
  /**
   * Call it between two writes of the store. At a crash it throws. Now and then it throws as a
   * failed write does. The store must let both errors through.
   *
   * Without it, crashes come between and after calls to the store, and where the store awaits
   * something. They also come before each commit of an SQLite database in `directory`
   * (`node:sqlite`, `bun:sqlite`), before each assignment to a property of `saved()`, and, on
   * Linux, between the changes of two files in `directory`.
   */
  step(): void;
}

/** What a crash at some moment would leave. */
interface Image {
  readonly directory: string | null;
  readonly saved: { readonly value: unknown } | null;
}

/** What a store's writes call. */
export interface HomeSteps {
  /** What `home.step()` does. */
  step(): void;
  /** Called before a write that the home sees by itself. */
  readonly beforeWrite: BeforeWrite;
}

/** A home over all the crashes of one history. */
export class Home implements Disposable {
  #parent: string | null = null;
  #directories = 0;
  #now: Image = { directory: null, saved: null };
  #outside: { readonly value: unknown } | null = null;
  readonly #temporary: string | undefined;
  #life = 0;
  /** What a power loss that takes all unsynced writes would leave. */
  #older: Image | null = null;
  #unwatch = () => {};
  /** Files as they were when a call began, for a crash that comes within the call. */
  #torn = new Map<string, Uint8Array | null>();

  /** @param temporary where directories are made. */
  constructor(temporary: string | undefined) {
    // The workload may change the working directory.
    this.#temporary = temporary === undefined ? undefined : absolutePath(temporary);
  }

  /** The store's directory, once it was asked for. */
  get directory(): string | null {
    return this.#now.directory;
  }

  /** The home as a store sees it until the next crash. */
  open({ step, beforeWrite }: HomeSteps): StoreHome {
    const life = this.#life;
    // A life that is over keeps its own data and files: nothing it does now reaches the next one.
    let last = this.#now;
    const image = () => life === this.#life ? this.#now : last;
    const change = (to: Image) => {
      last = to;
      if (life === this.#life) this.#now = to;
      return to;
    };
    const makeDirectory = () => this.#makeDirectory();
    const watch = (directory: string) => {
      this.#unwatch();
      this.#unwatch = watchDatabases(directory, beforeWrite);
    };
    if (this.#now.directory !== null) watch(this.#now.directory);
    return {
      get directory(): string {
        const { directory } = image();
        if (directory !== null) return directory;
        const made = change({ ...image(), directory: makeDirectory() }).directory!;
        watch(made);
        return made;
      },
      saved<T>(initial: () => T): T {
        const saved = image().saved ?? change({ ...image(), saved: { value: initial() } }).saved!;
        watchProperties(saved.value, beforeWrite);
        return saved.value as T;
      },
      outside: <T>(make: () => T): T => (this.#outside ??= { value: make() }).value as T,
      step,
    };
  }

  /** True if this is the object that does not crash. */
  isOutside(value: unknown): boolean {
    return this.#outside !== null && this.#outside.value === value;
  }

  /** Power loss, if it comes, leaves the home as it is now. */
  keepImage(): void {
    if (this.#older !== null) this.#drop(this.#older);
    this.#older = this.#copy(this.#now);
  }

  /** The files that the next crash will set back. */
  get torn(): readonly string[] {
    return [...this.#torn.keys()];
  }

  /** The next crash leaves these files as they are now. Those that do not exist are removed. */
  tear(files: readonly string[]): void {
    const { directory } = this.#now;
    for (const file of files) this.#torn.set(file, directory === null ? null : readIfThere(join(directory, file)));
  }

  /** The machine crashes: what is left is the home as it is now, or at the last `keepImage()`. */
  crash(leaves: "now" | "image"): void {
    const left = leaves === "image" && this.#older !== null ? this.#older : this.#copy(this.#now);
    if (this.#older !== null && left !== this.#older) this.#drop(this.#older);
    for (const [file, bytes] of this.#torn) {
      const path = join(left.directory!, file);
      if (bytes === null) rmSync(path, { force: true });
      else writeFileSync(path, bytes);
    }
    this.#torn.clear();
    this.#unwatch();
    this.#unwatch = () => {};
    this.#older = null;
    this.#now = left;
    this.#life++;
  }

  /** Closes a store, unless the store is outside of the machine and goes on. */
  async close(store: object): Promise<void> {
    if (this.isOutside(store)) return;
    const { close, [Symbol.dispose]: dispose, [Symbol.asyncDispose]: asyncDispose } = store as Partial<
      AsyncDisposable & Disposable & { close(): unknown }
    >;
    await (asyncDispose ?? dispose ?? close)?.call(store);
  }

  /** Removes all directories. */
  [Symbol.dispose](): void {
    this.#unwatch();
    if (this.#parent !== null) rmSync(this.#parent, { recursive: true, force: true, maxRetries: 3 });
    this.#parent = null;
  }

  #makeDirectory(): string {
    this.#parent ??= mkdtempSync(join(this.#temporary ?? absolutePath(temporaryDirectory()), "wal-crash-"));
    const path = join(this.#parent, String(++this.#directories));
    mkdirSync(path);
    return path;
  }

  #copy({ directory, saved }: Image): Image {
    const copy = directory === null ? null : this.#makeDirectory();
    if (copy !== null) copyFiles(directory!, copy);
    return { directory: copy, saved: saved === null ? null : { value: copyOf(saved.value) } };
  }

  #drop({ directory }: Image): void {
    if (directory !== null) rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** In memory if possible: stores sync their files often, and nothing here has to last. */
function temporaryDirectory(): string {
  try {
    accessSync("/dev/shm", constants.W_OK);
    return "/dev/shm";
  } catch { /* there is none, or Deno keeps it from a program that may not do everything */ }
  try {
    return tmpdir();
  } catch {
    // Deno without --allow-env.
    return "/tmp";
  }
}

/** Makes each assignment to a property of a plain object call `beforeWrite` first. */
function watchProperties(value: unknown, beforeWrite: BeforeWrite): void {
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return;
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
    if (!property.writable || !property.configurable) continue;
    let now: unknown = property.value;
    Object.defineProperty(value, name, {
      enumerable: property.enumerable ?? true,
      configurable: true,
      get: () => now,
      set: (next: unknown) => {
        beforeWrite(`\`${name}\` of home.saved()`);
        now = next;
      },
    });
  }
}

function readIfThere(path: string): Uint8Array | null {
  try {
    return readFileSync(path);
  } catch {
    return null;
  }
}

function copyOf<T>(value: T): T {
  try {
    return structuredClone(value);
  } catch (cause) {
    throw new TypeError("home.saved() stands for a disk and holds plain data only: it cannot be copied", { cause });
  }
}

function copyFiles(from: string, to: string): void {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      mkdirSync(target);
      copyFiles(source, target);
    } else if (entry.isFile()) {
      copyFileSync(source, target);
    }
  }
}
