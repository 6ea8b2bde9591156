// Workers that answer questions: web workers on Deno and Bun, those of node:worker_threads on Node.

import { parentPort, Worker as NodeWorker } from "node:worker_threads";
import { runtime } from "./runtime.ts";

/** A worker as its maker sees it. Its module calls `answer()`. */
export interface AnsweringWorker {
  /** Sends a message, and waits for the answer. */
  ask(message: string): Promise<string>;
  /** Ends the worker at once, or rejects where it failed before that. */
  terminate(): Promise<unknown>;
}

/** Starts a worker from a module. */
export function startWorker(module: URL): AnsweringWorker {
  if (runtime === "node") {
    const worker = new NodeWorker(module);
    return {
      ask: (message) =>
        new Promise((resolve, reject) => {
          worker.removeAllListeners();
          worker.once("message", resolve).once("error", reject);
          worker.postMessage(message);
        }),
      terminate: () => worker.terminate(),
    };
  }
  const worker = new Worker(module, { type: "module" });
  return {
    ask: (message) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage(message);
      }),
    terminate: () => Promise.resolve(worker.terminate()),
  };
}

/** Answers each message that this worker gets. */
export function answer(reply: (message: string) => string | Promise<string>): void {
  if (runtime === "node") {
    parentPort!.on("message", async (message: string) => parentPort!.postMessage(await reply(message)));
    return;
  }
  const scope = globalThis as unknown as {
    onmessage: (event: { data: string }) => void;
    postMessage(answer: string): void;
  };
  scope.onmessage = async ({ data }) => scope.postMessage(await reply(data));
}
