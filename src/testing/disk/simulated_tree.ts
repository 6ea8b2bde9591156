// The names of files, twice: as programs see them, and as power loss would leave them.
//
// A change of a directory (a name made, removed, moved) is one operation, and whole or not at all.
// It waits in a journal until its directory is synced; power loss keeps some of what waits.

import { SystemError } from "../../../ffi/system/system.ts";
import { DurableNames, type EntryPiece, type NameChange } from "./durable_names.ts";
import type { SimulatedFile } from "./simulated_file.ts";

/** What a name leads to. */
export type SimulatedNode =
  | { readonly kind: "file"; readonly inode: bigint; links: number; readonly file: SimulatedFile }
  | { readonly kind: "symlink"; readonly inode: bigint; links: number; readonly target: string }
  | { readonly kind: "directory"; readonly inode: bigint; links: number; entries: Map<string, SimulatedNode> };

/** A node that is a file. */
export type FileNode = Extract<SimulatedNode, { kind: "file" }>;
type DirectoryNode = Extract<SimulatedNode, { kind: "directory" }>;

/** A path, walked: the directory, the last name, and what is there. */
export interface Place {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly node: SimulatedNode | null;
  /** The path without symbolic links. */
  readonly path: string;
}

const MAX_NAME_BYTES = 255;
const MAX_SYMLINKS = 40;

/** A tree of directories, files and symbolic links. */
export class SimulatedTree {
  #root: DirectoryNode;
  /** What power loss would leave. */
  #durable: DurableNames;
  #nextInode = 2n;

  constructor(order: "journal" | "any") {
    this.#root = { kind: "directory", inode: 1n, links: 2, entries: new Map() };
    this.#durable = new DurableNames(order);
    this.#durable.addDirectory(this.#root.inode);
  }

