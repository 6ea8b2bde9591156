// A source for a reader that may stop at any moment, also while the source does not answer.

import type { Source, StoredMessage } from "./ports.ts";
import { within } from "./time_limit.ts";

/** How long a source may take to end what it has begun. A server that hangs ends nothing. */
const ENDING_MS = 100;

/** A source that rejects once the signal aborts. What it was asked before goes on unheard. */
export function stoppable(source: Source, signal: AbortSignal): Source {
  const { placeNear } = source;
  return {
    bounds: () => unlessAborted(source.bounds(), signal),
    at: (place) => unlessAborted(source.at(place), signal),
    ...placeNear && { placeNear: (lsn) => unlessAborted(placeNear.call(source, lsn), signal) },
    async *read(place): AsyncGenerator<StoredMessage | null> {
      const messages = source.read(place, signal)[Symbol.asyncIterator]();
      try {
        while (true) {
          const next = await unlessAborted(messages.next(), signal);
          if (next.done) return;
          yield next.value;
        }
      } finally {
        await within(ENDING_MS, async () => await messages.return?.()).catch(() => {});
      }
    },
  };
}

async function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  try {
    return await Promise.race([answer, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
