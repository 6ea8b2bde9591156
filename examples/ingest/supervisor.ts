// Starts the child, listens to it, kills it, and keeps what it said. What it called durable must be
// there afterwards.

import { spawn } from "node:child_process";
import process from "node:process";
import type { LSN } from "../../mod.ts";
import type { Message } from "./protocol.ts";

/** One child, from its start to its end. */
export interface Life {
  /** Null until it has opened the log. */
  opened: Extract<Message, { type: "open" }> | null;
  statistics: Extract<Message, { type: "statistics" }> | null;
  /** The number of files that the child called durable. */
  acknowledged: number;
  /** From opening the log to the last acknowledgement. */
  loggingMs: number;
  wasKilled: boolean;
  /** The child said that everything is done, and ended with exit code 0. */
  isDone: boolean;
  /** How the child ended otherwise. */
  failure: string;
}

/** How to start a child. */
export interface Command {
  readonly program: string;
  readonly arguments: readonly string[];
}

/** Runs one child after the other and adds up what they say. */
export class Supervisor {
  /** The files that any child called durable, by index. */
  readonly acknowledged: Set<number> = new Set();
  /** The files whose content is no longer what it was. */
  readonly changed: Set<number> = new Set();
  readonly latenciesMicros: number[] = [];
  readonly problems: string[] = [];
  /** The highest LSN that the store had, as a child said or as the audit found. */
  storeLsn: LSN = 0;
  readonly #command: Command;
  readonly #onProgress: () => void;

  constructor(command: Command, onProgress: () => void) {
    this.#command = command;
    this.#onProgress = onProgress;
  }

  /**
   * Runs a child to its end.
   *
   * @param killAt the number of acknowledged files, in all lives, at which it is killed.
   */
  run(killAt: number): Promise<Life> {
    const life: Life = {
      opened: null,
      statistics: null,
      acknowledged: 0,
      loggingMs: 0,
      wasKilled: false,
      isDone: false,
      failure: "",
    };
    const child = spawn(this.#command.program, this.#command.arguments, { stdio: ["ignore", "pipe", "pipe"] });
    const killWithUs = (): void => void child.kill("SIGKILL");
    process.prependOnceListener("exit", killWithUs);
    let openedMs = 0;
    let rest = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      // The kill may cut off the last line. That message does not count.
      rest = lines.pop()!;
      for (const line of lines) {
        const message = JSON.parse(line) as Message;
        this.#take(message, life);
        if (message.type === "open") openedMs = performance.now();
        if (message.type === "acknowledged" && message.files.length > 0) life.loggingMs = performance.now() - openedMs;
      }
      this.#onProgress();
      if (this.acknowledged.size >= killAt && !life.wasKilled) life.wasKilled = child.kill("SIGKILL");
    });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => errors += text);
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      // Not before both pipes are read to their ends.
      child.once("close", (code, signal) => {
        process.off("exit", killWithUs);
        life.isDone &&= code === 0;
        life.wasKilled &&= signal === "SIGKILL";
        life.failure = `${signal ?? `exit code ${code}`} ${errors}`.trim();
        resolve(life);
      });
    });
  }

  #take(message: Message, life: Life): void {
    switch (message.type) {
      case "open":
        life.opened = message;
        break;
      case "acknowledged":
        life.acknowledged += message.files.length;
        for (const [index, micros] of message.files) {
          if (this.acknowledged.has(index)) {
            this.problems.push(`file ${index} was logged again after it was acknowledged`);
          }
          this.acknowledged.add(index);
          this.latenciesMicros.push(micros);
        }
        break;
      case "applied":
        if (message.firstLsn <= this.storeLsn) this.problems.push(`LSN ${message.firstLsn} was applied twice`);
        this.storeLsn = message.lastLsn;
        break;
      case "statistics":
        life.statistics = message;
        break;
      case "changed":
        this.changed.add(message.file);
        break;
      case "done":
        life.isDone = true;
        break;
    }
  }
}
