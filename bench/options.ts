// The command line.

import { parseArgs } from "node:util";

/** What the caller asked for. */
export interface Options {
  readonly quick: boolean;
  readonly peers: boolean;
  readonly rounds: number;
  /** Contests to run, by the first words of their ids; all contests if empty. */
  readonly only: readonly string[];
  readonly json: string | undefined;
  /** Keep what the file for the results says of other contests. */
  readonly merge: boolean;
  readonly directory: string | undefined;
  readonly plots: string | undefined;
  readonly verifyDurability: boolean;
  readonly help: boolean;
}

export const USAGE = `Measures the log on this runtime, beside C and its peers, each in a process of its own.

  --quick               one short round, about a minute
  --peers               also lmdb, node:sqlite, classic-level and plain files
  --rounds N            rounds to take medians over (5; 1 with --quick)
  --only W1,W2          these workloads only
  --json FILE           where the results go (bench/results/<runtime>.tmp.json)
  --merge               keep what that file says of other workloads, and of the machine
  --dir DIR             where the logs lie, on the file system to be measured (the system's temporary directory)
  --plots DIR           draw SVG plots into a directory
  --verify-durability   count the system calls that make each peer's writes durable, with strace, and end`;

/** Reads the arguments. Throws a `TypeError` that says what is wrong with them. */
export function parseOptions(parameters: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...parameters],
    options: {
      "quick": { type: "boolean", default: false },
      "peers": { type: "boolean", default: false },
      "rounds": { type: "string" },
      "only": { type: "string", default: "" },
      "json": { type: "string" },
      "merge": { type: "boolean", default: false },
      "dir": { type: "string" },
      "plots": { type: "string" },
      "verify-durability": { type: "boolean", default: false },
      "help": { type: "boolean", default: false },
    },
  });
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new TypeError(`--rounds wants a whole number from 1, not ${values.rounds}`);
  }
  return {
    quick: values.quick,
    peers: values.peers,
    rounds,
    only: values.only.split(",").filter((id) => id !== ""),
    json: values.json,
    merge: values.merge,
    directory: values.dir,
    plots: values.plots,
    verifyDurability: values["verify-durability"],
    help: values.help,
  };
}
