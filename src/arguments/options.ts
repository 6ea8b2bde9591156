// Checks the options of a log, which types.ts declares, and puts in their defaults.

import type { Storage } from "../../ffi/region.ts";
import { diskStorage } from "../../ffi/storage.ts";
import { CountedTurn, LoopTurn, type Turn } from "../../ffi/turn.ts";
import { DEFAULT_FILE_BYTES, MINIMUM_FILE_BYTES } from "../format/layout.ts";
import { checkDelayMs, checkInteger, MAX_U16, show } from "./numbers.ts";
import { checkOptionNames } from "./objects.ts";
import type { WALOptions } from "../types.ts";

/** How far ahead of the wall clock the log's time may get, by default: a day. */
const DEFAULT_DRIFT_MS = 86_400_000;
const DEFAULT_IDLE_HEADER_MS = 100;
const DEFAULT_CLOSE_TIMEOUT_MS = 5000;

/** Where group commits wait for the medium. */
export type FlushOption = NonNullable<WALOptions["flush"]>;

/** Options with every default in its place. */
export interface CheckedOptions {
  readonly size: number;
  /** True if the caller gave a size. */
  readonly sizeIsGiven: boolean;
  readonly create: boolean;
  readonly recovery: "strict" | "salvage";
  readonly verify: NonNullable<WALOptions["verify"]>;
  readonly flush: FlushOption;
  readonly fullTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly durability: "full" | "barrier";
  readonly idleHeaderDelayMs: number;
  readonly shard: number;
  readonly maxClockDriftMs: number;
  readonly now: () => number;
  /**
   * A clock that nobody sets, in milliseconds. Null on a simulated disk: there all times come from
   * `now`, so that a run can be repeated.
   */
  readonly monotonic: (() => number) | null;
  /** Makes what tells a loop when to give way. On a simulated disk each run is alike. */
  readonly makeTurn: () => Turn;
  readonly allowUnsafeFileSystem: boolean;
  readonly followers: boolean;
  readonly storage: () => Storage;
}

/** All options. A name that is not among them is refused, because it may be misspelt. */
export const OPTION_NAMES: readonly (keyof WALOptions)[] = [
  "size",
  "create",
  "recovery",
  "verify",
  "flush",
  "fullTimeoutMs",
  "closeTimeoutMs",
  "durability",
  "idleHeaderDelayMs",
  "shard",
  "maxClockDriftMs",
  "now",
  "allowUnsafeFileSystem",
  "followers",
  "storage",
];

/**
 * Checks options, and fills in the defaults.
 *
 * @throws {TypeError} or {RangeError} if an option cannot be used.
 */
export function checkOptions(options: WALOptions): CheckedOptions {
  checkOptionNames(options, OPTION_NAMES);
  // Each option is read once, because it may be a getter.
  const { size, storage, now } = options;
  const isSimulated = storage !== undefined && now !== undefined;
  const recovery = options.recovery ?? "strict";
  const verify = options.verify ?? "ends";
  const checked: CheckedOptions = {
    size: size ?? DEFAULT_FILE_BYTES,
    sizeIsGiven: size !== undefined,
    create: options.create ?? true,
    recovery,
    // Salvage must know all damage.
    verify: recovery === "salvage" && verify === "ends" ? true : verify,
    flush: options.flush ?? "adaptive",
    fullTimeoutMs: options.fullTimeoutMs ?? Infinity,
    closeTimeoutMs: options.closeTimeoutMs ?? DEFAULT_CLOSE_TIMEOUT_MS,
    durability: options.durability ?? "full",
    idleHeaderDelayMs: options.idleHeaderDelayMs ?? DEFAULT_IDLE_HEADER_MS,
    shard: options.shard ?? 0,
    maxClockDriftMs: options.maxClockDriftMs ?? DEFAULT_DRIFT_MS,
    now: now ?? Date.now,
    monotonic: isSimulated ? null : () => performance.now(),
    makeTurn: () => isSimulated ? new CountedTurn() : new LoopTurn(),
    allowUnsafeFileSystem: options.allowUnsafeFileSystem ?? false,
    followers: options.followers ?? false,
    storage: storage === undefined ? diskStorage : () => storage,
  };
  checkSize(checked.size, "size");
  checkInteger(checked.shard, "shard", 0, MAX_U16);
  checkDelayMs(checked.fullTimeoutMs, "fullTimeoutMs");
  checkDelayMs(checked.closeTimeoutMs, "closeTimeoutMs");
  checkDelayMs(checked.idleHeaderDelayMs, "idleHeaderDelayMs");
  checkDelayMs(checked.maxClockDriftMs, "maxClockDriftMs");
  checkChoice(checked.recovery, "recovery", ["strict", "salvage"]);
  checkChoice(checked.verify, "verify", [true, false, "ends"]);
  checkChoice(checked.flush, "flush", ["adaptive", "inline", "offload"]);
  checkChoice(checked.durability, "durability", ["full", "barrier"]);
  if (typeof checked.now !== "function") throw new TypeError("Cannot use now: it must be a function");
  return checked;
}

/** Checks the size of a log's file. */
export function checkSize(bytes: number, name: string): void {
  checkInteger(bytes, name, MINIMUM_FILE_BYTES, Number.MAX_SAFE_INTEGER);
}

function checkChoice<Choice>(value: Choice, name: string, choices: readonly Choice[]): void {
  if (choices.includes(value)) return;
  throw new RangeError(`Cannot use ${show(value)} as ${name}: it must be one of ${choices.join(", ")}`);
}
