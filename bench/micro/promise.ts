// The cost of waiting in a group: each figure is for a group of 4096 that is woken once.

import { bench, run, summary } from "mitata";

const CALLERS = 4096;

/** All callers of a group. Each awaits what `wait` returns; `wake` ends the group. */
async function group(wait: () => Promise<unknown>, wake: () => void): Promise<void> {
  const callers = Array.from({ length: CALLERS }, async () => {
    await wait();
  });
  wake();
  await Promise.all(callers);
}

summary(() => {
  bench("one shared promise", async () => {
    const shared = Promise.withResolvers<void>();
    await group(() => shared.promise, shared.resolve);
  });

  bench("a promise for each", async () => {
    const resolvers: (() => void)[] = [];
    const wait = (): Promise<void> => new Promise((resolve) => resolvers.push(resolve));
    await group(wait, () => {
      for (const resolve of resolvers) resolve();
    });
  });

  bench("then() with a value for each", async () => {
    const shared = Promise.withResolvers<void>();
    await group(() => shared.promise.then(() => 1), shared.resolve);
  });

  bench("an async function around it", async () => {
    const shared = Promise.withResolvers<void>();
    const wait = async (): Promise<void> => {
      await shared.promise;
    };
    await group(wait, shared.resolve);
  });
});

await run({ throw: true });
