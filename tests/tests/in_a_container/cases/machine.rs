//! With Debian's kernel: a security key as a USB device, udev's rules, the TPM's device.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fwp_tests::until;
use serde_json::json;
use virtual_keys::vhci::{Identity, Plugged};
use virtual_keys::{Touch, opensk};

use super::hardening::probe;
use super::payments::{Pace, both_pay};
use crate::person::Person;
use crate::system::{self, attempt, pid, run};

/// The node of a key that is plugged in.
fn node() -> PathBuf {
    until("the key's node", || {
        let devices = fs::read_dir("/dev").unwrap().map(|entry| entry.unwrap().path());
        let found = devices.into_iter().find(|path| path.to_string_lossy().contains("hidraw"))?;
        run(&["udevadm", "settle"]);
        Some(found)
    })
}

fn group(name: &str) -> u32 {
    let entry = run(&["getent", "group", name]);
    entry.split(':').nth(2).unwrap().parse().unwrap()
}

pub(super) fn the_rules_give_a_security_key_to_the_service_and_to_the_seat() {
    let anna = Person::at_the_seat("anna");
    let key = opensk::key(Touch::AtOnce);
    let plugged = Plugged::new(&key, Identity::opensk("1")).unwrap();
    let node = node();
    let metadata = fs::metadata(&node).unwrap();
    assert_eq!((metadata.mode() & 0o717, metadata.gid()), (0o600, group("fwpd")));
    let opens = |user: &str| {
        let test = format!("exec 3<>{}", node.display());
        attempt(&["runuser", "--user", user, "--", "bash", "-c", &test]).0
    };
    until("the seat's user to have the key", || Some(()).filter(|()| opens("anna")));
    assert!(opens("fwpd"), "the service's user");
    assert!(!opens("bruno"), "who is not at the seat");
    drop(plugged);
    until("the key to be gone", || Some(()).filter(|()| !node.exists()));
    // What is no security key is nobody's of these.
    let _keyboard = keyboard();
    let node = self::node();
    let metadata = fs::metadata(&node).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o600, 0));
    for user in ["anna", "fwpd"] {
        let test = format!("exec 3<>{}", node.display());
        assert!(!attempt(&["runuser", "--user", user, "--", "bash", "-c", &test]).0, "{user}");
    }
    drop(anna);
}

/// A keyboard, as a program makes one (linux/uhid.h); unplugged when the file is closed.
fn keyboard() -> fs::File {
    const CREATE2: u32 = 11;
    const BUS_USB: u16 = 3;
    // Of the usage page "generic desktop" a keyboard, with eight keys.
    const DESCRIPTOR: [u8; 23] = [
        0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75,
        0x01, 0x95, 0x08, 0x81, 0x02, 0xC0,
    ];
    let mut event = CREATE2.to_ne_bytes().to_vec();
    // Name, place and serial number; each has so many bytes.
    for (text, length) in [("a keyboard", 128), ("", 64), ("", 64)] {
        let mut field = text.as_bytes().to_vec();
        field.resize(length, 0);
        event.extend(field);
    }
    event.extend(u16::try_from(DESCRIPTOR.len()).unwrap().to_ne_bytes());
    event.extend(BUS_USB.to_ne_bytes());
    // Maker, product, version, country: none.
    event.extend([0; 16]);
    event.extend(DESCRIPTOR);
    let mut device = fs::File::options().read(true).write(true).open("/dev/uhid").unwrap();
    device.write_all(&event).unwrap();
    device
}

pub(super) fn a_key_plugged_in_pays_through_the_hardened_service() {
    let mut anna = Person::at_the_seat("anna");
    anna.does(json!({"do": "hello"}));
    let keys = |anna: &mut Person| {
        let all = anna.does(json!({"do": "authenticators"}));
        all.as_array().unwrap().iter().filter(|one| one["kind"] == "usb" && one["usable"] == true).count()
    };
    assert_eq!(keys(&mut anna), 0);
    let key = opensk::key(Touch::AtOnce);
    let plugged = Plugged::new(&key, Identity::opensk("1")).unwrap();
    until("the key in the wallet's list", || Some(()).filter(|()| keys(&mut anna) == 1));
    anna.does(json!({"do": "enroll", "account": "1", "kind": "usb"}));
    anna.pays("1");
    assert!(
        key.seen().commands.iter().any(|command| command.first() == Some(&0x02)),
        "authenticatorGetAssertion"
    );
    // Pulled out and put in again, while the wallet runs.
    drop(plugged);
    until("the key to be gone", || Some(()).filter(|()| keys(&mut anna) == 0));
    let _again = Plugged::new(&key, Identity::opensk("1")).unwrap();
    anna.pays("2");
}

pub(super) fn the_tpm_holds_keys_of_two_users_who_pay_at_once_through_the_hardened_service() {
    let device = fs::metadata("/dev/tpmrm0").unwrap();
    assert_eq!((device.mode() & 0o777, device.gid()), (0o660, group("tss")));
    let mut anna = Person::at_the_seat("anna");
    anna.does(json!({"do": "enroll", "account": "1", "kind": "tpm"}));
    anna.pays("1");
    let cards = anna.does(json!({"do": "cards"}));
    assert_eq!(cards[0][1], "tpm");
    assert_eq!(anna.does(json!({"do": "store"}))["slot"], "systemd credential");
    let pid = pid();
    let groups = system::status_line(&pid, "Groups");
    assert!(groups.split_whitespace().any(|id| id == group("tss").to_string()), "{groups}");
    drop(anna);
    system::fresh();
    system::settings(system::SERVER);
    both_pay(Some("tpm"), Pace::AtOnce);
}

pub(super) fn a_program_in_its_place_opens_no_other_device() {
    for device in ["/dev/vda", "/dev/tpm0", "/dev/kmsg", "/dev/mem"] {
        assert!(Path::new(device).exists(), "{device}");
    }
    let seen = probe();
    let devices: Vec<_> = seen.iter().filter(|(what, _)| what.starts_with("read:/dev/")).collect();
    assert!(devices.len() >= 5, "{seen:?}");
    assert!(
        devices.iter().all(|(_, how)| matches!(how.as_str(), "EPERM" | "EACCES" | "ENOENT")),
        "{devices:?}"
    );
    let done: Vec<_> = seen.iter().filter(|(_, how)| how == "done").map(|(what, _)| what.as_str()).collect();
    assert_eq!(done, ["socket:unix", "write:/var/lib/fwpd/probe"], "{seen:?}");
}
