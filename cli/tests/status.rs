//! `fwpctl status` beside a real wallet that has something to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod house;

use house::House;

#[test]
fn status_tells_of_a_payment_that_is_open_and_of_who_asks() {
    let house = House::with_cards();
    let status = house.fwpctl(["status"]).ended(0);
    for line in ["running", "bus       session bus", "open, by key file", "none is running", "none open"] {
        assert!(status.out.contains(line), "{line}: {}", status.out);
    }
    // systemd has nothing to do with a session's wallet.
    assert!(!status.out.contains("service"), "{}", status.out);

    let (_, request) = house.order("435.00");
    let mut person = house.at_terminal(["pay", &request]);
    person.sees("spaceshop.com");
    person.sees("?");
    let status = house.fwpctl(["status", "--json"]).ended(0).json();
    assert_eq!((&status["openPayments"], &status["busy"]), (&1.into(), &true.into()));
    assert_eq!(status["agent"]["kind"], "terminal");
    assert_eq!(status["version"], status["fwpctl"]);
    let told = house.fwpctl(["status"]).ended(0);
    assert!(told.out.contains("1 open; you are being asked something"), "{}", told.out);

    person.presses_ctrl_c();
    assert_eq!(person.sees_the_end().1, 130);
    let status = house.fwpctl(["status", "--json"]).ended(0).json();
    assert_eq!((&status["openPayments"], &status["busy"]), (&0.into(), &false.into()));
}
