//! The command line against a real wallet on a real bus and a real bank over HTTP, by scripts and by a person at a
//! pseudo-terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod house;

use fwpctl::http::post;
use fwpctl::origin::OfferUrl;
use house::{House, PIN};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn from_an_empty_wallet_to_a_booked_payment_and_a_refused_replay() {
    let house = House::new();
    assert!(house.fwpctl(["list"]).ended(0).out.contains("No cards yet"));
    let doctor = house.fwpctl(["doctor"]).ended(0);
    assert!(doctor.out.contains("set one with \"fwpctl pin set\""), "{}", doctor.out);

    house.with_pins(&[PIN], ["pin", "set", "--pin-fd", "0"]).ended(0);
    let enrolled = house.enroll().ended(0);
    assert!(enrolled.err.contains("Make a key for localhost?"), "the rpId is named: {}", enrolled.err);
    let cards = house.fwpctl(["list", "--json"]).ended(0).json();
    assert_eq!(cards.as_array().unwrap().len(), 2);

    let (order, request) = house.order("435.00");
    let serial = cards[0]["serialNumber"].as_str().unwrap();
    let paid =
        house.with_pins(&[PIN], ["pay", &request, "--yes", "--card", serial, "--pin-fd", "0"]).ended(0);
    assert!(paid.err.contains("  at          spaceshop.com\n"), "{}", paid.err);
    assert!(paid.err.contains("Approved by --yes: 435.00 EUR to spaceshop.com"), "{}", paid.err);
    let names: Vec<_> = paid.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["issuerId", "paymentNetworkId", "userAuthorization"]);

    let booked = house.sandbox(["checkout", "--order", &order], &paid.out).ended(0);
    assert!(booked.out.contains("booked 435.00 EUR for Space Shop"), "{}", booked.out);
    let replay = house.sandbox(["redeliver", "--order", &order], "").ended(4);
    assert!(replay.out.contains("replay"), "{}", replay.out);

    let history = house.fwpctl(["history"]).ended(0);
    assert!(history.out.contains("  authorized  435.00 EUR  Space Shop  spaceshop.com"), "{}", history.out);
    let newest = &house.fwpctl(["history", "--limit", "1", "--json"]).ended(0).json()[0];
    assert_eq!(newest["amount"], "435.00");
    assert_eq!(newest["card"], cards[0]["id"]);
}

#[test]
fn a_payment_by_options_needs_no_file() {
    let house = House::with_cards();
    let paid = house.with_pins(
        &[PIN],
        [
            "pay",
            "--host",
            "spaceshop.com",
            "--payee",
            "Space Shop",
            "--id",
            "1",
            "--amount",
            "5.00",
            "--currency",
            "EUR",
            "--network",
            "https://banknet2.org",
            "--yes",
            "--pin-fd",
            "0",
        ],
    );
    assert_eq!(paid.ended(0).json()["paymentNetworkId"], "https://banknet2.org");
}

#[test]
fn several_cards_want_a_choice_and_one_that_does_not_fit_is_named() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let unpicked = house.with_pins(&[PIN], ["pay", &request, "--yes", "--pin-fd", "0"]).ended(2);
    assert!(unpicked.err.contains("--card"), "{}", unpicked.err);
    house.with_pins(&[PIN], ["pay", &request, "--yes", "--card", "7", "--pin-fd", "0"]).ended(4);

    let cards = house.fwpctl(["list", "--json"]).ended(0).json();
    let other = cards
        .as_array()
        .unwrap()
        .iter()
        .find(|card| card["paymentNetworkId"] != "https://banknet2.org")
        .unwrap();
    let id = other["id"].as_str().unwrap();
    let misfit = house.with_pins(
        &[PIN],
        [
            "pay",
            "--host",
            "a.example",
            "--payee",
            "A",
            "--id",
            "1",
            "--amount",
            "5.00",
            "--currency",
            "EUR",
            "--network",
            "https://banknet2.org",
            "--yes",
            "--card",
            id,
            "--pin-fd",
            "0",
        ],
    );
    assert!(misfit.ended(4).err.contains("doesn't fit"));
}

