// What the caller learns of an opening: its report and its warnings.

import type { Region } from "../../ffi/region.ts";
import { createdMsOf, type Header, type HeaderPair } from "../format/header.ts";
import { roundFileBytes } from "../format/ring.ts";
import type { RecoveryReport } from "../types.ts";
import type { Verdict } from "./recovery.ts";
import type { Salvaged } from "./replacement.ts";

/** What the caller expects to find. */
export interface Expected {
  /** The id of the log that the caller had open before; null at first. */
  readonly lastId: string | null;
  readonly sizeBytes: number;
  readonly sizeIsGiven: boolean;
}

/** Warnings of what the caller did not expect. */
export function warningsOf({ lastId }: Expected, region: Region, { lineage }: Header): string[] {
  const { logId, origin, fork } = lineage;
  const isOther = region.path !== null && lastId !== null && ![logId, origin?.logId, fork?.logId].includes(lastId);
  if (!isOther) return [];
  return [
    `This is another log than the one that was open before (${logId}, not ${lastId}): it was replaced, or mounted over`,
  ];
}

/** The warning of a size that the caller did not expect; null if there is nothing to say. */
export function sizeWarningOf({ sizeIsGiven, sizeBytes }: Expected, { path, memory }: Region): string | null {
  const wanted = roundFileBytes(sizeBytes);
  if (path === null || !sizeIsGiven || wanted === memory.sizeBytes) return null;
  return `The log has ${memory.sizeBytes} bytes, not the ${wanted} of the option size: only resize() changes its size`;
}

/** What recovery found and did. */
export function makeReport(
  region: Region,
  pair: HeaderPair,
  header: Header,
  verdict: Verdict,
  salvaged: Salvaged | null,
  startMs: number,
): RecoveryReport {
  return {
    created: region.created,
    clean: verdict.clean && salvaged === null,
    logId: header.lineage.logId,
    origin: header.lineage.origin,
    createdMs: createdMsOf(header),
    records: verdict.head - verdict.tail,
    firstLsn: verdict.tail,
    lastLsn: verdict.head - 1,
    tornRecords: verdict.torn,
    phantomsErased: verdict.phantoms,
    headerDamaged: pair.copies.some((copy) => typeof copy === "string"),
    losses: salvaged?.losses ?? [],
    damagedFile: salvaged?.damagedFile ?? null,
    durationMs: performance.now() - startMs,
  };
}
