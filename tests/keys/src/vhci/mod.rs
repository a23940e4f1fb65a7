//! Keys as real USB devices of the running kernel, by vhci-hcd: USB/IP's virtual host controller, with a socket of this
//! process as the cable. From there on everything is the kernel's own: enumeration, usbhid, hidraw, uevents. Wants the
//! modules vhci-hcd and usbhid, and root.

mod function;
mod usbip;

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crate::{Endpoint, Key, Packet, PacketsIn};
pub use function::Identity;
use function::{Effect, Function};
use usbip::Request;

/// Where the virtual host controller is.
const CONTROLLER: &str = "/sys/devices/platform/vhci_hcd.0";
/// The speed of security keys: full, 12 Mbit/s (`enum usb_device_speed`).
const FULL_SPEED: u32 = 2;
/// Bus and device number of the exporting machine, of which there is none here.
const DEVICE_ID: u32 = 1 << 16 | 2;

/// Why a key can't be plugged in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no virtual host controller.
    #[error("no virtual USB host controller at {CONTROLLER}: load the kernel's module vhci-hcd")]
    NoController,
    /// All its ports are taken.
    #[error("every port of the virtual USB host controller is taken")]
    NoPort,
    /// Something else.
    #[error("the key can't be plugged in (this needs root): {0}")]
    Io(#[from] io::Error),
}

/// A key that is plugged in, until this is dropped.
#[derive(Debug)]
pub struct Plugged {
    cable: UnixStream,
    from_host: Option<JoinHandle<()>>,
}

/// Whether keys can be plugged in here.
pub fn is_available() -> bool {
    Path::new(CONTROLLER).join("attach").exists()
}

impl Plugged {
    /// Plugs `key` in, at the first port that is free.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(key: &Key, identity: Identity) -> Result<Self, Error> {
        if !is_available() {
            return Err(Error::NoController);
        }
        let (cable, kernels_end) = UnixStream::pair()?;
        let plugged = Self::at(cable, key, identity)?;
        attach(&kernels_end)?;
        Ok(plugged)
    }

    /// Plugs `key` in at this end of a cable, whoever has the other one.
    fn at(cable: UnixStream, key: &Key, identity: Identity) -> io::Result<Self> {
        let Endpoint { packets_in, packets_out } = key.plug_in();
        let wire =
            Arc::new(Wire { function: Mutex::new(Function::new(identity)), cable: cable.try_clone()? });
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(work)
        };
        let (to_host, key) = (Arc::clone(&wire), key.clone());
        // Nobody waits for this one: it ends with the key's packets.
        spawn("to-host", Box::new(move || to_host.carry_to_host(&packets_out)))?;
        let from_host = move || {
            wire.carry_to_key(&packets_in);
            key.unplug();
        };
        Ok(Self { cable, from_host: Some(spawn("from-host", Box::new(from_host))?) })
    }
}

