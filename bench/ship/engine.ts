// What the measurement asks of an engine.

import type { ApplicableStore } from "../../mod.ts";
import type { Following } from "../../src/ship/following.ts";
import type { Shipper } from "../../src/ship/shipper.ts";

/** Retries, as a process does that outlasts its server. */
export const RETRY = { onError: () => "retry" as const };

/** A place for a log. */
export interface EngineTarget {
  shipTo(options?: { readonly inFlight: number }): Shipper;
  followFrom(store: ApplicableStore): Following;
  /** Removes it, with what was shipped. */
  remove(): Promise<void>;
}

/** A loop as a user of the client writes it: it sends a payload so many times, and is confirmed. */
export interface ClientLoop {
  run(payload: Uint8Array, times: number, inFlight: number): Promise<void>;
  remove(): Promise<void>;
}

/** A real server on loopback. */
export interface Engine extends AsyncDisposable {
  /** Name and version of the server. */
  readonly server: string;
  /** How many records a round ships, and how many are shipped for the memory. */
  readonly records: number;
  readonly memoryRecords: number;
  /** An empty target. */
  makeTarget(): Promise<EngineTarget>;
  /** The client's own loops, by their names. */
  readonly loops: Readonly<Record<string, () => Promise<ClientLoop>>>;
}

/** Calls so many times, with so many calls on their way, each begun in order. */
export async function keepInFlight(
  times: number,
  inFlight: number,
  call: (index: number) => Promise<unknown>,
): Promise<void> {
  const pending: Promise<unknown>[] = [];
  for (let index = 0; index < times; index++) {
    if (pending.length >= inFlight) await pending.shift();
    pending.push(call(index));
  }
  await Promise.all(pending);
}
