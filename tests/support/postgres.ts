// A real PostgreSQL server on loopback, one for each process that runs tests: started when a test
// first asks for it, killed and started again, and gone when the process has ended. It runs as the
// user that its package makes, because it refuses to run as root.

import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import pg from "pg";
import { type PostgresTable, tableSql } from "../../src/ship/postgres.ts";
import { freePort } from "../../examples/ingest/free_port.ts";
import { type Host, LOOPBACK } from "./network.ts";

/** Where Debian has the programs of a server, by version, and the user that they run as. */
const [VERSIONS, USER] = ["/usr/lib/postgresql", "postgres"];
/** Where data costs no sync. */
const MEMORY = "/dev/shm";

const version = fs.existsSync(VERSIONS)
  ? fs.readdirSync(VERSIONS).sort((a, b) => Number(a) - Number(b))
    .findLast((name) => fs.existsSync(`${VERSIONS}/${name}/bin/initdb`))
  : undefined;
const isRoot = process.getuid?.() === 0;

/** Why tests with a server are skipped here; false if they run. */
export const noPostgres: string | false = version === undefined
  ? "there is no PostgreSQL server; Debian's package postgresql brings it"
  : isRoot && spawnSync("id", [USER]).status !== 0
  ? `there is no user ${USER} to run PostgreSQL`
  : false;

/** The table of a server that has but one. */
export const TABLE = "log";

/** The password of the server's owner. */
export const PASSWORD = "secret";

/** How a program of the server is called, as the server's user. */
function called(program: string, ...args: string[]): string[] {
  const command = [`${VERSIONS}/${version}/bin/${program}`, ...args];
  return isRoot ? ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--init-groups", ...command] : command;
}

/** What a server is given. */
export interface PostgresOptions {
  /** Where it keeps its data. */
  readonly parent?: string;
  /** More lines of its configuration. */
  readonly config?: readonly string[];
  /** Where it runs. */
  readonly host?: Host;
}

/** Waits for the parent's end, then stops the server, and removes what it has left. */
const WATCHER = `
while kill -0 "$1" 2>/dev/null; do sleep 1; done
kill -QUIT "$(head -n 1 "$2/data/postmaster.pid")" 2>/dev/null
sleep 1
rm -rf "$2"`;

/** A server. Its data survives a kill. */
export class PostgresServer implements AsyncDisposable {
  readonly port: number;
  readonly #host: Host;
  /** Where its data is. */
  readonly data: string;
  readonly #directory: string;
  #tables = 0;

  private constructor(host: Host, port: number, directory: string) {
    this.#host = host;
    this.port = port;
    this.#directory = directory;
    this.data = join(directory, "data");
  }

  /** Starts a server. */
  static async start(options: PostgresOptions = {}): Promise<PostgresServer> {
    const { parent = fs.existsSync(MEMORY) ? MEMORY : tmpdir(), config = [], host = LOOPBACK } = options;
    const server = await PostgresServer.#make(parent, host);
    const { port } = server;
    const secret = server.path("password");
    fs.writeFileSync(secret, PASSWORD);
    await server.#run("initdb", "-D", server.data, "-U", "owner", "-A", "scram-sha-256", "--pwfile", secret, "-N");
    fs.appendFileSync(join(server.data, "pg_hba.conf"), "host all all samenet scram-sha-256\n");
    server.configure(
      `listen_addresses = '${host.address}'`,
      `port = ${port}`,
      "unix_socket_directories = ''",
      "shared_buffers = 16MB",
      "autovacuum = off",
      ...config,
    );
    await server.restart();
    return server;
  }

