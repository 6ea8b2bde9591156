// What the tests of ffi/ share: a request, a count of what the process holds, systems that fail.

import * as fs from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Libc } from "../../ffi/libc/libc.ts";
import type { OpenRequest } from "../../ffi/region.ts";
import { type Mapping, type MapRequest, type System, SystemError } from "../../ffi/system/system.ts";

/** Bytes of the files that the tests make. */
export const SIZE_BYTES = 65536;

/** The bytes at the start of a file that the tests make; the owner is process 42. */
export const FIRST_BYTES: Uint8Array = Uint8Array.of(0x57, 0x41, 0x4c, 42);

/** A request that makes a small file. */
export function openRequest(changes: Partial<OpenRequest> = {}): OpenRequest {
  return {
    create: true,
    sizeBytes: SIZE_BYTES,
    minimumBytes: 16384,
    initialBytes: () => FIRST_BYTES,
    readOwnerPid: (bytes) => bytes[3] ?? null,
    allowUnsafeFileSystem: false,
    barrierOnly: false,
    ...changes,
  };
}

/**
 * Collects what nobody holds: Bun has few WebAssembly memories, and a count of this process's
 * mappings is not to depend on when the engine collects.
 */
export const collectGarbage: () => void =
  (globalThis as { Bun?: { gc(isSync: boolean): void } }).Bun?.gc.bind(null, true) ?? engineCollector();

/** V8's collector, which its engine shows to a context that is made after the flag is set. */
function engineCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

/** Throws unless the file is as `openRequest()` made it: whole. */
export function checkWhole(path: string): void {
  const bytes = fs.readFileSync(path);
  const expected = new Uint8Array(SIZE_BYTES);
  expected.set(FIRST_BYTES);
  if (!bytes.equals(expected)) throw new Error(`${path} is half made: ${bytes.length} bytes`);
}

/** The descriptors and mappings of this process that lead below a directory. Linux. */
export function held(directory: string): string[] {
  const found: string[] = [];
  for (const fd of fs.readdirSync("/proc/self/fd")) {
    try {
      const target = fs.readlinkSync(`/proc/self/fd/${fd}`);
      if (target.startsWith(directory)) found.push(`descriptor ${target}`);
    } catch { /* the descriptor of the listing itself */ }
  }
  for (const line of fs.readFileSync("/proc/self/maps", "utf8").split("\n")) {
    if (line.includes(directory)) found.push(`mapping ${line}`);
  }
  return found;
}

/** Decides in which error the n-th call of a name (from 0) ends; null lets it through. */
export type Verdict = (call: string, index: number) => string | null;

/** A system whose calls fail as told. A failed close or unmap still frees, as on Linux. */
export function failingSystem(system: System, verdict: Verdict): System {
  let index = 0;
  const failing = <T extends object>(calls: T): T =>
    new Proxy(calls, {
      get(target, name) {
        const value = Reflect.get(target, name, target) as unknown;
        // An advice never fails.
        if (typeof value !== "function" || name === "release") return bound(value, target);
        return (...values: unknown[]) => {
          const errno = verdict(String(name), index++);
          const releases = name === "close" || name === "unlock";
          if (errno === null || releases) {
            const result = Reflect.apply(value, target, values) as unknown;
            if (errno === null) return name === "map" ? failing(result as Mapping) : result;
          }
          const error = new SystemError(CALLS[String(name)] ?? String(name), errno!);
          if (name === "syncAsync") return Promise.reject(error);
          throw error;
        };
      },
    });
  return failing(system);
}

function bound(value: unknown, target: object): unknown {
  return typeof value === "function" ? value.bind(target) : value;
}

const CALLS: Readonly<Record<string, string>> = {
  sync: "msync",
  syncAsync: "msync",
  syncFile: "fdatasync",
  map: "mmap",
  pageIn: "madvise",
};

/** A system with other calls in place of a mapping's. */
export function systemWithMapping(system: System, changed: (mapping: Mapping) => Partial<Mapping>): System {
  return new Proxy(system, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (name !== "map") return bound(value, target);
      return (request: MapRequest): Mapping => {
        const mapping = target.map(request);
        const changes = changed(mapping);
        return new Proxy(mapping, {
          get: (target, name) =>
            Object.hasOwn(changes, name)
              ? changes[name as keyof Mapping]
              : bound(Reflect.get(target, name, target), target),
        });
      };
    },
  });
}

/** What `Libc` has beside calls of the C library. */
const NO_CALLS: ReadonlySet<string> = new Set(["view", "addressOf", "keep"]);

/** A C library whose calls fail as told, as C does: −1 and errno, or the number itself. */
export function failingLibc(libc: Libc, numbers: Readonly<Record<string, number>>, verdict: Verdict): Libc {
  let index = 0;
  let errno: number | null = null;
  return new Proxy(libc, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (name === "errno") return () => errno ?? target.errno();
      if (typeof value !== "function" || NO_CALLS.has(String(name))) return value;
      return (...values: unknown[]) => {
        const found = verdict(String(name), index++);
        errno = null;
        // A file that stays mapped would be held by the test too.
        const unmaps = name === "munmap" || (name === "mmap" && values[4] === -1);
        if (found === null || unmaps) {
          const result = Reflect.apply(value, target, values) as unknown;
          if (found === null) return result;
        }
        const number = numbers[found!]!;
        if (String(name).startsWith("posix_")) return number;
        errno = number;
        return String(name).endsWith("Async") ? Promise.resolve(-1) : -1;
      };
    },
  });
}
