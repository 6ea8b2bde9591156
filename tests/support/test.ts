// One way to register a test on every runtime: with Deno.test, bun:test or node:test.

import { runtime } from "./runtime.ts";

/** How a test is run. */
export interface TestOptions {
  /** Why the test is skipped here; false or absent: it runs. */
  skip?: string | false;
  /**
   * Milliseconds after which a test that waits counts as failed. Far more than any test takes on a
   * machine that is five times slower, and busy: the limit is for tests that hang.
   *
   * @default {600000}
   */
  timeoutMs?: number;
  /**
   * Deno's check that a test leaves no timer or other operation behind. The others have none.
   *
   * @default {true}
   */
  sanitize?: boolean;
}

type TestBody = () => void | Promise<void>;

const DEFAULT_TIMEOUT_MS = 600_000;

interface BunTest {
  test: {
    (name: string, body: TestBody, timeoutMs: number): void;
    skip(name: string, body: TestBody): void;
  };
}

interface NodeTest {
  test(name: string, options: { skip: boolean }, body: TestBody): unknown;
}

interface DenoTest {
  test(
    definition: {
      name: string;
      fn: TestBody;
      ignore: boolean;
      sanitizeOps: boolean;
      sanitizeResources: boolean;
    },
  ): void;
}

// A name that is not a literal, because no other runtime can resolve Bun's test module. Deno and
// Bun have a node:test of their own.
const moduleName: string = `${runtime}:test`;
const runner: unknown = runtime === "deno" ? (globalThis as { Deno?: unknown }).Deno : await import(moduleName);

/** Registers a test. Its name is the symbol, then the behaviour. */
export function test(
  name: string,
  body: TestBody,
  options: TestOptions = {},
): void {
  const { skip = false, timeoutMs = DEFAULT_TIMEOUT_MS, sanitize = true } = options;
  const title = skip === false ? name : `${name} (skipped: ${skip})`;
  const timedBody = () => within(timeoutMs, body);
  if (runtime === "deno") {
    (runner as DenoTest).test({
      name: title,
      fn: timedBody,
      ignore: skip !== false,
      sanitizeOps: sanitize,
      // libc, opened by the first test that needs it, stays open; to Deno that is a leak.
      sanitizeResources: false,
    });
  } else if (runtime === "node") {
    (runner as NodeTest).test(title, { skip: skip !== false }, timedBody);
  } else if (skip !== false) {
    (runner as BunTest).test.skip(title, timedBody);
  } else {
    // Bun's own limit is the net below ours: it catches a test that neither returns nor waits.
    (runner as BunTest).test(title, timedBody, timeoutMs + 5_000);
  }
}

/** Runs a body and rejects if it waits for longer than the limit. */
async function within(limitMs: number, body: TestBody): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`The test did not end within ${limitMs} ms`)),
      limitMs,
    );
  });
  try {
    await Promise.race([body(), expired]);
  } finally {
    clearTimeout(timer);
  }
}
