// Writes the generated parts of docs/faults.md: the promises, and a section for each hazard with
// its tests and mutants.
//
//   scripts/fault_document.ts

import * as fs from "node:fs";
import { join } from "node:path";
import { type Hazard, HAZARDS, PROMISES } from "./hazards.ts";
import { replacePart, table } from "./markdown.ts";
import { type Mutant, MUTANTS } from "./mutants_list.ts";
import { PROJECT } from "./tools.ts";

const DOCUMENT = join(PROJECT, "docs/faults.md");
const CAUGHT = join(PROJECT, "scripts/mutants_caught.json");
const COLUMNS = 100;

/** The test that caught each mutant last, as `file › name`, by the mutant's name. */
export function readCaught(): Record<string, string> {
  return JSON.parse(fs.readFileSync(CAUGHT, "utf8"));
}

/** Keeps which test caught each mutant. Mutants that were not tried keep the test they had. */
export function writeCaught(caught: Readonly<Record<string, string>>): void {
  const all = { ...readCaught(), ...caught };
  const kept = MUTANTS.flatMap(({ name }) => all[name] === undefined ? [] : [[name, all[name]]]);
  fs.writeFileSync(CAUGHT, `${JSON.stringify(Object.fromEntries(kept), null, 2)}\n`);
}

/** A document's text with its generated parts written anew. */
export function withGenerated(text: string): string {
  const caught = readCaught();
  const sections = HAZARDS.map((hazard) => section(hazard, caught)).join("\n\n");
  return replacePart(replacePart(text, "promises", promisesTable()), "hazards", sections);
}

/** Writes the generated parts of docs/faults.md anew. */
export function writeDocument(): void {
  fs.writeFileSync(DOCUMENT, withGenerated(fs.readFileSync(DOCUMENT, "utf8")));
}

function promisesTable(): string {
  const rows = Object.entries(PROMISES).map(([promise, text]) => {
    const hazards = HAZARDS.filter(({ threatens }) => threatens.some((threatened) => threatened === promise));
    return [promise, text, hazards.map(({ id }) => id).join(" ")];
  });
  return table([["", "promise", "threatened by"], ...rows]);
}

function section(
  { id, title, what, threatens, tests, note }: Hazard,
  caught: Readonly<Record<string, string>>,
): string {
  const named = Object.entries(tests).flatMap(([file, names]) =>
    names.map((name) => item(testName(`${file} › ${name}`)))
  );
  const mutants = Map.groupBy(MUTANTS.filter(({ hazard }) => hazard === id), ({ name }) => caught[name] ?? "");
  return [
    `### ${id} ${title}`,
    wrap(what, ""),
    `Threatens: ${threatens.join(", ")}.`,
    ...(named.length === 0 ? [] : ["Tests:", named.join("\n")]),
    ...(mutants.size === 0 ? [] : ["Mutants, by the test that caught them:", [...mutants].map(caughtBy).join("\n")]),
    ...(note === undefined ? [] : [wrap(`Note: ${note}`, "")]),
  ].join("\n\n");
}

/** A test, and below it the mutants that it caught. */
function caughtBy([test, mutants]: [test: string, mutants: Mutant[]]): string {
  return [item(testName(test)), ...mutants.map(({ name }) => item(name, "  "))].join("\n");
}

/** `file › name`, with the file as code. */
function testName(test: string): string {
  return test.replace(/^\S+/, "`$&`");
}

function item(text: string, indent = ""): string {
  return `${indent}- ${wrap(text, `${indent}  `)}`;
}

/**
 * Breaks text into lines, but not before a word that Markdown takes for a mark at a line's start.
 */
function wrap(text: string, indent: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    const fits = line === "" || indent.length + line.length + 1 + word.length <= COLUMNS;
    if (fits || /^([-+*#>|]|\d+[.)])/.test(word)) lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
    else lines.push(word);
  }
  return lines.join(`\n${indent}`);
}

if (import.meta.main) writeDocument();
