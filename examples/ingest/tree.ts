// The files of a directory tree, and their keys and values in the store: hashes of path and
// content.

import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";

/** The first 16 bytes of a SHA-256 hash. */
export type Hash = Uint8Array;

/** A file as it was when the tree was read. Key and value stay so, even if the file changes. */
export interface TreeFile {
  /** Relative to the tree, with `/` between the names. */
  readonly path: string;
  readonly bytes: number;
  /** Of the path. */
  readonly key: Hash;
  /** Of the content. */
  readonly value: Hash;
}

/** A tree, and what in it could not be read. */
export interface Tree {
  readonly files: readonly TreeFile[];
  readonly unreadable: readonly { path: string; reason: string }[];
}

const FILES_AT_ONCE = 32;
const CHUNK_BYTES = 2 ** 20;

/**
 * Reads all regular files under a directory; symbolic links and directories named `.git` are left
 * out.
 */
export async function readTree(root: string): Promise<Tree> {
  const unreadable: { path: string; reason: string }[] = [];
  const paths = [...listFiles(root, "", (path, reason) => unreadable.push({ path, reason }))];
  const files: (TreeFile | null)[] = [];
  await forEachAtOnce(paths, FILES_AT_ONCE, async (path, i) => {
    try {
      const { bytes, hash } = await hashFile(join(root, path));
      files[i] = { path, bytes, key: hashText(path), value: hash };
    } catch (error) {
      files[i] = null;
      unreadable.push({ path, reason: reasonOf(error) });
    }
  });
  return { files: files.filter((file) => file !== null), unreadable };
}

/** Reads a file and hashes it, a megabyte at a time. */
export async function hashFile(path: string): Promise<{ bytes: number; hash: Hash }> {
  const sha256 = createHash("sha256");
  const handle = await open(path, "r");
  try {
    const { size } = await handle.stat();
    const chunk = new Uint8Array(Math.max(1, Math.min(size, CHUNK_BYTES)));
    let bytes = 0;
    while (true) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      sha256.update(chunk.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    return { bytes, hash: sha256.digest().subarray(0, 16) };
  } finally {
    await handle.close();
  }
}

/** Calls a function for each item, for at most `atOnce` at a time. The first error ends it. */
export async function forEachAtOnce<T>(
  items: readonly T[],
  atOnce: number,
  body: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      await body(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

function* listFiles(root: string, path: string, onError: (path: string, reason: string) => void): Iterable<string> {
  let entries;
  try {
    entries = readdirSync(join(root, path), { withFileTypes: true });
  } catch (error) {
    onError(path === "" ? root : path, reasonOf(error));
    return;
  }
  for (const entry of entries) {
    const child = path === "" ? entry.name : `${path}/${entry.name}`;
    if (entry.isFile()) yield child;
    else if (entry.isDirectory() && entry.name !== ".git") yield* listFiles(root, child, onError);
  }
}

function hashText(text: string): Hash {
  return createHash("sha256").update(text).digest().subarray(0, 16);
}

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return code ?? message ?? String(error);
}