#[test]
fn no_card_that_fits_is_told() {
    let house = House::with_cards();
    let none = house.fwpctl([
        "pay",
        "--host",
        "a.example",
        "--payee",
        "A",
        "--id",
        "1",
        "--amount",
        "5.00",
        "--currency",
        "EUR",
        "--network",
        "https://othernet.example",
        "--yes",
    ]);
    assert!(none.ended(4).err.contains("No card in your wallet fits"));
}

#[test]
fn a_wrong_pin_from_a_file_is_told_with_the_attempts_left() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let second = house
        .with_pins(&["000000", PIN], ["pay", &request, "--yes", "--card", "1", "--pin-fd", "0"])
        .ended(0);
    assert!(second.err.contains("That PIN was wrong. 7 attempts left."), "{}", second.err);
    assert!(!second.err.contains("000000") && !second.err.contains(PIN) && !second.out.contains(PIN));

    let (_, request) = house.order("12.00");
    let exhausted =
        house.with_pins(&["000000"], ["pay", &request, "--yes", "--card", "1", "--pin-fd", "0"]).ended(13);
    assert!(exhausted.err.contains("has no more lines"), "{}", exhausted.err);
}

#[test]
fn the_last_attempt_is_a_persons_and_a_blocked_pin_is_told() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let pay = ["pay", &request, "--yes", "--card", "1", "--pin-fd", "0"];
    let wrong = ["000000"; 4];
    for _ in 0..2 {
        let refused = house.with_pins(&wrong, pay).ended(5);
        assert!(refused.err.contains("too many wrong PINs in a row"), "{}", refused.err);
    }
    let refused = house.with_pins(&wrong, pay).ended(13);
    assert!(refused.err.contains("one attempt is left"), "{}", refused.err);

    let mut person = house.at_terminal(["pay", &request, "--card", "1"]);
    person.sees("[yes/no] ");
    person.types("yes");
    person.sees("after one more wrong PIN this authenticator's PIN is blocked");
    person.sees("(1 attempt left): ");
    person.types("000000");
    let (rest, status) = person.sees_the_end();
    assert_eq!(status, 5, "{rest}");
    assert!(rest.contains("the PIN is blocked"), "{rest}");
    assert_eq!(house.fwpctl(["authenticators", "--json"]).ended(0).json()[0]["pin"]["blocked"], true);
    assert!(house.fwpctl(["doctor"]).ended(1).out.contains("PIN: blocked; reset it"));
}

#[test]
fn nothing_is_paid_without_someone_to_ask() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let nobody = house.fwpctl(["pay", &request]).ended(9);
    assert!(nobody.err.contains("fwpctl agent"), "{}", nobody.err);
    let nobody = house.fwpctl(["--json", "pay", &request]).ended(9);
    let error: serde_json::Value = serde_json::from_str(&nobody.err).unwrap();
    assert_eq!(error["error"]["status"], 9);
}

#[test]
fn an_authenticator_without_a_pin_is_given_one_on_the_way() {
    let house = House::new();
    let offer = format!("{}/bank/offer", house.url);
    let enrolled = house.with_pins(&[PIN, PIN], ["enroll", &offer, "--yes", "--pin-fd", "0"]);
    assert_eq!(enrolled.status, 0, "{}", enrolled.err);
}

#[test]
fn the_pin_is_changed_by_giving_the_present_one() {
    let house = House::with_cards();
    house.with_pins(&[PIN, "314159"], ["pin", "change", "--pin-fd", "0"]).ended(0);
    let (_, request) = house.order("435.00");
    house.with_pins(&["314159"], ["pay", &request, "--yes", "--card", "1", "--pin-fd", "0"]).ended(0);
    let authenticators = house.fwpctl(["authenticators", "--json"]).ended(0).json();
    assert_eq!(authenticators[0]["pin"]["set"], true);
    assert_eq!(authenticators[0]["pin"]["retries"], 8);
}

