// Which file systems a shared mapping can be trusted on, by their names.

import { type FileSystemInfo, RegionError } from "../region.ts";
import type { System } from "../system/system.ts";

const NETWORK =
  "is shared over a network or between machines, where a sync may lie and a mapping may differ from the file";
const COPY_ON_WRITE = "writes every overwrite to new space, so that a full disk kills the process";
const FOREIGN = "does not keep the promises of a local file system about mappings and syncs";

/** Why a file system is unsafe. A name that is not listed is trusted. */
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
 * Refuses an unsafe file system, and collects warnings.
 *
 * @param allowUnsafe warns instead of refusing.
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
  const unsafe = name === "btrfs" && !system.noCopyOnWrite(fd, "get")
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
    warnings.push(`The file system ${name} is unknown to this library, which trusts its syncs`);
  }
  return { info: { name, durable: !VOLATILE.has(name) }, warnings };
}
