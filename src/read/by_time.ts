// Records by their time. Times ascend with the LSNs, so records are found by bisection.

import type { TakenRange } from "../arguments/range.ts";
import { SlotState } from "../format/record.ts";
import { slotOf } from "../format/ring.ts";
import type { LSN } from "../types.ts";
import { damage, type ReadSource } from "./source.ts";

/**
 * The newest of the records `first` to `last` whose time is not after `nanos`; `first - 1` if there
 * is none. Each record that is looked at is verified.
 *
 * @throws the error that `damage()` makes.
 */
export function newestAt(source: ReadSource, first: LSN, last: LSN, nanos: bigint): LSN {
  let [notAfter, after] = [first - 1, last + 1];
  while (after - notAfter > 1) {
    const lsn = notAfter + Math.floor((after - notAfter) / 2);
    if (timeOf(source, lsn) <= nanos) notAfter = lsn;
    else after = lsn;
  }
  return notAfter;
}

/** The LSNs of a range, without the records that are before or after its times. */
export function narrowed(source: ReadSource, { first, last, since, until }: TakenRange): [first: LSN, last: LSN] {
  if (until !== undefined) last = newestAt(source, first, last, until);
  if (since !== undefined && since > 0n) first = newestAt(source, first, last, since - 1n) + 1;
  return [first, last];
}

function timeOf(source: ReadSource, lsn: LSN): bigint {
  source.makeReadable(lsn, lsn);
  const slots = source.slots();
  const slot = slotOf(lsn, slots.count);
  if (slots.verify(slot, lsn) !== SlotState.Record) throw damage(source, lsn);
  return slots.timeNanosAt(slot);
}
