//! Which keys are there, and that they come and go: real libudev and hidapi over a testbed's sysfs and uevents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::SOON;
use ctap_core::transport::{
    CancelToken, DeviceDescription, Transport, TransportError, TransportKind, Watcher,
};
use ctap_hid::UsbTransport;
use mockdev::{Testbed, UsbDevice};
use std::sync::mpsc::channel;
use std::time::Duration;

fn keys() -> Vec<DeviceDescription> {
    UsbTransport::new().devices().unwrap()
}

fn names() -> Vec<String> {
    keys().into_iter().map(|key| key.name).collect()
}

/// Waits; cancels if nothing happens soon.
fn wait(watcher: &mut dyn Watcher) -> Result<(), TransportError> {
    wait_for(watcher, SOON)
}

fn wait_for(watcher: &mut dyn Watcher, patience: Duration) -> Result<(), TransportError> {
    let cancel = CancelToken::new();
    let (done, is_done) = channel::<()>();
    std::thread::scope(|scope| {
        let watched = cancel.clone();
        scope.spawn(move || {
            if is_done.recv_timeout(patience).is_err() {
                watched.cancel();
            }
        });
        let result = watcher.wait(&cancel);
        let _ = done.send(());
        result
    })
}

mockdev::test! {
    fn a_key_is_listed_with_its_name_and_seat_and_a_keyboard_is_not() {
        let mut testbed = Testbed::new().unwrap();
        assert_eq!(keys(), []);
        let _keyboard = testbed.plug(&UsbDevice::keyboard(0)).unwrap();
        assert_eq!(keys(), []);
        let _key = testbed.plug(&UsbDevice::key(1)).unwrap();
        let other_seat = UsbDevice { seat: Some("seat-side".to_owned()), ..UsbDevice::key(2) };
        let _other = testbed.plug(&UsbDevice { product: "Example Two".to_owned(), ..other_seat }).unwrap();

        let keys = keys();
        assert_eq!(keys.len(), 2);
        assert!(keys.iter().all(|key| key.kind == TransportKind::Usb));
        assert_eq!((&*keys[0].name, &*keys[0].seat), ("Example Security Key", "seat0"));
        assert_eq!((&*keys[1].name, &*keys[1].seat), ("Example Two", "seat-side"));
        assert_ne!(keys[0].id, keys[1].id);
    }

    fn what_a_key_calls_itself_is_shown_short_and_harmless() {
        let mut testbed = Testbed::new().unwrap();
        let product = format!("\u{202e}yek\u{1b}[2J{}", "x".repeat(500));
        let _key = testbed.plug(&UsbDevice { product, ..UsbDevice::key(0) }).unwrap();
        let name = keys().remove(0).name;
        assert!(name.starts_with("Example yek[2Jxxx"), "{name:?}");
        assert_eq!(name.chars().count(), 64);
    }

    fn keys_are_seen_to_come_and_go_in_order_and_none_is_missed() {
        let mut testbed = Testbed::new().unwrap();
        let mut watcher = UsbTransport::new().watch().unwrap();
        // Between watch and wait.
        let first = testbed.plug(&UsbDevice::key(0)).unwrap();
        assert_eq!(wait(&mut *watcher), Ok(()));
        assert_eq!(keys().len(), 1);
        let first_id = keys().remove(0).id;

        let second = testbed.plug(&UsbDevice { product: "Two".to_owned(), ..UsbDevice::key(1) }).unwrap();
        assert_eq!(wait(&mut *watcher), Ok(()));
        assert_eq!(names(), ["Example Security Key", "Example Two"]);

        testbed.unplug(first).unwrap();
        assert_eq!(wait(&mut *watcher), Ok(()));
        assert_eq!(names(), ["Example Two"]);
        assert!(matches!(UsbTransport::new().open(&first_id), Err(TransportError::Gone)));

        // The same key again is another device.
        let _third = testbed.plug(&UsbDevice::key(2)).unwrap();
        assert_eq!(wait(&mut *watcher), Ok(()));
        assert_eq!(keys().len(), 2);
        assert!(keys().iter().all(|key| key.id != first_id));
        assert!(matches!(UsbTransport::new().open(&first_id), Err(TransportError::Gone)));

        testbed.unplug(second).unwrap();
        assert_eq!(wait(&mut *watcher), Ok(()));
        assert_eq!(wait_for(&mut *watcher, Duration::from_millis(200)), Err(TransportError::Cancelled), "no more");
    }

    fn a_watch_ends_when_it_is_cancelled_before_or_meanwhile() {
        let _testbed = Testbed::new().unwrap();
        let mut watcher = UsbTransport::new().watch().unwrap();
        let cancel = CancelToken::new();
        cancel.cancel();
        assert_eq!(watcher.wait(&cancel), Err(TransportError::Cancelled));
        assert_eq!(wait_for(&mut *watcher, Duration::from_millis(100)), Err(TransportError::Cancelled));
    }

    fn a_key_without_permission_is_listed_and_opens_once_it_has_it() {
        let mut testbed = Testbed::new().unwrap();
        let mut watcher = UsbTransport::new().watch().unwrap();
        let key = testbed.plug(&UsbDevice::key(0)).unwrap();
        testbed.set_mode(&key, 0o000).unwrap();
        wait(&mut *watcher).unwrap();
        let id = keys().remove(0).id;
        assert!(matches!(UsbTransport::new().open(&id), Err(TransportError::Permission)));

        testbed.set_mode(&key, 0o600).unwrap();
        testbed.change(&key).unwrap();
        wait(&mut *watcher).unwrap();
        assert!(UsbTransport::new().open(&id).is_ok());
    }

    fn a_watch_does_not_wake_while_nothing_happens() {
        let mut testbed = Testbed::new().unwrap();
        let mut watcher = UsbTransport::new().watch().unwrap();
        let cancel = CancelToken::new();
        let (sender, task) = channel();
        std::thread::scope(|scope| {
            let watched = cancel.clone();
            let waiting = scope.spawn(move || {
                // `/proc/thread-self` names this thread: "PID/task/TID".
                sender.send(std::fs::read_link("/proc/thread-self").unwrap()).unwrap();
                watcher.wait(&watched)
            });
            let task = std::path::Path::new("/proc").join(task.recv().unwrap());
            let switches = || {
                let status = std::fs::read_to_string(task.join("status")).unwrap();
                status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned()
            };
            // Until it has gone to sleep.
            std::thread::sleep(Duration::from_millis(500));
            let before = switches();
            std::thread::sleep(Duration::from_secs(3));
            assert_eq!(switches(), before);

            let _key = testbed.plug(&UsbDevice::key(0)).unwrap();
            let woken = waiting.join().unwrap();
            assert_eq!(woken, Ok(()), "and it does wake for a key");
        });
    }
}