#[test]
fn a_card_is_shown_drawn_and_removed() {
    let house = House::with_cards();
    let cards = house.fwpctl(["list", "--json"]).ended(0).json();
    let serial = cards[0]["serialNumber"].as_str().unwrap();
    let png = house.path("card.png");
    let shown = house.fwpctl(["show", serial, "--image", &png, "--width", "320"]).ended(0);
    assert!(shown.out.contains(cards[0]["accountId"].as_str().unwrap()), "{}", shown.out);
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));

    house.fwpctl(["remove", serial, "--yes"]).ended(0);
    house.fwpctl(["show", serial]).ended(4);
    assert_eq!(house.fwpctl(["list", "--json"]).ended(0).json().as_array().unwrap().len(), 1);
}

#[test]
fn an_offer_from_a_file_is_enrolled_in_two_steps() {
    let house = House::new();
    house.with_pins(&[PIN], ["pin", "set", "--pin-fd", "0"]).ended(0);
    let bank = |path: &str| OfferUrl::parse(&format!("{}{path}", house.url)).unwrap();
    let offer = fwpctl::http::get(&bank("/bank/offer"), 65_536).unwrap();
    let [offer_file, attestation, cards] =
        ["offer.json", "attestation.json", "cards.json"].map(|name| house.path(name));
    std::fs::write(&offer_file, offer).unwrap();

    thread::scope(|scope| {
        let enrolled = scope.spawn(|| {
            house.with_pins(
                &[PIN],
                [
                    "enroll",
                    &offer_file,
                    "--host",
                    "localhost",
                    "--attestation",
                    &attestation,
                    "--cards",
                    &cards,
                    "--yes",
                    "--pin-fd",
                    "0",
                ],
            )
        });
        let started = Instant::now();
        let made = loop {
            match std::fs::read_to_string(&attestation) {
                Ok(text) if serde_json::from_str::<serde_json::Value>(&text).is_ok() => break text,
                _ if enrolled.is_finished() => break String::new(),
                _ => assert!(started.elapsed() < Duration::from_secs(20), "no attestation"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        if !made.is_empty() {
            std::fs::write(&cards, post(&bank("/bank/attestation"), &made, 1 << 20).unwrap()).unwrap();
        }
        let enrolled = enrolled.join().unwrap().ended(0);
        assert!(enrolled.err.contains("Send its attestation in"), "{}", enrolled.err);
    });
    assert_eq!(house.fwpctl(["list", "--json"]).ended(0).json().as_array().unwrap().len(), 2);
    // A second time nothing is overwritten.
    house
        .with_pins(
            &[PIN],
            ["enroll", &offer_file, "--host", "localhost", "--cards", &cards, "--yes", "--pin-fd", "0"],
        )
        .ended(1);
}

#[test]
fn cards_that_the_wallet_does_not_take_leave_nothing_behind() {
    let house = House::new();
    house.with_pins(&[PIN], ["pin", "set", "--pin-fd", "0"]).ended(0);
    let offer =
        fwpctl::http::get(&OfferUrl::parse(&format!("{}/bank/offer", house.url)).unwrap(), 65_536).unwrap();
    let [offer_file, cards] = ["offer.json", "cards.json"].map(|name| house.path(name));
    std::fs::write(&offer_file, offer).unwrap();
    // The PIN's line comes first on standard input, the bank's answer after it.
    let refused = house.with_pins(
        &[PIN, "[{\"credentialId\": \"AAAA\", \"cardData\": \"oA\"}]"],
        ["enroll", &offer_file, "--host", "localhost", "--yes", "--pin-fd", "0"],
    );
    assert_eq!(refused.status, 8, "{}", refused.err);
    assert!(!Path::new(&cards).exists());
    assert_eq!(house.fwpctl(["list", "--json"]).ended(0).json().as_array().unwrap().len(), 0);
}

#[test]
fn a_person_picks_a_card_says_yes_and_types_a_pin_that_nobody_sees() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let mut person = house.at_terminal(["pay", &request]);
    person.sees("at          spaceshop.com\r\n");
    person.sees("rpId localhost");
    person.sees("Which card? [1-2, or no] ");
    person.types("3");
    person.sees("Which card? [1-2, or no] ");
    person.types("2");
    person.sees("Pay 435.00 EUR to spaceshop.com with the card ");
    person.sees("[yes/no] ");
    person.types("yes");
    person.sees("(8 attempts left): ");
    person.types("");
    person.sees("(8 attempts left): ");
    person.types("000000");
    let between = person.sees("That PIN was wrong. 7 attempts left.");
    assert!(!between.contains('0'), "the PIN was echoed: {between}");
    person.sees("(7 attempts left): ");
    person.types(PIN);
    let (rest, status) = person.sees_the_end();
    assert!(!rest.contains(PIN), "the PIN was echoed: {rest}");
    assert!(rest.contains("\"userAuthorization\""), "{rest}");
    assert_eq!(status, 0);
}

#[test]
fn only_the_assertion_goes_into_the_file() {
    let house = House::with_cards();
    let (order, request) = house.order("435.00");
    let assertion = house.path("assertion.json");
    let mut person =
        house.shell_at_terminal(&format!("\"$FWPCTL\" pay '{request}' --card 1 > '{assertion}'"));
    person.sees("[yes/no] ");
    person.types("y");
    person.sees("attempts left): ");
    person.types(PIN);
    assert_eq!(person.sees_the_end().1, 0);
    house.sandbox(["checkout", "--order", &order], &std::fs::read_to_string(assertion).unwrap()).ended(0);
}

#[test]
fn no_is_no() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let mut person = house.at_terminal(["pay", &request, "--card", "1"]);
    person.sees("[yes/no] ");
    person.types("maybe");
    person.sees("[yes/no] ");
    person.types("no");
    let (rest, status) = person.sees_the_end();
    assert_eq!(status, 3, "{rest}");
    assert!(rest.contains("declined"), "{rest}");

    let mut person = house.at_terminal(["remove", "1"]);
    person.sees("Remove the card ");
    person.sees("[yes/no] ");
    person.types("n");
    assert_eq!(person.sees_the_end().1, 3);
    assert_eq!(house.fwpctl(["list", "--json"]).ended(0).json().as_array().unwrap().len(), 2);
}

#[test]
fn ctrl_c_at_the_pin_aborts_the_payment_and_leaves_the_terminal_as_it_was() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let script = format!("\"$FWPCTL\" pay '{request}' --card 1; echo status $?; stty -a");
    let mut person = house.shell_at_terminal(&script);
    person.sees("[yes/no] ");
    person.types("yes");
    person.sees("attempts left): ");
    person.presses_ctrl_c();
    person.sees("status 130");
    let (modes, _) = person.sees_the_end();
    for mode in ["icanon", "isig", "iexten", "echo"] {
        assert!(modes.split_whitespace().any(|word| word == mode), "{mode} is off: {modes}");
    }
    // The wallet is free again at once, and no attempt was used up.
    let (_, request) = house.order("6.00");
    house.with_pins(&[PIN], ["pay", &request, "--yes", "--card", "1", "--pin-fd", "0"]).ended(0);
}

