// Repair: makes the file agree with the verdict of recovery, durably.

import type { Region } from "../../ffi/region.ts";
import { HeaderWriter } from "../engine/header_writer.ts";
import { type Header, type HeaderPair, openPositions } from "../format/header.ts";
import { RECORD_BYTES } from "../format/layout.ts";
import type { Slots } from "../format/record.ts";
import { offsetOf, rangesOf } from "../format/ring.ts";
import type { LSN } from "../types.ts";
import type { Verdict } from "./recovery.ts";

/**
 * The smallest page of all supported platforms. A store to each such piece makes every page dirty,
 * whatever the page size.
 */
const PAGE_BYTES = 4096;

/**
 * Makes the file agree with the verdict, durably. First the accepted records become durable. Then
 * the header says so, and then debris is erased. Before the first append, both header copies say
 * that the log is open. In this order, a crash between any two steps leads to the same verdict.
 */
export function repair(
  region: Region,
  slots: Slots,
  pair: HeaderPair,
  header: Header,
  verdict: Verdict,
  pid: number,
): HeaderWriter {
  const writer = new HeaderWriter(region, header, pair.newestCopy);
  const positions = openPositions(verdict, verdict.head - 1, pid);
  if (!region.created) writer.makeDurable();
  if (verdict.clean) {
    writer.write(positions);
    writer.write(positions);
    return writer;
  }
  dirtyAndSync(region, slots, Math.max(verdict.tail, verdict.proved + 1), verdict.head - 1);
  if (verdict.debris.length === 0 && !header.erasing) {
    writer.write(positions);
    return writer;
  }
  writer.write({ ...positions, erasing: true });
  erase(region, slots, verdict.debris);
  // An earlier recovery crashed while it erased debris. What it erased must become durable too.
  if (header.erasing) dirtyAndSync(region, slots, verdict.head, verdict.tail + slots.count - 1);
  writer.write(positions);
  return writer;
}

/**
 * Makes the records from `first` to `last` durable. What recovery read may be in the page cache
 * only: dirty after a kill, or marked clean but never written after a failed sync. So each page is
 * stored to again, and synced.
 */
function dirtyAndSync(region: Region, slots: Slots, first: LSN, last: LSN): void {
  for (const { offset, length } of rangesOf(first, last, slots.count)) {
    region.pageIn(offset, length, "store");
    const words = slots.words;
    for (let at = offset; at < offset + length; at += PAGE_BYTES) {
      // Atomic, so that no compiler drops a store that changes nothing.
      Atomics.store(words, at / 4, Atomics.load(words, at / 4));
    }
    Atomics.store(words, (offset + length) / 4 - 1, Atomics.load(words, (offset + length) / 4 - 1));
    region.sync(offset, length);
  }
}

function erase(region: Region, slots: Slots, debris: readonly number[]): void {
  if (debris.length === 0) return;
  let lowest = slots.count;
  let highest = 0;
  let pagedIn = -1;
  for (const slot of debris) {
    const page = Math.floor(offsetOf(slot) / PAGE_BYTES);
    if (page !== pagedIn) region.pageIn(page * PAGE_BYTES, PAGE_BYTES, "store");
    pagedIn = page;
    slots.erase(slot);
    lowest = Math.min(lowest, slot);
    highest = Math.max(highest, slot);
  }
  region.sync(offsetOf(lowest), offsetOf(highest) + RECORD_BYTES - offsetOf(lowest));
}
