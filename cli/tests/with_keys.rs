//! The command line with another maker's security keys, on hidraw nodes of a testbed (libumockdev): a real wallet, a real
//! bank, a person at a pseudo-terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod house;

use std::time::Duration;

use house::{House, PIN};
use mockdev::{Testbed, UsbDevice};
use virtual_keys::key::Touch;
use virtual_keys::opensk;

mockdev::test! {
    fn a_person_enrolls_and_pays_with_a_key_by_pin_and_touch() {
        let mut plugs = Testbed::new().unwrap();
        let house = House::new();
        let key = opensk::key(Touch::Waits);
        let _plugged = plugs.plug_key(&UsbDevice::key(0), &key).unwrap();

        let offer = format!("{}/bank/offer", house.url);
        let mut person = house.at_terminal(["enroll", &offer, "--authenticator", "key"]);
        person.sees("key made in     a security key, the one that you touch (key)");
        person.sees("Make a key for localhost? [yes/no]");
        person.types("yes");
        let shown = person.sees("(at least 4 characters):");
        assert!(shown.contains("New PIN for security key \""), "{shown}");
        person.types(PIN);
        person.sees("The same again:");
        person.types(PIN);
        person.sees("(8 attempts left):");
        person.types(PIN);
        person.sees("Touch your security key \"");
        assert!(key.wait_until_blinking() && key.touch());
        let (shown, status) = person.sees_the_end();
        assert_eq!(status, 0, "{shown}");
        let cards = house.fwpctl(["list", "--json"]).ended(0).json();
        assert_eq!(cards[0]["authenticator"], "usb");

        // Ctrl-C reaches the key.
        let (_, request) = house.order("435.00");
        let mut person = house.at_terminal(["pay", &request, "--card", "1"]);
        person.sees("[yes/no]");
        person.types("yes");
        person.sees("(8 attempts left):");
        person.types(PIN);
        person.sees("Touch your security key \"");
        assert!(key.wait_until_blinking());
        person.presses_ctrl_c();
        assert!(key.wait_until(Duration::from_secs(10), |seen| !seen.blinking && seen.cancelled == 1));
        assert_eq!(person.sees_the_end().1, 130);

        key.set_touch(Touch::AtOnce);
        let (order, request) = house.order("435.00");
        let paid = house.with_pins(&[PIN], ["pay", &request, "--yes", "--card", "1", "--pin-fd", "0"]).ended(0);
        let booked = house.sandbox(["checkout", "--order", &order], &paid.out).ended(0);
        assert!(booked.out.contains("booked 435.00 EUR"), "{}", booked.out);
    }

    fn keys_are_listed_watched_told_apart_and_explained() {
        let mut plugs = Testbed::new().unwrap();
        let house = House::new();
        let mut watcher = house.at_terminal(["authenticators", "--watch"]);
        watcher.sees("+ software  software  this computer, keys in software");
        let key = opensk::key(Touch::AtOnce);
        let old = opensk::key(Touch::AtOnce);
        old.set_u2f_only(true);
        let plugged = plugs.plug_key(&UsbDevice::key(0), &key).unwrap();
        watcher.sees("+ usb_1  usb  ");

        let info = house.fwpctl(["authenticators", "info", "key"]).ended(0);
        assert!(info.out.contains("FIDO_2_1") && info.out.contains("usable          yes"), "{}", info.out);
        let info = house.fwpctl(["authenticators", "info", "usb_1", "--json"]).ended(0).json();
        assert_eq!(info["pin"]["set"], false);
        house.fwpctl(["authenticators", "wink", "2"]).ended(0);
        assert_eq!(key.seen().winks, 1);
        house.with_pins(&[PIN], ["authenticators", "pin", "set", "usb_1", "--pin-fd", "0"]).ended(0);
        let listed = house.fwpctl(["authenticators", "--json"]).ended(0).json();
        assert_eq!((&listed[1]["kind"], &listed[1]["pin"]["set"]), (&"usb".into(), &true.into()));
        // Which of the two is not said.
        house.fwpctl(["authenticators", "wink"]).ended(2);
        house.fwpctl(["authenticators", "wink", "nfc"]).ended(15);

        let _old = plugs.plug_key(&UsbDevice::key(1), &old).unwrap();
        watcher.sees("not usable: ");
        let listed = house.fwpctl(["authenticators"]).ended(0);
        assert!(listed.out.contains("usb_2: the security key speaks U2F only"), "{}", listed.out);
        let doctor = house.fwpctl(["doctor"]).ended(0);
        for line in ["ok       USB keys ", "ok       seat ", "(usb_1), PIN: set", "(usb_2): ", "speaks U2F only"] {
            assert!(doctor.out.contains(line), "{line}: {}", doctor.out);
        }

        plugs.unplug_key(plugged, &key).unwrap();
        watcher.sees("- usb_1");
        watcher.presses_ctrl_c();
        assert_eq!(watcher.sees_the_end().1, 0);
    }

    fn a_reset_wants_the_word_typed_and_the_key_plugged_in_anew() {
        let mut plugs = Testbed::new().unwrap();
        let house = House::new();
        let key = opensk::key(Touch::AtOnce);
        let plugged = plugs.plug_key(&UsbDevice::key(0), &key).unwrap();
        house.with_pins(&[PIN], ["pin", "set", "key", "--pin-fd", "0"]).ended(0);
        house.enroll().ended(0);

        let mut person = house.at_terminal(["authenticators", "reset", "key"]);
        person.sees("2 of this wallet's may be");
        person.sees("Type \"reset\" if so:");
        person.types("yes");
        let (shown, status) = person.sees_the_end();
        assert_eq!(status, 3, "{shown}");

        key.advance(Duration::from_secs(60));
        let mut person = house.at_terminal(["authenticators", "reset", "key"]);
        person.sees("Type \"reset\" if so:");
        person.types("reset");
        person.sees("plug it in again");
        plugs.unplug_key(plugged, &key).unwrap();
        let _plugged = plugs.plug_key(&UsbDevice::key(1), &key).unwrap();
        let (shown, status) = person.sees_the_end();
        assert_eq!(status, 0, "{shown}");
        assert!(shown.contains("It is reset"), "{shown}");
        let listed = house.fwpctl(["authenticators", "--json"]).ended(0).json();
        assert_eq!(listed[1]["pin"]["set"], false);
        assert_eq!(house.fwpctl(["list", "--json"]).ended(0).json().as_array().unwrap().len(), 2);
    }
}
