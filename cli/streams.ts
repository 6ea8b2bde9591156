// Where the program reads and writes: its standard streams, or what it was given in their place.

import process from "node:process";

/** A stream to write to. */
export interface Target {
  readonly descriptor: number;
  /** How wide it is; Infinity if it is no terminal. */
  readonly columns: number;
}

/** What a program reads and writes. */
export interface Streams {
  readonly stdin: AsyncIterable<Uint8Array | string>;
  readonly stdout: Target;
  readonly stderr: Target;
}

/** A terminal that does not say how wide it is. */
const USUAL_COLUMNS = 80;

/** Those of the process. */
export const STANDARD: Streams = {
  get stdin() {
    return process.stdin; // which opens it
  },
  stdout: { descriptor: 1, columns: columnsOf("stdout") },
  stderr: { descriptor: 2, columns: columnsOf("stderr") },
};

function columnsOf(stream: "stdout" | "stderr"): number {
  const { isTTY, columns } = process[stream];
  return isTTY === true ? columns || USUAL_COLUMNS : Infinity;
}

/** Those of the command that runs. */
export let streams: Streams = STANDARD;

/** Gives the next command its streams. */
export function useStreams(given: Streams): void {
  streams = given;
}
