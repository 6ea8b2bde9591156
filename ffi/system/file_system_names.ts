// The names of Linux's file systems.

/**
 * Names by the magic numbers of linux/magic.h, and of the sources of file systems outside the
 * kernel.
 */
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
