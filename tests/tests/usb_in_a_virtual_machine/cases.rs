//! The cases. Each runs in the guest, as root, with no key plugged in before it and none after it.

use std::process::Command;
use std::time::{Duration, Instant};

use virtual_keys::vhci::{Identity, Plugged};
use virtual_keys::{Touch, opensk};

/// A case: its name and what it does.
type Case = (&'static str, fn());

pub(crate) const CASES: &[Case] = &[("libfido2_sees_and_asks_the_key", libfido2_sees_and_asks_the_key)];

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    text
}

fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn libfido2_sees_and_asks_the_key() {
    assert_eq!(output("fido2-token", &["-L"]), "");
    let key = opensk::key(Touch::AtOnce);
    let plugged = Plugged::new(&key, Identity::opensk("1")).unwrap();
    let listed = until("the key in the list", || {
        let listed = output("fido2-token", &["-L"]);
        (!listed.is_empty()).then_some(listed)
    });
    let (node, rest) = listed.split_once(':').unwrap();
    assert!(rest.contains("OpenSK"), "{listed}");
    let info = output("fido2-token", &["-I", node]);
    assert!(info.contains("FIDO_2_1"), "{info}");
    drop(plugged);
    until("the key to be gone", || output("fido2-token", &["-L"]).is_empty().then_some(()));
}
