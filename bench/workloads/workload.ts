// A workload: one thing that is measured, in a process of its own.

import type { Measurements } from "../measure.ts";
import { loadPeer, type PeerName } from "../peers/registry.ts";
import type { Peer } from "../peers/peer.ts";

/** One cell of the table: a system under a workload. Its process gets it as JSON. */
export interface CellRequest {
  readonly workload: string;
  /** A peer's name, or another name that the workload knows. */
  readonly system: string;
  /** Writers, records, bytes: as the workload says. */
  readonly parameter: number;
  /** The cell's directory; empty unless the contest prepares it. */
  readonly directory: string;
  readonly warmSeconds: number;
  readonly seconds: number;
}

/** Runs one cell. */
export type Workload = (request: CellRequest) => Promise<Measurements>;

/** Opens the peer that a request names. */
export async function openPeer(request: CellRequest, durable = true): Promise<Peer> {
  const { open } = await loadPeer(request.system as PeerName);
  return await open({ directory: request.directory, durable });
}
