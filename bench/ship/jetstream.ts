// JetStream as an engine: a nats-server as it comes, with files and one replica.

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { join } from "node:path";
import { followFrom, shipTo } from "../../src/ship/jetstream.ts";
import { NatsServer } from "../../tests/support/nats.ts";
import { type ClientLoop, type Engine, keepInFlight, RETRY } from "./engine.ts";

/** Starts a server. @param directory where its data is. */
export async function startJetStream(directory: string): Promise<Engine> {
  const server = await NatsServer.start("", join(directory, "nats"));
  const connection = await server.connect();
  const manager = await jetstreamManager(connection);
  const client = jetstream(connection);
  let streams = 0;
  const makeStream = async () => {
    const name = `S${++streams}`;
    await manager.streams.add({ name, subjects: [`${name}.*`] });
    return { stream: name, subject: name, remove: async () => void await manager.streams.delete(name) };
  };
  const makeLoop = async (expect: (sent: number, streamName: string) => object): Promise<ClientLoop> => {
    const { stream, remove } = await makeStream();
    const run = (payload: Uint8Array, times: number, inFlight: number) =>
      keepInFlight(times, inFlight, (sent) => client.publish(`${stream}.x`, payload, { expect: expect(sent, stream) }));
    return { run, remove };
  };
  return {
    server: `nats-server ${connection.info?.version}`,
    records: 1_000_000,
    memoryRecords: 10_000_000,
    makeTarget: async () => {
      const { remove, ...names } = await makeStream();
      const target = { connection, jetstream: client, ...names };
      return {
        shipTo: (options) => shipTo(target, options),
        followFrom: (store) => followFrom(target, store, RETRY),
        remove,
      };
    },
    loops: {
      "client's loop": () => makeLoop((sent) => ({ lastSequence: sent })),
      // For the second expectation a server reads its last message again.
      "client's loop, same expectations": () =>
        makeLoop((sent, streamName) => ({ streamName, lastSequence: sent, lastSubjectSequence: sent })),
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
