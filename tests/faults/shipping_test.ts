// Fault: a broker loses requests and answers, gets requests late, repeats messages, and loses what
//   it has confirmed. Shippers die, and come back as zombies (H68, H69, H70, H78).
// Promise: what is shipped arrives once and in order, or is refused with a typed error (G20).
// Method: seeded histories over a simulated broker. In the end the broker and each follower must
//   have the log, record by record.

import { assertEquals } from "@std/assert";
import { takeConsumer } from "../../src/arguments/consumer.ts";
import { applyRecord } from "../../src/format/operations.ts";
import { follow, type Following } from "../../src/ship/following.ts";
import type { Source, Target } from "../../src/ship/ports.ts";
import { PostgresSource } from "../../src/ship/postgres_source.ts";
import { PostgresTarget } from "../../src/ship/postgres_target.ts";
import { MemoryStore } from "../../src/stores/memory.ts";
import { Random } from "../../testing.ts";
import { until } from "../support/logs.ts";
import { assertShipped, modelLog, shipUnderFaults } from "../support/model_shipping.ts";
import { isMine } from "../support/share.ts";
import { NO_FAULTS, type Odds, type SimulatedBroker } from "../support/simulated_broker.ts";
import { tableOf } from "../support/simulated_table.ts";
import { test } from "../support/test.ts";

const LOG = modelLog(60, 1);
const LAST = LOG.ends.at(-1)!;
const FAULTS: Odds = { lost: 12, late: 12, unanswered: 12, crash: 0, repeat: 0 };

/** The faults that histories of so many seeds have met. */
async function histories(
  first: number,
  last: number,
  odds: Odds,
  ...toTarget: [targetOf?: (broker: SimulatedBroker) => Target]
): Promise<string[]> {
  const met = new Set<string>();
  for (let seed = first; seed <= last; seed++) {
    if (!isMine(seed)) continue;
    try {
      const shipped = await shipUnderFaults(LOG, seed, odds, () => {}, ...toTarget);
      for (const fault of shipped.faults) met.add(fault);
      assertShipped(LOG, shipped);
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
  }
  return [...met].sort();
}

test("shipTo() ships each record once over a broker that loses and delays, seeds 1 to 300", async () => {
  assertEquals(await histories(1, 300, FAULTS), ["fenced", "moved", "unreachable"]);
});

test("shipTo() ships again what a broker has confirmed and lost, seeds 1 to 300", async () => {
  assertEquals(await histories(1, 300, { ...FAULTS, crash: 20 }), ["fenced", "moved", "unreachable"]);
});

const asTable = (broker: SimulatedBroker) => new PostgresTarget(tableOf(broker), 60_000);

test("shipTo() ships each record once to a table whose server loses, delays and forgets, seeds 1 to 150", async () => {
  assertEquals(await histories(1, 75, FAULTS, asTable), ["fenced", "moved", "unreachable"]);
  assertEquals(await histories(76, 150, { ...FAULTS, crash: 20 }, asTable), ["fenced", "moved", "unreachable"]);
});

/** Entries of a store, in one order. */
function contents(store: MemoryStore): string[] {
  return [...store.entries()].map(String).sort();
}

/** What a store has that was given the log itself. */
function expected(): string[] {
  const store = new MemoryStore();
  for (const record of LOG.records) applyRecord({ ...methodsOf(store), apply: () => {} }, record);
  return contents(store);
}

function methodsOf(store: MemoryStore) {
  return {
    insert: store.insert.bind(store),
    delete: store.delete.bind(store),
    deleteValue: store.deleteValue.bind(store),
    replace: store.replace.bind(store),
  };
}

async function followUnderFaults(
  last: number,
  sourceOf: (broker: SimulatedBroker) => Source,
  ...toTarget: [targetOf?: (broker: SimulatedBroker) => Target]
): Promise<void> {
  const wanted = expected();
  for (let seed = 1; seed <= last; seed++) {
    const random = new Random(seed);
    const store = new MemoryStore();
    let given = 0;
    const applyBatch: MemoryStore["applyBatch"] = (records, run) => {
      given += records.length;
      if (random.below(20) === 0) throw new Error("the store fails");
      // A store that trusts its consumer, as one's own may do.
      if (records[0]!.lsn <= store.appliedLsn()) throw new RangeError(`LSN ${records[0]!.lsn} comes twice`);
      store.applyBatch(records, run);
    };
    const own = { applyBatch, appliedLsn: () => store.appliedLsn(), appliedLog: () => store.appliedLog() };
    const followings: Following[] = [];
    const begin = (broker: SimulatedBroker) => {
      const options = { batchSize: random.between(1, 50), onError: () => "retry" as const };
      followings.push(follow(sourceOf(broker), takeConsumer(own, options), undefined));
    };
    const shipped = await shipUnderFaults(LOG, seed, { ...FAULTS, lost: 30, crash: 30, repeat: 4 }, begin, ...toTarget);
    shipped.broker.odds = { ...NO_FAULTS, repeat: 3 };
    await until(() => store.appliedLsn() >= LAST);
    assertEquals(await followings[0]!.lag(), 0);
    await followings[0]!.stop();
    assertEquals(contents(store), wanted, `seed ${seed}, after ${given} records`);
  }
}

test("followFrom() feeds a store once from a broker that repeats, fails and loses its end, seeds 1 to 20", () =>
  followUnderFaults(20, (broker) => broker.source()));

test("followFrom() feeds a store once from a table whose server fails and loses its end, seeds 1 to 8", () =>
  followUnderFaults(8, (broker) => new PostgresSource(tableOf(broker), 60_000, 1), asTable));
