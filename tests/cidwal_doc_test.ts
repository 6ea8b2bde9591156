// docs/cidwal.md: its commands are run again, and print what it says. `UPDATE_DOC=1` writes into it
// what they print now.

import { assert, assertEquals } from "@std/assert";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { makeBusyLog, makeLog, runHere, slotAt, spoil } from "./support/cidwal.ts";
import { tempDir } from "./support/temp.ts";
import { test } from "./support/test.ts";

const DOCUMENT = new URL("../docs/cidwal.md", import.meta.url);

/** A text without what differs from run to run: ids, ages, processes, places, file systems. */
function steady(text: string): string {
  return text
    .replaceAll(/^(log +)[0-9a-f]{32}$/gm, "$1…")
    .replaceAll(/log [0-9a-f]{32}/g, "log …")
    .replaceAll(/, [^\n,]* ago$/gm, ", … ago")
    .replaceAll(/process \d+/g, "process …")
    .replaceAll(/^\/\S+\/(\w+\.wal)$/gm, "…/$1")
    .replaceAll(/( [KMG]iB) on [\w-]+, /g, "$1, ");
}

test("docs/cidwal.md shows what its commands print", async () => {
  using directory = tempDir();
  makeLog(directory.join("example.wal"));
  makeBusyLog(directory.join("busy.wal"));
  copyFileSync(directory.join("example.wal"), directory.join("damaged.wal"));
  spoil(directory.join("damaged.wal"), slotAt(2) + 40);
  const document = readFileSync(DOCUMENT, "utf8");
  const before = process.cwd();
  process.chdir(directory.path);
  using stack = new DisposableStack();
  stack.defer(() => process.chdir(before));
  let made = document;
  let count = 0;
  for (const [, block = ""] of document.matchAll(/^```console\n([^]*?)^```$/gm)) {
    let printed = "";
    for (const [line, args = ""] of block.matchAll(/^\$ cidwal (.*)$/gm)) {
      const { stdout, stderr } = await runHere(args.split(" "));
      assertEquals(stderr, "", args);
      printed += `${line}\n${stdout.replaceAll(directory.path, "/srv/app")}`;
      count++;
    }
    if (process.env["UPDATE_DOC"] === "1") made = made.replace(block, () => printed);
    else assertEquals(steady(printed), steady(block));
  }
  assert(count >= 10, "the commands are found");
  if (made !== document) writeFileSync(DOCUMENT, made);
});

test("docs/cidwal.md names every command, and every exit code", async () => {
  const document = readFileSync(DOCUMENT, "utf8");
  const { stdout } = await runHere(["--help"]);
  const commands = [...stdout.matchAll(/^ {2}(\w+) +\w/gm)].map(([, name]) => name);
  const [, codes = ""] = /^Exit codes: ([^]*)$/m.exec(stdout)!;
  assertEquals(commands.length, 8);
  for (const name of commands) assert(document.includes(`| \`${name}\` `), name);
  for (const [code] of codes.matchAll(/\b\d+\b/g)) assert(new RegExp(`^\\| +${code} \\|`, "m").test(document), code);
});
