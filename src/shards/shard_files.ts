// The files of a set: which log each of them must be, and how all of them come to be.
//
// Each header says which shard of which set its log is. Nobody opens a log for writing before all
// logs of its set are made. So a set in which no log was ever opened may be half made, and is
// finished. A set in which one was opened was whole, and a file that it lacks is lost.

import type { TakenShards } from "../arguments/shards.ts";
import { WALNotFoundError, WALShardsError } from "../errors.ts";
import type { Header, SetPlace } from "../format/header.ts";
import { RECORD_BYTES, SET_ID_BYTES } from "../format/layout.ts";
import { newLogId } from "../format/lineage.ts";
import type { RecoveryReport, WALShardsFault } from "../types.ts";
import { peek, refusableLog, WAL } from "../wal.ts";

/** The logs of a set that are open, by their number. */
export type OpenShards = ReadonlyMap<number, WAL>;
/** What workers found in shards that they have just recovered and closed, by the shard's number. */
export type Recovered = ReadonlyMap<number, RecoveryReport>;

/** What is known of a set: nothing at first, except what the caller asks for. */
interface KnownSet {
  readonly directory: string;
  setId: Uint8Array | null;
  shards: number | undefined;
}

/** Opens the shards, and makes them if there are none. */
export function openShardFiles(
  given: TakenShards,
  recovered: Recovered = new Map(),
): { readonly shards: number; readonly logs: OpenShards } {
  const { directory, shards, only } = given;
  if (directory === null) return openInMemory(given, shards!);
  const known: KnownSet = { directory, setId: null, shards };
  try {
    return openAll(given, known, false, recovered);
  } catch (error) {
    const mayBeUnmade = error instanceof WALNotFoundError ||
      (error instanceof WALShardsError && error.fault === "unfinished");
    if (!mayBeUnmade) throw error;
    if (only !== null || known.shards === undefined) throw withHelp(error);
    finish(given, known, error);
  }
  return openAll(given, known, true, recovered);
}

/**
 * The shards that an opening would read whole, with the bytes of their records' slots.
 *
 * @throws what the opening would throw.
 */
export function shardsToRecover({ directory, shards, only, log }: TakenShards): Map<number, number> {
  const toRecover = new Map<number, number>();
  if (directory === null) return toRecover;
  const known: KnownSet = { directory, setId: null, shards };
  const look = (shard: number) => {
    const header = peek(new WAL(pathOf(directory, shard), { ...log, shard }));
    admit(known, shard, header);
    const isReadWhole = header.cleanHead === 0 || log.verify === true || log.recovery === "salvage";
    if (isReadWhole) toRecover.set(shard, header.capacity * RECORD_BYTES);
  };
  for (const shard of numbersIn(known, only)) look(shard);
  return toRecover;
}

/** The error of an opening that makes no shards. */
function withHelp(error: WALNotFoundError | WALShardsError): Error {
  if (error instanceof WALShardsError) return error;
  const help = "if the shards are to be made, open all of them once with the option shards";
  return new WALNotFoundError(error.path, `${error.message}; ${help}`, { cause: error });
}

function openInMemory({ only, log }: TakenShards, shards: number): { shards: number; logs: OpenShards } {
  return { shards, logs: opened(only ?? numbersTo(shards), (shard) => new WAL(null, { ...log, shard })) };
}

/** @param isWhole true if all files are known to be there. */
function openAll(
  { only, log }: TakenShards,
  known: KnownSet,
  isWhole: boolean,
  recovered: Recovered,
): { shards: number; logs: OpenShards } {
  const make = (shard: number) =>
    refusableLog(pathOf(known.directory, shard), { ...log, shard, create: false }, (header) => {
      admit(known, shard, header);
      if (!isWhole && isUnused(header)) throw fault("unfinished", known, shard, "no shard was ever open");
    }, recovered.get(shard));
  const logs = opened(numbersIn(known, only), make);
  return { shards: known.shards!, logs };
}

/** The shards to open. Without a number, the first one says how many there are. */
function* numbersIn(known: KnownSet, only: readonly number[] | null): Generator<number> {
  yield only?.[0] ?? 0;
  yield* (only ?? numbersTo(known.shards!)).slice(1);
}

/** Opens logs. If one cannot be opened, none stays open. */
function opened(shards: Iterable<number>, make: (shard: number) => WAL): Map<number, WAL> {
  const logs = new Map<number, WAL>();
  try {
    for (const shard of shards) {
      const wal = make(shard);
      wal.open();
      logs.set(shard, wal);
    }
  } catch (error) {
    closeAll(logs.values());
    throw error;
  }
  return logs;
}

function closeAll(logs: Iterable<WAL>): void {
  for (const wal of logs) {
    try {
      wal.close();
    } catch { /* the error that ends the opening says more */ }
  }
}

/**
 * Makes the files that are missing, in a set that nobody has used yet.
 *
 * @param error why the set could not be opened.
 */
function finish({ log }: TakenShards, known: KnownSet, error: unknown): void {
  const shards = known.shards!;
  const missing: number[] = [];
  let isUsed = false;
  for (const shard of numbersTo(shards)) {
    const header = headerAt(known, shard);
    if (header === null) {
      missing.push(shard);
      continue;
    }
    admit(known, shard, header);
    isUsed ||= !isUnused(header);
  }
  const [lost] = missing;
  if (lost === undefined) return;
  if (isUsed) throw fault("missing", known, lost, "there is no such file, and other shards of its set were used");
  if (log.create === false) {
    throw missing.length === shards ? error : fault("unfinished", known, lost, "it was not made");
  }
  const newId = newLogId().slice(0, SET_ID_BYTES);
  for (const shard of missing) {
    // Another process may have made the file meanwhile. Then those that are left get its set's id.
    const place: SetPlace = { setId: known.setId ?? newId, shards, shard };
    admit(known, shard, peek(new WAL(pathOf(known.directory, shard), { ...log, shard }), place));
  }

  function headerAt({ directory }: KnownSet, shard: number): Header | null {
    try {
      return peek(new WAL(pathOf(directory, shard), { ...log, shard }));
    } catch (error) {
      if (error instanceof WALNotFoundError) return null;
      throw error;
    }
  }
}

/** Throws unless a log is the shard that belongs there. */
function admit(known: KnownSet, shard: number, { place }: Header): void {
  if (place === undefined) throw fault("foreign", known, shard, "the log at its place is no shard");
  const { setId, shards, shard: found } = place;
  known.setId ??= setId;
  known.shards ??= shards;
  if (!isSame(setId, known.setId)) throw fault("foreign", known, shard, "the log at its place is of another set");
  if (shards !== known.shards) {
    throw fault("count", known, shard, `the directory has ${shards} shard(s), not ${known.shards}`);
  }
  if (found !== shard) throw fault("place", known, shard, `the log at its place is shard ${found}`);
}

/** True if nobody ever opened a log, which is neither a copy of one. */
function isUnused({ openerPid, lineage }: Header): boolean {
  return openerPid === 0 && lineage.origin === null;
}

function fault(fault: WALShardsFault, { directory }: KnownSet, shard: number, why: string): WALShardsError {
  return new WALShardsError({ fault, directory, shard }, why);
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.every((byte, index) => byte === other[index]);
}

function numbersTo(count: number): number[] {
  return Array.from({ length: count }, (_, number) => number);
}

/** The file of a shard. */
function pathOf(directory: string, shard: number): string {
  return `${directory === "/" ? "" : directory}/shard-${String(shard).padStart(4, "0")}.wal`;
}
