// Fault: the list of hazards and the tests drift apart, so that a hazard (H1–H58) has no test and
//   nobody knows.
// Promise: each of G1–G16 is threatened by a listed hazard, each hazard has a test, and each listed
//   test exists.
// Method: compare scripts/hazards.ts, the test files, the list of mutants and docs/faults.md.

import { assert, assertEquals } from "@std/assert";
import * as fs from "node:fs";
import { readCaught, withGenerated } from "../../scripts/fault_document.ts";
import { HAZARDS, PROMISES } from "../../scripts/hazards.ts";
import { MUTANTS } from "../../scripts/mutants_list.ts";
import { hasTest, hazardsNamed } from "../../scripts/test_names.ts";
import { sentencesOf } from "../support/prose.ts";
import { test } from "../support/test.ts";

const ROOT = new URL("../../", import.meta.url);
const COUNTS = { hazards: 58, promises: 16 };
const MOST_WORDS = 30;

const read = (path: string) => fs.readFileSync(new URL(path, ROOT), "utf8");
const numbered = (letter: string, count: number) => Array.from({ length: count }, (_, i) => `${letter}${i + 1}`);
const faultFiles = fs.readdirSync(new URL("tests/faults/", ROOT)).filter((name) => name.endsWith("_test.ts"))
  .map((name) => `faults/${name}`);

function assertTestExists(who: string, file: string, name: string): void {
  assert(fs.existsSync(new URL(`tests/${file}`, ROOT)), `${who}: there is no tests/${file}`);
  assert(hasTest(read(`tests/${file}`), name), `${who}: ${file} has no test "${name}"`);
}

test("scripts/hazards.ts numbers each hazard, and each promise is threatened by one", () => {
  for (
    const [ids, letter, least] of [[HAZARDS.map(({ id }) => id), "H", COUNTS.hazards], [
      Object.keys(PROMISES),
      "G",
      COUNTS.promises,
    ]] as const
  ) {
    const numbers = ids.map((id) => Number(id.slice(1)));
    assertEquals(ids.slice(0, least), numbered(letter, least));
    assert(numbers.every((number, index) => index === 0 || number > numbers[index - 1]!), "ascending, each once");
  }
  const threatened = new Set<string>(HAZARDS.flatMap(({ threatens }) => threatens));
  assertEquals(Object.keys(PROMISES).filter((promise) => !threatened.has(promise)), []);
});

test("scripts/hazards.ts names a test for each hazard, or says why there is none", () => {
  for (const { id, tests, note = "" } of HAZARDS) {
    assert(Object.values(tests).flat().length > 0 || note.startsWith("Not run here"), id);
  }
});

test("scripts/hazards.ts names only tests that exist, and a fault test that names the hazard", () => {
  for (const { id, tests } of HAZARDS) {
    for (const [file, names] of Object.entries(tests)) {
      for (const name of names) assertTestExists(id, file, name);
      if (file.startsWith("faults/")) {
        assert(hazardsNamed(read(`tests/${file}`)).has(id), `${id}: the first lines of ${file} do not name it`);
      }
    }
  }
});

test("scripts/hazards.ts names each file of tests/faults", () => {
  const named = new Set(HAZARDS.flatMap(({ tests }) => Object.keys(tests)));
  assertEquals(faultFiles.filter((file) => !named.has(file)), ["faults/table_test.ts"]);
});

test("scripts/hazards.ts has no sentence of more than 30 words", () => {
  for (const { id, what, note = "" } of HAZARDS) {
    const long = [...sentencesOf(what), ...sentencesOf(note)].filter(({ words }) => words > MOST_WORDS);
    assertEquals(long.map(({ text }) => text), [], id);
  }
});

test("tests/faults/*_test.ts open with their fault, promise and method, and name hazards and promises", () => {
  for (const file of faultFiles) {
    const opening = read(`tests/${file}`).split("\n\n")[0]!;
    assert(/^\/\/ Fault: [^]*\n\/\/ Promise: [^]*\n\/\/ Method: /.test(opening), file);
    assert(/\bH\d+/.test(opening) && /\bG\d+/.test(opening), file);
  }
});

test("scripts/mutants_caught.json has the test that caught each mutant", () => {
  const caught = readCaught();
  assertEquals(Object.keys(caught), MUTANTS.map(({ name }) => name));
  assert(MUTANTS.length >= 30);
  for (const [mutant, by] of Object.entries(caught)) {
    const [file = "", name = ""] = by.split(" › ");
    assertTestExists(mutant, file, name);
  }
});

test("MUTANTS apply to the library as it is, in one place each", () => {
  const hazards = new Set<string>(HAZARDS.map(({ id }) => id));
  for (const { name, hazard, edits, tests } of MUTANTS) {
    assert(hazards.has(hazard), `${name}: there is no ${hazard}`);
    for (const { file, find } of edits) assertEquals(read(file).split(find).length - 1, 1, `${name}: ${file}: ${find}`);
    for (const file of tests) assert(fs.existsSync(new URL(file, ROOT)), `${name}: there is no ${file}`);
  }
});

test("docs/faults.md is what scripts/hazards.ts and the mutants make of it", () => {
  const document = read("docs/faults.md");
  assertEquals(document, withGenerated(document), "`deno task faults` writes it");
});
