// This library with `followers: true`, and a follower in another process of this runtime.

import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { WAL } from "../../mod.ts";
import { runtimeCommand } from "../runner.ts";
import type { Peer, PeerOptions } from "./peer.ts";
import { openLog, WALPeer } from "./wal.ts";

const FOLLOWER = fileURLToPath(new URL("../workloads/follower.ts", import.meta.url));

class FollowedPeer extends WALPeer {
  readonly #follower: ChildProcess;

  constructor(log: WAL, follower: ChildProcess) {
    super(log);
    this.#follower = follower;
  }

  override async close(): Promise<void> {
    this.#follower.kill("SIGKILL");
    await super.close();
  }
}

export async function open(options: PeerOptions): Promise<Peer> {
  const log = await openLog(options.directory, { followers: true });
  const [command, ...start] = runtimeCommand(FOLLOWER);
  const follower = spawn(command, [...start, log.path!], { stdio: ["ignore", "pipe", "inherit"] });
  await new Promise((resolve, reject) => {
    follower.on("error", reject);
    follower.stdout.once("data", resolve);
  });
  return new FollowedPeer(log, follower);
}
