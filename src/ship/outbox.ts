// What one start of a shipper sends: several messages at a time, in order.
//
// Each message names the place that it comes after, and is stored only if that is the last place
// and the message there is of the same shipper. So the target itself refuses repeats, gaps, and a
// shipper that was replaced. A place alone would not do: a broker that loses its end uses places
// again, and then a late message of an old shipper would come after another shipper's message.
//
// The first message of a shipper comes after another shipper's. It is a claim, without a record.
// After the claim is stored, what is before it cannot change. Only if that still is what the
// shipper began with are runs sent.
//
// After an error nobody knows what the target has stored. Then the target's last run decides: what
// comes after it in the queue is sent again, in the same messages as before.

import { WALShipError } from "../errors.ts";
import type { AppliedRun, LSN, WALShipFault } from "../types.ts";
import type { Buffers } from "./buffers.ts";
import { MovedOn, type Target } from "./ports.ts";
import { writeShipment } from "./shipment.ts";
import { isSameRun, lastLsnOf, readEnd, type RunName, type TargetEnd } from "./target_end.ts";

/** How often in a row the target may refuse a place before that counts as a failure. */
const MOST_REFUSALS = 8;

/** A message that the target has not confirmed. */
interface Unconfirmed {
  readonly run: AppliedRun;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How often it was sent. */
  attempts: number;
  /** Settles when the last attempt to send it has ended. Never rejects. */
  sending: Promise<void>;
}

/** Who sends, to which target, and after what. */
export interface OutboxOptions {
  readonly target: Target;
  /** The shipper's names. The last one is the name of this start. */
  readonly names: readonly string[];
  /** The target's last run. */
  readonly after: RunName | null;
  /** The last LSN that need not be sent. */
  readonly sentLsn: LSN;
  /** Gets the bytes of confirmed messages. */
  readonly buffers: Buffers;
}

/** The messages of one start. */
export class Outbox {
  /** Everything up to this LSN is stored or on its way. Nobody else changes it. */
  sentLsn: LSN;
  /** Everything up to this LSN is known to be stored. Nobody else changes it. */
  confirmedLsn: LSN;
  readonly #options: OutboxOptions;
  readonly #name: string;
  /** The last run that is known to be stored. */
  #stored: RunName | null;
  /** Its place, or the place of the claim. */
  #storedPlace = 0;
  #hasClaimed = false;
  /** In LSN order. */
  #queue: Unconfirmed[] = [];
  /** Where the last message of the queue ends, if all goes well. */
  #sentPlace = 0;
  /** Why a message was not confirmed; null while all goes well. */
  #trouble: unknown = null;
  /** A failure that only a new start can end. */
  #failure: WALShipError | null = null;

  constructor(options: OutboxOptions) {
    this.#options = { ...options, names: [...options.names] };
    this.#name = options.names.at(-1)!;
    this.#stored = options.after;
    this.sentLsn = this.confirmedLsn = options.sentLsn;
  }

  /** The log of the last run that is stored or on its way; null if there is none. */
  get logId(): string | null {
    return this.#queue.at(-1)?.run.logId ?? this.#stored?.logId ?? null;
  }

  /** Ends this start with an error, which each later call throws again. */
  fail(fault: WALShipFault, why: string): WALShipError {
    return this.#failure = new WALShipError(fault, `Cannot ship: ${why}`);
  }

