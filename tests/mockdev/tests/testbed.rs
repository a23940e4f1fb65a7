//! The testbed is what it says: programs see a hidraw device, the test is at its far end.
#![allow(clippy::unwrap_used)]

use mockdev::{Testbed, UsbDevice};
use std::io::{Read, Write};
use std::time::Duration;

mockdev::test! {
    fn reports_go_both_ways_whole_and_end_with_the_device() {
        let mut testbed = Testbed::new().unwrap();
        let plugged = testbed.plug(&UsbDevice::key(3)).unwrap();
        let mut far_end = testbed.far_end(&plugged).unwrap();
        let mut node = std::fs::File::options().read(true).write(true).open("/dev/hidraw3").unwrap();

        for byte in [0, 4, 10, 13, 26, 0xff] {
            node.write_all(&[&[0][..], &[byte; 64]].concat()).unwrap();
            assert_eq!(far_end.receive(Duration::from_secs(5)), Some([byte; 64]));
            far_end.send(&[byte; 64]).unwrap();
            far_end.send(&[byte; 64]).unwrap();
            let mut report = [0; 64];
            for _ in 0..2 {
                assert_eq!(node.read(&mut report).unwrap(), 64);
                assert_eq!(report, [byte; 64]);
            }
        }
        assert!(std::fs::exists("/sys/class/hidraw/hidraw3").unwrap());

        drop(far_end);
        testbed.unplug(plugged).unwrap();
        assert!(!std::fs::exists("/sys/class/hidraw/hidraw3").unwrap());
        assert!(!matches!(node.read(&mut [0; 64]), Ok(1..)), "the node hangs up");
    }
}