#[test]
fn what_was_typed_too_early_answers_no_question() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let mut person = house.shell_at_terminal(&format!("sleep 1; exec \"$FWPCTL\" pay '{request}' --card 1"));
    person.types("yes");
    person.sees("[yes/no] ");
    person.types("no");
    assert_eq!(person.sees_the_end().1, 3);
}

#[test]
fn a_new_pin_is_typed_twice_and_measured() {
    let house = House::new();
    let mut person = house.at_terminal(["pin", "set"]);
    person.sees("(at least 4 characters): ");
    person.types("123");
    person.sees("A PIN has at least 4 characters here.");
    person.sees("(at least 4 characters): ");
    person.types(PIN);
    person.sees("The same again: ");
    person.types("000000");
    person.sees("These were not the same.");
    person.sees("(at least 4 characters): ");
    person.types(PIN);
    person.sees("The same again: ");
    person.types(PIN);
    let (rest, status) = person.sees_the_end();
    assert_eq!(status, 0, "{rest}");
    assert!(rest.contains("The PIN is set.") && !rest.contains(PIN), "{rest}");
    house.enroll().ended(0);
}

#[test]
fn an_agent_on_a_terminal_is_asked_for_other_programs_payments() {
    let house = House::with_cards();
    let mut agent = house.at_terminal(["agent"]);
    agent.sees("Ctrl-C ends this.");
    let (order, request) = house.order("435.00");
    thread::scope(|scope| {
        let program = scope.spawn(|| house.fwpctl(["pay", &request]));
        agent.sees("Payment to  Space Shop");
        agent.sees("Which card? [1-2, or no] ");
        agent.types("1");
        agent.sees("[yes/no] ");
        agent.types("yes");
        agent.sees("attempts left): ");
        agent.types(PIN);
        agent.sees("Authorized.");
        let paid = program.join().unwrap().ended(0);
        assert!(paid.err.contains("You are asked by fwpctl (process "), "{}", paid.err);
        house.sandbox(["checkout", "--order", &order], &paid.out).ended(0);

        // One more, which is declined; the agent stays.
        let program = scope.spawn(|| house.fwpctl(["pay", &request]));
        agent.sees("Note: You authorized this request");
        agent.sees("Which card? [1-2, or no] ");
        agent.types("no");
        program.join().unwrap().ended(3);
        agent.sees("Not done: declined");
    });
    agent.presses_ctrl_c();
    assert_eq!(agent.sees_the_end().1, 0);
    let (_, request) = house.order("7.00");
    house.fwpctl(["pay", &request]).ended(9);
}

