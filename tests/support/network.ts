// Machines of a test's own: network namespaces on one bridge. Root on Linux only.

import { spawnSync } from "node:child_process";
import process from "node:process";

/** A place where a process runs. */
export interface Host {
  /** Its address. */
  readonly address: string;
  /** What comes before the command of a process that runs there. */
  readonly wrapper: readonly string[];
}

/** This machine. */
export const LOOPBACK: Host = { address: "127.0.0.1", wrapper: [] };

/** Hosts that only the bridge connects. Without namespaces, all of them are this machine. */
export class Network implements Disposable {
  /** Why the hosts are not apart; false if they are. */
  readonly skip: string | false;
  readonly hosts: readonly Host[];
  readonly #name = `wal${process.pid}`;

  /** @param count how many hosts, 1 to 200. */
  constructor(count: number) {
    const subnet = `10.${process.pid & 127}.${(process.pid >> 7) & 255}`;
    const made = [
      () => ip("link", "add", this.#name, "type", "bridge"),
      () => ip("addr", "add", `${subnet}.1/24`, "dev", this.#name),
      () => ip("link", "set", this.#name, "up"),
      ...Array.from({ length: count }, (_, host) => () => this.#connect(host, `${subnet}.${host + 2}`)),
    ].every((step) => step());
    this.skip = made ? false : "network namespaces cannot be made here";
    this.hosts = Array.from(
      { length: count },
      (_, host) =>
        made ? { address: `${subnet}.${host + 2}`, wrapper: ["ip", "netns", "exec", this.#of(host)] } : LOOPBACK,
    );
    if (!made) this[Symbol.dispose]();
  }

  #of(host: number): string {
    return `${this.#name}-${host}`;
  }

  #connect(host: number, address: string): boolean {
    const [name, link] = [this.#of(host), this.#of(host)];
    return ip("netns", "add", name) &&
      ip("link", "add", link, "master", this.#name, "type", "veth", "peer", "name", "eth0", "netns", name) &&
      ip("link", "set", link, "up") &&
      ip("-n", name, "addr", "add", `${address}/24`, "dev", "eth0") &&
      ip("-n", name, "link", "set", "lo", "up") &&
      ip("-n", name, "link", "set", "eth0", "up");
  }

  /** Cuts a host off, or connects it again. Its connections stay. */
  link(host: number, state: "up" | "down"): void {
    if (this.skip === false) ip("link", "set", this.#of(host), state);
  }

  [Symbol.dispose](): void {
    for (const host of this.hosts.keys()) ip("netns", "del", this.#of(host));
    ip("link", "del", this.#name);
  }
}

function ip(...words: string[]): boolean {
  return spawnSync("ip", words).status === 0;
}
