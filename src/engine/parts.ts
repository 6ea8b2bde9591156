// The parts of an open log that consumers, backups and statistics use.

import type { Turn } from "../../ffi/turn.ts";
import type { Slots } from "../format/record.ts";
import type { GroupCommit } from "./group_commit.ts";
import type { HybridClock } from "./hybrid_clock.ts";
import type { HeaderKeeper } from "./header_keeper.ts";
import type { Health } from "./health.ts";
import type { Holds } from "./holds.ts";
import type { Positions } from "./positions.ts";
import type { Retention } from "./retention.ts";
import type { RingMemory } from "./ring_memory.ts";
import type { WaitingRoom } from "./waiting_room.ts";
import type { WallClock } from "./wall_clock.ts";

/** The engine of one open log. */
export interface EngineParts {
  readonly positions: Positions;
  readonly health: Health;
  readonly holds: Holds;
  readonly memory: RingMemory;
  readonly slots: Slots;
  readonly clock: HybridClock;
  readonly wall: WallClock;
  readonly header: HeaderKeeper;
  readonly commit: GroupCommit;
  readonly room: WaitingRoom;
  readonly retention: Retention;
  /** Measures durations. On a simulated disk this clock is the caller's, so that runs repeat. */
  nowMs(): number;
  /** Makes a turn, which tells a loop when to give way. On a simulated disk, runs repeat. */
  makeTurn(): Turn;
}
