// The documents: sentences that are read once, and links that lead somewhere.

import { assert, assertEquals } from "@std/assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { makeDocuments } from "../bench/document.ts";
import { sentencesOf } from "./support/prose.ts";
import { test } from "./support/test.ts";

const ROOT = new URL("../", import.meta.url);
const MOST_WORDS = 30;
const DOCUMENTS = [
  "README.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "SECURITY.md",
  ...readdirSync(new URL("docs/", ROOT)).sort().map((name) => `docs/${name}`),
];

const read = (path: string) => readFileSync(new URL(path, ROOT), "utf8");

test("sentencesOf() takes cells and list items apart, and passes over code", () => {
  const text =
    "# Title\n\nOne `a b. C`. Two\nthree (x)!\n\n- four\n- [five](a.md). `six` is\n\n```ts\nseven. Eight\n```\n\n| nine | ten. Eleven |\n";
  assertEquals(sentencesOf(text).map(({ line, text, words }) => [line, text, words]), [
    [3, "One code.", 2],
    [3, "Two three (x)!", 3],
    [6, "four", 1],
    [7, "five.", 1],
    [7, "code is", 2],
    [13, "nine", 1],
    [13, "ten.", 1],
    [13, "Eleven", 1],
  ]);
});

for (const path of DOCUMENTS) {
  test(`${path} has no sentence of more than ${MOST_WORDS} words`, () => {
    const long = sentencesOf(read(path)).filter(({ words }) => words > MOST_WORDS);
    assertEquals(long.map(({ line, text, words }) => `${path}:${line}: ${words} words: ${text}`), []);
  });

  test(`${path} links to files and headings that exist`, () => {
    const broken: string[] = [];
    for (const { target, file, anchor } of linksOf(path)) {
      const isThere = existsSync(file);
      if (!isThere || (anchor !== "" && !headingsOf(readFileSync(file, "utf8")).includes(anchor))) broken.push(target);
    }
    assertEquals(broken, []);
  });
}

for (const path of DOCUMENTS.filter((path) => path !== "CHANGELOG.md")) {
  test(`${path} names source files that exist, with the functions that it says are in them`, () => {
    const named = [
      ...withoutGenerated(read(path)).matchAll(
        /`((?:src|ffi|tests|scripts|bench|examples)\/[\w/]+\.\w+)`(?:: `(\w+)\(\)`)?/g,
      ),
    ];
    const missing = named.filter(([, file = "", name = ""]) =>
      !existsSync(new URL(file, ROOT)) || (name !== "" && !new RegExp(`\\b${name}(?:<\\w+>)?\\(`).test(read(file)))
    );
    assertEquals(missing.map(([text]) => text), []);
  });
}

test("README.md is about 130 lines, and names every document", () => {
  const readme = read("README.md");
  assert(readme.split("\n").length <= 150);
  for (const path of DOCUMENTS.slice(1)) assert(readme.includes(`](${path})`), path);
});

test("the tables of figures are those of bench/results: otherwise run bench/document.ts", () => {
  for (const [path, text] of Object.entries(makeDocuments())) assertEquals(read(path), text);
});

test("CONTRIBUTING.md maps every file of tests/support", () => {
  const contributing = read("CONTRIBUTING.md");
  const files = readdirSync(new URL("tests/support/", ROOT)).filter((name) => !name.endsWith(".d.ts"));
  assertEquals(files.filter((name) => !contributing.includes(`\`${name}\``)), []);
});

/** A text without what scripts write into it, which other tests keep true. */
function withoutGenerated(markdown: string): string {
  return markdown.replaceAll(/^<!-- (\w+) -->$[^]*?^<!-- \/\1 -->$/gm, "");
}

function linksOf(path: string): { target: string; file: URL; anchor: string }[] {
  const prose = read(path).replaceAll(/^```[^]*?^```$/gm, "").replaceAll(/`[^`\n]*`/g, "code");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [relative = "", anchor = ""] = target.split("#");
    const base = new URL(path, ROOT);
    return [{ target, file: relative === "" ? base : new URL(relative, base), anchor }];
  });
}

/** The anchors of a text's headings, as GitHub and npm make them. */
function headingsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\d\s_-]/gu, "").replaceAll(" ", "-")
  );
}
