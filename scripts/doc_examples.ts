// Runs every example in the docstrings of the public modules and in the Markdown files, on Deno.

import { readdirSync } from "node:fs";
import process from "node:process";
import { tempDir } from "../tests/support/temp.ts";
import { denoFlags, findRuntime, PROJECT, run } from "./tools.ts";

const modules = ["mod.ts", "testing.ts", "ffi", "src"];
const documents = [
  "README.md",
  ...readdirSync(`${PROJECT}/docs`).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
];

const deno = findRuntime("deno");
if (deno === null) throw new Error("Deno is needed to run the examples");

// Examples make files in the working directory, so that is a temporary one.
using directory = tempDir();
process.exitCode = await run(deno, [
  "test",
  ...denoFlags,
  "--doc",
  "--allow-all",
  `--config=${PROJECT}/deno.json`,
  ...[...modules, ...documents].map((path) => `${PROJECT}/${path}`),
], { cwd: directory.path });
