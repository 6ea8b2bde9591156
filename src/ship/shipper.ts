// The store that ships: a consumer gives it runs, and it puts them into a target.

import { WALShipError } from "../errors.ts";
import { type EncodedRuns, offerEncodedRuns } from "../arguments/encoded_runs.ts";
import { encodeRun } from "../runs.ts";
import { type AppliedRun, type BatchStore, type LSN, OpType, type WALRecord } from "../types.ts";
import { Buffers } from "./buffers.ts";
import { Outbox } from "./outbox.ts";
import type { Target } from "./ports.ts";
import {
  mostRecords,
  newShipperId,
  readRecords,
  sealShipment,
  type Shipment,
  SHIPMENT_HEADER_BYTES,
  shipmentBytes,
  writeShipment,
} from "./shipment.ts";
import { lastLsnOf, readEnd, type TargetEnd } from "./target_end.ts";

/** What `shipTo()` was given. */
export interface ShipperOptions {
  readonly inFlight: number;
  readonly startAfter: LSN | undefined;
}

/** A store that ships what a consumer gives it. `shipTo()` makes it. */
export interface Shipper extends BatchStore {
  /**
   * What an operator should know of the target, one sentence each. Empty until a consumer begins.
   */
  readonly warnings: readonly string[];
  /**
   * Asks the target for its last run, and begins after it.
   *
   * @returns the last LSN of that run.
   */
  appliedLsn(): Promise<LSN>;
  /** The id of the log that the target's last run is of; null if there is no run. */
  appliedLog(): string | null;
  /** Sends a run. Resolves when the run is on its way, which is before the target has it. */
  applyBatch(records: readonly WALRecord[], run: AppliedRun): Promise<void>;
  /** Resolves when the target has confirmed everything. */
  sync(): Promise<void>;
}

/** Ships runs to a target. */
export class TargetShipper implements Shipper {
  readonly #target: Target;
  readonly #options: ShipperOptions;
  /** Each start of a consumer has a name of its own. The newest is the last. */
  readonly #names: string[] = [];
  readonly #buffers = new Buffers();
  /** Null before a consumer has begun. */
  #outbox: Outbox | null = null;
  /** The last LSN that was given, or that a consumer has begun after. */
  #givenLsn: LSN = 0;
  #warnings: readonly string[] = [];

