// Reads from the output of a runtime's test runner which tests failed, where and why.

import { stripVTControlCharacters } from "node:util";
import type { Runtime } from "./tools.ts";

/** The most lines and characters of an error that are repeated. */
const MOST_LINES = 4;
const MOST_CHARACTERS = 300;
/** The lines that are repeated of an output that names no failed test. */
const LAST_LINES = 4;

/** A failed test: its name, what was printed of its error, and its file if that was printed. */
type Report = readonly [name: string, error: string, file?: string | undefined];

const READERS: Readonly<Record<Runtime, (output: string) => Report[]>> = {
  deno: readDeno,
  bun: readBun,
  node: readNode,
};

/**
 * A line for each test that failed, as in `a_test.ts:7 › WAL does it: Error: it did not`. Without
 * one, the last lines of the output.
 */
export function failuresIn(runtime: Runtime, output: string): string[] {
  const plain = stripVTControlCharacters(output);
  const reports = READERS[runtime](plain);
  if (reports.length > 0) return reports.map(describe);
  return linesOf(plain).slice(-LAST_LINES).map((line) => line.slice(0, MOST_CHARACTERS));
}

function describe([name, error, file]: Report): string {
  const lines = linesOf(error);
  // All tests are registered at one place, so the place of a test is that in its error's stack.
  const [, place = file] = /([\w-]+_test\.ts:\d+)/.exec(error) ?? [];
  const start = Math.max(0, lines.findIndex((line) => /^(?:Uncaught )?\w*(?:Error|error)\b/.test(line)));
  const stack = lines.findIndex((line, index) => index > start && /^at /.test(line));
  const [first = "", ...more] = lines.slice(start, stack < 0 ? undefined : stack);
  const changes = more.filter((line) => /^[-+] {2}/.test(line));
  const message = [first, ...(changes.length > 0 ? changes : more)].slice(0, MOST_LINES).join(" | ");
  return `${place === undefined ? "" : `${place} › `}${name}: ${message.slice(0, MOST_CHARACTERS)}`;
}

/** The lines that say something, without indentation and without the heading of a difference. */
function linesOf(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("[Diff]"));
}

/** Under `ERRORS`, each error follows `name => file:line:column`, and shows the line that threw. */
function readDeno(output: string): Report[] {
  const [, errors = ""] = /^ ERRORS $([^]*?)^ FAILURES $/m.exec(output) ?? [];
  const heads = [...errors.matchAll(/^(.+) => \S+:\d+:\d+$/gm)];
  return heads.map(({ 0: head, 1: name = "", index }, at) => [
    name,
    errors.slice(index + head.length, heads[at + 1]?.index).replace(/^error: /m, "").replace(/^.*\n *\^$/m, ""),
  ]);
}

/**
 * Each `(fail) name [time]` follows what was printed, with lines of the source before the error. A
 * long run repeats them at its end.
 */
function readBun(output: string): Report[] {
  const reports: Report[] = [];
  let error = "";
  let file: string | undefined;
  for (const line of output.split(/^\d+ tests failed:$/m)[0]!.split("\n")) {
    file = /^\S*?([\w-]+_test\.ts):$/.exec(line)?.[1] ?? file;
    const [, verdict, name = ""] = /^\((pass|skip|fail)\) (.*?)(?: \[[\d.]+ms\])?$/.exec(line) ?? [];
    if (verdict === "fail") reports.push([name, error, file]);
    if (verdict !== undefined) error = "";
    else if (!/^ *\d+ \||^ *\^$/.test(line)) error += `${line}\n`;
  }
  for (const [, error = ""] of output.matchAll(/^# Unhandled error between tests\n-+\n([^]*?)\n-+$/gm)) {
    reports.push(["between tests", error]);
  }
  return reports;
}

/** Under `failing tests:`, each error follows `test at file:line:column` and `✖ name (time)`. */
function readNode(output: string): Report[] {
  const [, errors = ""] = /^✖ failing tests:$([^]*)/m.exec(output) ?? [];
  const heads = [...errors.matchAll(/^test at .*\n✖ (.*) \([\d.]+ms\)$/gm)];
  return heads.map(({ 0: head, 1: name = "", index }, at) => [
    name,
    errors.slice(index + head.length, heads[at + 1]?.index),
  ]);
}
