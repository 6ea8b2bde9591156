// The end of a target: the last run, and who wrote last.

import type { LSN } from "../types.ts";
import type { Bounds, Target } from "./ports.ts";
import { readShipment, type Shipment } from "./shipment.ts";

/** The end of a target. */
export interface TargetEnd {
  /** The last place. */
  readonly place: number;
  /** Who wrote the last message, a run or a claim; null if there is no message. */
  readonly owner: string | null;
  /** The last run; null if there is none. */
  readonly run: Shipment | null;
  /** True if no message was removed before the oldest one. */
  readonly isWhole: boolean;
}

/** What tells one run of a target from all others. */
export type RunName = Pick<Shipment, "logId" | "lastLsn" | "shipper">;

/** Reads the end of a target. */
export async function readEnd(target: Pick<Target, "bounds" | "read">): Promise<TargetEnd> {
  const { first, last }: Bounds = await target.bounds();
  const isWhole = first <= 1;
  let owner: string | null = null;
  for (let place = last; place >= first && place > 0; place--) {
    const message = await target.read(place);
    if (message === null) continue;
    const shipment = readShipment(message);
    owner ??= shipment.shipper;
    if (shipment.run !== null) return { place: last, owner, run: shipment, isWhole };
  }
  return { place: last, owner, run: null, isWhole };
}

/** True if both are the same run. Its place does not tell, because places are used again. */
export function isSameRun(a: RunName | null, b: RunName | null): boolean {
  return a?.lastLsn === b?.lastLsn && a?.logId === b?.logId && a?.shipper === b?.shipper;
}

/** The last LSN of a run. */
export function lastLsnOf(run: RunName | null, otherwise: LSN): LSN {
  return run === null ? otherwise : run.lastLsn;
}
