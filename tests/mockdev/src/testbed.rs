//! Devices that come and go.

use crate::far_end::FarEnd;
use crate::{MockError, ffi};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use virtual_keys::{Endpoint, Key};

/// The report descriptor of a FIDO key (CTAP 2.1 section 11.2.8.2): usage page 0xF1D0, 64 bytes in and out.
pub const FIDO_DESCRIPTOR: &[u8] = &[
    0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x20, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95,
    0x40, 0x81, 0x02, 0x09, 0x21, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40, 0x91, 0x02, 0xc0,
];

/// The report descriptor of a keyboard.
pub const KEYBOARD_DESCRIPTOR: &[u8] = &[
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75,
    0x01, 0x95, 0x08, 0x81, 0x02, 0xc0,
];

/// The kernel's struct hidraw_report_descriptor: a length and HID_MAX_DESCRIPTOR_SIZE bytes.
const DESCRIPTOR_STRUCT_LEN: usize = 4 + 4096;

/// A USB HID device to plug in.
#[derive(Clone, Debug)]
pub struct UsbDevice {
    /// USB's manufacturer string; without line breaks, backslashes and NUL.
    pub manufacturer: String,
    /// USB's product string; likewise.
    pub product: String,
    /// USB's vendor ID.
    pub vendor: u16,
    /// USB's product ID.
    pub product_id: u16,
    /// The HID report descriptor.
    pub descriptor: Vec<u8>,
    /// The udev property ID_SEAT.
    pub seat: Option<String>,
    /// The number of the hidraw node, or the next one that no device in the testbed ever had: the kernel uses numbers again,
    /// libumockdev can't.
    pub node: u8,
}

impl UsbDevice {
    /// A FIDO key as `/dev/hidraw{node}`.
    pub fn key(node: u8) -> Self {
        Self {
            manufacturer: "Example".to_owned(),
            product: "Security Key".to_owned(),
            vendor: 0x1209,
            product_id: 0xf1d0,
            descriptor: FIDO_DESCRIPTOR.to_vec(),
            seat: None,
            node,
        }
    }

    /// A keyboard as `/dev/hidraw{node}`.
    pub fn keyboard(node: u8) -> Self {
        Self {
            product: "Keyboard".to_owned(),
            product_id: 0x6b64,
            descriptor: KEYBOARD_DESCRIPTOR.to_vec(),
            ..Self::key(node)
        }
    }
}

/// A device that is plugged in.
#[derive(Debug)]
pub struct Plugged {
    /// Its sysfs folders, the innermost (that of the hidraw node) first.
    syspaths: Vec<String>,
    /// Its node: `/dev/hidraw...`.
    pub node: String,
    /// Readable once it was unplugged: tells the far ends.
    unplugged: Arc<OwnedFd>,
    /// A program that has the node open: without one, a pty's far end sees a hang-up.
    _open: std::fs::File,
}

/// A testbed, empty at first. There is one per process.
pub struct Testbed {
    ffi: ffi::Testbed,
    /// As the kernel's HID core, which never uses a number again.
    next_hid: u32,
    /// The numbers of hidraw nodes so far.
    nodes: BTreeSet<u8>,
    /// Recordings of ioctls, deleted with the testbed.
    recordings: Vec<std::path::PathBuf>,
}

impl Testbed {
    /// A new one.
    ///
    /// # Errors
    /// [`MockError::Testbed`] outside of [`in_testbed`](crate::in_testbed).
    pub fn new() -> Result<Self, MockError> {
        if !crate::process::is_inside() {
            return Err(MockError::Testbed);
        }
        Ok(Self { ffi: ffi::Testbed::new()?, next_hid: 1, nodes: BTreeSet::new(), recordings: Vec::new() })
    }

