//! Every ceremony with Trussed's authenticator, in-process.

use virtual_keys::Touch;
use virtual_keys::suite::{Ceremony, Plan, run};

#[test]
fn every_ceremony_with_trussed_in_process() {
    let plan =
        Plan::everything().without(&[Ceremony::DeclinedTouch], "this key has one button, which can't say no");
    run("trussed", "in-process", &plan, |_| Box::new(trussed_key::key(Touch::AtOnce)));
}
