import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { WaitingLine } from "../src/engine/waiting_line.ts";
import { settle, Watched } from "./support/commit_target.ts";
import { test } from "./support/test.ts";

const never = () => new Error("timed out");

function fill(sizes: readonly number[]) {
  const room = new WaitingLine(() => 0, () => {});
  const order: number[] = [];
  const promises = sizes.map((records, index) =>
    room.enter(
      records,
      () => {
        order.push(index);
        return Promise.resolve();
      },
      Infinity,
      never,
    )
  );
  return { room, order, promises };
}

test("admit() lets in first come, first served, and nobody past one that does not fit", async () => {
  const { room, order, promises } = fill([1, 3, 1]);
  let free = 2;
  const hasRoom = (records: number) => records <= free && (free -= records) >= 0;
  room.admit(hasRoom);
  assertEquals([order, room.length], [[0], 2]);
  free = 4;
  room.admit(hasRoom);
  assertEquals([order, room.length], [[0, 1, 2], 0]);
  await Promise.all(promises);
});

test("WaitingLine resolves a waiter with its group, not when it is let in", async () => {
  const room = new WaitingLine(() => 0, () => {});
  const group = Promise.withResolvers<void>();
  const waiter = new Watched(room.enter(1, () => group.promise, Infinity, never));
  room.admit(() => true);
  await settle();
  assertEquals(waiter.state, "pending");
  group.resolve();
  await settle();
  assertEquals(waiter.state, "resolved");
});

test("WaitingLine rejects a waiter with what its append throws, and the next has its turn", async () => {
  const room = new WaitingLine(() => 0, () => {});
  const error = new RangeError("no");
  const first = room.enter(
    1,
    () => {
      throw error;
    },
    Infinity,
    never,
  );
  const second = room.enter(1, () => Promise.resolve(), Infinity, never);
  room.admit(() => true);
  assertStrictEquals(await assertRejects(() => first), error);
  await second;
});

test("WaitingLine rejects a waiter with what its group fails with", async () => {
  const room = new WaitingLine(() => 0, () => {});
  const error = new Error("no");
  const waiter = room.enter(1, () => Promise.reject(error), Infinity, never);
  room.admit(() => true);
  assertStrictEquals(await assertRejects(() => waiter), error);
});

test("rejectAll() turns each away with an error of its own", async () => {
  const { room, order, promises } = fill([1, 5]);
  room.rejectAll((records) => new Error(`${records} records`));
  await assertRejects(() => promises[0]!, Error, "1 records");
  await assertRejects(() => promises[1]!, Error, "5 records");
  room.admit(() => true);
  assertEquals([order, room.length], [[], 0]);
});

test("WaitingLine rejects a waiter that has waited too long, and never runs its append", async () => {
  const room = new WaitingLine(() => 0, () => {});
  let appends = 0;
  const append = () => {
    appends++;
    return Promise.resolve();
  };
  const error = new Error("timed out");
  const first = room.enter(1, append, 1, () => error);
  const second = room.enter(2, append, Infinity, never);
  assertStrictEquals(await assertRejects(() => first), error);
  assertEquals([room.length, appends], [1, 0]);
  room.admit((records) => records === 2);
  await second;
  assertEquals(appends, 1);
});

test("WaitingLine does not time out at once when its limit is longer than a timer can be", async () => {
  const room = new WaitingLine(() => 0, () => {});
  const waiter = new Watched(room.enter(1, () => Promise.resolve(), 2 ** 31, never));
  await new Promise((resolve) => setTimeout(resolve, 5));
  assertEquals(waiter.state, "pending");
  room.rejectAll(() => new Error("over"));
  await settle();
  assertEquals(waiter.state, "rejected");
});

test("WaitingLine skips the waiters that time out in the middle of a long line, and no others", async () => {
  const room = new WaitingLine(() => 0, () => {});
  const order: number[] = [];
  const states = Array.from({ length: 5000 }, (_, index) => {
    const enter = () => {
      order.push(index);
      return Promise.resolve();
    };
    return new Watched(room.enter(1, enter, index % 3 === 1 ? 1 : Infinity, never));
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const late = states.filter(({ state }) => state === "rejected").length;
  assertEquals([late, room.length], [1667, 5000 - 1667]);
  for (let free = 7; room.length > 0; free = 7) room.admit(() => free-- > 0);
  await settle();
  assertEquals(order, Array.from({ length: 5000 }, (_, index) => index).filter((index) => index % 3 !== 1));
  room.rejectAll(never);
  assertEquals(room.length, 0);
});
