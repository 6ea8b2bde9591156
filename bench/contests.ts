// What is measured side by side: in each round the systems of a contest run one after the other.

/** One system in a contest. */
export interface Entrant {
  /** Its name in the table and in targets. */
  readonly label: string;
  readonly workload: string;
  /** A peer's name; `limit` is the C program. */
  readonly system: string;
  readonly parameter: number;
  /**
   * Records that another process writes first into the directory; with `killed`, that process is
   * killed and does not close its log.
   */
  readonly prepared?: { readonly records: number; readonly killed?: boolean };
}

/** Systems that are compared with each other only. */
export interface Contest {
  /** As in `W2 4096`. */
  readonly id: string;
  readonly title: string;
  readonly entrants: readonly Entrant[];
}

/** What the command line asks for. */
export interface ContestOptions {
  readonly quick: boolean;
  readonly peers: boolean;
}

const MILLION = 1_000_000;
/** Records in a full log of 64 MiB and of 1 GiB. */
const FULL_64_MIB = 2 ** 20 - 256;
const FULL_1_GIB = 2 ** 24 - 256;

/** All contests, in the order of the workloads. */
export function makeContests(options: ContestOptions): readonly Contest[] {
  return [
    singleWriter(options),
    ...[16, 256, 4096].map((writers) => manyWriters(writers, options)),
    batches(options),
    append(options),
    ...(options.quick ? [MILLION] : [MILLION, 8 * MILLION]).flatMap((records) => recovery(records, options)),
    appliedToMemory(options),
    appliedToSQLite(options),
    eventLoop(),
    requests(options),
    appliedLatency(),
    opening(options),
    copying(),
    served(),
    figures(),
    backlog(options),
    doorbell(),
    ...(options.quick ? [256] : [1, 16, 256, 4096]).map(followed),
  ];
}

function peerEntrants(
  workload: string,
  parameter: number,
  systems: readonly string[],
  { peers }: ContestOptions,
): Entrant[] {
  return peers ? systems.map((system) => ({ label: system, workload, system, parameter })) : [];
}

function singleWriter(options: ContestOptions): Contest {
  const entry = (system: string): Entrant => ({ label: system, workload: "singleWriter", system, parameter: 1 });
  const peers = ["lmdb", "classic-level", "file", "file-group"];
  return {
    id: "W1",
    title: "one writer, each record awaited and durable",
    entrants: [
      entry("limit"),
      entry("wal"),
      entry("wal-offload"),
      entry("prototype"),
      entry("sqlite-full"),
      ...peerEntrants("singleWriter", 1, peers, options),
    ],
  };
}

function manyWriters(writers: number, options: ContestOptions): Contest {
  const entry = (system: string): Entrant => ({ label: system, workload: "manyWriters", system, parameter: writers });
  const peers = ["sqlite-full", "sqlite-full-turn", "lmdb", "classic-level", "file", "file-group-frame"];
  return {
    id: `W2 ${writers}`,
    title: `${writers} writers, each record awaited and durable`,
    entrants: [
      entry("limit"),
      entry("wal"),
      entry("wal-bytes"),
      entry("wal-adaptive"),
      entry("wal-offload"),
      entry("prototype"),
      entry("file-group"),
      ...peerEntrants("manyWriters", writers, peers, options),
    ],
  };
}

function batches(options: ContestOptions): Contest {
  const entry = (system: string): Entrant => ({ label: system, workload: "batches", system, parameter: 1000 });
  const peers = ["sqlite-full", "lmdb", "classic-level", "file", "file-group", "file-group-frame"];
  return {
    id: "W3",
    title: "durable batches of 1000",
    entrants: [
      entry("limit"),
      entry("wal"),
      entry("wal-packed"),
      entry("wal-mixed"),
      entry("prototype"),
      ...peerEntrants("batches", 1000, peers, options),
    ],
  };
}

function append(options: ContestOptions): Contest {
  const ring = (system: string): Entrant => ({ label: system, workload: "appendLog", system, parameter: 0 });
  const peers = ["sqlite-full", "lmdb", "classic-level", "file"];
  return {
    id: "W4",
    title: "append without waiting for the medium",
    entrants: [
      { label: "limit", workload: "append", system: "limit", parameter: 0 },
      ring("wal"),
      ring("wal-bytes"),
      ring("wal-packed"),
      ring("prototype"),
      ...peerEntrants("append", 0, peers, options),
    ],
  };
}

function recovery(records: number, options: ContestOptions): readonly Contest[] {
  const size = `${records / MILLION}M`;
  const prepared = { records };
  const entry = (workload: string, system = "wal"): Entrant => ({
    label: system,
    workload,
    system,
    parameter: records,
    prepared,
  });
  const replayPeers = records === MILLION && options.peers && !options.quick;
  const peers = replayPeers ? ["sqlite-full", "lmdb", "classic-level", "file-group"] : [];
  return [
    {
      id: `W5 verify ${size}`,
      title: `open() of a log of ${size} records, all verified`,
      entrants: [
        { label: "limit", workload: "verify", system: "limit", parameter: records },
        entry("verify"),
      ],
    },
    {
      id: `W5 replay ${size}`,
      title: `${size} records into an array of objects`,
      entrants: [
        entry("replayLog"),
        entry("replayLog", "wal-unverified"),
        ...peers.map((peer) => entry("replayPeer", peer)),
      ],
    },
    {
      id: `W5 scan ${size}`,
      title: `${size} records by one cursor, allocating nothing`,
      entrants: [entry("scan"), entry("scan", "wal-unverified")],
    },
  ];
}

