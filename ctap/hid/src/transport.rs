//! Which keys are there, and when they come and go.

use crate::device::UsbKey;
use crate::wake::Wake;
use ctap_core::transport::{
    CancelToken, Device, DeviceDescription, Transport, TransportError, TransportKind, Watcher,
};
use hidapi::{DeviceInfo, HidApi};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use udev::{MonitorBuilder, MonitorSocket};

/// The usage page of FIDO keys, and their usage (CTAP 2.1 section 11.2.8.2).
const FIDO_USAGE: (u16, u16) = (0xf1d0, 0x01);
/// Characters of a key's name at most.
const NAME_LEN: usize = 64;
/// The seat of what is given to no other (sd-login(3)).
const DEFAULT_SEAT: &str = "seat0";
/// There while udevd runs.
const UDEVD: &str = "/run/udev/control";

/// Security keys over USB.
#[derive(Clone, Copy, Debug, Default)]
pub struct UsbTransport;

/// A key and its node.
struct Found {
    path: PathBuf,
    description: DeviceDescription,
}

impl UsbTransport {
    /// All keys on this machine's USB.
    pub fn new() -> Self {
        Self
    }

    fn found(self) -> Result<Vec<Found>, TransportError> {
        let hidapi = HidApi::new().map_err(|error| TransportError::Io(error.to_string()))?;
        let mut keys: Vec<Found> = hidapi
            .device_list()
            .filter(|info| (info.usage_page(), info.usage()) == FIDO_USAGE)
            .filter_map(found)
            .collect();
        keys.sort_by(|a, b| a.path.cmp(&b.path));
        // A report descriptor can name a usage twice.
        keys.dedup_by(|a, b| a.path == b.path);
        Ok(keys)
    }
}

impl Transport for UsbTransport {
    fn kind(&self) -> TransportKind {
        TransportKind::Usb
    }

    fn devices(&self) -> Result<Vec<DeviceDescription>, TransportError> {
        Ok(self.found()?.into_iter().map(|key| key.description).collect())
    }

    fn open(&self, id: &str) -> Result<Box<dyn Device>, TransportError> {
        let is_wanted = |key: &Found| key.description.id == id;
        let key = self.found()?.into_iter().find(is_wanted).ok_or(TransportError::Gone)?;
        let device = UsbKey::open(&key.path)?;
        // The node's number could have become another device's before it was opened. IDs are never used again, so if
        // this one is there now, it was then.
        if hid_node(&key.path).and_then(|node| plug_id(&node)).as_deref() != Some(id) {
            return Err(TransportError::Gone);
        }
        Ok(Box::new(device))
    }

    fn watch(&self) -> Result<Box<dyn Watcher>, TransportError> {
        let io = |error: std::io::Error| TransportError::Io(error.to_string());
        // udevd's events come after its rules, which give permissions. Without udevd nobody waits for rules.
        let builder = if is_udevd_running() { MonitorBuilder::new() } else { MonitorBuilder::new_kernel() }
            .map_err(io)?;
        let monitor = builder.match_subsystem("hidraw").and_then(MonitorBuilder::listen).map_err(io)?;
        Ok(Box::new(UsbWatcher { monitor, wake: Wake::new()? }))
    }
}

/// Sees hidraw devices come and go.
struct UsbWatcher {
    monitor: MonitorSocket,
    wake: Wake,
}

impl Watcher for UsbWatcher {
    fn wait(&mut self, cancel: &CancelToken) -> Result<(), TransportError> {
        let _on_cancel = self.wake.on(cancel);
        loop {
            if cancel.is_cancelled() {
                return Err(TransportError::Cancelled);
            }
            let mut fds = [PollFd::new(&self.monitor, PollFlags::IN), PollFd::new(&self.wake, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(TransportError::Io(error.to_string())),
            }
            let [monitor, woken] = fds.map(|fd| fd.revents());
            if !woken.is_empty() {
                self.wake.reset();
            }
            if monitor.intersects(PollFlags::HUP | PollFlags::NVAL) {
                return Err(TransportError::Io("udev's events have ended".to_owned()));
            }
            // After an overrun nobody knows what happened.
            let overrun = monitor.contains(PollFlags::ERR);
            if self.monitor.iter().count() > 0 || overrun {
                return Ok(());
            }
        }
    }
}

fn is_udevd_running() -> bool {
    Path::new(UDEVD).exists()
}

/// `None` for a device that has just gone, or that udev is not done with: its event is still to come.
fn found(info: &DeviceInfo) -> Option<Found> {
    let path = PathBuf::from(info.path().to_str().ok()?);
    let node = hid_node(&path)?;
    if is_udevd_running() && !node.is_initialized() {
        return None;
    }
    let description = DeviceDescription {
        kind: TransportKind::Usb,
        id: plug_id(&node)?,
        name: name(info.manufacturer_string(), info.product_string()),
        seat: seat(&node),
    };
    Some(Found { path, description })
}

fn hid_node(path: &Path) -> Option<udev::Device> {
    let name = path.file_name()?.to_str()?;
    udev::Device::from_subsystem_sysname("hidraw".to_owned(), name.to_owned()).ok()
}

/// `0003:1050:0407.0005/hidraw3`: bus, vendor, product, and a number that the kernel's HID core gives to each device as it
/// comes and never again until the machine restarts.
fn plug_id(node: &udev::Device) -> Option<String> {
    let hid = node.parent_with_subsystem("hid").ok()??;
    Some(format!("{}/{}", hid.sysname().to_str()?, node.sysname().to_str()?))
}

/// The seat of the node, or of what it is plugged into.
fn seat(node: &udev::Device) -> String {
    std::iter::successors(Some(node.clone()), udev::Device::parent)
        .find_map(|device| device.property_value("ID_SEAT")?.to_str().map(str::to_owned))
        .filter(|seat| !seat.is_empty())
        .unwrap_or_else(|| DEFAULT_SEAT.to_owned())
}

/// Maker and product in one, of bounded length and without characters that a terminal or a screen could be fooled with.
fn name(manufacturer: Option<&str>, product: Option<&str>) -> String {
    let manufacturer = harmless(manufacturer.unwrap_or_default());
    let product = harmless(product.unwrap_or_default());
    let both = if product.starts_with(&manufacturer) { product } else { format!("{manufacturer} {product}") };
    match both.trim() {
        "" => "USB security key".to_owned(),
        name => name.chars().take(NAME_LEN).collect(),
    }
}

fn harmless(text: &str) -> String {
    let shown: String = text.chars().take(4 * NAME_LEN).filter(|&c| !is_deceptive(c)).collect();
    shown.trim().to_owned()
}

/// Control characters, line and paragraph separators, and what changes the direction or shows nothing.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_can_fool_no_screen() {
        assert_eq!(name(Some("Yubico"), Some("YubiKey FIDO")), "Yubico YubiKey FIDO");
        assert_eq!(name(Some("Yubico"), Some("Yubico YubiKey")), "Yubico YubiKey");
        assert_eq!(name(None, Some("Key")), "Key");
        assert_eq!(name(Some(" "), Some("\u{1b}\u{202e}")), "USB security key");
        assert_eq!(name(Some("A\u{1b}[2J\n"), Some("B\u{202e}C\u{2066}")), "A[2J BC");
        assert_eq!(name(Some(&"x".repeat(10_000)), None).chars().count(), NAME_LEN);
    }
}
