//! That nothing is left behind by hundreds of choices: no thread, no open device. One test alone, since it counts the threads
//! of the whole program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use ctap_client::Wanted;
use ctap_core::ceremony::Event;
use std::time::{Duration, Instant};
use virtual_keys::Key;

const CHOICES: usize = 200;

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn hundreds_of_choices_leave_no_thread_and_no_open_device() {
    let (ports, pair) = (Ports::new(), [opensk(), opensk()]);
    pair.iter().for_each(|key| drop(ports.plug_in(key)));
    let keys = ports.keys();
    let before = threads();
    for n in 0..CHOICES {
        let choosing = Choosing::begin(&keys, Wanted::Any);
        assert_eq!(choosing.told(), Event::ChoiceWanted);
        if n % 2 == 0 {
            // Before they blink, while they do, or when a touch is on its way.
            if n % 4 == 0 {
                assert!(pair.iter().all(Key::wait_until_blinking));
                pair[n / 4 % 2].touch();
            }
            choosing.cancel.cancel();
            drop(choosing.end());
        } else {
            assert!(pair.iter().all(Key::wait_until_blinking));
            // Both at once.
            let touched = pair.iter().filter(|key| key.touch()).count();
            assert!(touched > 0);
            drop(choosing.end().unwrap());
        }
    }
    let begun = Instant::now();
    while threads() > before && begun.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(threads(), before);
    let log = ports.log();
    assert_eq!((log.closed, log.ended), (log.opened, log.begun), "{log:?}");
    assert!(pair.iter().all(|key| key.wait_until_dark()));
}
