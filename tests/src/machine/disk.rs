//! A guest that boots the container's image, with its systemd and udev: what an installed machine does.

use std::path::Path;

use super::{Error, Initramfs, MODULES, Machine, Parts};
use crate::container;

/// The kernel's modules for the disk, each after those that it needs; and for a keyboard, which is no security key.
const DISK: [&str; 12] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
    "crypto/crc32c_generic",
    "lib/crc16",
    "fs/mbcache",
    "fs/jbd2/jbd2",
    "fs/ext4/ext4",
    "drivers/hid/uhid",
];

impl Machine {
    /// A guest of the container's image. What is brought to `/share` of its [`Machine::files`] is in [`container::SHARE`], where its
    /// work runs.
    ///
    /// # Errors
    /// [`Error::NotFetched`], naming what; [`Error::Io`].
    pub fn of_the_image() -> Result<Self, Error> {
        let image = container::image().map_err(std::io::Error::other)?.join("disk");
        if !image.exists() {
            return Err(Error::NotFetched(format!("{}, by scripts/container.sh disk", image.display())));
        }
        let mut machine =
            Self { files: Initramfs::new(), parts: Parts::find()?, tpm: None, disk: Some(image) };
        for folder in ["/dev", "/proc", "/sys", "/root", "/share"] {
            machine.files.folder(folder);
        }
        machine.begins_with(include_str!("guest-disk.sh"), &[&MODULES[..], &DISK[..]].concat())?;
        Ok(machine)
    }

    /// Brings a program to this path, without debugging information and without its libraries, which the image has.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn stripped(&mut self, path: &str, from: &Path) -> Result<(), Error> {
        let stripped = self.parts.strip(from)?;
        Ok(self.files.file(path, &stripped)?)
    }
}

/// QEMU's, for a disk whose changes are forgotten.
pub(super) fn arguments(disk: &Path) -> [String; 2] {
    ["-drive".to_owned(), format!("file={},if=virtio,format=raw,snapshot=on", disk.display())]
}
