// Which file systems a shared mapping can be trusted on, by name.

import { type FileSystemInfo, RegionError } from "../region.ts";
import type { System } from "../system/system.ts";

/** Linux names a file system by a magic number (linux/magic.h, and the sources of those outside the kernel). */
// deno-fmt-ignore
const NAMES: ReadonlyMap<number, string> = new Map([
  [0xef53, "ext4"], [0x58465342, "xfs"], [0x9123683e, "btrfs"], [0xf2f52010, "f2fs"], [0x3153464a, "jfs"],
  [0x01021994, "tmpfs"], [0x858458f6, "ramfs"], [0x794c7630, "overlay"], [0x2011bab0, "exfat"], [0x4d44, "vfat"],
  [0x6969, "nfs"], [0xff534d42, "cifs"], [0xfe534d42, "smb2"], [0x517b, "smb"], [0x01021997, "9p"],
  [0x65735546, "fuse"], [0x00c36400, "ceph"], [0x5346414f, "afs"], [0x6b414653, "afs"], [0x0bd00bd0, "lustre"],
  [0x786f4256, "vboxsf"], [0x2fc12fc1, "zfs"], [0xca451a4e, "bcachefs"], [0x47504653, "gpfs"], [0x7461636f, "ocfs2"],
  [0x01161970, "gfs2"], [0x73757245, "coda"], [0x20030528, "orangefs"], [0x958458f6, "hugetlbfs"], [0x3434, "nilfs2"],
  [0x53464846, "wslfs"], [0x7366746e, "ntfs3"], [0x5346544e, "ntfs"], [0xf15f, "ecryptfs"], [0x482b, "hfsplus"],
]);

/** The usual name for a magic number, or the number itself. */
export function fileSystemName(magic: number): string {
  return NAMES.get(magic) ?? `0x${magic.toString(16)}`;
}

const NETWORK =
  "is shared over a network or between machines, where a sync may lie and a mapping may differ from the file";
const COPY_ON_WRITE = "writes every overwrite to new space, so that a full disk kills the process";
const FOREIGN = "does not keep the promises of a local file system about mappings and syncs";

/** Why not; a name that is not here is trusted. */
const UNSAFE: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ["nfs", "cifs", "smb2", "smb", "smbfs", "9p", "ceph", "afs", "lustre", "vboxsf", "gpfs", "ocfs2", "gfs2", "coda"]
      .map((name) => [name, NETWORK]),
  ),
  ...Object.fromEntries(["orangefs", "afpfs", "webdav"].map((name) => [name, NETWORK])),
  ...Object.fromEntries(["zfs", "bcachefs", "nilfs2"].map((name) => [name, COPY_ON_WRITE])),
  ...Object.fromEntries(
    ["fuse", "macfuse", "osxfuse", "hugetlbfs", "wslfs", "ecryptfs", "ntfs", "ntfs3"].map((name) => [name, FOREIGN]),
  ),
};
const VOLATILE: ReadonlySet<string> = new Set(["tmpfs", "ramfs"]);

/**
 * Judges the file system of an open file.
 *
 * @param allowUnsafe makes a warning of what would be refused.
 * @throws {RegionError} `FILE_SYSTEM`.
 */
export function checkFileSystem(
  system: System,
  fd: number,
  path: string,
  allowUnsafe: boolean,
): { info: FileSystemInfo; warnings: string[] } {
  const name = system.fileSystem(fd);
  const warnings: string[] = [];
  const unsafe = name === "btrfs" && !system.isNoCopyOnWrite(fd)
    ? `${COPY_ON_WRITE}, and this file lacks the attribute that prevents it (chattr +C while it is empty)`
    : UNSAFE[name];
  if (unsafe !== undefined) {
    if (!allowUnsafe) {
      throw new RegionError("FILE_SYSTEM", `Cannot trust a mapping of ${JSON.stringify(path)}: ${name} ${unsafe}`, {
        path,
      });
    }
    warnings.push(`The file system ${name} ${unsafe}`);
  }
  if (VOLATILE.has(name)) {
    warnings.push(`The file system ${name} is in memory: nothing outlives power loss`);
  }
  if (name === "overlay") {
    warnings.push(
      "The file system overlay is a container's layer: whether a sync reaches a disk depends on what is below",
    );
  }
  if (name.startsWith("0x")) {
    warnings.push(`The file system ${name} is not known here: its syncs are taken on trust`);
  }
  return { info: { name, durable: !VOLATILE.has(name) }, warnings };
}
