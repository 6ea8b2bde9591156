// A real nats-server on loopback: started, killed, started again, and gone when the test ends.

import { jetstream, type JetStreamManager, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect, type ConnectionOptions, type NatsConnection } from "@nats-io/transport-node";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { JetStream } from "../../src/ship/jetstream.ts";
import { Child } from "./child.ts";
import { type TempDir, tempDir } from "./temp.ts";

/** Why tests with a server are skipped here; false if they run. */
export const noNats: string | false = spawnSync("nats-server", ["--version"]).status === 0
  ? false
  : "there is no nats-server; Debian's package of that name brings it";

export const STREAM = "LOG";
export const SUBJECT = "log";

/** A server. Its data survives a kill. */
export class NatsServer implements AsyncDisposable {
  readonly port: number;
  readonly directory: TempDir;
  readonly #config: string;
  #child: Child | null = null;
  readonly #connections: NatsConnection[] = [];

  private constructor(port: number, directory: TempDir, config: string) {
    this.port = port;
    this.directory = directory;
    this.#config = config;
  }

  /**
   * Starts a server.
   *
   * @param config more lines of its configuration.
   * @param store where it keeps its data, a directory of its own by default.
   */
  static async start(config: string = "", store?: string): Promise<NatsServer> {
    const directory = tempDir();
    const port = await freePort();
    const file = directory.join("nats.conf");
    writeFileSync(
      file,
      `listen: "127.0.0.1:${port}"\njetstream { store_dir: "${store ?? directory.join("data")}" }\n${config}`,
    );
    const server = new NatsServer(port, directory, file);
    await server.restart();
    return server;
  }

  /** Starts the server again, after a kill. */
  async restart(): Promise<void> {
    this.#child = new Child(["nats-server", "--config", this.#config], { timeoutMs: 3_600_000 });
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

  /** A connection that outlives outages. */
  async connect(options: ConnectionOptions = {}): Promise<NatsConnection> {
    const connection = await connect({
      servers: `127.0.0.1:${this.port}`,
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
    const { name = STREAM } = config;
    await manager.streams.add({ subjects: [`${SUBJECT}.*`], ...config, name });
    const target = { connection, jetstream: jetstream(connection), stream: name, subject: SUBJECT };
    return { target, manager };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
    await this.kill();
    this.directory[Symbol.dispose]();
  }
}

/** A port of this machine that nobody uses now. */
export function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
