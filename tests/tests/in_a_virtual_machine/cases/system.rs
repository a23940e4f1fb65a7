//! What the system sees of the keys: the kernel, udev, libfido2; and the demo.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use ctap_core::transport::{Device, Transport};
use ctap_hid::UsbTransport;
use fwp_tests::until;
use serde_json::json;
use virtual_keys::suite::{self, Ceremony, Plan};
use virtual_keys::table::Outcome;
use virtual_keys::vhci::{Identity, Plugged};
use virtual_keys::{Key, Touch, opensk};

use super::stage::{Stage, new_key, output, plug};

/// The keys that libfido2 lists: the node of each, and its line.
fn libfido2() -> Vec<(String, String)> {
    let list = output(Command::new("fido2-token").arg("-L"));
    list.lines().filter_map(|line| Some((line.split_once(':')?.0.to_owned(), line.to_owned()))).collect()
}

pub(super) fn libfido2_sees_and_asks_the_key() {
    assert_eq!(libfido2(), []);
    let key = new_key("1", Touch::AtOnce);
    let plugged = plug(&key);
    let (node, line) = until("the key in the list", || libfido2().pop());
    assert!(line.contains("OpenSK"), "{line}");
    let info = output(Command::new("fido2-token").args(["-I", &node]));
    assert!(info.contains("FIDO_2_1"), "{info}");
    drop(plugged);
    until("the key to be gone", || libfido2().is_empty().then_some(()));
}

pub(super) fn fwpctl_and_libfido2_list_the_same_keys_as_they_come_and_go() {
    Stage::run(async |stage| {
        let fwpctl = |arguments: &[&str]| {
            let mut command = Command::new("fwpctl");
            command.args(["--bus", stage.bus.address(), "--json", "authenticators"]).args(arguments);
            command
        };
        let mut watching = fwpctl(&["--watch"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut watched = BufReader::new(watching.stdout.take().unwrap()).lines();
        let keys = || {
            let list: serde_json::Value = serde_json::from_str(&output(&mut fwpctl(&[]))).unwrap();
            list.as_array().unwrap().iter().filter(|one| one["kind"] == "usb").count()
        };
        assert_eq!((keys(), libfido2().len()), (0, 0));
        let (one, other) = (new_key("1", Touch::AtOnce), new_key("2", Touch::AtOnce));
        let first = plug(&one);
        stage.sees_keys(1).await;
        let second = plug(&other);
        stage.sees_keys(2).await;
        assert_eq!((keys(), libfido2().len()), (2, 2));
        drop(first);
        stage.sees_keys(1).await;
        assert_eq!((keys(), libfido2().len()), (1, 1));
        drop(second);
        stage.sees_keys(0).await;
        assert_eq!((keys(), libfido2().len()), (0, 0));
        // Coming and going was told, too, each key once.
        let mut told = BTreeSet::new();
        while told.len() < 4 {
            let line = watched.next().unwrap().unwrap();
            if line.contains("usb") || line.contains("removed") {
                told.insert(line);
            }
        }
        watching.kill().unwrap();
        watching.wait().unwrap();
        stage
    });
}

pub(super) fn the_shipped_udev_rule_gives_the_keys_node_to_the_wallets_group() {
    let key = new_key("1", Touch::AtOnce);
    let _plugged = plug(&key);
    let (node, _) = until("the key in the list", || libfido2().pop());
    // The guest's group file.
    let group = output(Command::new("sed").args(["-n", "s/^fwpd:x:\\([0-9]*\\):.*/\\1/p", "/etc/group"]));
    output(Command::new("udevadm").arg("settle"));
    let metadata = std::fs::metadata(&node).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.gid().to_string()), (0o660, group.trim().to_owned()));
}

/// A port of the kernel's virtual host controller.
struct Port {
    identity: Identity,
    plugged: Option<Plugged>,
}

impl Port {
    fn open(&mut self, _: &Key) -> Box<dyn Device> {
        let transport = UsbTransport::new();
        let id = until("the key in the list", || Some(transport.devices().unwrap().pop()?.id));
        transport.open(&id).unwrap()
    }

    fn replug(&mut self, key: &Key) {
        self.plugged = None;
        let transport = UsbTransport::new();
        until("the key to be gone", || transport.devices().unwrap().is_empty().then_some(()));
        self.plugged = Some(Plugged::new(key, self.identity.clone()).unwrap());
    }
}

pub(super) fn every_ceremony_goes_over_the_kernels_usb_stack() {
    // What differs from umockdev's hidraw is how packets and cancellations travel. The rest is in the other cases.
    let over_packets = [Ceremony::GetInfo, Ceremony::Es256, Ceremony::GetAssertion, Ceremony::CancelAtTouch];
    let plan = Plan::only(&over_packets, "shown over umockdev's hidraw: the emulated machine is slow");
    let rows = suite::perform("opensk", "usb (kernel)", &plan, |finger| {
        let key = opensk::key_with_finger(Touch::AtOnce, finger);
        let mut port = Port { identity: Identity::opensk("1"), plugged: None };
        port.replug(&key);
        Box::new(suite::Plugged { key, place: port, open: Port::open, replug: Port::replug })
    });
    for row in &rows {
        println!("{}", json!({"row": row.to_string()}));
    }
    let failed: Vec<_> = rows.iter().filter(|row| matches!(row.outcome, Outcome::Failed(_))).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

pub(super) fn the_demo_enrolls_and_pays_until_the_bank_says_booked() {
    let demo = Command::new("bash").arg("/demo/scripts/demo.sh").env("KEY", "usb").output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success() && text.contains("booked"), "{}\n{text}", demo.status);
}
