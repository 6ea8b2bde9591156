// A model of what ships: a log that is given to shippers over a simulated broker, with processes
// that die, are replaced, and come back as zombies.

import { assert, assertEquals } from "@std/assert";
import { encodedRunsOf } from "../../src/arguments/encoded_runs.ts";
import { decodeRun, encodeRun } from "../../src/runs.ts";
import { WALShipError } from "../../src/errors.ts";
import { readShipment } from "../../src/ship/shipment.ts";
import { readEnd } from "../../src/ship/target_end.ts";
import { TargetShipper } from "../../src/ship/shipper.ts";
import { OpType, WAL, type WALRecord } from "../../mod.ts";
import { Random } from "../../testing.ts";
import type { Target } from "../../src/ship/ports.ts";
import { type Odds, SimulatedBroker } from "./simulated_broker.ts";

/** A log with batches and checkpoints in it, and where its batches end. */
export interface ModelLog {
  readonly logId: string;
  readonly records: readonly WALRecord[];
  /** The last LSN of each batch. */
  readonly ends: readonly number[];
}

/** Makes a log with so many batches. */
export function modelLog(batches: number, seed: number): ModelLog {
  const random = new Random(seed);
  using wal = WAL.open(null, { size: 1 << 20 });
  const ends: number[] = [];
  for (let batch = 0; batch < batches; batch++) {
    if (batch > 0 && random.below(8) === 0) wal.checkpoint(0);
    const items = Array.from({ length: random.between(1, 6) }, () => [batch, random.below(9), 3, 4] as const);
    wal.batchInsertSync(items);
    ends.push(wal.head - 1);
  }
  wal.flush();
  return { logId: wal.logId, records: wal.replay(), ends };
}

/** What a history of shipping came to. */
export interface Shipped {
  readonly broker: SimulatedBroker;
  readonly faults: ReadonlySet<string>;
}

/** One process that ships the model log. */
class Sender {
  readonly shipper: TargetShipper;
  readonly #log: ModelLog;
  readonly #random: Random;
  /** The next LSN to give; 0 before the start. */
  next = 0;
  confirmed = 0;

  constructor(target: Target, log: ModelLog, random: Random) {
    this.shipper = new TargetShipper(target, { inFlight: random.between(1, 5), startAfter: undefined });
    this.#log = log;
    this.#random = random;
  }

  /** A call that a consumer makes. @returns true once everything is confirmed. */
  async step(): Promise<boolean> {
    if (this.next === 0) {
      const applied = await this.shipper.appliedLsn();
      const log = this.shipper.appliedLog();
      assertEquals(log, applied === 0 ? null : this.#log.logId);
      this.next = applied + 1;
      this.confirmed = applied;
    }
    const { ends, records, logId } = this.#log;
    const last = ends.at(-1)!;
    if (this.next > last || this.#random.below(5) === 0) {
      const sent = this.next - 1;
      try {
        await this.shipper.sync();
      } catch (error) {
        this.next = this.confirmed + 1; // as a consumer after a failed sync
        throw error;
      }
      this.confirmed = sent;
      return sent >= last;
    }
    const later = ends.filter((end) => end >= this.next);
    const lastLsn = later[Math.min(later.length - 1, this.#random.below(4))]!;
    const runs = encodedRunsOf(this.shipper, this.shipper.applyBatch)!;
    if (runs.next === this.next && this.#random.below(4) > 0) {
      const run = { logId, firstLsn: this.next, lastLsn };
      const encoded = encodeRun(records.slice(this.next - 1, lastLsn), run).bytes;
      const bytes = runs.allocate(runs.prefixBytes + encoded.length);
      bytes.set(encoded, runs.prefixBytes);
      await runs.apply(bytes, run);
    } else {
      const given = records.slice(this.next - 1, lastLsn).filter(({ opType }) => opType !== OpType.Checkpoint);
      await this.shipper.applyBatch(given, { logId, firstLsn: given[0]!.lsn, lastLsn });
    }
    assert(runs.durableLsn >= this.confirmed && runs.durableLsn < runs.next, "what is confirmed was sent");
    this.next = lastLsn + 1;
    return false;
  }
}

/**
 * Ships a whole log under faults.
 *
 * @param meet is given the broker before the first step.
 * @param targetOf is asked for each process.
 * @returns what the broker has at the end.
 */
export async function shipUnderFaults(
  log: ModelLog,
  seed: number,
  odds: Odds,
  meet: (broker: SimulatedBroker) => void = () => {},
  targetOf: (broker: SimulatedBroker) => Target = (broker) => broker.target(),
): Promise<Shipped> {
  const random = new Random(seed);
  const broker = new SimulatedBroker(random.fork("broker"), odds);
  meet(broker);
  const faults = new Set<string>();
  let senders = [new Sender(targetOf(broker), log, random.fork("0"))];
  for (let step = 1;; step++) {
    assert(step < 20_000, "shipping comes to an end");
    if (step === 500) broker.odds = { ...odds, lost: 0, late: 0, unanswered: 0, crash: 0 };
    // A process dies, or one is replaced although it lives.
    if (step < 500 && random.below(40) === 0) {
      const successor = new Sender(targetOf(broker), log, random.fork(String(step)));
      senders = random.below(2) === 0 ? [successor] : [successor, senders[0]!];
    }
    const sender = random.pick(senders);
    if (step % 16 === 0) await new Promise((resolve) => setImmediate(resolve)); // followers have a turn
    try {
      if (await sender.step()) {
        broker.deliverLate();
        if ((await readEnd(broker.target())).run?.lastLsn === log.ends.at(-1)) break;
        // A crash has taken what was confirmed. A new process finds that out.
        senders = [new Sender(targetOf(broker), log, random.fork(`again ${step}`))];
      }
    } catch (error) {
      if (!(error instanceof WALShipError)) throw error;
      faults.add(error.fault);
      assert(["unreachable", "moved", "fenced"].includes(error.fault), error.message);
      if (error.fault === "moved") sender.next = 0;
      if (error.fault === "fenced") senders = [new Sender(targetOf(broker), log, random.fork(`fenced ${step}`))];
    }
  }
  return { broker, faults };
}

/** What a broker has is the log: each LSN once, in order, each record as it was. */
export function assertShipped(log: ModelLog, { broker }: Shipped): void {
  let next = 1;
  for (const message of broker.messages) {
    const shipment = readShipment(message);
    if (shipment.run === null) continue;
    const { run, firstLsn, lastLsn } = shipment;
    assertEquals(firstLsn, next, `message ${message.place} comes after LSN ${next - 1}`);
    assert(log.ends.includes(lastLsn), "a message ends with a batch");
    const shipped = decodeRun(run, { logId: log.logId }).records;
    for (const record of shipped) {
      const original = log.records[record.lsn - 1]!;
      if (original.opType === OpType.Checkpoint) assertEquals(record.opType, OpType.Checkpoint);
      else assertEquals(record.toObject(), original.toObject());
    }
    next = lastLsn + 1;
  }
  assertEquals(next - 1, log.ends.at(-1));
}

/** A run of the log's first records, for messages that tests make by hand. */
export function runOf({ logId, records }: ModelLog, firstLsn: number, lastLsn: number): Uint8Array {
  const given = records.slice(firstLsn - 1, lastLsn).filter(({ opType }) => opType !== OpType.Checkpoint);
  return encodeRun(given, { logId, firstLsn, lastLsn }).bytes;
}
