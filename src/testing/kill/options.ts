// What a kill test is told: the program, what drives it, and what must hold after each kill.

import type { Random } from "../random.ts";

/** How a program is started. */
export interface KillCommand {
  /**
   * The program's own binary, such as `process.execPath`. A shell or a starter such as `npx` would
   * be killed in its place.
   */
  readonly command: string;
  /** Its arguments. */
  readonly args?: readonly string[] | undefined;
  /** Its working directory. @default {this process's} */
  readonly cwd?: string | undefined;
  /** Its whole environment. @default {this process's} */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** One start of the program, until it is killed. */
export interface KillRound {
  /** Which one, from 1. */
  readonly round: number;
  /** A directory for the program's files. It is the same in all rounds, and empty in the first. */
  readonly directory: string;
  /** Random numbers of this round. */
  readonly random: Random;
}

/** What a workload gets. */
export interface KillContext<A = string> extends KillRound {
  /**
   * The lines that the program prints to its standard output, without their ends, for one reader.
   * They end with the program. What it printed before it was killed is among them.
   */
  readonly lines: AsyncIterable<string>;
  /** Aborted when the program is killed. */
  readonly signal: AbortSignal;
  /** Writes to the program's standard input. No-op once the program has ended. */
  readonly write: (text: string) => void;
  /**
   * Notes what the program has acknowledged: from now on it must survive. It may come after the
   * kill, as an answer that was under way.
   */
  readonly acknowledge: (value: A) => void;
}

/** How a program is killed and verified. */
export interface KillTestOptions<A = string> {
  /** Says how to start the program. Called once a round. */
  readonly spawn: (round: KillRound) => KillCommand;
  /**
   * Drives the program until it is killed. If it ends earlier, the program is killed then. Errors
   * after the kill are ignored.
   *
   * @default {each line that the program prints is acknowledged}
   */
  readonly workload?: ((context: KillContext<A>) => void | Promise<void>) | undefined;
  /**
   * Checks, after each kill, that everything is there, and throws if it is not. It may open the
   * program's files itself, or start another program that reads them.
   *
   * @param acknowledged all that was acknowledged in this round and before, in its order.
   */
  readonly verify: (acknowledged: readonly A[], round: KillRound) => void | Promise<void>;
  /**
   * How often the program is started and killed.
   *
   * @default {20}
   */
  readonly rounds?: number | undefined;
  /**
   * The most acknowledgements of a round before the kill. It comes after 1 to so many, and now and
   * then before the first one.
   *
   * @default {50}
   */
  readonly mostAcknowledged?: number | undefined;
  /**
   * Decides after how many acknowledgements the kills come. The exact moment depends on the
   * machine.
   *
   * @default {1}
   */
  readonly seed?: number | undefined;
  /**
   * How long a round may take until its kill, and how long `verify` may take, in milliseconds.
   *
   * @default {30000}
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Where `directory` is made.
   *
   * @default {the system's temporary directory}
   */
  readonly temporary?: string | undefined;
}

/** What must be given besides: a workload, if what is acknowledged is no line. */
export type KillWorkload<A> = [string] extends [A] ? unknown
  : { readonly workload: (context: KillContext<A>) => void | Promise<void> };

/** What a kill test went through. */
export interface KillTestResult {
  /** How often the program was killed, and verified after it. */
  readonly kills: number;
  /** How much it acknowledged. */
  readonly acknowledged: number;
}
