// What the caller learns of an opening: its report and its warnings.

import type { Region } from "../../ffi/region.ts";
import type { Header, HeaderPair } from "../format/header.ts";
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
export function warningsOf(
  { lastId, sizeIsGiven, sizeBytes }: Expected,
  region: Region,
  { lineage }: Header,
): string[] {
  const warnings: string[] = [];
  if (region.path === null) return warnings;
  const { logId, origin, fork } = lineage;
  if (lastId !== null && ![logId, origin?.logId, fork?.logId].includes(lastId)) {
    warnings.push(
      `This is another log than the one that was open before (${logId}, not ${lastId}): it was replaced, or mounted over`,
    );
  }
  const wanted = roundFileBytes(sizeBytes);
  const bytes = region.memory.sizeBytes;
  if (sizeIsGiven && wanted !== bytes) {
    warnings.push(
      `The log has ${bytes} bytes, not the ${wanted} of the option size: a log keeps the size it was made with`,
    );
  }
  return warnings;
}

/** What recovery found and did. */
export function makeReport(
  region: Region,
  pair: HeaderPair,
  { lineage }: Header,
  verdict: Verdict,
  salvaged: Salvaged | null,
  startMs: number,
): RecoveryReport {
  return {
    created: region.created,
    clean: verdict.clean && salvaged === null,
    logId: lineage.logId,
    origin: lineage.origin,
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
