// Fault: space was only promised, so each first sync commits a journal and a full disk kills the
//   process. Or it was zeroed in large pieces, so the page cache holds large folios, of which a
//   64-byte commit writes all (H15, H18, H35).
// Promise: every block of a new log has been written, in blocks of a page, and is durable before
//   the log has its name (G8, G12).
// Method: make logs of several sizes on the simulated disk, and count what was written by which
//   calls and what later syncs write.

import { assert, assertEquals } from "@std/assert";
import { append, LOG, Simulation } from "../support/simulation.ts";
import { test } from "../support/test.ts";

test("open() writes every block of a new log, a page at a time, and syncs it before it has its name", () => {
  for (const size of [65536, 262144, 1048576]) {
    const simulation = new Simulation({}, { size });
    const wal = simulation.open();
    const calls = simulation.disk.trace.map(({ call }) => call);
    assertEquals(calls.filter((call) => call === "write").length, size / 4096);
    const order = ["allocate", "write", "fsync", "link", "syncDirectory"] as const;
    const places = order.map((call) => calls.lastIndexOf(call));
    assert(!places.includes(-1), `${order.join(", ")}: ${places.join(", ")}`);
    assertEquals(places.toSorted((a, b) => a - b), places, `${order.join(", ")}: ${places.join(", ")}`);
    wal.close();
  }
});

test("flush() writes the pages of its records and no other, in the first lap as in the second", () => {
  const simulation = new Simulation();
  const { disk } = simulation;
  const wal = simulation.open();
  for (let lap = 0; lap < 2; lap++) {
    append(wal, 1);
    wal.flush();
    for (let i = 0; i < 60; i++) {
      const before = disk.bytesWritten(LOG);
      append(wal, 1);
      wal.flush();
      assertEquals(disk.bytesWritten(LOG) - before, 4096, `lap ${lap}, record ${i}`);
    }
    append(wal, wal.capacity - wal.length);
    wal.flush();
    wal.truncate(wal.durable);
    wal.checkpoint();
    wal.truncate(wal.durable);
  }
  assert(wal.head > 2 * wal.capacity);
  wal.close();
});