  /** A server without data. */
  static async #make(parent: string, host: Host): Promise<PostgresServer> {
    const directory = fs.mkdtempSync(join(parent, "wal-postgres-"));
    fs.chmodSync(directory, 0o755);
    const server = new PostgresServer(host, await freePort(), directory);
    server.own(server.data);
    spawn("setsid", ["sh", "-c", WATCHER, "watcher", String(process.pid), directory], { stdio: "ignore" }).unref();
    return server;
  }

  /** Starts a standby, which gets what this server writes by streaming replication. */
  async standby(): Promise<PostgresServer> {
    const standby = await PostgresServer.#make(dirname(this.#directory), this.#host);
    const { host, port, user, password } = this.config;
    const primary = `host=${host} port=${port} user=${user} password=${password} application_name=standby`;
    await this.#run("pg_basebackup", "-D", standby.data, "-d", primary, "--write-recovery-conf", "--checkpoint=fast");
    standby.configure(`port = ${standby.port}`);
    await standby.restart();
    return standby;
  }

  /** Makes a standby take writes. */
  async promote(): Promise<void> {
    await this.#run("pg_ctl", "promote", "--wait", "-D", this.data);
  }

  /** A path of the server's own, beside its data. */
  path(name: string): string {
    return join(this.#directory, name);
  }

  /** Makes a directory that the server may use. */
  own(path: string): void {
    fs.mkdirSync(path, { recursive: true, mode: 0o700 });
    if (isRoot) execFileSync("chown", ["-R", USER, path]);
  }

  /** Adds lines to the configuration, for the next start. */
  configure(...lines: string[]): void {
    fs.appendFileSync(join(this.data, "postgresql.conf"), `${lines.join("\n")}\n`);
  }

  /** Starts the server, which does not run. */
  async restart(): Promise<void> {
    const log = join(this.data, "log");
    await this.#run("pg_ctl", "start", "--wait", "--timeout=600", "-D", this.data, "-l", log).catch((error) => {
      throw new Error(`postgres does not start:\n${fs.readFileSync(log, "utf8").slice(-2000)}`, { cause: error });
    });
  }

  /** Runs a program of the server. */
  async #run(program: string, ...args: string[]): Promise<void> {
    const [first, ...rest] = [...this.#host.wrapper, ...called(program, ...args)];
    await promisify(execFile)(first!, rest, { cwd: this.#directory });
  }

  /** Kills the server with all its processes, if it runs: what it has not written is lost. */
  async kill(): Promise<void> {
    const file = join(this.data, "postmaster.pid");
    const [postmaster, ...rest] = fs.readFileSync(file, "utf8").split("\n");
    if (!runs(postmaster!)) return;
    const children = fs.readFileSync(`/proc/${postmaster}/task/${postmaster}/children`, "utf8").trim().split(" ");
    const all = [postmaster!, ...children];
    for (const pid of all) process.kill(Number(pid), "SIGKILL");
    // Those that are still there keep a new server out.
    while (all.some(runs)) await new Promise((resolve) => setTimeout(resolve, 5));
    // So would one whose end nobody has asked for. No process has this number.
    fs.writeFileSync(file, [2 ** 30, ...rest].join("\n"));
  }

  /**
   * Stops the server, and removes its data. A server that was killed runs once more, because only a
   * server removes what it has left in shared memory.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const [postmaster] = fs.readFileSync(join(this.data, "postmaster.pid"), "utf8").split("\n");
    if (!runs(postmaster!)) await this.restart();
    await this.#run("pg_ctl", "stop", "--mode=immediate", "--wait", "-D", this.data);
    fs.rmSync(this.#directory, { recursive: true });
  }

  /** How `pg` reaches the server. */
  get config(): pg.PoolConfig {
    return { host: this.#host.address, port: this.port, user: "owner", password: PASSWORD, database: "postgres" };
  }

  /** The name of a table that nobody has. */
  newTable(): string {
    return `log "${++this.#tables}"`;
  }
}

/** True if a process runs. One whose parent has not looked yet does not. */
function runs(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

let started: Promise<PostgresServer> | null = null;

/** What one test uses of the server. */
export class Database implements AsyncDisposable {
  readonly server: PostgresServer;
  /** The owner's client. It outlives outages. */
  readonly client: pg.Pool;
  readonly #pools: pg.Pool[] = [];

  constructor(server: PostgresServer) {
    this.server = server;
    this.client = this.pool();
  }

  /** The server that the tests of a process have in common. */
  static async use(): Promise<Database> {
    started ??= PostgresServer.start();
    return new Database(await started);
  }

  /** A client that outlives outages. */
  pool(config: pg.PoolConfig = {}): pg.Pool {
    const pool = new pg.Pool({ ...this.server.config, ...config });
    pool.on("error", () => {});
    this.#pools.push(pool);
    return pool;
  }

  /** A new table. */
  async target(): Promise<PostgresTable> {
    const target = { client: this.client, table: this.server.newTable() };
    await this.client.query(tableSql(target));
    return target;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.ended || pool.end()));
  }
}
