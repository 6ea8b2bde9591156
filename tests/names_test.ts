// The names of tests: what is tested, as a symbol, then how it behaves.

import { assert } from "@std/assert";
import { globSync, readFileSync } from "node:fs";
import { testNames } from "../scripts/test_names.ts";
import { PROJECT_URL } from "./support/child.ts";
import { test } from "./support/test.ts";

const SMALLEST_SHARE = 0.95;

const sourcesIn = (folder: string, pattern: string) =>
  globSync(pattern, { cwd: new URL(folder, PROJECT_URL) }).map((name) =>
    readFileSync(new URL(`${folder}/${name}`, PROJECT_URL), "utf8")
  );

/** What the modules export, and the classes that test files have of their own. */
function declaredNames(): Set<string> {
  const sources = ["src", "ffi", "scripts", "tests"].flatMap((folder) => sourcesIn(folder, "**/*.ts"));
  const declaration = /^(?:export )?(?:abstract )?(?:class|interface|type|const) ([A-Z]\w*)/gm;
  return new Set(sources.flatMap((source) => [...source.matchAll(declaration)].map(([, name = ""]) => name)));
}

/**
 * Whether a name begins with a symbol: `call()`, a camelCase property, a declared name with a
 * capital (`WAL`, `WAL.tail`), a file (`mod.ts`), or files (`scripts/*.ts`).
 */
function beginsWithSymbol(name: string, declared: ReadonlySet<string>): boolean {
  if (/^(?:new )?[\w.]+\(\)/.test(name)) return true;
  if (/^[a-z]+[A-Z]\w*/.test(name) || /^[\w./*-]+\.(?:ts|md|json)\b/.test(name)) return true;
  return declared.has(/^[A-Z]\w*/.exec(name)?.[0] ?? "");
}

test("testNames() writes ${} for each expression of a template, and ignores other calls", () => {
  const source = 'test("one", f); test(`two ${a ? `${b}` : "c"} three`, f); test.skip("four"); contest("five")';
  assert(testNames(source).join() === "one,two ${} three");
});

test("tests/names_test.ts tells names that begin with a symbol from others", () => {
  const declared = new Set(["WAL"]);
  const good = [
    "open() fails",
    "WAL.open() fails",
    "new WAL() fails",
    "WAL.tail moves",
    "onError stops",
    "a/b.ts runs",
  ];
  const bad = ["a log fails", "Log fails", "${} fails", "truncating fails"];
  for (const name of good) assert(beginsWithSymbol(name, declared), name);
  for (const name of bad) assert(!beginsWithSymbol(name, declared), name);
});

test("tests/**/*_test.ts begin at least 95 in a hundred names with a symbol", () => {
  const declared = declaredNames();
  const names = sourcesIn("tests", "**/*_test.ts").flatMap(testNames);
  const others = names.filter((name) => !beginsWithSymbol(name, declared));
  const share = 1 - others.length / names.length;
  assert(share >= SMALLEST_SHARE, `${share.toFixed(3)} of ${names.length}; without a symbol:\n${others.join("\n")}`);
});