  /** Sends a run after those before it. Waits until fewer than `most` are on their way. */
  async send(run: AppliedRun, encode: (name: string) => Uint8Array<ArrayBuffer>, most: number): Promise<void> {
    if (!this.#hasClaimed) await this.#claim();
    await this.waitFor(most - 1);
    const unconfirmed = { run, bytes: encode(this.#name), attempts: 0, sending: Promise.resolve() };
    this.#queue.push(unconfirmed);
    this.#send(unconfirmed);
  }

  /** Waits until at most so many messages are on their way. */
  async waitFor(most: number): Promise<void> {
    await this.mend();
    for (let refusals = 0; this.#queue.length > most;) {
      await this.#queue[0]!.sending;
      if (this.#trouble === null) continue;
      if (!(this.#trouble instanceof MovedOn)) throw this.#trouble;
      checkRefusals(++refusals, this.#trouble);
      await this.mend();
    }
  }

  /** Waits until nothing is on its way. */
  async settle(): Promise<void> {
    await Promise.all(this.#queue.map(({ sending }) => sending));
  }

  /** After an error: asks the target what it has, and sends the rest again. */
  async mend(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    if (this.#trouble === null) return;
    await this.settle();
    const end = await readEnd(this.#options.target);
    this.#drop(end);
    this.#trouble = null;
    this.#storedPlace = this.#sentPlace = end.place;
    this.sentLsn = lastLsnOf(this.#stored, this.sentLsn);
    for (const unconfirmed of this.#queue) this.#send(unconfirmed);
  }

  /** Takes the target over from the shipper before. */
  async #claim(): Promise<void> {
    for (let refusals = 0;;) {
      let end = await readEnd(this.#options.target);
      this.#checkBeginning(end);
      if (end.owner !== this.#name) {
        try {
          const bytes = writeShipment(null, this.#name);
          await this.#options.target.append({ after: end.place, shipper: this.#name, run: null, bytes });
        } catch (error) {
          if (!(error instanceof MovedOn)) throw error;
          checkRefusals(++refusals, error);
          continue;
        }
        end = await readEnd(this.#options.target);
        this.#checkBeginning(end);
        if (end.owner !== this.#name) throw this.#fenced(end);
      }
      this.#storedPlace = this.#sentPlace = end.place;
      this.#hasClaimed = true;
      return;
    }
  }

  /** Checks that the target still ends with the run that this start comes after. */
  #checkBeginning({ run }: TargetEnd): void {
    if (isSameRun(run, this.#stored)) return;
    throw this.fail("moved", `the target ended with LSN ${this.sentLsn}, and now with LSN ${lastLsnOf(run, 0)}`);
  }

  #send(unconfirmed: Unconfirmed): void {
    const { run, bytes } = unconfirmed;
    const after = this.#sentPlace++;
    this.sentLsn = run.lastLsn;
    unconfirmed.attempts++;
    unconfirmed.sending = this.#options.target.append({ after, shipper: this.#name, run, bytes }).then(
      () => {
        this.#confirm(unconfirmed, after + 1);
        // Of a message that was sent twice, one may still be on its way.
        if (unconfirmed.attempts === 1) this.#options.buffers.give(bytes);
      },
      (error) => {
        // The first one says what happened. Those after it are refused because of it.
        this.#trouble ??= error;
      },
    );
  }

  /** The target has a message, and so it has those before it. */
  #confirm(unconfirmed: Unconfirmed, place: number): void {
    const index = this.#queue.indexOf(unconfirmed);
    if (index < 0) return;
    const { logId, lastLsn } = unconfirmed.run;
    this.#stored = { logId, lastLsn, shipper: this.#name };
    this.confirmedLsn = lastLsn;
    this.#storedPlace = place;
    this.#queue.splice(0, index + 1);
  }

  /** Takes what the target has from the queue. */
  #drop(end: TargetEnd): void {
    const { place, owner, run } = end;
    if (place < this.#storedPlace) throw this.#lost(end);
    if (owner !== this.#name) throw this.#fenced(end);
    if (isSameRun(run, this.#stored)) return;
    const index = this.#queue.findIndex((message) => message.run.lastLsn === run?.lastLsn);
    if (run === null || run.shipper !== this.#name || index < 0) throw this.#lost(end);
    this.#stored = run;
    this.confirmedLsn = run.lastLsn;
    this.#queue.splice(0, index + 1);
  }

  #lost({ run }: TargetEnd): WALShipError {
    const [had, has] = [lastLsnOf(this.#stored, 0), lastLsnOf(run, 0)];
    const why = `the target had confirmed LSN ${had}, and now ends with LSN ${has}: it has lost what it confirmed`;
    return this.fail("moved", why);
  }

  #fenced({ owner, run }: TargetEnd): WALShipError {
    // A late claim of an earlier start is no other shipper's. Without an owner, all was removed.
    const fault = owner === null || this.#options.names.includes(owner) ? "moved" : "fenced";
    const why = owner === null ? "its messages were removed" : "another shipper has taken over";
    return this.fail(fault, `${why}, and the target ends with LSN ${lastLsnOf(run, 0)}`);
  }
}

/** @throws {WALShipError} if a target has refused what it shows as its end too often in a row. */
function checkRefusals(refusals: number, cause: MovedOn): void {
  if (refusals < MOST_REFUSALS) return;
  throw new WALShipError("unreachable", "Cannot ship: the target refuses its own end again and again", { cause });
}
