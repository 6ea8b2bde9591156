// Fault: power fails, or the process dies, at any call while consumers are registered, stopped,
//   dropped and given up, and while others release records and slots are used again (H59, H60). Or
//   the consumers' own checkpoints wake each other (H61).
// Promise: no record is released before the stores of all registered consumers have it, whether
//   they run or not (G11). A consumer that the log gave up is told so. An idle log rests.
// Method: random lives of three named consumers and one without a name, with crashes within calls.
//   A model knows what was acknowledged, who is registered, and what each store has.

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  consume,
  type ConsumeOptions,
  type Consumption,
  type Store,
  type WAL,
  WALConsumerLostError,
  WALFullError,
  type WALRecord,
  WALStoreError,
} from "../../mod.ts";
import { readHeaders } from "../../src/format/header.ts";
import { Random } from "../../testing.ts";
import { fill, ListStore, openInMemory, range } from "../support/logs.ts";
import { isMine } from "../support/share.ts";
import { append, appendBatch, CAPACITY, LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

const LIVES = 60;
const STEPS = 45;

/** A store that is durable at once. It saves its LSN, or may get records again. */
class Kept {
  readonly lsns: number[] = [];
  readonly savesLsn: boolean;
  logId: string | null = null;

  constructor(savesLsn: boolean) {
    this.savesLsn = savesLsn;
  }

  get store(): Store {
    const applyBatch = (records: readonly WALRecord[], run: { readonly logId: string }) => {
      for (const { lsn } of records) this.lsns.push(lsn);
      this.logId = run.logId;
    };
    if (!this.savesLsn) return { applyBatch };
    return { applyBatch, appliedLsn: () => this.lsns.at(-1) ?? 0, appliedLog: () => this.logId };
  }
}

/** What the model knows of a consumer. */
interface Known {
  readonly kept: Kept;
  readonly options: ConsumeOptions;
  /** The consumer's store has, or will have, all data after this LSN; null if not registered. */
  after: number | null;
  /** True while nobody knows whether a call has registered it, or dropped it. */
  isUnsure: boolean;
}

const NAMES = ["saving", "plain", "bounded", ""];

/** One random life of a log. */
class Life {
  readonly simulation = new Simulation({ traceLimit: 80 });
  readonly #random: Random;
  /** The LSNs of acknowledged records that stores are given. */
  readonly #data = new Set<number>();
  readonly #known = new Map<string, Known>();
  readonly #running = new Map<string, Consumption>();
  readonly counts = { crashes: 0, lost: 0, full: 0 };
  wal: WAL;

  constructor(random: Random) {
    this.#random = random;
    this.wal = this.simulation.open();
    for (const name of NAMES) this.#forget(name);
  }

  #forget(name: string): void {
    const options = name === "bounded" ? { name, maxLagRecords: 300 } : { name };
    this.#known.set(name, { kept: new Kept(name !== "plain"), options, after: null, isUnsure: false });
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) await this.#step();
    for (const name of NAMES) await this.#stop(name);
    this.#check();
    for (const name of NAMES) {
      const known = this.#known.get(name)!;
      if (known.after === null || this.#stats(name)!.lost) continue;
      await this.#start(name);
      await this.wal.whenApplied(undefined, { name });
      await this.#stop(name);
      this.#checkStore(name, known, this.wal.durable);
    }
    this.wal.close();
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const { disk } = this.simulation;
    const crashes = random.chance(0.25);
    if (crashes) disk.crashAt(disk.steps + random.between(1, 12), random.pick(["before", "during", "after"]));
    try {
      await this.#act(random.below(10));
    } catch (error) {
      if (!disk.halted) throw error;
    }
    if (crashes) await this.#crash();
    this.#check();
  }

  async #act(kind: number): Promise<void> {
    const random = this.#random;
    const name = random.pick(NAMES);
    if (kind < 4) return await this.#write();
    if (kind < 7) return await this.#start(name);
    if (kind === 7) return await this.#stop(name);
    if (kind === 8 && random.chance(0.3)) return await this.#drop(name);
    if (random.chance(0.5)) return this.#release();
    await this.#reopen();
  }

  async #write(): Promise<void> {
    const random = this.#random;
    const { wal } = this;
    for (let left = random.between(1, 500); left > 0;) {
      const count = Math.min(left, random.between(1, 60));
      const first = wal.head;
      try {
        if (random.chance(0.5)) append(wal, count);
        else appendBatch(wal, count);
      } catch (error) {
        if (!(error instanceof WALFullError)) throw error;
        this.counts.full++;
        const { consumer } = error;
        if (consumer !== null) assert(this.#isHeld(consumer), `${consumer} holds nothing`);
        left = 0;
      }
      const appended = range(first, wal.head - 1);
      wal.flush();
      for (const lsn of appended) this.#data.add(lsn);
      left -= count;
      for (const running of this.#running.keys()) await wal.whenApplied(undefined, { name: running }).catch(() => {});
    }
  }

  #isHeld(name: string): boolean {
    return this.#stats(name)?.lost === false;
  }

  async #start(name: string): Promise<void> {
    if (this.#running.has(name)) return;
    const known = this.#known.get(name)!;
    const { wal } = this;
    const before = this.#stats(name);
    const { kept } = known;
    const { durable } = wal;
    // The store of a new consumer has what the log has released.
    if (before === undefined && kept.lsns.length === 0 && wal.tail > 1) kept.lsns.push(wal.tail - 1);
    known.isUnsure = true;
    const consumption = consume(wal, kept.store, { ...known.options, pollIntervalMs: 1 });
    consumption.done.catch(() => {});
    try {
      await wal.whenApplied(wal.durable, { name });
    } catch (error) {
      if (!(error instanceof WALConsumerLostError)) throw error;
      assertEquals(before?.lost, true);
      assert(error.tail > error.position + 1, "a lost consumer is refused though its records are there");
      known.isUnsure = false;
      return;
    }
    known.isUnsure = false;
    known.after ??= durable;
    this.#running.set(name, consumption);
  }

  async #stop(name: string): Promise<void> {
    const consumption = this.#running.get(name);
    this.#running.delete(name);
    await consumption?.stop().catch((error) => {
      if (!(error instanceof WALConsumerLostError)) throw error;
      this.counts.lost++;
    });
  }

  async #drop(name: string): Promise<void> {
    await this.#stop(name);
    const known = this.#known.get(name)!;
    known.isUnsure = true;
    this.wal.dropConsumer(name);
    this.#forget(name);
  }

  #release(): void {
    const { wal } = this;
    const named = wal.stats().consumers.filter(({ name, lost, running }) => !lost && (name !== "" || running));
    const through = this.#random.between(wal.tail - 1, wal.durable);
    const limit = Math.min(...named.map(({ position }) => position));
    try {
      wal.truncate(through);
      assert(through <= limit, `LSN ${through} was released, a consumer has ${limit}`);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      assert(through > limit, `LSN ${through} was not released, all have ${limit}`);
    }
    // While the unnamed one does not run, its caller has confirmed for it.
    const unnamed = this.#known.get("")!;
    if (unnamed.after !== null && !this.#running.has("")) this.#forgetIfReleased();
  }

  /** The unnamed consumer's store lacks what its caller released. */
  #forgetIfReleased(): void {
    const known = this.#known.get("")!;
    const last = known.kept.lsns.at(-1) ?? 0;
    if (this.wal.tail - 1 > last) {
      known.isUnsure = true;
      this.wal.dropConsumer("");
      this.#forget("");
    }
  }

  async #reopen(): Promise<void> {
    for (const name of NAMES) await this.#stop(name);
    this.wal.close();
    this.wal = this.simulation.open();
  }

  async #crash(): Promise<void> {
    this.counts.crashes++;
    const running = [...this.#running.values()];
    this.#running.clear();
    this.simulation.crash({ mode: this.#random.pick(["power", "kill"]), keep: "random" });
    await Promise.allSettled(running.map((consumption) => consumption.stop()));
    this.wal = this.simulation.open();
    for (const lsn of [...this.#data]) assert(lsn < this.wal.head, `LSN ${lsn} was acknowledged and is gone`);
    for (const [name, known] of this.#known) {
      if (known.isUnsure && this.#stats(name) === undefined) this.#forget(name);
      known.isUnsure = false;
    }
    for (const { lsn, opType } of this.wal.replay()) if (opType !== 4) this.#data.add(lsn);
  }

  #stats(name: string) {
    return this.wal.stats().consumers.find((stats) => stats.name === name);
  }

  #check(): void {
    const { wal } = this;
    for (const [name, known] of this.#known) {
      const stats = this.#stats(name);
      if (known.after === null) continue;
      assert(stats !== undefined, `${JSON.stringify(name)} is forgotten\n${this.simulation.disk.describe(30)}`);
      if (stats.lost) {
        assertEquals(name, "bounded");
        known.after = stats.position;
        continue;
      }
      assert(
        wal.tail <= stats.position + 1,
        `${JSON.stringify(name)} is at ${stats.position}, the tail is ${wal.tail}`,
      );
      this.#checkStore(name, known, stats.position);
    }
  }

  #checkStore(name: string, { kept, after }: Known, through: number): void {
    const has = new Set(kept.lsns);
    for (const lsn of this.#data) {
      const isMissing = lsn > after! && lsn <= through && !has.has(lsn);
      assert(!isMissing, `${JSON.stringify(name)} has no LSN ${lsn}, and is at ${through}`);
    }
    if (kept.savesLsn) assertEquals(has.size, kept.lsns.length, `${JSON.stringify(name)} got a record twice`);
  }
}

test("WAL releases nothing that a registered consumer lacks, in random lives with crashes at any call", async () => {
  const sums = { crashes: 0, lost: 0, full: 0 };
  for (let seed = 1; seed <= LIVES; seed++) {
    if (!isMine(seed)) continue;
    const life = new Life(new Random(seed));
    try {
      await life.run(STEPS);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    } finally {
      life.simulation.bury();
    }
    for (const key of ["crashes", "lost", "full"] as const) sums[key] += life.counts[key];
  }
  assert(sums.crashes > LIVES / 3 && sums.full > 0, JSON.stringify(sums));
});

test("consume() has both header copies name a new consumer before its first record, and dropConsumer() none", async () => {
  const simulation = new Simulation();
  const wal = simulation.open();
  append(wal, 5);
  wal.flush();
  const named = () => {
    const { copies } = readHeaders(simulation.disk.image(LOG, "medium").slice());
    return copies.map((copy) => typeof copy === "string" ? [] : copy.consumers.map(({ name }) => name));
  };
  const seen: unknown[] = [];
  await using consumption = consume(wal, { applyBatch: () => void seen.push(named()) }, { name: "search" });
  await wal.whenApplied();
  await consumption.stop();
  assertEquals(seen[0], [["search"], ["search"]]);
  wal.dropConsumer("search");
  assertEquals(named(), [[], []]);
});

test("WAL says on the medium that a consumer is lost before it uses a slot of its records again", async () => {
  for (let crashAt = 1, isOver = false; !isOver; crashAt++) {
    const simulation = new Simulation({ traceLimit: 60 });
    const { disk } = simulation;
    let wal = simulation.open();
    const kept = new Kept(true);
    append(wal, 20);
    wal.flush();
    const consumption = consume(wal, kept.store, { name: "slow", maxLagRecords: CAPACITY });
    await wal.whenApplied();
    await consumption.stop();
    append(wal, wal.capacity - wal.length - 1);
    wal.flush();
    disk.crashAt(disk.steps + crashAt);
    try {
      append(wal, 200);
      wal.flush();
      isOver = !disk.halted;
    } catch (error) {
      if (!disk.halted) throw error;
    }
    wal = simulation.reopen({ mode: "power", keep: "random" });
    const { lost, position } = wal.stats().consumers[0]!;
    assert(lost || wal.tail <= position + 1, `crash ${crashAt}: at ${position}, the tail is ${wal.tail}`);
    if (isOver) assertEquals([lost, wal.stats().warnings.length > 0], [true, true]);
    const again = wal.consumeAsync(kept.store, { name: "slow", signal: AbortSignal.timeout(0) });
    // The header says so before anything is released.
    if (lost && wal.tail > position + 1) await assertRejects(() => again, WALConsumerLostError);
    else await again;
    wal.close();
  }
});

test("WAL says that a consumer is lost before it writes a checkpoint that does not count it", async () => {
  const simulation = new Simulation({ traceLimit: 60 });
  let wal = simulation.open();
  append(wal, 10);
  wal.flush();
  const stores = [new Kept(false), new Kept(false)] as const;
  const [slow, other] = [{ name: "slow", maxLagRecords: 60 }, { name: "other", keepRecords: 700 }];
  for (const [i, options] of [slow, other].entries()) {
    await using _ = consume(wal, stores[i]!.store, options);
    await wal.whenApplied();
  }
  append(wal, wal.capacity - wal.length - 50);
  wal.flush();
  assertEquals(wal.stats().consumers.find(({ name }) => name === "slow")?.lost, true);
  const last = wal.head - 1;
  const consumption = consume(wal, stores[1].store, other);
  await wal.flushAsync();
  await wal.whenApplied();
  await consumption.stop();
  assert(wal.durable > last, "there is a checkpoint");
  wal = simulation.reopen({ mode: "kill" });
  const { position, lost } = wal.stats().consumers.find(({ name }) => name === "slow")!;
  assertEquals([position, lost], [10, true]);
  wal.close();
});

test("WAL refuses a store that lacks what a dropped consumer let go of", async () => {
  await using wal = openInMemory();
  const [behind, ahead] = [new Kept(true), new Kept(false)];
  const catchUp = async ({ store }: Kept, name: string) => {
    await using _ = consume(wal, store, { name });
    await wal.flushAsync();
    await wal.whenApplied(undefined, { name });
  };
  fill(wal, 4);
  await catchUp(behind, "behind");
  fill(wal, 20);
  await catchUp(ahead, "ahead");
  assertEquals(wal.tail, 5);
  wal.dropConsumer("behind");
  assert(wal.tail > 24, `the tail is ${wal.tail}`);
  await assertRejects(() => wal.consumeAsync(behind.store, { name: "new" }), WALStoreError, "has released everything");
});

test("the checkpoints of several consumers do not wake each other for ever", async () => {
  await using wal = openInMemory({ idleHeaderDelayMs: 1 });
  for (const name of ["a", "b", "c", ""]) {
    consume(wal, name === "b" ? new Kept(true).store : new ListStore(), { name, pollIntervalMs: 1 });
  }
  for (let burst = 0; burst < 5; burst++) {
    fill(wal, 3);
    await wal.whenApplied();
    await settled(wal);
  }
  const checkpoints = wal.head - 1 - 15;
  assert(checkpoints <= 5, `${checkpoints} checkpoints for 5 bursts`);
});

test("checkpoint() says of the unnamed consumer only what its caller says, although a lost consumer had more", async () => {
  using wal = openInMemory();
  fill(wal, 20);
  const search = consume(wal, new Kept(true).store, { name: "search", maxLagRecords: 100, keepRecords: 100 });
  await wal.whenApplied();
  await search.stop();
  fill(wal, 200);
  await wal.flushAsync();
  const kept = new Kept(false);
  let isFailing = true;
  const store: Store = {
    applyBatch(records, run) {
      if (isFailing) throw new Error("not yet");
      return kept.store.applyBatch!(records, run);
    },
  };
  await assertRejects(() => wal.consumeAsync(store), Error, "not yet");
  assertEquals(wal.stats().consumers.map(({ name, lost }) => [name, lost]), [["search", true], ["", false]]);
  assertEquals(wal.tail, 1);
  wal.checkpoint(3);
  isFailing = false;
  const consumption = consume(wal, store);
  await wal.whenApplied();
  await consumption.stop();
  assertEquals(kept.lsns.slice(0, 2), [4, 5]);
});

/** Resolves when nothing was written for a while. Rejects if that never happens. */
async function settled(wal: WAL): Promise<void> {
  const figures = () => `${wal.head} ${wal.stats().headerSyncs}`;
  for (let round = 0, quiet = 0, last = ""; quiet < 20; round++) {
    assert(round < 1000, "the log does not come to rest");
    await new Promise((resolve) => setTimeout(resolve, 2));
    quiet = figures() === last ? quiet + 1 : 0;
    last = figures();
  }
}