#[test]
fn an_agent_that_lets_another_take_over_says_so_and_ends() {
    let house = House::with_cards();
    let mut first = house.at_terminal(["agent"]);
    first.sees("Ctrl-C ends this.");
    let mut second = house.at_terminal(["agent"]);
    second.sees("is asked whether this terminal may take over");
    first.sees("Let it take over from this terminal? [yes/no] ");
    first.types("yes");
    second.sees("The wallet's questions are asked here");
    let (rest, status) = first.sees_the_end();
    assert_eq!(status, 0, "{rest}");
    assert!(rest.contains("Another dialog took over"), "{rest}");
    second.presses_ctrl_c();
    assert_eq!(second.sees_the_end().1, 0);
}

#[test]
fn a_pin_that_is_too_short_to_be_right_costs_no_attempt() {
    let house = House::with_cards();
    let (_, request) = house.order("435.00");
    let mut person = house.at_terminal(["pay", &request, "--card", "1"]);
    person.sees("[yes/no] ");
    person.types("yes");
    person.sees("(8 attempts left): ");
    person.types("123");
    person.sees("at least 4 characters");
    person.sees("(8 attempts left): ");
    person.types(PIN);
    let (rest, status) = person.sees_the_end();
    assert_eq!(status, 0, "{rest}");
}

#[test]
fn a_question_is_withdrawn_when_the_asking_program_gives_up() {
    let house = House::with_cards();
    let mut agent = house.at_terminal(["agent"]);
    agent.sees("Ctrl-C ends this.");
    let (_, request) = house.order("435.00");
    let mut program = house.at_terminal(["pay", &request]);
    agent.sees("Which card? [1-2, or no] ");
    program.presses_ctrl_c();
    assert_eq!(program.sees_the_end().1, 130);

    let mut program = house.at_terminal(["pay", &request, "--card", "1"]);
    agent.sees("Payment to  Space Shop");
    agent.sees("Which card? [1-2, or no] ");
    agent.types("no");
    program.sees("declined");
    agent.presses_ctrl_c();
    assert_eq!(agent.sees_the_end().1, 0);
}

#[test]
fn the_end_of_the_daemon_ends_an_agent_with_the_reason() {
    let house = House::with_cards();
    let mut agent = house.at_terminal(["agent"]);
    agent.sees("Ctrl-C ends this.");
    drop(house);
    let (rest, status) = agent.sees_the_end();
    assert_eq!(status, 6, "{rest}");
}