  /**
   * Walks a path.
   *
   * @throws {SystemError} `ENOENT` or `ENOTDIR` if a directory on the way is missing; only the last
   * name may lead to nothing.
   */
  walk(call: string, path: string, followLast: boolean, depth = 0): Place {
    if (depth > MAX_SYMLINKS) throw new SystemError(call, "ELOOP", path);
    if (!path.startsWith("/")) throw new Error(`A simulated path is absolute: ${JSON.stringify(path)}`);
    const names = path.split("/").filter((name) => name !== "" && name !== ".");
    let directory = this.#root;
    let walked = "";
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      if (name.includes("\0")) throw new SystemError(call, "EINVAL", path);
      if (new TextEncoder().encode(name).length > MAX_NAME_BYTES) throw new SystemError(call, "ENAMETOOLONG", path);
      const node = directory.entries.get(name) ?? null;
      const last = i === names.length - 1;
      if (node?.kind === "symlink" && (followLast || !last)) {
        const target = node.target.startsWith("/") ? node.target : `${walked}/${node.target}`;
        return this.walk(call, [target, ...names.slice(i + 1)].join("/"), followLast, depth + 1);
      }
      if (last) return { directory, name, node, path: `${walked}/${name}` };
      if (node === null) throw new SystemError(call, "ENOENT", path);
      if (node.kind !== "directory") throw new SystemError(call, "ENOTDIR", path);
      directory = node;
      walked += `/${name}`;
    }
    return { directory, name: "", node: directory, path: "/" };
  }

  /** The node at a path, following symbolic links. */
  find(call: string, path: string): SimulatedNode {
    const { node } = this.walk(call, path, true);
    if (node === null) throw new SystemError(call, "ENOENT", path);
    return node;
  }

  /** The file at a path, following symbolic links. */
  file(call: string, path: string): FileNode {
    const node = this.find(call, path);
    if (node.kind === "directory") throw new SystemError(call, "EISDIR", path);
    if (node.kind !== "file") throw new SystemError(call, "EINVAL", path);
    return node;
  }

  /** A name for an inode, for reports. */
  nameOf(inode: bigint): string {
    for (const [path, node] of this.nodes()) if (node.inode === inode) return path;
    return `inode ${inode}`;
  }

  /** Every path and its node. */
  *nodes(directory: DirectoryNode = this.#root, at = ""): Generator<[path: string, node: SimulatedNode]> {
    for (const [name, node] of directory.entries) {
      yield [`${at}/${name}`, node];
      if (node.kind === "directory") yield* this.nodes(node, `${at}/${name}`);
    }
  }

  /**
   * Every file by its inode, in the order in which the files were made. Files to which only a
   * durable name leads are among them.
   */
  files(): [inode: bigint, file: SimulatedFile][] {
    const found = new Map<bigint, SimulatedFile>();
    for (const node of [...[...this.nodes()].map(([, node]) => node), ...this.#durable.nodes()]) {
      if (node.kind === "file") found.set(node.inode, node.file);
    }
    return [...found].sort(([a], [b]) => a < b ? -1 : 1);
  }

  /** Makes a directory, durable at once, because logs do not make their directories. */
  makeDirectory(path: string): void {
    const { directory, name, node } = this.walk("mkdir", path, false);
    if (node?.kind === "directory") return;
    if (node !== null) throw new SystemError("mkdir", "EEXIST", path);
    const made: DirectoryNode = { kind: "directory", inode: this.#nextInode++, links: 2, entries: new Map() };
    directory.entries.set(name, made);
    this.#durable.change({ directory: directory.inode, name, node: made });
    this.#durable.addDirectory(made.inode);
  }

  /** Makes a file. */
  makeFile({ directory, name, path }: Place, file: SimulatedFile): FileNode {
    const node: FileNode = { kind: "file", inode: this.#nextInode++, links: 0, file };
    this.#change(`create ${path}`, [{ directory: directory.inode, name, node }]);
    return node;
  }

  /** Makes a symbolic link. */
  makeSymlink(target: string, path: string): void {
    const place = this.walk("symlink", path, false);
    if (place.node !== null) throw new SystemError("symlink", "EEXIST", path);
    const node: SimulatedNode = { kind: "symlink", inode: this.#nextInode++, links: 0, target };
    this.#change(`symlink ${place.path}`, [{ directory: place.directory.inode, name: place.name, node }]);
  }

  link(from: string, to: string): void {
    const { node } = this.walk("link", from, false);
    const place = this.walk("link", to, false);
    if (node === null) throw new SystemError("link", "ENOENT", from);
    if (node.kind === "directory") throw new SystemError("link", "EPERM", from);
    if (place.node !== null) throw new SystemError("link", "EEXIST", to);
    this.#change(`link ${place.path}`, [{ directory: place.directory.inode, name: place.name, node }]);
  }

  unlink(path: string): void {
    const place = this.walk("unlink", path, false);
    if (place.node === null) throw new SystemError("unlink", "ENOENT", path);
    if (place.node.kind === "directory") throw new SystemError("unlink", "EISDIR", path);
    this.#change(`unlink ${place.path}`, [{ directory: place.directory.inode, name: place.name, node: null }]);
  }

  rename(from: string, to: string): void {
    const source = this.walk("rename", from, false);
    const target = this.walk("rename", to, false);
    const { node } = source;
    if (node === null) throw new SystemError("rename", "ENOENT", from);
    if (node.kind === "directory") throw new Error("Outside the fault model: a directory is renamed");
    if (target.node?.kind === "directory") throw new SystemError("rename", "EISDIR", to);
    // POSIX: two names of one file, and nothing happens.
    if (target.node === node) return;
    this.#change(`rename ${source.path} to ${target.path}`, [
      { directory: source.directory.inode, name: source.name, node: null },
      { directory: target.directory.inode, name: target.name, node },
    ]);
  }

  /** Makes the changes of a directory durable. */
  sync(path: string): void {
    const node = this.find("open", path);
    if (node.kind !== "directory") throw new SystemError("open", "ENOTDIR", path);
    this.#durable.sync(node.inode);
  }

  /** What waits in the journal, oldest first. */
  pieces(): EntryPiece[] {
    return this.#durable.pieces();
  }

  /** Makes some of the changes durable without a sync. */
  writeBack(decide: (piece: EntryPiece) => boolean): void {
    this.#durable.writeBack(decide);
  }

  /**
   * Power loss: some of the changes that wait arrive, and the durable names are all that is left.
   */
  losePower(decide: (piece: EntryPiece) => boolean): void {
    this.writeBack(decide);
    this.#durable.forget();
    for (const [, node] of [...this.nodes()]) if (node.kind !== "directory") node.links = 0;
    this.#restore(this.#root);
  }

  #restore(directory: DirectoryNode): void {
    directory.entries = new Map(this.#durable.in(directory.inode));
    for (const node of directory.entries.values()) {
      if (node.kind === "directory") this.#restore(node);
      else node.links = 0;
    }
    for (const node of directory.entries.values()) if (node.kind !== "directory") node.links++;
  }

  /** A copy, with copies of the files. */
  clone(): SimulatedTree {
    const copy = new SimulatedTree("any");
    const copies = new Map<bigint, SimulatedNode>();
    const cloned = (node: SimulatedNode): SimulatedNode => {
      const known = copies.get(node.inode);
      if (known !== undefined) return known;
      if (node.kind !== "directory") {
        const made: SimulatedNode = node.kind === "file" ? { ...node, file: node.file.clone() } : { ...node };
        copies.set(node.inode, made);
        return made;
      }
      const made: DirectoryNode = { ...node, entries: new Map() };
      copies.set(node.inode, made);
      for (const [name, child] of node.entries) made.entries.set(name, cloned(child));
      return made;
    };
    copy.#root = cloned(this.#root) as DirectoryNode;
    copy.#durable = this.#durable.clone(cloned);
    copy.#nextInode = this.#nextInode;
    return copy;
  }

  #change(text: string, changes: NameChange[]): void {
    for (const { directory, name, node } of changes) {
      const { entries } = this.#directory(directory);
      const before = entries.get(name);
      if (before !== undefined) before.links--;
      if (node === null) entries.delete(name);
      else {
        entries.set(name, node);
        node.links++;
      }
    }
    this.#durable.note(text, changes);
  }

  #directory(inode: bigint): DirectoryNode {
    if (inode === this.#root.inode) return this.#root;
    for (const [, node] of this.nodes()) if (node.inode === inode && node.kind === "directory") return node;
    throw new Error(`Outside the fault model: directory ${inode} was removed`);
  }
}
