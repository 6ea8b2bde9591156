// Calls to JetStream: the stream's manager, time limits, and what its errors mean.

import { WALShipError } from "../errors.ts";
import type { WALShipFault } from "../types.ts";
import type { JetStream, JetStreamManager } from "./jetstream_types.ts";
import { type Bounds, MovedOn, type StoredMessage } from "./ports.ts";
import { within } from "./time_limit.ts";

/** Error codes of the server. */
const STREAM_NOT_FOUND = 10059;
const WRONG_LAST_SEQUENCE: readonly unknown[] = [10071, 10164];
const TOO_LARGE = 10054;

/** The calls that shippers and followers have in common. */
export class JetStreamCalls {
  readonly target: JetStream;
  readonly #timeoutMs: number;
  #manager: Promise<JetStreamManager> | null = null;

  constructor(target: JetStream, timeoutMs: number) {
    this.target = target;
    this.#timeoutMs = timeoutMs;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** Calls the manager. @throws {WALShipError} or {MovedOn} */
  manage<T>(call: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    return this.answer(async () => {
      this.#manager ??= this.target.jetstream.jetstreamManager(false);
      this.#manager.catch(() => this.#manager = null);
      return await call(await this.#manager);
    });
  }

  /** Waits for an answer, for a limited time. @throws {WALShipError} or {MovedOn} */
  answer<T>(call: () => Promise<T>): Promise<T> {
    return this.timed(() => within(this.#timeoutMs, call));
  }

  /** Waits for the answer to a call that has a time limit of its own. */
  async timed<T>(call: () => Promise<T>): Promise<T> {
    try {
      if (this.target.connection.isClosed()) throw new Error("the connection is closed");
      return await call();
    } catch (error) {
      throw this.#meaning(error);
    }
  }

  /** The places that the stream has, by the server that leads it. */
  bounds(): Promise<Bounds> {
    return this.manage(async ({ streams }) => {
      const { messages, first_seq, last_seq } = (await streams.info(this.target.stream)).state;
      return { first: messages === 0 ? last_seq + 1 : first_seq, last: last_seq };
    });
  }

  /** What an error means. */
  #meaning(cause: unknown): unknown {
    if (cause instanceof WALShipError) return cause;
    const { connection, stream, subject } = this.target;
    const { code, message } = cause as { readonly code?: unknown; readonly message?: unknown };
    const tell = (fault: WALShipFault, why: string) =>
      new WALShipError(fault, `Cannot use stream ${stream}: ${why}`, { cause });
    if (WRONG_LAST_SEQUENCE.includes(code)) return new MovedOn(String(message), { cause });
    if (code === STREAM_NOT_FOUND) return tell("gone", "there is no such stream; create it first");
    if (code === TOO_LARGE) return tell("oversized", "its max_msg_size is less than a message");
    if (connection.isClosed()) return tell("closed", "the connection is closed");
    if (typeof code === "number") return tell("refused", `the server answers: ${String(message)}`);
    if ((cause as Error).name === "JetStreamNotEnabled") {
      return tell("unreachable", `nobody answers: JetStream is off, or no stream stores messages of ${subject}.*`);
    }
    if (isDenial(cause)) return tell("refused", `the server denies access: ${String(message)}`);
    return tell("unreachable", `the server cannot be reached: ${String(message)}`);
  }
}

/** A message of the client. */
export function storedMessage({ seq, data }: { readonly seq: number; readonly data: Uint8Array }): StoredMessage {
  return { place: seq, bytes: data };
}

/** True if a permission is missing. The client wraps some errors in others. */
function isDenial(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return /^(Permission|Authorization|UserAuthentication)/.test(error.name) || isDenial(error.cause);
}
