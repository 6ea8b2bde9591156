// What the log publishes on its channels.

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import {
  type WALCloseMessage,
  type WALCommitMessage,
  type WALConsumerMessage,
  WALError,
  type WALFullMessage,
  type WALHeaderMessage,
  type WALMessage,
  type WALOpenMessage,
  type WALPoisonMessage,
} from "../mod.ts";
import { SimulatedDisk } from "../testing.ts";
import { projectUrl, runSnippet } from "./support/child.ts";
import { CAPACITY, fill, ListStore, openOn, PATH, range, until } from "./support/logs.ts";
import { test } from "./support/test.ts";

/** Takes the messages of a channel, until it is disposed. */
class Heard<Message extends WALMessage> implements Disposable {
  readonly messages: Message[] = [];
  readonly #name: string;
  readonly #listener = (message: unknown) => void this.messages.push(message as Message);

  constructor(name: string) {
    this.#name = `cidstore:wal:${name}`;
    subscribe(this.#name, this.#listener);
  }

  /** What was heard since the last call. */
  async take(): Promise<Message[]> {
    await Promise.resolve();
    return this.messages.splice(0);
  }

  [Symbol.dispose](): void {
    unsubscribe(this.#name, this.#listener);
  }
}

test("WALOpenMessage and WALCloseMessage tell of each opening and each close, good and bad", async () => {
  using opens = new Heard<WALOpenMessage>("open");
  using closes = new Heard<WALCloseMessage>("close");
  const disk = new SimulatedDisk();
  assertThrows(() => openOn(disk, { create: false }), WALError);
  const [failed] = await opens.take();
  assertEquals([failed!.path, failed!.logId, failed!.recovery], [PATH, "", null]);
  assert(failed!.error instanceof WALError && failed!.error.code === "NOT_FOUND" && failed!.durationMs >= 0);
  const wal = openOn(disk);
  const [opened] = await opens.take();
  assertEquals([opened!.path, opened!.logId, opened!.error], [PATH, wal.logId, null]);
  assertEquals(opened!.recovery, wal.recovery);
  wal.open();
  fill(wal, 3);
  wal.close();
  wal.close();
  const { durationMs, ...closed } = (await closes.take())[0]!;
  assert(durationMs >= 0);
  assertEquals(closed, { path: PATH, logId: wal.logId, clean: true, durable: 3, error: null });
  assertEquals([opens.messages.length, closes.messages.length], [0, 0]);
});

test("WALCommitMessage tells of each durable record once, in order, however it became durable", async () => {
  for (const flush of ["inline", "offload", "adaptive"] as const) {
    using commits = new Heard<WALCommitMessage>("commit");
    const wal = openOn(new SimulatedDisk(), { flush, size: 2 ** 20 });
    await Promise.all(range(1, 4000).map((i) => wal.logInsert(i, i, i, i)));
    fill(wal, 10);
    wal.flush();
    const late = wal.logInsert(1, 2, 3, 4);
    wal.flush();
    await late;
    fill(wal, 10);
    wal.resize(2 ** 21);
    wal.checkpoint(5);
    await wal.batchInsert([[1, 2, 3, 4], [5, 6, 7, 8]]);
    fill(wal, 1);
    const { head } = wal;
    wal.close();
    const messages = await commits.take();
    let next = 1;
    for (const { path, logId, firstLsn, lastLsn, records, bytes, durationMs, mode } of messages) {
      assertEquals([path, logId, firstLsn], [PATH, wal.logId, next]);
      assert(lastLsn >= firstLsn && durationMs >= 0 && (mode === "inline" || mode === "offload"));
      assertEquals([records, bytes], [lastLsn - firstLsn + 1, 64 * (lastLsn - firstLsn + 1)]);
      next = lastLsn + 1;
    }
    assertEquals(next, head);
    assert(messages.length < 20, `${messages.length} messages: one for each commit, none for each record`);
  }
});

test("WALHeaderMessage tells of each header that was written, and of the one that marks the log clean", async () => {
  using headers = new Heard<WALHeaderMessage>("header");
  const wal = openOn(new SimulatedDisk(), { flush: "inline" });
  fill(wal, CAPACITY / 2);
  wal.flush();
  const before = wal.stats().headerSyncs;
  wal.truncate(CAPACITY / 4);
  await until(() => wal.stats().headerSyncs > before);
  const written = await headers.take();
  assertEquals(written.length, wal.stats().headerSyncs - before);
  const { durationMs, ...first } = written[0]!;
  assert(durationMs >= 0);
  const [tail, durable] = [CAPACITY / 4 + 1, CAPACITY / 2];
  assertEquals(first, { path: PATH, logId: wal.logId, tail, durable, clean: false });
  wal.close();
  assertEquals((await headers.take()).map(({ clean }) => clean), [true]);
});

test("WALFullMessage tells when appends begin to wait for room, when none waits any more, and of each refusal", async () => {
  using fulls = new Heard<WALFullMessage>("full");
  using consumers = new Heard<WALConsumerMessage>("consumer");
  const wal = openOn(new SimulatedDisk());
  fill(wal, CAPACITY);
  assertThrows(() => wal.logInsertSync(1, 2, 3, 4), WALError);
  const refused = { path: PATH, logId: wal.logId, wanted: 1, tail: 1, head: CAPACITY + 1, capacity: CAPACITY };
  assertEquals(await fulls.take(), [{ ...refused, event: "refuses", durationMs: 0 }]);
  const stop = new AbortController();
  const consuming = wal.consumeAsync(new ListStore(), { signal: stop.signal });
  await Promise.all(range(1, 50).map((i) => wal.batchInsert([[i, i, i, i], [i, i, i, i]])));
  const messages = await fulls.take();
  assertEquals(messages.map(({ event, wanted }) => [event, wanted]), [["begins", 2], ["ends", 0]]);
  stop.abort();
  await consuming;
  assertEquals((await consumers.take()).map(({ event }) => event), ["begins", "stops"]);
  wal.close();
});

test("WALConsumerMessage tells of retries and failures, with the store's error", async () => {
  using consumers = new Heard<WALConsumerMessage>("consumer");
  const wal = openOn(new SimulatedDisk());
  await wal.logInsert(1, 2, 3, 4);
  const store = new ListStore();
  const error = new Error("the store fails");
  store.before = () => Promise.reject(error);
  const consuming = wal.consumeAsync(store, { onError: (_, { attempt }) => attempt < 2 ? "retry" : "stop" });
  await assertRejects(() => consuming, Error, "the store fails");
  const found = (await consumers.take()).map(({ event, attempts, error }) => [event, attempts, error]);
  assertEquals(found, [["begins", 0, null], ["retries", 1, error], ["retries", 2, error], ["fails", 2, error]]);
  wal.close();
});

test("WALConsumerMessage tells which records are skipped", async () => {
  using consumers = new Heard<WALConsumerMessage>("consumer");
  const wal = openOn(new SimulatedDisk());
  fill(wal, 5);
  wal.flush();
  const store = new ListStore();
  store.before = ({ lsn }) => {
    if (lsn === 3) throw new Error("the store cannot have that");
  };
  const stop = new AbortController();
  const consuming = wal.consumeAsync(store, { onError: () => "skip", signal: stop.signal });
  await wal.whenApplied();
  const skips = (await consumers.take()).filter(({ event }) => event === "skips");
  assertEquals(skips.map(({ skippedLsns, error }) => [skippedLsns, (error as Error).message]), [
    [[3], "the store cannot have that"],
  ]);
  stop.abort();
  await consuming;
  wal.close();
});

test("WALConsumerMessage names the consumer, and tells when the log gives it up", async () => {
  using consumers = new Heard<WALConsumerMessage>("consumer");
  const wal = openOn(new SimulatedDisk());
  const stop = new AbortController();
  const consuming = wal.consumeAsync(new ListStore(), { name: "slow", maxLagRecords: 100, signal: stop.signal });
  await wal.logInsert(1, 2, 3, 4);
  await wal.whenApplied();
  stop.abort();
  await consuming;
  fill(wal, 200);
  wal.flush();
  await until(() => wal.stats().consumers[0]!.lost);
  const found = (await consumers.take()).map(({ consumer, event }) => [consumer, event]);
  assertEquals(found, [["slow", "begins"], ["slow", "stops"], ["slow", "lost"]]);
  wal.close();
});

test("WALPoisonMessage tells once why a log has failed, and WALCloseMessage says so too", async () => {
  using poisons = new Heard<WALPoisonMessage>("poison");
  using closes = new Heard<WALCloseMessage>("close");
  const disk = new SimulatedDisk();
  const wal = openOn(disk, { flush: "inline" });
  await wal.logInsert(1, 2, 3, 4);
  disk.fail({ call: "syncMapped" });
  const error = await assertRejects(() => wal.logInsert(1, 2, 3, 4), WALError);
  assertThrows(() => wal.flush(), WALError);
  assertEquals(await poisons.take(), [{ path: PATH, logId: wal.logId, error, durable: 1 }]);
  assertThrows(() => wal.close(), WALError);
  const [closed] = await closes.take();
  assertEquals([closed!.clean, closed!.error, closed!.durable], [false, error, 1]);
});

test("WALMessage subscribers may call the log, and what they throw does not reach it", async () => {
  const { code, stdout, stderr } = await runSnippet(`
    import { subscribe } from "node:diagnostics_channel";
    import process from "node:process";
    import { WAL } from ${JSON.stringify(projectUrl("mod.ts"))};
    let thrown = 0;
    const caught = (error) => { if (error.message !== "mine") throw error; thrown++; };
    process.on("uncaughtException", caught);
    let heard = 0;
    for (const name of ["open", "commit", "header", "full", "poison", "close"]) {
      subscribe("cidstore:wal:" + name, () => { throw new Error("mine"); });
      subscribe("cidstore:wal:" + name, () => void heard++);
    }
    const wal = WAL.open(null, { size: 65536 });
    let more = 3;
    subscribe("cidstore:wal:commit", () => {
      if (more-- > 0) { wal.logInsertSync(5, 6, 7, 8); wal.flush(); wal.stats(); }
    });
    for (let i = 0; i < 10; i++) await wal.logInsert(i, i, i, i);
    wal.truncate(wal.durable);
    await wal.flushAsync();
    const records = wal.head - 1;
    wal.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    console.log(records, heard >= 14, thrown === heard);
  `);
  assertEquals([code, stdout.trim()], [0, "13 true true"], stderr);
});