    /// Plugs `device` in: sysfs, node and the uevents "add".
    ///
    /// # Errors
    /// [`MockError`].
    pub fn plug(&mut self, device: &UsbDevice) -> Result<Plugged, MockError> {
        let UsbDevice { manufacturer, product, vendor, product_id, descriptor, seat, node } = device;
        let node = (*node..=u8::MAX).find(|&node| self.nodes.insert(node)).ok_or(MockError::Testbed)?;
        let usb = format!("/devices/pci0000:00/0000:00:14.0/usb1/1-{}", u32::from(node) + 1);
        let interface = format!("{usb}/1-{}:1.0", u32::from(node) + 1);
        let hid_name = format!("0003:{vendor:04X}:{product_id:04X}.{:04X}", self.next_hid);
        let hid = format!("{interface}/{hid_name}");
        let hidraw = format!("{hid}/hidraw/hidraw{node}");
        self.next_hid += 1;

        let mut text = String::new();
        let _ = write!(
            text,
            "P: {usb}\nE: SUBSYSTEM=usb\nE: DEVTYPE=usb_device\nA: manufacturer={manufacturer}\\n\n\
             A: product={product}\\n\nA: bcdDevice=0100\\n\nA: idVendor={vendor:04x}\\n\n\
             A: idProduct={product_id:04x}\\n\n\n\
             P: {interface}\nE: SUBSYSTEM=usb\nE: DEVTYPE=usb_interface\nA: bInterfaceNumber=00\\n\n\n\
             P: {hid}\nE: SUBSYSTEM=hid\nE: HID_ID=0003:{vendor:08X}:{product_id:08X}\n\
             E: HID_NAME={manufacturer} {product}\nE: HID_UNIQ=1\nH: report_descriptor={}\n\n\
             P: {hidraw}\nN: hidraw{node}\nE: SUBSYSTEM=hidraw\nE: DEVNAME=/dev/hidraw{node}\n\
             E: MAJOR=240\nE: MINOR={node}\n",
            hex(descriptor),
        );
        if let Some(seat) = seat {
            let _ = writeln!(text, "E: ID_SEAT={seat}");
        }
        let _ = write!(text, "A: dev=240:{node}\\n\nL: device=../../../{hid_name}\n");
        let path = format!("/dev/hidraw{node}");
        // Before the node is there: libumockdev ends a program that opens one whose ioctls aren't answered yet.
        self.answer_ioctls(&path, descriptor)?;
        self.ffi.add(&text)?;

        let io = |error: std::io::Error| MockError::Io(error.to_string());
        Ok(Plugged {
            syspaths: [hidraw, hid, interface, usb].map(|path| format!("/sys{path}")).to_vec(),
            _open: std::fs::File::options().read(true).write(true).open(&path).map_err(io)?,
            node: path,
            unplugged: Arc::new(
                eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| MockError::Io(error.to_string()))?,
            ),
        })
    }

    /// Pulls a device out: its node hangs up, sysfs forgets it, and the uevents "remove" are sent.
    ///
    /// # Errors
    /// [`MockError`].
    pub fn unplug(&mut self, plugged: Plugged) -> Result<(), MockError> {
        rustix::io::write(&*plugged.unplugged, &1u64.to_ne_bytes())
            .map_err(|error| MockError::Io(error.to_string()))?;
        let io = |error: std::io::Error| MockError::Io(error.to_string());
        let root = self.ffi.root()?;
        let pty = std::fs::read_link(format!("{root}{}", plugged.node)).map_err(io)?;
        self.ffi.hang_up(&plugged.node)?;
        for syspath in &plugged.syspaths {
            self.ffi.uevent(syspath, "remove")?;
            self.ffi.remove(syspath)?;
        }
        // The kernel gives the pty's number to the next one, of which libumockdev must not find a note then.
        let note = pty.to_string_lossy().replace('/', "_");
        std::fs::remove_file(format!("{root}/dev/.ptymap/{note}")).map_err(io)
    }

    /// Sends the uevent "change" for a device, as udev does after its rules ran again.
    ///
    /// # Errors
    /// [`MockError`].
    pub fn change(&mut self, plugged: &Plugged) -> Result<(), MockError> {
        plugged.syspaths.first().map_or(Ok(()), |syspath| self.ffi.uevent(syspath, "change"))
    }

    /// The device's side of `plugged`.
    ///
    /// # Errors
    /// [`MockError`].
    pub fn far_end(&mut self, plugged: &Plugged) -> Result<FarEnd, MockError> {
        FarEnd::new(self.ffi.far_end(&plugged.node)?, Arc::clone(&plugged.unplugged))
    }

    /// Plugs `key` in as `device`.
    ///
    /// # Errors
    /// [`MockError`].
    pub fn plug_key(&mut self, device: &UsbDevice, key: &Key) -> Result<Plugged, MockError> {
        let plugged = self.plug(device)?;
        let Endpoint { packets_in, packets_out } = key.plug_in();
        self.connect(&plugged, move |packet| packets_in.send(packet), packets_out)?;
        Ok(plugged)
    }

    /// Pulls `key` out, which was plugged in as `plugged`.
    ///
    /// # Errors
    /// [`MockError`].
    pub fn unplug_key(&mut self, plugged: Plugged, key: &Key) -> Result<(), MockError> {
        key.unplug();
        self.unplug(plugged)
    }

    /// Connects a device that runs elsewhere, until it or `plugged` is unplugged: `to_device` takes the program's reports,
    /// `from_device` has the device's, and is closed once it is unplugged there.
    ///
    /// # Errors
    /// [`MockError`].
    pub fn connect(
        &mut self,
        plugged: &Plugged,
        mut to_device: impl FnMut([u8; 64]) + Send + 'static,
        from_device: Receiver<[u8; 64]>,
    ) -> Result<(), MockError> {
        let mut program = self.far_end(plugged)?;
        let mut same_program = self.far_end(plugged)?;
        std::thread::spawn(move || {
            while let Some(report) = program.receive(Duration::MAX) {
                to_device(report);
            }
        });
        std::thread::spawn(move || {
            while let Ok(report) = from_device.recv() {
                if same_program.send(&report).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Sets the permissions of the node of `plugged`, 0o600 say.
    ///
    /// # Errors
    /// [`MockError::Io`].
    pub fn set_mode(&mut self, plugged: &Plugged, mode: u32) -> Result<(), MockError> {
        use std::os::unix::fs::PermissionsExt;
        let path = format!("{}{}", self.ffi.root()?, plugged.node);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .map_err(|error| MockError::Io(format!("{path}: {error}")))
    }

    /// What programs ask hidraw for by ioctl: the report descriptor and its length.
    fn answer_ioctls(&mut self, node: &str, descriptor: &[u8]) -> Result<(), MockError> {
        let len = u32::try_from(descriptor.len()).unwrap_or(u32::MAX).to_ne_bytes();
        let mut whole = [&len, descriptor].concat();
        // libumockdev copies the whole struct, whatever the recording has.
        whole.resize(DESCRIPTOR_STRUCT_LEN, 0);
        let recording =
            format!("@DEV {node}\nHIDIOCGRDESCSIZE 0 {}\nHIDIOCGRDESC 0 {}\n", hex(&len), hex(&whole));
        let path = std::path::PathBuf::from(format!("{}/hidraw-{}.ioctl", self.ffi.root()?, self.next_hid));
        std::fs::write(&path, recording).map_err(|error| MockError::Io(error.to_string()))?;
        let loaded = self.ffi.load_ioctl(node, &path);
        self.recordings.push(path);
        loaded
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        for recording in &self.recordings {
            let _ = std::fs::remove_file(recording);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}
