// What a caller of crashTest() hands in, each option read once and checked.

import { checkConsumerName } from "../../arguments/consumer.ts";
import { checkDelayMs, checkInteger, MAX_U32, show } from "../../arguments/numbers.ts";
import { checkObject, checkOptionNames } from "../../arguments/objects.ts";
import { MOST_CONSUMERS } from "../../format/layout.ts";
import type { Store } from "../../types.ts";
import { contentsFinder } from "../contents.ts";
import type { CrashStore, CrashTestExtent, StoreSubject, Subject } from "./options.ts";

const DEFAULT_SEEDS = 20;
const DEFAULT_POINTS = 20;
const DEFAULT_CRASHES = 2;
const DEFAULT_FAILURES = 0.1;
const DEFAULT_TIMEOUT_MS = 10_000;

const STORE_OPTIONS = ["store", "contents", "model", "check", "reseed", "maxLagRecords", "keepRecords"] as const;
/** Options of storeConformance() alone. Its callers may hand the same object to both. */
const SUITE_OPTIONS = ["operations", "test", "name"] as const;
const TEST_OPTIONS: readonly (keyof AnyTest)[] = [
  "workload",
  "stores",
  "seeds",
  "crashPoints",
  "crashes",
  "failures",
  "log",
  "timeoutMs",
  "temporary",
];

/** A crash test, with every default in its place. */
export interface TakenTest {
  readonly subject: Subject;
  readonly crashes: number;
  readonly failures: number;
  readonly seeds: readonly number[];
  readonly crashPoints: NonNullable<CrashTestExtent["crashPoints"]>;
  readonly log: CrashTestExtent["log"];
  /** What the test does not look at, a sentence for each. */
  readonly notChecked: readonly string[];
}

type AnyStore = CrashStore<Store, unknown>;

/** The options of either kind of test: of one store, or of several. */
export interface AnyTest extends CrashTestExtent, Partial<AnyStore> {
  readonly workload: Subject["workload"];
  readonly stores?: Readonly<Record<string, AnyStore>> | undefined;
}

/** @throws {TypeError} or {RangeError} if an option cannot be used. */
export function takeTest(options: AnyTest): TakenTest {
  checkOptionNames(options, [...STORE_OPTIONS, ...SUITE_OPTIONS, ...TEST_OPTIONS]);
  const { workload, stores: given, seeds = DEFAULT_SEEDS, crashPoints = DEFAULT_POINTS, log, temporary } = options;
  const { crashes = DEFAULT_CRASHES, failures = DEFAULT_FAILURES, timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  checkFunction(workload, "workload");
  if (!Number.isSafeInteger(crashes) || crashes < 1) throw new RangeError(`Cannot crash ${show(crashes)} times`);
  if (typeof failures !== "number" || !(failures >= 0 && failures <= 1)) {
    throw new RangeError(`Cannot use ${show(failures)} as failures: it must be from 0 to 1`);
  }
  checkDelayMs(timeoutMs, "timeoutMs");
  checkNumbers(seeds, "seeds", 1);
  checkNumbers(crashPoints, "crashPoints", 0);
  const stores = storesOf(given, options as AnyStore);
  return {
    subject: { workload, stores: stores.map(({ subject }) => subject), temporary, timeoutMs },
    seeds: typeof seeds === "number" ? Array.from({ length: seeds }, (_, index) => index + 1) : [...seeds],
    crashPoints: typeof crashPoints === "number" ? crashPoints : [...crashPoints],
    crashes,
    failures,
    log,
    notChecked: stores.flatMap(({ notChecked }) => notChecked),
  };
}

type TakenStore = { readonly subject: StoreSubject; readonly notChecked: readonly string[] };

function storesOf(given: AnyTest["stores"], single: AnyStore): readonly TakenStore[] {
  if (given === undefined) return [takeStore("", single)];
  checkObject(given, "stores");
  const both = STORE_OPTIONS.find((name) => single[name] !== undefined);
  if (both !== undefined) throw new TypeError(`Cannot use both \`${both}\` and \`stores\``);
  const entries = Object.entries(given);
  checkInteger(entries.length, "the number of stores", 1, MOST_CONSUMERS);
  return entries.map(([name, store]) => {
    checkConsumerName(name);
    checkObject(store, `stores[${show(name)}]`);
    checkOptionNames(store, [...STORE_OPTIONS, ...SUITE_OPTIONS]);
    return takeStore(name, store);
  });
}

function takeStore(name: string, given: AnyStore): TakenStore {
  const { store, contents, model, check, reseed, maxLagRecords, keepRecords } = given;
  checkFunction(store, "store");
  for (const [option, value] of Object.entries({ contents, model, check, reseed })) {
    if (value !== undefined) checkFunction(value, option);
  }
  if (maxLagRecords !== undefined && maxLagRecords !== Infinity) {
    checkInteger(maxLagRecords, "maxLagRecords", 1, MAX_U32);
  }
  if (keepRecords !== undefined) checkInteger(keepRecords, "keepRecords", 0, MAX_U32);
  const text = name === "" ? "the store" : `store ${JSON.stringify(name)}`;
  const unknown = `What ${text} contains: there is neither \`contents\` nor \`check\``;
  return {
    subject: {
      name,
      text,
      store,
      contents: contentsFinder(contents, model),
      check,
      reseed,
      maxLagRecords,
      keepRecords,
    },
    notChecked: contents === undefined && check === undefined ? [unknown] : [],
  };
}

function checkFunction(value: unknown, name: string): void {
  if (typeof value !== "function") throw new TypeError(`Cannot use ${show(value)} as ${name}: it must be a function`);
}

/** Checks a count, or a list of numbers. */
function checkNumbers(given: unknown, name: string, least: number): void {
  if (Array.isArray(given)) {
    for (const number of given) {
      checkInteger(number, `one of ${name}`, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    }
  } else {
    checkInteger(given as number, name, least, MAX_U32);
  }
}
