// A worker for the tests of ffi/: says how its own libc fails, or how an opening of a file ends.

import { posixSystem } from "../../ffi/system/current.ts";
import { RegionError } from "../../ffi/region.ts";
import { diskStorage } from "../../ffi/storage.ts";
import type { SystemError } from "../../ffi/system/system.ts";
import { openRequest } from "./region.ts";
import { answer } from "./worker.ts";

answer((message) => message === "errno" ? failures() : opening(message));

/** The names of the errors of calls that must fail. */
export function failures(): string {
  const system = posixSystem();
  const found = new Set<string>();
  for (
    const body of [() => system.lock(-1), () => system.map({ fd: 0, spareFd: 0, lengthBytes: 0, barrierOnly: false })]
  ) {
    for (let round = 0; round < 2000; round++) {
      try {
        body();
      } catch (error) {
        found.add((error as SystemError).errno);
      }
    }
  }
  return [...found].join();
}

function opening(path: string): string {
  try {
    diskStorage().open(path, openRequest()).close();
    return "opened";
  } catch (error) {
    return error instanceof RegionError ? `${error.reason} ${error.details.ownerPid}` : String(error);
  }
}
