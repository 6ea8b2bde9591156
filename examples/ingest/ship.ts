// `--ship nats`: a server of the demo's own, a follower that is killed on the way, and what both
// stores have in the end.

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { followFrom, type JetStream } from "../../src/ship/jetstream.ts";
import { SQLiteStore } from "../../src/stores/sqlite.ts";
import { freePort } from "./free_port.ts";
import type { Command } from "./supervisor.ts";

const STREAM = "INGEST";

/** Why there can be no server; null if there can. */
export function whyNoServer(): string | null {
  if (spawnSync("nats-server", ["--version"]).status === 0) return null;
  return "--ship nats starts a nats-server, and there is none: install it (Debian and Homebrew have nats-server)";
}

/** Starts a server with a stream. It ends with this process. @returns its address. */
export async function startServer(directory: string): Promise<string> {
  const address = `127.0.0.1:${await freePort()}`;
  const config = join(directory, "nats.conf");
  writeFileSync(config, `listen: "${address}"\njetstream { store_dir: "${join(directory, "nats")}" }\n`);
  endWithUs(spawn("nats-server", ["--config", config], { stdio: "ignore" }));
  const connection = await connect({ servers: address, waitOnFirstConnect: true, reconnectTimeWait: 50 });
  await (await jetstreamManager(connection)).streams.add({ name: STREAM, subjects: ["ingest.*"] });
  await connection.close();
  return address;
}

/** What a log is shipped to. Whoever is done closes the connection. */
export async function connectTo(server: string): Promise<JetStream & { close(): Promise<void> }> {
  const connection = await connect({ servers: server, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const close = () => connection.close();
  return { connection, jetstream: jetstream(connection), stream: STREAM, subject: "ingest", close };
}

/** Feeds a store until it has everything, after `endPath` exists. */
export async function runFollower(server: string, storePath: string, endPath: string): Promise<void> {
  const source = await connectTo(server);
  using store = new SQLiteStore(storePath);
  await using following = followFrom(source, store, { onError: () => "retry" });
  while (!existsSync(endPath) || await following.lag() > 0) {
    await Promise.race([following.done, new Promise((resolve) => setTimeout(resolve, 20))]);
  }
  await following.stop();
  await source.close();
}

/** The process that follows. */
export class FollowingProcess {
  readonly #command: Command;
  readonly #endPath: string;
  #child: ChildProcess;
  kills = 0;

  constructor(command: Command, endPath: string) {
    this.#command = command;
    this.#endPath = endPath;
    this.#child = this.#start();
  }

  #start(): ChildProcess {
    const child = spawn(this.#command.program, this.#command.arguments, { stdio: ["ignore", "ignore", "inherit"] });
    endWithUs(child);
    return child;
  }

  /** Kills it and starts it again. */
  kill(): void {
    this.#child.kill("SIGKILL");
    this.kills++;
    this.#child = this.#start();
  }

  /** Waits until its store has everything. @throws {Error} if it fails. */
  async finish(): Promise<void> {
    const ended = new Promise<number | null>((resolve) => this.#child.once("close", resolve));
    this.#child.ref();
    writeFileSync(this.#endPath, "");
    const code = this.#child.exitCode ?? await ended;
    if (code !== 0) throw new Error(`the follower ended with exit code ${code}`);
  }
}

/** Where two stores differ, one sentence each. */
export function differences(storePath: string, followerPath: string): string[] {
  using store = new SQLiteStore(storePath);
  using follower = new SQLiteStore(followerPath);
  const [had, has] = [store, follower].map((each) => new Set([...each.entries()].map(String)));
  const problems = [
    ...[...had!.difference(has!)].map((pair) => `the follower lacks ${pair}`),
    ...[...has!.difference(had!)].map((pair) => `the follower alone has ${pair}`),
  ];
  return problems;
}

/** Ends a child with this process, which does not wait for it. */
function endWithUs(child: ChildProcess): void {
  const kill = () => void child.kill("SIGKILL");
  process.prependOnceListener("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  child.unref();
}
