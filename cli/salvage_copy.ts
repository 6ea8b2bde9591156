// Salvages into a new file: the damaged file is read and left as it is.

import type { Loss, LSN } from "../mod.ts";
import { fileBytesOf, lossOf, roundFileBytes } from "../src/format/ring.ts";
import { noHeader } from "../src/recovery/refusals.ts";
import { salvage } from "../src/recovery/salvage.ts";
import { CommandError, Exit } from "./exit_codes.ts";
import { breathe } from "./interrupt.ts";
import { newFile } from "./output.ts";
import type { RawLog } from "./raw_log.ts";

/** Zeros that are written at once. */
const PIECE_BYTES = 1024 * 1024;
/** As the log's own files: for the user alone. */
const MODE = 0o600;

/** What was kept, and what was not. */
export interface Salvaged {
  readonly firstLsn: LSN;
  readonly lastLsn: LSN;
  readonly losses: readonly Loss[];
}

/**
 * Writes what can be proved of a log as a new one.
 *
 * @throws {CommandError} if the log cannot be read at all, moves on meanwhile, or the file cannot
 * be written.
 */
export async function salvageTo(log: RawLog, to: string): Promise<Salvaged> {
  const { path, slots, header, verdict } = log;
  if (header === null || verdict === null) throw noHeader(path, log.pair, log.headers());
  if (verdict.unsupported !== 0) {
    const { offset } = lossOf(verdict.unsupported, verdict.unsupported, slots.count);
    const why = `LSN ${verdict.unsupported} at byte ${offset} was written by a later version`;
    throw new CommandError(Exit.Data, `Cannot salvage ${JSON.stringify(path)}: ${why}`);
  }
  const source = {
    path,
    tail: verdict.tail,
    slots: () => slots,
    makeReadable: () => {},
    release: () => {},
    counted: <Thrown>(error: Thrown) => error,
  };
  const { pieces, head, losses } = salvage(source, slots, {
    header,
    state: verdict,
    proved: verdict.proved,
    overwritten: verdict.damaged.find(({ last }) => last < verdict.tail) ?? null,
  });
  await writeFile(to, pieces(), roundFileBytes(fileBytesOf(slots.count)), () => {
    if (!log.hasMovedOn()) return;
    throw new CommandError(Exit.Later, "a program that has the log open releases what is copied: try again without it");
  });
  return { firstLsn: verdict.tail, lastLsn: head - 1, losses };
}

/** @param check looks at the source once all is copied. */
async function writeFile(
  path: string,
  chunks: Iterable<Uint8Array>,
  sizeBytes: number,
  check: () => void,
): Promise<void> {
  using output = newFile(path, MODE);
  let left = sizeBytes;
  for (const chunk of chunks) {
    output.bytes(chunk);
    left -= chunk.length;
    await breathe();
  }
  for (; left > 0; left -= PIECE_BYTES) {
    output.bytes(new Uint8Array(Math.min(PIECE_BYTES, left)));
    await breathe();
  }
  check();
  output.end();
}
