// A real nats-server on loopback: started, killed, started again, and gone when the test ends.
// Tests that do not kill it have one in common.

import { jetstream, type JetStreamManager, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect, type ConnectionOptions, type NatsConnection } from "@nats-io/transport-node";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JetStream } from "../../src/ship/jetstream.ts";
import { Child } from "./child.ts";
import { freePort } from "../../examples/ingest/free_port.ts";
import { type Host, LOOPBACK } from "./network.ts";
import { type TempDir, tempDir } from "./temp.ts";

/** Why tests with a server are skipped here; false if they run. */
export const noNats: string | false = spawnSync("nats-server", ["--version"]).status === 0
  ? false
  : "there is no nats-server; Debian's package of that name brings it";

export const STREAM = "LOG";
export const SUBJECT = "log";

/** What a test has of a server: connections, and streams of its own. */
class Tenant implements AsyncDisposable {
  /** Address and port. */
  readonly address: string;
  readonly #suffix: string;
  readonly #connections: NatsConnection[] = [];

  constructor(address: string, suffix: string = "") {
    this.address = address;
    this.#suffix = suffix;
  }

  /** A connection that outlives outages. */
  async connect(options: ConnectionOptions = {}): Promise<NatsConnection> {
    const connection = await connect({
      servers: this.address,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
      ...options,
    });
    this.#connections.push(connection);
    return connection;
  }

  /** A manager, a connection and a target, with a stream. */
  async target(config: Partial<StreamConfig> = {}): Promise<{ target: JetStream; manager: JetStreamManager }> {
    const connection = await this.connect();
    const manager = await jetstreamManager(connection);
    const { name: stream = STREAM + this.#suffix } = config;
    const subject = SUBJECT + this.#suffix;
    await manager.streams.add({ subjects: [`${subject}.*`], ...config, name: stream });
    return { target: { connection, jetstream: jetstream(connection), stream, subject }, manager };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }
}

/** A server. Its data survives a kill. */
export class NatsServer extends Tenant {
  readonly directory: TempDir;
  readonly #command: readonly string[];
  #child: Child | null = null;

  private constructor(address: string, directory: TempDir, config: string, wrapper: readonly string[]) {
    super(address);
    this.directory = directory;
    this.#command = [...wrapper, "nats-server", "--config", config];
  }

  /**
   * Starts a server.
   *
   * @param config more lines of its configuration.
   * @param store where it keeps its data, a directory of its own by default.
   * @param host where it runs.
   */
  static async start(config: string = "", store?: string, host: Host = LOOPBACK): Promise<NatsServer> {
    const directory = tempDir();
    const address = `${host.address}:${await freePort()}`;
    const file = writeConfig(directory.path, address, config, store);
    const server = new NatsServer(address, directory, file, host.wrapper);
    await server.restart();
    return server;
  }

  /** Starts the server again, after a kill. */
  async restart(): Promise<void> {
    this.#child = new Child(this.#command, { timeoutMs: 3_600_000 });
    const child = this.#child;
    let hasEnded = false;
    child.result.then(() => hasEnded = true, () => hasEnded = true);
    while (!child.stderr.includes("Server is ready")) {
      if (hasEnded) throw new Error(`nats-server ended:\n${child.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Kills the server: nothing that it has not written is kept. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.result.catch(() => {});
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.kill();
    this.directory[Symbol.dispose]();
  }
}

let common: Promise<string> | null = null;
let tenants = 0;

/** A place in a server that the tests of a process have in common. Nobody stops or kills it. */
export async function commonNats(): Promise<Tenant> {
  common ??= startCommon();
  return new Tenant(await common, String(++tenants));
}

/** Starts a server that ends with this process, however that ends: its input is closed then. */
async function startCommon(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "wal-nats-"));
  const address = `${LOOPBACK.address}:${await freePort()}`;
  const script = 'nats-server --config "$1/nats.conf" & read -r _; kill -9 $!; wait; rm -rf "$1"';
  writeConfig(directory, address);
  const child = spawn("sh", ["-c", script, "sh", directory], { stdio: ["pipe", "ignore", "pipe"] });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("Server is ready")) resolve();
    });
    child.once("close", () => reject(new Error(`nats-server ended:\n${said}`)));
  });
  // Node ends only when nothing is left to wait for.
  child.unref();
  for (const pipe of [child.stdin, child.stderr] as Partial<Socket>[]) pipe.unref?.();
  return address;
}

/** @returns the path of the configuration. */
function writeConfig(directory: string, address: string, config: string = "", store = join(directory, "data")): string {
  const file = join(directory, "nats.conf");
  writeFileSync(file, `listen: "${address}"\njetstream { store_dir: "${store}" }\n${config}`);
  return file;
}