impl Drop for Plugged {
    fn drop(&mut self) {
        // The kernel sees the end of the stream, and so a device that was pulled out. It may have closed it itself.
        let _ = self.cable.shutdown(Shutdown::Both);
        if let Some(thread) = self.from_host.take() {
            // Or a key that is plugged in anew would be pulled out late. A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// Gives the kernel its end of the cable.
fn attach(kernels_end: &UnixStream) -> Result<(), Error> {
    // Between looking for a free port and taking it, another thread or program may take it.
    static ATTACHING: Mutex<()> = Mutex::new(());
    let _guard = ATTACHING.lock().unwrap_or_else(PoisonError::into_inner);
    let status = std::fs::read_to_string(Path::new(CONTROLLER).join("status"))?;
    let port = free_port(&status).ok_or(Error::NoPort)?;
    let socket = kernels_end.as_raw_fd();
    let line = format!("{port} {socket} {DEVICE_ID} {FULL_SPEED}");
    std::fs::write(Path::new(CONTROLLER).join("attach"), line)?;
    Ok(())
}

/// The first port of the high-speed hub (which full-speed devices use too) that nothing is plugged in at.
fn free_port(status: &str) -> Option<u32> {
    // VDEV_ST_NULL of the kernel's `enum usbip_device_status`.
    const NOT_CONNECTED: &str = "004";
    status.lines().find_map(|line| {
        let mut columns = line.split_whitespace();
        let (hub, port, state) = (columns.next()?, columns.next()?, columns.next()?);
        if hub == "hs" && state == NOT_CONNECTED { port.parse().ok() } else { None }
    })
}

/// The cable between the kernel and a key.
struct Wire {
    function: Mutex<Function>,
    cable: UnixStream,
}

impl Wire {
    /// Carries the host's requests to the key, until the cable is pulled.
    fn carry_to_key(&self, packets: &PacketsIn) {
        let mut cable = &self.cable;
        while let Ok(request) = Request::read(&mut cable) {
            let mut function = self.function();
            for effect in function.request(request) {
                match effect {
                    // Where it can't be written, the next read ends this.
                    Effect::Reply(reply) => drop(cable.write_all(&reply)),
                    Effect::Packet(packet) => packets.send(packet),
                }
            }
        }
    }

    /// Carries the key's packets to the host, until its power is gone.
    fn carry_to_host(&self, packets: &Receiver<Packet>) {
        for packet in packets {
            let mut function = self.function();
            if let Some(reply) = function.packet(packet)
                && (&self.cable).write_all(&reply).is_err()
            {
                return;
            }
        }
    }

    /// The function, locked: replies are written under its lock, so that they stay whole.
    fn function(&self) -> MutexGuard<'_, Function> {
        self.function.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Touch;
    use std::io::Read;
    use std::time::Duration;

    /// The kernel's end of the cable, as vhci-hcd uses it.
    struct Host {
        cable: UnixStream,
        seqnum: u32,
    }

    impl Host {
        fn submit(&mut self, endpoint: u32, is_in: bool, setup: [u8; 8], room: u32, data: &[u8]) -> u32 {
            self.seqnum += 1;
            let len = if is_in { room } else { u32::try_from(data.len()).unwrap() };
            let fields = [1, self.seqnum, DEVICE_ID, u32::from(is_in), endpoint, 0, len, 0, 0, 0];
            let mut message: Vec<u8> = fields.into_iter().flat_map(u32::to_be_bytes).collect();
            message.extend(setup);
            message.extend(data);
            self.cable.write_all(&message).unwrap();
            self.seqnum
        }

        fn unlink(&mut self, of: u32) -> u32 {
            self.seqnum += 1;
            let mut message: Vec<u8> =
                [2, self.seqnum, DEVICE_ID, 0, 0, of].into_iter().flat_map(u32::to_be_bytes).collect();
            message.resize(48, 0);
            self.cable.write_all(&message).unwrap();
            self.seqnum
        }

        /// Command, number, status and length of the next answer.
        fn answer(&mut self) -> (u32, u32, i32, usize) {
            let mut header = [0; 48];
            self.cable.read_exact(&mut header).unwrap();
            let field = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
            (field(0), field(4), field(20).cast_signed(), field(24) as usize)
        }

        fn control(&mut self, setup: [u8; 8]) -> Result<Vec<u8>, i32> {
            let room = u16::from_le_bytes([setup[6], setup[7]]);
            let number = self.submit(0, true, setup, u32::from(room), &[]);
            let (command, of, status, len) = self.answer();
            assert_eq!((command, of), (3, number));
            let mut data = vec![0; len];
            self.cable.read_exact(&mut data).unwrap();
            if status == 0 { Ok(data) } else { Err(status) }
        }
    }

    fn plugged_in() -> (Plugged, Key, Host) {
        let (cable, kernels_end) = UnixStream::pair().unwrap();
        let key = crate::opensk::key(Touch::AtOnce);
        let plugged = Plugged::at(cable, &key, Identity::opensk("7")).unwrap();
        (plugged, key, Host { cable: kernels_end, seqnum: 0 })
    }

    #[test]
    fn the_descriptors_are_those_of_a_security_key() {
        let (_plugged, _key, mut host) = plugged_in();
        let device = host.control([0x80, 6, 0, 1, 0, 0, 18, 0]).unwrap();
        assert_eq!((device.len(), &device[8..12]), (18, [0x15, 0x19, 0x1F, 0x52].as_slice()));
        let head = host.control([0x80, 6, 0, 2, 0, 0, 9, 0]).unwrap();
        assert_eq!(head.len(), 9, "no more than the host takes");
        let whole = host.control([0x80, 6, 0, 2, 0, 0, 255, 0]).unwrap();
        assert_eq!(whole.len(), usize::from(head[2]), "as long as it says");
        let report_len = u8::try_from(host.control([0x81, 6, 0, 0x22, 0, 0, 255, 0]).unwrap().len()).unwrap();
        assert_eq!(whole[9 + 9 + 7], report_len, "the length in the HID descriptor");
        assert_eq!(host.control([0x80, 6, 2, 3, 9, 4, 255, 0]).unwrap(), b"\x0e\x03O\0p\0e\0n\0S\0K\0");
        assert_eq!(host.control([0x80, 6, 0, 0x0F, 0, 0, 5, 0]), Err(-32), "no BOS descriptor");
    }

    #[test]
    fn packets_go_both_ways_and_a_read_can_be_taken_back() {
        let (_plugged, _key, mut host) = plugged_in();
        let taken_back = host.submit(1, true, [0; 8], 64, &[]);
        let unlinking = host.unlink(taken_back);
        assert_eq!(host.answer(), (4, unlinking, -104, 0));
        let read = host.submit(1, true, [0; 8], 64, &[]);
        // CTAPHID_INIT with a nonce.
        let mut init = [0; 64];
        init[..15].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0x86, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
        let write = host.submit(1, false, [0; 8], 0, &init);
        assert_eq!(host.answer(), (3, write, 0, 64));
        assert_eq!(host.answer(), (3, read, 0, 64));
        let mut packet = [0; 64];
        host.cable.read_exact(&mut packet).unwrap();
        assert_eq!(packet[..15], init[..6].iter().copied().chain([17]).chain(1..=8).collect::<Vec<u8>>());
        let late = host.unlink(read);
        assert_eq!(host.answer(), (4, late, 0, 0), "what was answered can't be taken back");
    }

    #[test]
    fn a_key_pulled_out_is_the_end_of_the_stream_and_it_can_come_back() {
        let (plugged, key, mut host) = plugged_in();
        drop(plugged);
        assert_eq!(host.cable.read(&mut [0; 1]).unwrap(), 0);
        let (cable, kernels_end) = UnixStream::pair().unwrap();
        let _again = Plugged::at(cable, &key, Identity::opensk("7")).unwrap();
        let mut host = Host { cable: kernels_end, seqnum: 0 };
        assert_eq!(host.control([0x80, 6, 0, 1, 0, 0, 18, 0]).unwrap().len(), 18);
        // Made, plugged in, plugged in again.
        assert!(key.wait_until(Duration::from_secs(20), |seen| seen.powered == 3), "{:?}", key.seen());
    }

    #[test]
    fn the_first_free_port_of_the_high_speed_hub_is_taken() {
        let status = "hub port sta spd dev      sockfd local_busid\n\
                      hs  0000 006 002 00010002 000004 1-1\n\
                      hs  0001 004 000 00000000 000000 0-0\n\
                      ss  0008 004 000 00000000 000000 0-0\n";
        assert_eq!(free_port(status), Some(1));
        assert_eq!(free_port(&status.replace("0001 004", "0001 006")), None);
    }
}
