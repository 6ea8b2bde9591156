// Builds limit.c where a C compiler is found.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const SOURCE = fileURLToPath(new URL("./limit.c", import.meta.url));
const COMPILERS = ["cc", "gcc", "clang"];

/** The program, or why there is none. */
export type LimitProgram = { readonly path: string } | { readonly missing: string };

/** Compiles into a directory. */
export function buildLimit(directory: string): LimitProgram {
  const flag = ({ x64: "-msse4.2", arm64: "-march=armv8-a+crc" } as Record<string, string>)[process.arch];
  if (flag === undefined) return { missing: `no hardware CRC-32C known on ${process.arch}` };
  const path = join(directory, "limit");
  let missing = "no C compiler found";
  for (const compiler of COMPILERS) {
    const built = spawnSync(compiler, ["-O3", flag, "-o", path, SOURCE], { encoding: "utf8" });
    if (built.status === 0) return { path };
    if (built.error === undefined) missing = `${compiler} failed: ${built.stderr.trim()}`;
  }
  return { missing };
}

/** The arguments of the program for a workload. */
export function limitArguments(
  workload: string,
  file: string,
  parameter: number,
  bytes: number,
  seconds: { warmSeconds: number; seconds: number },
): readonly string[] {
  switch (workload) {
    case "append":
      return ["append", file, String(bytes)];
    case "backup":
      return ["copy", file, String(bytes)];
    case "verify":
      return ["scan", file, String(parameter)];
    default:
      return ["sync", file, String(bytes), String(parameter), String(seconds.warmSeconds), String(seconds.seconds)];
  }
}
