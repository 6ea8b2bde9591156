// Fault: the table of hazards and the tests drift apart, so that a hazard (H1–H51) has no test and nobody knows.
// Promise: each of G1–G16 is threatened by a hazard in the table, each hazard has a test, and each test in the table exists.
// Method: read docs/faults.md, the test files and the list of mutants, and compare.

import { assert, assertEquals } from "@std/assert";
import * as fs from "node:fs";
import { faultRows, hazardsNamed, mutantRows, testNames } from "../../scripts/test_names.ts";
import { MUTANTS } from "../../scripts/mutants_list.ts";
import { test } from "../support/test.ts";

const ROOT = new URL("../../", import.meta.url);
const HAZARDS = Array.from({ length: 51 }, (_, i) => `H${i + 1}`);
const PROMISES = Array.from({ length: 16 }, (_, i) => `G${i + 1}`);

const read = (path: string) => fs.readFileSync(new URL(path, ROOT), "utf8");
const rows = faultRows(read("docs/faults.md"));
const faultFiles = fs.readdirSync(new URL("tests/faults/", ROOT)).filter((name) => name.endsWith("_test.ts"))
  .map((name) => `tests/faults/${name}`);

test("docs/faults.md has a row for each hazard, and each promise is threatened by one", () => {
  const named = rows.map(({ hazard }) => hazard);
  assertEquals(named, HAZARDS);
  const threatened = new Set(rows.flatMap(({ promises }) => promises.split(" ")));
  assertEquals(PROMISES.filter((promise) => !threatened.has(promise)), []);
});

test("docs/faults.md names a test for each hazard, or says why there is none", () => {
  for (const { hazard, tests, note } of rows) assert(tests.length > 0 || note.startsWith("Not run here"), hazard);
});

test("docs/faults.md names only tests that exist, and a fault test that names the hazard", () => {
  for (const { hazard, tests } of rows) {
    for (const { file, name } of tests) {
      assert(fs.existsSync(new URL(file, ROOT)), `${hazard}: there is no ${file}`);
      const source = read(file);
      assert(testNames(source).some((pattern) => pattern.test(name)), `${hazard}: ${file} has no test "${name}"`);
      if (file.startsWith("tests/faults/")) {
        assert(hazardsNamed(source).has(hazard), `${hazard}: the first lines of ${file} do not name it`);
      }
    }
  }
});

test("Each file of tests/faults opens with its fault, promise and method, and names hazards and promises", () => {
  for (const file of faultFiles) {
    const opening = read(file).split("\n\n")[0]!;
    assert(/^\/\/ Fault: [^]*\n\/\/ Promise: [^]*\n\/\/ Method: /.test(opening), file);
    assert(/\bH\d+/.test(opening) && /\bG\d+/.test(opening), file);
  }
});

test("docs/faults.md lists each mutant with the test that caught it", () => {
  const listed = mutantRows(read("docs/faults.md"));
  assertEquals(listed.map(({ name, hazard }) => [name, hazard]), MUTANTS.map(({ name, hazard }) => [name, hazard]));
  assert(MUTANTS.length >= 30);
  for (const { name, file, test } of listed) {
    assert(testNames(read(file)).some((pattern) => pattern.test(test)), `${name}: ${file} has no test "${test}"`);
  }
});

test("Each mutant applies to the library as it is, in one place", () => {
  for (const { name, edits, tests } of MUTANTS) {
    for (const { file, find } of edits) assertEquals(read(file).split(find).length - 1, 1, `${name}: ${file}: ${find}`);
    for (const file of tests) assert(fs.existsSync(new URL(file, ROOT)), `${name}: there is no ${file}`);
  }
});
