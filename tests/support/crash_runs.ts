// Runs a workload on a simulated disk, crashes it, and checks what is recovered; then goes on and
// crashes it again.

import { WAL, type WALOptions } from "../../mod.ts";
import {
  type CrashOptions,
  type DiskSnapshot,
  everySubset,
  type Keep,
  type Moment,
  Random,
  SimulatedDisk,
  type SimulatedDiskOptions,
} from "../../testing.ts";
import { bury } from "../../src/testing/bury.ts";
import { LogModel } from "../../src/testing/log_model.ts";
import { ModelledLog } from "./modelled_log.ts";
import { turn } from "./turn.ts";

export const LOG_PATH = "/sim/log";

/** What is done to a log. It may leave the log open or closed. */
export type Work = (log: ModelledLog) => void | Promise<void>;

/** A workload: what is done before any crash, and what is crashed. */
export interface Workload {
  readonly prelude?: Work;
  readonly work: Work;
}

/** A disk with a log on it, and what the log must hold. */
export interface Start {
  readonly disk: SimulatedDisk;
  readonly snapshot: DiskSnapshot;
  readonly model: LogModel;
  readonly options: WALOptions;
}

/** Makes a log and runs the workload's prelude. */
export async function prepare(
  { prelude }: Workload,
  diskOptions: SimulatedDiskOptions,
  options: WALOptions,
): Promise<Start> {
  const disk = new SimulatedDisk(diskOptions);
  const model = new LogModel();
  const all = { size: 65536, idleHeaderDelayMs: Infinity, ...options, storage: disk.storage, now: disk.clock.now };
  const wal = WAL.open(LOG_PATH, all);
  await prelude?.(new ModelledLog(wal, model));
  // Closing makes all of it durable.
  model.checkRecovered(wal);
  wal.close();
  return { disk, snapshot: disk.snapshot(), model, options: all };
}

/** Opens the log and works on it, until the work ends or the machine crashes. */
export async function run({ disk, options }: Start, model: LogModel, work: Work): Promise<void> {
  let wal: WAL | null = null;
  try {
    wal = WAL.open(LOG_PATH, options);
    model.checkRecovered(wal);
    await work(new ModelledLog(wal, model));
  } catch (error) {
    if (!disk.halted) throw error;
  } finally {
    // `durable` is a promise like an acknowledgement.
    if (wal !== null) model.noteDurable(wal.durable);
    if (disk.halted) bury(wal);
  }
}

/** How many calls the workload takes without a crash. */
export async function countSteps(start: Start, work: Work): Promise<number> {
  start.disk.restore(start.snapshot);
  await run(start, start.model.clone(), work);
  const steps = start.disk.steps - start.snapshot.steps;
  start.disk.restore(start.snapshot);
  return steps;
}

/** After a crash, and after two more: the log opens, has what it must, and takes more. */
export async function checkAfterCrash(start: Start, model: LogModel, random: Random): Promise<void> {
  const { disk, options } = start;
  let wal = WAL.open(LOG_PATH, options);
  model.checkRecovered(wal);
  // What recovery found is durable when open() returns, whatever the next crash takes.
  crash(disk, wal, { mode: "power", keep: random.pick<Keep>(["none", "none", "random"]) });
  wal = WAL.open(LOG_PATH, options);
  model.checkRecovered(wal);
  // The clock may go back between two lives, the log's time may not.
  if (random.chance(0.3)) disk.clock.advance(-1e6);
  await appendToBorder(new ModelledLog(wal, model), random);
  crash(disk, wal, { mode: "power", keep: (_piece, index) => index !== 1 && random.chance(0.5) });
  wal = WAL.open(LOG_PATH, options);
  model.checkRecovered(wal);
  wal.close();
}

/**
 * Appends up to the end of a sector or a page: a phantom just past it is in a piece that no append
 * has touched. Some of the records are durable, some are not.
 */
async function appendToBorder(log: ModelledLog, random: Random): Promise<void> {
  const { wal } = log;
  const room = wal.capacity - wal.length;
  const most = Math.min(room, random.pick([1, 8, 16]));
  const used = (wal.head - 1) % wal.capacity;
  const counts = [1, 8, 64].map((records) => records - used % records).filter((count) => count <= most);
  if (counts.length > 0) await log.inserts(random.pick(counts));
  if (room > most + 3) log.batchInsertSync(3);
}

function crash(disk: SimulatedDisk, wal: WAL, options: CrashOptions): void {
  disk.crash(options);
  bury(wal);
}

/** How far an enumeration went. */
export interface Tally {
  crashes: number;
  images: number;
}

const MOMENTS: readonly Moment[] = ["before", "during", "after"];
/** Up to this number of pieces, each subset is tried. */
const FEW_PIECES = 4;
const SAMPLES = 12;
/**
 * How often each crash image is gone on with: other appends, another crash. What is there after a
 * call is what is there before the next one, but for what was acknowledged in between.
 */
const SEQUELS: Readonly<Record<Moment, number>> = { before: 3, during: 3, after: 1 };

/** Crashes a workload at each of its calls, in every way, and checks what is left. */
export async function crashEverywhere(
  name: string,
  start: Start,
  work: Work,
  seed: number,
  tally: Tally,
): Promise<void> {
  const { disk, snapshot } = start;
  // Timing may add a call or two: go on until a run ends by itself.
  for (let step = 1, over = false; !over; step++) {
    await turn();
    for (const when of MOMENTS) {
      disk.restore(snapshot);
      const model = start.model.clone();
      disk.crashAt(snapshot.steps + step, when);
      await run(start, model, work);
      over = !disk.halted;
      const call = disk.trace.at(-1)?.call;
      if (when === "during" && !over && !String(call).startsWith("sync")) continue;
      tally.crashes++;
      const halted = disk.snapshot();
      for (const options of crashes(disk.dirtyPieces().length, seed + step)) {
        disk.restore(halted);
        disk.crash(options);
        const crashed = disk.snapshot();
        for (let sequel = 0; sequel < SEQUELS[when]; sequel++) {
          disk.restore(crashed);
          try {
            await checkAfterCrash(start, model.clone(), new Random(seed + tally.images));
          } catch (error) {
            const where = `${name}: step ${step} ${when}, image ${tally.images}, mode ${options.mode}, seed ${seed}`;
            throw new Error(`${where}\n${String(error)}\n${disk.describe(120)}`, { cause: error });
          }
          tally.images++;
        }
      }
      if (over) break;
    }
  }
}

/** The ways to crash with that number of dirty pieces. */
function* crashes(pieces: number, seed: number): Generator<CrashOptions> {
  yield { mode: "kill" };
  if (pieces <= FEW_PIECES) {
    for (const keep of everySubset(pieces)) yield { mode: "power", keep };
    return;
  }
  yield { mode: "power", keep: "none" };
  yield { mode: "power", keep: "all" };
  for (let sample = 0; sample < SAMPLES; sample++) {
    const random = new Random(seed, sample);
    const share = [0.2, 0.5, 0.8][sample % 3]!;
    yield { mode: "power", keep: () => !random.chance(share) ? false : sample >= 3 ? "torn" : true };
  }
}
