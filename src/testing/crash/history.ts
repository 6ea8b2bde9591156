// One history: an empty disk, lives that end in crashes, and a last life in which everything is
// checked. A seed and a crash point decide all of it.

import type { WALOptions } from "../../types.ts";
import { type FileChanges, FileOrder, type TornCall } from "../file_order.ts";
import { Life, type LifePlan, type Machine } from "./life.ts";
import type { Subject } from "./options.ts";
import type { CrashOptions, SimulatedDiskOptions } from "../disk/options.ts";
import type { Moment } from "../disk/fault_plan.ts";
import type { Keep } from "../disk/keep.ts";
import { LogModel } from "../log_model.ts";
import { StoreAccount } from "../store_account.ts";
import { Random } from "../random.ts";
import { SimulatedDisk } from "../disk/simulated_disk.ts";
import { Home } from "../store_home.ts";

/** Which history. */
export interface HistoryPlan {
  readonly seed: number;
  /**
   * The step at which the first life crashes; 0 for no crash. A life with fewer steps crashes after
   * its last one. −1 stands for the first moment between two files of one call, and so on.
   */
  readonly point: number;
  /** The most crashes in the history. */
  readonly crashes: number;
  /** How many steps the first life has without a crash. */
  readonly length: number;
  /** When calls of the first life have changed some of their files only. */
  readonly torn: readonly TornCall[];
  readonly failures: number;
  readonly log: Omit<WALOptions, "storage" | "now"> | undefined;
}

/** How it went. */
export interface HistoryOutcome {
  /** Steps of the first life. */
  readonly steps: number;
  /** How its calls changed files, if the history has no crash. */
  readonly files: FileChanges;
  readonly crashes: number;
  readonly records: number;
  /** What happened, a line for each step. */
  readonly lines: readonly string[];
  /** What was found to be wrong. */
  readonly failure: { readonly error: unknown } | null;
}

/** How the disk and the consumer are in the histories of a seed. */
interface Habits {
  readonly disk: SimulatedDiskOptions;
  readonly batchSize: number;
  readonly stopChance: number;
  readonly failureShare: number;
  readonly writeBackChance: number;
}

const MOMENTS: readonly Moment[] = ["before", "during", "after"];
const KEEPS: readonly Keep[] = ["none", "random", "random", "all"];
/** About as many system calls as making a log takes. */
const OPENING_CALLS = 30;

/**
 * The chance that the log is restored from a backup before it is opened again. Once in a history,
 * because a log knows its nearest origin only.
 */
const RESTORE_CHANCE = 0.5;

/** Goes through a history. */
export async function runHistory(subject: Subject, plan: HistoryPlan): Promise<HistoryOutcome> {
  const { temporary } = subject;
  using owned = new DisposableStack();
  const habits = habitsOf(plan.seed);
  const model = new LogModel();
  const machine: Machine = {
    disk: new SimulatedDisk(habits.disk),
    model,
    stores: subject.stores.map((subject) => ({
      subject,
      home: owned.use(new Home(temporary)),
      account: new StoreAccount((through) => model.data(through)),
    })),
    lines: [],
  };
  const lives = 1 + (plan.point === 0 ? 0 : new Random(plan.seed, plan.point).between(1, plan.crashes));
  let steps = 0;
  let number = 0;
  // A crash within a call is planned when a history without a crash has shown what the call does.
  const orders = plan.point === 0 ? machine.stores.map((_, store) => owned.use(new FileOrder(store))) : null;
  let files: FileChanges = { torn: [], unseen: [] };
  let failure: HistoryOutcome["failure"] = null;
  try {
    // Without a crash there are two lives too, because a log that was closed is opened again.
    for (; number < Math.max(2, lives); number++) {
      const life = new Life(subject, machine, {
        ...lifeOf(plan, habits, number, lives),
        files: number === 0 ? orders : null,
      });
      await life.run().finally(() => number === 0 && (steps = life.steps));
      if (number === 0 && orders !== null) files = await changesOf(orders);
    }
  } catch (error) {
    failure = { error };
  }
  const crashes = Math.min(number, lives - 1);
  return { steps, files, crashes, records: model.data().length * machine.stores.length, lines: machine.lines, failure };
}

/** What is known of all stores together. */
async function changesOf(orders: readonly FileOrder[]): Promise<FileChanges> {
  const found: FileChanges[] = [];
  for (const order of orders) found.push(await order.finish());
  return { torn: found.flatMap(({ torn }) => torn), unseen: found.flatMap(({ unseen }) => unseen) };
}

function habitsOf(seed: number): Habits {
  const random = new Random(seed).fork("habits");
  return {
    disk: {
      seed,
      pieceBytes: random.pick([64, 512, 4096] as const),
      tearChance: random.pick([0, 0.3]),
      directoryOrder: random.pick(["journal", "any"] as const),
      asyncUsesSpare: random.chance(0.5),
      asyncTicks: random.pick([1, 8, 20]),
      traceLimit: 100,
    },
    batchSize: random.pick([1, 2, 5, 64, 1024]),
    stopChance: random.pick([0.1, 0.1, 0.3]),
    failureShare: random.pick([0, 1, 1]),
    writeBackChance: random.pick([0, 0.1]),
  };
}

/**
 * What is decided about one life. Each life has random numbers of its own, so a history with fewer
 * crashes begins with the same lives.
 */
function lifeOf(plan: HistoryPlan, habits: Habits, number: number, lives: number): Omit<LifePlan, "files"> {
  const { seed, point, length } = plan;
  const torn = number === 0 ? plan.torn[-1 - point] ?? null : null;
  // A call that was seen to change several files must come again.
  const random = new Random(seed, 2 ** 20 + 16 * (torn === null ? point : 0) + number);
  const isLast = number === Math.max(2, lives) - 1;
  const fate: CrashOptions = random.chance(0.3) ? { mode: "kill" } : { mode: "power", keep: random.pick(KEEPS) };
  const when = random.pick(MOMENTS);
  const later = 1 + random.below(length + 2);
  return {
    number,
    point: isLast || point === 0 || torn !== null ? null : { step: number === 0 ? point : later, when },
    end: isLast ? "check" : point === 0 ? "close" : "crash",
    crash: torn === null ? fate : { mode: "kill" },
    torn,
    losesWrites: random.chance(0.6),
    depth: random.between(1, OPENING_CALLS),
    log: { size: 65536, flush: "offload", idleHeaderDelayMs: Infinity, ...plan.log },
    batchSize: habits.batchSize,
    stopChance: habits.stopChance,
    failureChance: plan.failures * habits.failureShare,
    writeBackChance: habits.writeBackChance,
    restoresLog: number === 1 && random.fork(`restore ${point}`).chance(RESTORE_CHANCE),
    random,
  };
}
