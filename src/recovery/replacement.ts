// Puts the salvaged log in place of the damaged file, which gets another name.

import { type Region, RegionError } from "../../ffi/region.ts";
import type { Header } from "../format/header.ts";
import type { Slots } from "../format/record.ts";
import { fileBytesOf, roundFileBytes } from "../format/ring.ts";
import type { ReadSource } from "../read/source.ts";
import type { Loss } from "../types.ts";
import type { Verdict } from "./recovery.ts";
import { salvage } from "./salvage.ts";

/** The most names to try for a damaged file. Names of the same time may be taken already. */
const MOST_NAMES = 100;
/** The longest name, in UTF-8, that all supported file systems allow. */
const MOST_NAME_BYTES = 255;

/** What a salvage has done. */
export interface Salvaged {
  readonly losses: readonly Loss[];
  readonly damagedFile: string;
}

/**
 * Salvages a damaged log.
 *
 * @param nowNanos becomes a part of the damaged file's name.
 * @returns what was done, and the new file.
 */
export function salvageTo(
  region: Region,
  slots: Slots,
  header: Header,
  verdict: Verdict,
  nowNanos: bigint,
): Salvaged & { readonly next: Region } {
  const path = region.path!;
  const source: ReadSource = {
    path,
    tail: verdict.tail,
    slots: () => slots,
    makeReadable: () => {},
    release: () => {},
    counted: (error) => error,
  };
  const saved = salvage(source, slots, {
    header,
    state: verdict,
    proved: verdict.proved,
    overwritten: verdict.damaged.find(({ last }) => last < verdict.tail) ?? null,
  });
  const sizeBytes = roundFileBytes(fileBytesOf(slots.count));
  let nameBytes = MOST_NAME_BYTES;
  for (let attempt = 0;; attempt++) {
    const suffix = `.damaged-${nowNanos}${attempt === 0 ? "" : `-${attempt}`}`;
    const damagedFile = damagedPath(path, suffix, nameBytes);
    try {
      const next = region.replace(saved.pieces(), sizeBytes, damagedFile);
      return { losses: saved.losses, damagedFile, next };
    } catch (error) {
      const errno = error instanceof RegionError ? error.details.errno : undefined;
      // A path has a limit too. The suffix alone fits, because the longer temporary name did.
      if (errno === "ENAMETOOLONG" && nameBytes > 0) nameBytes = 0;
      else if (errno !== "EEXIST" || attempt === MOST_NAMES) throw error;
    }
  }
}

/** A path with a suffix. Characters at the end of a name that would be too long are left out. */
function damagedPath(path: string, suffix: string, nameBytes: number): string {
  const encoder = new TextEncoder();
  const nameAt = path.lastIndexOf("/") + 1;
  let left = nameBytes - suffix.length;
  let kept = "";
  for (const character of path.slice(nameAt)) {
    left -= encoder.encode(character).length;
    if (left < 0) break;
    kept += character;
  }
  return path.slice(0, nameAt) + kept + suffix;
}