function appliedToMemory({ quick }: ContestOptions): Contest {
  const entry = (system: string): Entrant => ({
    label: system,
    workload: "appliedToMemory",
    system,
    parameter: quick ? MILLION / 4 : MILLION,
  });
  return {
    id: "W6 memory",
    title: "written in batches of 1000 and applied to memory",
    entrants: [entry("map"), entry("wal"), entry("wal-packed")],
  };
}

function appliedToSQLite({ quick }: ContestOptions): Contest {
  const entry = (system: string): Entrant => ({
    label: system,
    workload: "appliedToSQLite",
    system,
    parameter: quick ? MILLION / 10 : MILLION,
  });
  return {
    id: "W6 sqlite",
    title: "written in batches of 1000 and applied to SQLite",
    entrants: [entry("sqlite-full"), entry("sqlite-full-packed"), entry("wal"), entry("wal-packed")],
  };
}

function eventLoop(): Contest {
  return {
    id: "W7",
    title: "event loop while 4096 writers run",
    entrants: [
      { label: "wal-offload", workload: "eventLoopDelay", system: "wal-offload", parameter: 4096 },
      { label: "wal", workload: "eventLoopDelay", system: "wal", parameter: 4096 },
    ],
  };
}

function requests({ quick }: ContestOptions): Contest {
  const writers = (system: string, parameter: number): Entrant => ({
    label: `${system}, ${parameter} writer${parameter === 1 ? "" : "s"}`,
    workload: "requestsBesideWriters",
    system,
    parameter,
  });
  const consumer = (system: string, parameter: number): Entrant => ({
    label: `backlog, ${system} store, ${parameter} µs`,
    workload: "requestsBesideConsumer",
    system,
    parameter,
  });
  const counts = quick ? [1, 4096] : [1, 16, 256, 4096];
  return {
    id: "W7b",
    title: "requests of another process to a server in this one",
    entrants: [
      { ...writers("wal", 0), label: "no log" },
      ...["wal", "wal-adaptive", "wal-offload"].flatMap((system) => counts.map((count) => writers(system, count))),
      ...(quick ? [20] : [5, 20, 200]).map((us) => consumer("synchronous", us)),
      consumer("ready", 20),
      consumer("runs", 20),
    ],
  };
}

function appliedLatency(): Contest {
  return {
    id: "W8",
    title: "append until applied, same process",
    entrants: [
      { label: "durable", workload: "singleWriter", system: "wal", parameter: 1 },
      { label: "applied", workload: "appliedLatency", system: "wal", parameter: 1 },
    ],
  };
}

function opening({ quick }: ContestOptions): Contest {
  const entry = (label: string, workload: string, records: number, killed = false): Entrant => ({
    label,
    workload,
    system: "wal",
    parameter: records,
    prepared: { records, killed },
  });
  const big = quick ? FULL_1_GIB / 4 : FULL_1_GIB;
  const bigLabel = quick ? "256 MiB" : "1 GiB";
  return {
    id: "W9",
    title: "open() of a full log",
    entrants: [
      entry("clean 64 MiB", "opening", FULL_64_MIB),
      entry(`clean ${bigLabel}`, "opening", big),
      entry("clean 64 MiB, verify: true", "openingVerified", FULL_64_MIB),
      entry(`clean ${bigLabel}, verify: true`, "openingVerified", big),
      entry("killed 64 MiB", "opening", FULL_64_MIB, true),
      { label: "limit", workload: "verify", system: "limit", parameter: FULL_64_MIB },
    ],
  };
}

function copying(): Contest {
  const entry = (label: string, workload: string): Entrant => ({
    label,
    workload,
    system: "wal",
    parameter: FULL_64_MIB,
    prepared: { records: FULL_64_MIB },
  });
  return {
    id: "W10",
    title: "copying a full log of 64 MiB",
    entrants: [
      { label: "limit", workload: "backup", system: "limit", parameter: FULL_64_MIB },
      entry("plain verified copy", "plainCopy"),
      entry("backup()", "backup"),
      entry("backupAsync()", "backupAsync"),
      entry("salvage", "salvage"),
    ],
  };
}

function served(): Contest {
  const entry = (system: string): Entrant => ({ label: system, workload: "service", system, parameter: 32 });
  return {
    id: "W11",
    title: "a file index over HTTP, 32 clients in another process, half of the requests put",
    entrants: ["http", "wal-applied", "wal-durable", "sqlite-full-turn"].map(entry),
  };
}

function figures(): Contest {
  return {
    id: "W12",
    title: "stats(), called again and again",
    entrants: [{ label: "wal", workload: "stats", system: "wal", parameter: 0 }],
  };
}

function backlog({ quick }: ContestOptions): Contest {
  const entry = (system: string): Entrant => ({
    label: `${system}()`,
    workload: "followBacklog",
    system,
    parameter: quick ? MILLION / 4 : MILLION,
  });
  return {
    id: "W13",
    title: "a follower reads what is there",
    entrants: (quick ? ["cursor", "consumeAsync"] : ["cursor", "records", "consumeAsync"]).map(entry),
  };
}

function doorbell(): Contest {
  const entry = (system: string): Entrant => ({
    label: `writer on ${system}`,
    workload: "doorbell",
    system,
    parameter: 1,
  });
  return {
    id: "W14",
    title: "from the acknowledgement in a writer to a follower in this process",
    entrants: ["deno", "bun", "node"].map(entry),
  };
}

function followed(writers: number): Contest {
  const workload = writers === 1 ? "singleWriter" : "manyWriters";
  const entry = (system: string): Entrant => ({ label: system, workload, system, parameter: writers });
  return {
    id: `W15 ${writers}`,
    title: `${writers} writer${writers === 1 ? "" : "s"}, with followers: true and no follower, and with a follower`,
    entrants: [
      { label: "followers: true", workload: "liveFile", system: "wal", parameter: writers },
      entry("wal"),
      entry("wal-followers"),
    ],
  };
}
