// Ctrl-C and its like: a command ends at its next safe place, cleans up, and says so by its code.

import process from "node:process";
import { CommandError, Exit } from "./exit_codes.ts";
import { letSignalsIn } from "./output.ts";

let stopped: Exit | null = null;
const stopping = new AbortController();
/** Aborts when a signal comes. */
export const stopSignal: AbortSignal = stopping.signal;

/** From now on signals end commands in an orderly way. */
export function catchSignals(): void {
  for (const [signal, exit] of [["SIGINT", Exit.Interrupted], ["SIGTERM", Exit.Terminated]] as const) {
    process.on(signal, () => {
      stopped ??= exit;
      stopping.abort();
    });
  }
}

/** @throws {CommandError} if a signal has come. */
export function checkStopped(): void {
  if (stopped !== null) throw new CommandError(stopped, "");
}

/** Lets signals in. @throws {CommandError} if one has come. */
export async function breathe(): Promise<void> {
  await letSignalsIn();
  checkStopped();
}

/** Waits, and ends at once when a signal comes. @throws {CommandError} then. */
export async function rest(ms: number): Promise<void> {
  checkStopped();
  await new Promise<void>((resolve) => {
    const end = () => {
      stopSignal.removeEventListener("abort", end);
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, ms);
    stopSignal.addEventListener("abort", end);
  });
  checkStopped();
}

/** Never resolves before a signal comes. */
export function whenStopped(): Promise<never> {
  return new Promise<void>((resolve) => {
    if (stopped === null) stopSignal.addEventListener("abort", () => resolve(), { once: true });
    else resolve();
  }).then(() => {
    throw new CommandError(stopped ?? Exit.Interrupted, "");
  });
}
