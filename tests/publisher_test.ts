// How often a writer tells its followers, and of what: with a clock that the test sets.

import { FileMemory } from "../ffi/file_memory.ts";
import { assertEquals } from "@std/assert";
import { Publisher } from "../src/engine/publisher.ts";
import { readHeader } from "../src/format/header.ts";
import { readLiveBlock } from "../src/format/live_block.ts";
import { headerBytes } from "./support/reference.ts";
import { turn } from "./support/simulation.ts";
import { test } from "./support/test.ts";

function start() {
  const bytes = new Uint8Array(16384);
  const header = { latest: putHeader(1) };
  const clock = { ms: 0 };
  const positions = { head: 1, durable: 0 };
  /** What was written when, by the clock. */
  const written: { ms: number; block: Uint8Array }[] = [];
  const file = {
    write: (block: Uint8Array) => void written.push({ ms: clock.ms, block: block.slice() }),
    isThere: () => true,
    close() {},
  };
  const memory = { region: { memory: new FileMemory(bytes.buffer) } };
  const log = { positions, header, memory, nowMs: () => clock.ms } as unknown as ConstructorParameters<
    typeof Publisher
  >[0];
  const publisher = new Publisher(log, () => file);

  function putHeader(writeCounter: number) {
    const copy = writeCounter % 2 === 0 ? 0 : 1;
    bytes.set(headerBytes({ writeCounter, tail: 1 }), copy * 4096);
    const found = readHeader(bytes, copy);
    if (typeof found !== "object") throw new TypeError(found);
    return found;
  }

  return {
    publisher,
    putHeader: (writeCounter: number) => void (header.latest = putHeader(writeCounter)),
    /** So many commits at a time, which the clock may have reached before. */
    commit(ms: number, count = 1) {
      clock.ms = ms;
      for (let i = 0; i < count; i++) {
        positions.durable = positions.head++;
        publisher.publish();
      }
    },
    async until(count: number, ms: number) {
      clock.ms = ms;
      while (written.length < count) await turn();
    },
    times: () => written.map(({ ms }) => ms),
    last: () => readLiveBlock(written.at(-1)!.block)!,
  };
}

test("Publisher writes at once, and then at most once a millisecond", async () => {
  const { commit, until, times, last, publisher } = start();
  assertEquals(times(), [0]);
  commit(0.5);
  commit(0.75, 2); // they wait for the same write
  assertEquals(times(), [0]);
  await until(2, 1);
  assertEquals([times(), last().durable], [[0, 1], 3]);
  commit(2);
  assertEquals([times(), last().durable], [[0, 1, 2], 4]);
  publisher.close();
});

test("Publisher writes every other millisecond while there are many commits between two writes", async () => {
  const { commit, until, times, last, publisher } = start();
  commit(0.5, 5);
  await until(2, 1);
  commit(2.5);
  assertEquals(times(), [0, 1]);
  await until(3, 3);
  assertEquals([times(), last().durable], [[0, 1, 3], 6]);
  commit(4); // few commits since then
  assertEquals([times(), last().durable], [[0, 1, 3, 4], 7]);
  publisher.close();
});

test("Publisher names the newest header", () => {
  const { commit, putHeader, last, publisher } = start();
  const { headerCrc } = last();
  commit(1);
  assertEquals([last().writeCounter, last().headerCrc], [1, headerCrc]);
  putHeader(2);
  commit(2);
  assertEquals([last().writeCounter, last().headerCrc === headerCrc], [2, false]);
  publisher.close();
});