  constructor(target: Target, options: ShipperOptions) {
    this.#target = target;
    this.#options = options;
    offerEncodedRuns(this, this.applyBatch, this.#encodedRuns());
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  async appliedLsn(): Promise<LSN> {
    // Until there is a new one it stays, and says in sync() what is not confirmed.
    await this.#outbox?.settle();
    this.#warnings = await this.#target.warnings();
    const end = await readEnd(this.#target);
    const sentLsn = this.#beginning(end);
    this.#givenLsn = Math.max(this.#givenLsn, sentLsn);
    this.#names.push(newShipperId());
    this.#begin(end.run, sentLsn);
    return sentLsn;
  }

  /** Begins after the target's last run, with the LSN that comes after another one. */
  #begin(after: Shipment | null, sentLsn: LSN): void {
    const [target, names, buffers] = [this.#target, this.#names, this.#buffers];
    this.#outbox = new Outbox({ target, names, after, sentLsn, buffers });
  }

  appliedLog(): string | null {
    return this.#outbox?.logId ?? null;
  }

  async applyBatch(records: readonly WALRecord[], { logId, lastLsn }: AppliedRun): Promise<void> {
    const outbox = this.#outbox;
    // Without the target's position, records that it lacks would pass for checkpoints.
    if (outbox === null) throw new TypeError("Cannot ship: appliedLsn() comes before applyBatch()");
    await outbox.mend();
    if (lastLsn <= outbox.sentLsn) return;
    this.#checkLog(outbox, logId);
    const first = records.findIndex(({ lsn }) => lsn > outbox.sentLsn);
    const rest = first === 0 ? records : records.slice(first);
    const next = rest[0];
    if (next !== undefined) {
      const given = this.#givenLsn;
      if (given > outbox.sentLsn && next.lsn > given) throw this.#hasBegunAnew(outbox);
      await this.#shipCheckpoints(outbox, next, { logId, lastLsn });
    }
    // A run begins where the one before it ended: the LSNs between them are checkpoints.
    const run = { logId, firstLsn: outbox.sentLsn + 1, lastLsn };
    this.#checkSize(outbox, run);
    await outbox.send(run, (name) => writeShipment(encodeRun(rest, run).bytes, name), this.#options.inFlight);
    this.#givenLsn = lastLsn;
  }

  /** Ships the checkpoints before a record alone, if its run would be too long with them. */
  async #shipCheckpoints(
    outbox: Outbox,
    { lsn, version, time }: WALRecord,
    { logId, lastLsn }: Omit<AppliedRun, "firstLsn">,
  ): Promise<void> {
    const most = mostRecords(this.#target.maxBytes);
    while (most > 0 && outbox.sentLsn < lsn - 1 && lastLsn - outbox.sentLsn > most) {
      const firstLsn = outbox.sentLsn + 1;
      const run = { logId, firstLsn, lastLsn: Math.min(lsn - 1, outbox.sentLsn + most) };
      const empty = { keyHigh: 0n, keyLow: 0n, valueHigh: 0n, valueLow: 0n };
      const checkpoint = { ...empty, lsn: firstLsn, opType: OpType.Checkpoint, version, time };
      const { bytes } = encodeRun([checkpoint], run);
      await outbox.send(run, (name) => writeShipment(bytes, name), this.#options.inFlight);
    }
  }

  /** For consumers of a log in this process. All others use `applyBatch()`. */
  #encodedRuns(): EncodedRuns {
    const position = (of: (outbox: Outbox) => LSN) => this.#outbox === null ? 0 : of(this.#outbox);
    const target = this.#target;
    return {
      get next() {
        return position(({ sentLsn }) => sentLsn + 1);
      },
      get durableLsn() {
        return position(({ confirmedLsn }) => confirmedLsn);
      },
      begin: (after) => {
        this.#givenLsn = Math.min(this.#givenLsn, after);
        // The first run of a target has the checkpoints before it, because stores are given none.
        if (this.#outbox?.logId === null) this.#begin(null, after);
      },
      get mostRecords() {
        return mostRecords(target.maxBytes);
      },
      prefixBytes: SHIPMENT_HEADER_BYTES,
      allocate: (size) => this.#buffers.take(size),
      apply: async (bytes, run) => {
        const outbox = this.#outbox!;
        await outbox.mend();
        if (run.firstLsn !== outbox.sentLsn + 1) throw this.#hasBegunAnew(outbox);
        this.#checkLog(outbox, run.logId);
        this.#checkSize(outbox, run);
        await outbox.send(run, (name) => sealShipment(bytes, name), this.#options.inFlight);
        this.#givenLsn = run.lastLsn;
      },
    };
  }

  async sync(): Promise<void> {
    const outbox = this.#outbox;
    await outbox?.waitFor(0);
    // What was forgotten is not confirmed.
    if (outbox !== null && this.#givenLsn > outbox.sentLsn) throw this.#hasBegunAnew(outbox);
  }

  /** The position that a consumer begins after. */
  #beginning({ run, place, isWhole }: TargetEnd): LSN {
    if (run !== null) readRecords(run);
    const { startAfter } = this.#options;
    if (run === null && !isWhole && startAfter === undefined) {
      throw new WALShipError(
        "gone",
        `Cannot ship: the target has no record, although it had ${place} message(s): they were removed or have expired; ` +
          "give startAfter, and fill the followers' stores from a backup()",
      );
    }
    return lastLsnOf(run, startAfter ?? 0);
  }

  #checkLog(outbox: Outbox, logId: string): void {
    const other = outbox.logId;
    if (other === null || other === logId) return;
    throw outbox.fail(
      "lineage",
      `the target has LSN ${outbox.sentLsn} of log ${other}, and this is log ${logId}, ` +
        "which was restored, salvaged, copied or made anew; ship it to a target of its own, " +
        "and fill the followers' stores from a backup()",
    );
  }

  /**
   * Somebody else than the consumer has called `appliedLsn()`, and some of what was given before is
   * forgotten. It would pass for checkpoints.
   */
  #hasBegunAnew(outbox: Outbox): WALShipError {
    return outbox.fail("moved", `appliedLsn() was called meanwhile, and the target ends with LSN ${outbox.sentLsn}`);
  }

  #checkSize(outbox: Outbox, { firstLsn, lastLsn }: AppliedRun): void {
    const { maxBytes } = this.#target;
    const bytes = shipmentBytes(lastLsn - firstLsn + 1);
    if (bytes <= maxBytes) return;
    throw outbox.fail(
      "oversized",
      `LSN ${firstLsn} to ${lastLsn} take a message of ${bytes} bytes, and the target takes ${maxBytes}; ` +
        `a batch arrives whole, so use batches of at most ${
          mostRecords(maxBytes)
        } records, or let the target take more`,
    );
  }
}
