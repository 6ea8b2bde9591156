// A process that writes to a log until it is killed, and prints what it was promised. Arguments:
// path, life, seed.
//
// Lines, each in one write: "o tail head" once open, "a count" when the first `count` operations of
// this life are acknowledged, "t lsn" before records up to there are released.

import * as fs from "node:fs";
import process from "node:process";
import { type BatchItem, WAL, WALFullError } from "../../mod.ts";
import { Random } from "../../src/testing/random.ts";
import { setImmediate } from "node:timers";

/** The ring of these logs: 768 slots, so that a life goes round it many times. */
export const KILLED_BYTES = 65536;

/** Says a line at once: when the process dies, it is in the pipe. */
export function say(line: string): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let done = 0; done < bytes.length;) {
    try {
      done += fs.writeSync(1, bytes, done);
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
    }
  }
}

/** The wall clock goes back by a minute from life to life. */
export function clockOf(life: number): () => number {
  return () => Date.now() - life * 60_000;
}

async function main(path: string, life: number, seed: number): Promise<void> {
  const random = new Random(seed, life);
  const flush = random.pick(["inline", "offload", "adaptive"] as const);
  const idleHeaderDelayMs = random.pick([0, 1, 100]);
  const wal = WAL.open(path, { create: false, flush, idleHeaderDelayMs, now: clockOf(life) });
  say(`o ${wal.tail} ${wal.head}`);
  /** Operations so far. */
  let count = 0;
  const acknowledged = (through: number) => say(`a ${through}`);
  /** An item: which life, which operation, and the operations of its batch. */
  const batch = (size: number) => {
    const first = count;
    count += size;
    return Array.from({ length: size }, (_, i) => [life, first + i, first, size] as const);
  };
  const pending: Promise<void>[] = [];
  const actions: Record<string, () => void | Promise<void>> = {
    one: async () => {
      const through = ++count;
      const append = random.pick(["logInsert", "logDeleteValue"] as const);
      await wal[append](life, through - 1, through - 1, 1);
      acknowledged(through);
    },
    group: async () => {
      const size = random.between(2, 60);
      const group = Array.from({ length: size }, () => wal.logInsert(life, count, count++, 1));
      const through = count;
      await Promise.all(group);
      acknowledged(through);
    },
    batch: async () => {
      const items = batch(random.between(2, 90));
      const through = count;
      await wal.batchInsert(items);
      acknowledged(through);
    },
    batchSync: () => void wal.batchInsertSync(batch(random.between(2, 90))),
    mixed: async () => {
      const items = batch(random.between(2, 90)).map(([keyHigh, keyLow, valueHigh, valueLow], i): BatchItem => ({
        type: i % 2 === 0 ? "insert" : "deleteValue",
        ...{ keyHigh, keyLow, valueHigh, valueLow },
      }));
      const through = count;
      await wal.batch(items);
      acknowledged(through);
    },
    sync: () => {
      for (let more = random.between(1, 40); more > 0; more--) wal.logInsertSync(life, count, count++, 1);
    },
    flush: () => {
      wal.flush();
      acknowledged(count);
    },
    flushAsync: async () => {
      const through = count;
      const flushed = wal.flushAsync();
      wal.logInsertSync(life, count, count++, 1);
      await flushed;
      acknowledged(through);
    },
    unawaited: () => {
      const items = batch(random.between(2, 20));
      const through = count;
      pending.push(wal.batchInsert(items).then(() => acknowledged(through)));
    },
    settle: async () => void await Promise.all(pending.splice(0)),
    turn: () => new Promise((resolve) => setImmediate(resolve)),
    release: () => {
      const lsn = random.between(wal.tail - 1, wal.durable);
      say(`t ${lsn}`);
      wal.truncate(lsn);
    },
  };
  const names = Object.keys(actions);
  for (;;) {
    const room = wal.capacity - wal.length;
    if (room < 200) {
      wal.flush();
      say(`t ${wal.durable}`);
      wal.truncate(wal.durable);
    }
    try {
      await actions[random.pick(names)]!();
    } catch (error) {
      if (!(error instanceof WALFullError)) throw error;
    }
  }
}

if (import.meta.main) {
  const [path, life, seed] = process.argv.slice(2) as [string, string, string];
  main(path, Number(life), Number(seed)).catch((error) => {
    say(`e ${String(error instanceof Error ? error.stack : error).replaceAll("\n", " | ")}`);
    process.exit(1);
  });
}
