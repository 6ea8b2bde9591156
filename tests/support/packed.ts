// The tarball that `npm pack` makes of the project, and what apps have of it.

import { assert, assertEquals } from "@std/assert";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { PROJECT_URL, runCommand } from "./child.ts";
import { type TempDir, tempDir } from "./temp.ts";
import { skipWithoutTsc } from "./tsc.ts";

/** As much of `package.json` as tests look at. */
export interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly files: readonly string[];
  readonly scripts: Readonly<Record<string, string>>;
  readonly engines: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

const PROJECT = fileURLToPath(PROJECT_URL);
/** What is in a checkout, and is neither source nor document. */
const LEFT_OUT = ["node_modules", ".git", "coverage", "dist", ".demo"];
/** Tarballs by the digest of what they were made of, so that one project is packed once. */
const CACHE = `${PROJECT}/node_modules/.cache/wal-tarballs`;
const KEPT_MS = 3_600_000;

/** The project's `package.json`. */
export const packageJson: PackageJson = JSON.parse(fs.readFileSync(`${PROJECT}/package.json`, "utf8"));

/** The specifiers of the modules that the package has, as an app writes them, and their sources. */
export const entries: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(
    JSON.parse(fs.readFileSync(`${PROJECT}/deno.json`, "utf8")).exports as Record<string, string>,
  ).map(([entry, source]) => [`${packageJson.name}${entry.slice(1)}`, source.slice(2)]),
);

const hasNpm = spawnSync("npm", ["--version"], { stdio: "ignore" }).status === 0;

/** Why tests of the tarball are skipped here; false if they run. */
export const skipWithoutPacking: string | false = hasNpm ? skipWithoutTsc : "npm is not installed";

/** The path of the project's tarball, as `npm publish` would make it. */
export async function packProject(): Promise<string> {
  const paths = projectFiles();
  const hash = createHash("sha256");
  for (const path of paths) hash.update(`${path}\0`).update(fs.readFileSync(`${PROJECT}/${path}`)).update("\0");
  const tarball = `${CACHE}/${hash.digest("hex").slice(0, 32)}.tgz`;
  if (!fs.existsSync(tarball)) {
    fs.mkdirSync(CACHE, { recursive: true });
    removeOld();
    await packAt(tarball, paths);
  }
  return tarball;
}

/** Removes tarballs that no running test can need. */
function removeOld(): void {
  for (const name of fs.readdirSync(CACHE)) {
    const status = fs.statSync(`${CACHE}/${name}`, { throwIfNoEntry: false });
    if (status !== undefined && status.mtimeMs < Date.now() - KEPT_MS) fs.rmSync(`${CACHE}/${name}`, { force: true });
  }
}

/** The project's files, and whatever else lies between them. */
function projectFiles(): string[] {
  const tops = fs.readdirSync(PROJECT, { withFileTypes: true }).filter(({ name }) => !LEFT_OUT.includes(name));
  const paths = tops.flatMap((top) =>
    top.isDirectory()
      ? fs.readdirSync(`${PROJECT}/${top.name}`, { recursive: true, encoding: "utf8" })
        .map((name) => `${top.name}/${name}`)
      : [top.name]
  );
  return paths.filter((path) => fs.statSync(`${PROJECT}/${path}`, { throwIfNoEntry: false })?.isFile()).sort();
}

/** Packs a copy of the project, because packing builds, and processes pack at the same time. */
async function packAt(tarball: string, paths: readonly string[]): Promise<void> {
  using directory = tempDir();
  for (const path of paths) {
    fs.mkdirSync(directory.join("project", dirname(path)), { recursive: true });
    fs.copyFileSync(`${PROJECT}/${path}`, directory.join("project", path));
  }
  fs.symlinkSync(`${PROJECT}/node_modules`, directory.join("project/node_modules"));
  fs.mkdirSync(directory.join("packed"));
  const result = await runCommand(
    ["npm", "pack", "--ignore-scripts=false", `--pack-destination=${directory.join("packed")}`],
    { cwd: directory.join("project") },
  );
  assertEquals(result.code, 0, result.stdout + result.stderr);
  const names = fs.readdirSync(directory.join("packed"));
  assertEquals(names.length, 1);
  const unfinished = `${CACHE}/${process.pid}.unfinished`;
  fs.copyFileSync(directory.join("packed", names[0]!), unfinished);
  fs.renameSync(unfinished, tarball);
}

/** Makes a directory an app that has the package in `node_modules`; returns the package's files. */
export async function unpackInto(app: TempDir): Promise<string[]> {
  const target = app.join("node_modules", packageJson.name);
  fs.mkdirSync(target, { recursive: true });
  const unpacked = await runCommand(["tar", "-xzf", await packProject(), "--strip-components=1", "-C", target]);
  assertEquals(unpacked.code, 0, unpacked.stderr);
  fs.writeFileSync(app.join("package.json"), JSON.stringify({ name: "app", type: "module" }));
  const files = fs.readdirSync(target, { recursive: true, encoding: "utf8" });
  return files.filter((path) => fs.statSync(`${target}/${path}`).isFile()).sort();
}

/** The examples of the README in TypeScript, in their order. */
export function readmePrograms(): string[] {
  const readme = fs.readFileSync(`${PROJECT}/README.md`, "utf8");
  const programs = [...readme.matchAll(/^```ts$\n([^]*?)^```$/gm)].map(([, code = ""]) => code);
  assert(programs.length >= 2);
  return programs;
}
