// What shipping asks of an engine: an ordered list of messages that refuses a message which does
// not come directly after the last one.

import type { AppliedRun, LSN } from "../types.ts";

/** A message that an engine stores. */
export interface StoredMessage {
  /** Its place in the order. Places grow, and the first is at least 1. */
  readonly place: number;
  /** The message. Nobody changes it. */
  readonly bytes: Uint8Array;
}

/** Which places an engine has. */
export interface Bounds {
  /** The place of the oldest message; more than `last` if there is no message. */
  readonly first: number;
  /** The place after which the next message comes; 0 if there never was a message. */
  readonly last: number;
}

/** A message on its way to an engine. */
export interface Outgoing {
  /** The place that it comes after. */
  readonly after: number;
  /** Who sends it. */
  readonly shipper: string;
  /** What it carries; null in a claim, which is the first message of a shipper. */
  readonly run: AppliedRun | null;
  /** They are used for another message once the engine has confirmed this one. */
  readonly bytes: Uint8Array;
}

/** Where a shipper puts messages. All methods reject with `WALShipError`. */
export interface Target {
  /** The most bytes in a message. */
  readonly maxBytes: number;
  /** What an operator should know of the engine. Called when a consumer begins. */
  warnings(): Promise<readonly string[]>;
  /** The bounds now. They are never older than what an earlier answer has shown. */
  bounds(): Promise<Bounds>;
  /** The message at a place; null if it was removed. */
  read(place: number): Promise<StoredMessage | null>;
  /**
   * Stores a message at the place after `after`, if that is the last place. Unless the message is a
   * claim, the message at `after` must be of the same shipper. Otherwise it rejects with `MovedOn`.
   * After any other error the message may be stored nevertheless, even later.
   *
   * Messages that are sent without waiting arrive in this order. Resolves when the engine has
   * confirmed the message.
   */
  append(message: Outgoing): Promise<void>;
}

/** The engine's answer to a message that does not come directly after the last one. */
export class MovedOn extends Error {
  /** The class's name. */
  override name = "MovedOn";
}

/** Where a follower gets messages from. All methods reject with `WALShipError`. */
export interface Source {
  /** The bounds now. */
  bounds(): Promise<Bounds>;
  /** The oldest message at a place or after it; null if there is none. */
  at(place: number): Promise<StoredMessage | null>;
  /**
   * Where the last run may be that begins at or before an LSN, if the engine has an index. Only the
   * messages themselves are believed.
   */
  placeNear?(lsn: LSN): Promise<number>;
  /**
   * The messages from a place on, as they come. Null after each pause, of about a second. Ends when
   * the signal aborts, or when reading must begin anew.
   */
  read(place: number, signal: AbortSignal): AsyncIterable<StoredMessage | null>;
}
