// Kills the key-value server in the middle of its work, starts it again, and checks that it has
// exactly what it said it has.
//   deno run --allow-all examples/key_value/crash.ts
//   bun examples/key_value/crash.ts
//   node examples/key_value/crash.ts

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const CLIENTS = 16;
const KILLS = 3;
const ANSWERS_BEFORE_A_KILL = 500;

/** What a client knows of its name: it writes one name, one change after the other. */
interface Name {
  readonly uuid: string;
  /** The content that the server has said it has; null if it was deleted or never written. */
  known: string | null;
  /** The change that was asked for and not answered. The server may have made it or not. */
  asked: string | null | undefined;
}

const script = fileURLToPath(new URL("server.ts", import.meta.url));
const flags = "Deno" in globalThis ? ["run", "--quiet", "--allow-all"] : process.execArgv;

async function start(cwd: string): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, [...flags, script, "0"], { cwd, stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface({ input: child.stdout! }), "line") as [string];
  return { child, url: `http://127.0.0.1:${line.split(" ").at(-1)}` };
}

/** Changes a name until the server is gone. */
async function change(url: string, name: Name, answered: () => void): Promise<void> {
  for (;;) {
    const content = Math.random() < 0.2 ? null : randomBytes(16).toString("hex");
    name.asked = content;
    try {
      const request: RequestInit = content === null ? { method: "DELETE" } : { method: "PUT", body: content };
      const { status } = await fetch(`${url}/${name.uuid}`, request);
      if (status !== 204) throw new Error(`status ${status}`);
    } catch (error) {
      if (error instanceof TypeError) return; // the connection broke
      throw error;
    }
    name.known = content;
    name.asked = undefined;
    answered();
  }
}

/** Compares a name with what the server has. @returns false if they differ. */
async function check(url: string, name: Name): Promise<boolean> {
  const response = await fetch(`${url}/${name.uuid}`);
  const found = response.status === 404 ? null : await response.text();
  const isRight = found === name.known || found === name.asked;
  if (!isRight) console.log(`${name.uuid}: ${found} instead of ${name.known}`);
  name.known = found;
  name.asked = undefined;
  return isRight;
}

const cwd = mkdtempSync(join(tmpdir(), "key-value-"));
const names = Array.from({ length: CLIENTS }, (): Name => ({ uuid: randomUUID(), known: null, asked: undefined }));
let isRight = true;
for (let life = 0; life <= KILLS; life++) {
  const { child, url } = await start(cwd);
  const checks = await Promise.all(names.map((name) => check(url, name)));
  isRight &&= checks.every(Boolean);
  if (life === KILLS) {
    process.kill(child.pid!, "SIGTERM"); // after child.kill() Deno gives no exit code
    const [code] = await once(child, "exit");
    console.log(`ended with exit code ${code}`);
    isRight &&= code === 0;
    break;
  }
  let answers = 0;
  const changes = names.map((name) =>
    change(url, name, () => ++answers === ANSWERS_BEFORE_A_KILL && child.kill("SIGKILL"))
  );
  await Promise.all(changes);
  console.log(
    `killed after ${answers} answers, with ${names.filter(({ asked }) => asked !== undefined).length} unanswered`,
  );
}
rmSync(cwd, { recursive: true });
console.log(isRight ? "each name has the content that was answered" : "the server lost a change");
process.exitCode = isRight ? 0 : 1;
