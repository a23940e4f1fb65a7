//! The command line on a computer with a TPM and no security key: a real wallet, swtpm with its maker's certificate, a real bank
//! with its certification authority.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod house;

use fwpctl::http;
use fwpctl::origin::OfferUrl;
use house::{House, PIN};
use virtual_tpm::Swtpm;

#[test]
fn this_computer_is_certified_enrolls_and_pays_and_the_bank_knows_that_its_tpm_vouched() {
    let swtpm = Swtpm::from_the_maker();
    let house = House::with_tpm(&swtpm);
    let doctor = house.fwpctl(["doctor"]).ended(0);
    assert!(doctor.out.contains("TPM") && doctor.out.contains("lockout hierarchy"), "{}", doctor.out);

    let ca = format!("{}/bank/tpm-ca", house.url);
    let nobody = house.fwpctl(["authenticators", "certify", &ca]).ended(9);
    assert!(nobody.err.contains("nobody to ask"), "{}", nobody.err);
    let mut person = house.at_terminal(["authenticators", "certify", &ca]);
    person.sees("localhost, which will know this computer's TPM again");
    person.sees("Let localhost certify this computer, keys in its TPM? [yes/no]");
    person.types("no");
    assert_eq!(person.sees_the_end().1, 3);
    let certified = house.fwpctl(["authenticators", "certify", "tpm", &ca, "--yes", "--json"]).ended(0);
    assert_eq!(certified.json()["certified"], true);
    let software = house.fwpctl(["authenticators", "certify", "software", &ca, "--yes"]).ended(1);
    assert!(software.err.contains("only keys in the TPM"), "{}", software.err);

    // Without a name it is the TPM that stands for this computer.
    house.with_pins(&[PIN], ["pin", "set", "--pin-fd", "0"]).ended(0);
    let listed = house.fwpctl(["authenticators", "--json"]).ended(0).json();
    assert_eq!((&listed[0]["id"], &listed[0]["pin"]["set"]), (&"tpm".into(), &true.into()));
    assert_eq!((&listed[1]["id"], &listed[1]["pin"]["set"]), (&"software".into(), &false.into()));
    let info = house.fwpctl(["authenticators", "info", "platform"]).ended(0);
    assert!(info.out.contains("this computer, keys in its TPM"), "{}", info.out);

    let offer = format!("{}/bank/offer", house.url);
    house.with_pins(&[PIN], ["enroll", &offer, "--authenticator", "tpm", "--yes", "--pin-fd", "0"]).ended(0);
    let cards = house.fwpctl(["list", "--json"]).ended(0).json();
    assert_eq!(cards[0]["authenticator"], "tpm");
    let url = OfferUrl::parse(&format!("{}/bank/cards", house.url)).unwrap();
    let at_the_bank = http::get(&url, 1 << 20).unwrap();
    assert!(at_the_bank.contains("\"vouchedBy\":\"tpm\""), "{at_the_bank}");

    let (order, request) = house.order("20.00");
    let paid = house.with_pins(&[PIN], ["pay", &request, "--yes", "--card", "1", "--pin-fd", "0"]).ended(0);
    let booked = house.sandbox(["checkout", "--order", &order], &paid.out).ended(0);
    assert!(booked.out.contains("booked 20.00 EUR"), "{}", booked.out);

    house.with_pins(&[PIN, "27182818"], ["pin", "change", "tpm", "--pin-fd", "0"]).ended(0);
    house.fwpctl(["authenticators", "reset", "tpm", "--yes"]).ended(0);
    let listed = house.fwpctl(["authenticators", "--json"]).ended(0).json();
    assert_eq!(listed[0]["pin"]["set"], false);
    assert_eq!(swtpm.left(), Vec::<String>::new());
}
