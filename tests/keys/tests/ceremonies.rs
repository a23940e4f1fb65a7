//! Every ceremony with OpenSK, in-process.

use virtual_keys::suite::{Plan, run};
use virtual_keys::{Touch, opensk};

#[test]
fn every_ceremony_with_opensk_in_process() {
    run("opensk", "in-process", &Plan::everything(), |finger| {
        Box::new(opensk::key_with_finger(Touch::AtOnce, finger))
    });
}
