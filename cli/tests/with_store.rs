//! The store's keys and copies of its cards on the command line: a real wallet, a person at a pseudo-terminal, and age's own
//! program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod house;

use house::House;

const PASSPHRASE: &str = "correct horse battery staple";

#[test]
fn a_person_adds_a_recovery_passphrase_and_opens_the_store_with_it() {
    let house = House::with_cards();
    let mut person = house.at_terminal(["keys", "add", "passphrase"]);
    person.sees("Let a passphrase open the store? [yes/no]");
    person.types("yes");
    person.sees("One that nobody guesses, if you write it down: ");
    person.sees("New recovery passphrase (at least 8 characters):");
    person.types("short");
    person.sees("at least 8 characters here");
    person.sees("New recovery passphrase (at least 8 characters):");
    person.types(PASSPHRASE);
    person.sees("The same again:");
    person.types("something else");
    person.sees("These were not the same.");
    person.sees("New recovery passphrase (at least 8 characters):");
    person.types(PASSPHRASE);
    person.sees("The same again:");
    person.types(PASSPHRASE);
    let (shown, status) = person.sees_the_end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("Added the key slot 2 (passphrase)."), "{shown}");
    assert!(!shown.contains(PASSPHRASE), "it is not echoed: {shown}");

    let listed = house.fwpctl(["keys", "--json"]).ended(0).json();
    assert_eq!((&listed[0]["kind"], &listed[0]["state"]), (&"key-file".into(), &"usable".into()));
    assert_eq!((&listed[1]["kind"], &listed[1]["state"]), (&"passphrase".into(), &"ask".into()));
    let doctor = house.fwpctl(["doctor"]).ended(0);
    assert!(doctor.out.contains("key-file (1): who can read your files"), "{}", doctor.out);
    assert!(doctor.out.contains("roll-back      not detected here"), "{}", doctor.out);

    // Without the file the passphrase is all there is.
    let phrases = |arguments: [&str; 6]| house.with_pins(&[PASSPHRASE], arguments);
    phrases(["keys", "remove", "1", "--yes", "--passphrase-fd", "0"]).ended(0);
    house.fwpctl(["lock"]).ended(0);
    let refused = house.fwpctl(["list"]).ended(14);
    assert!(refused.err.contains("fwpctl unlock"), "{}", refused.err);
    let wrong =
        house.with_pins(&["one one one", "two two two", "three three"], ["unlock", "--passphrase-fd", "0"]);
    assert!(wrong.ended(14).err.contains("wrong three times"));
    let mut person = house.at_terminal(["unlock"]);
    person.sees("Recovery passphrase:");
    person.types(PASSPHRASE);
    assert_eq!(person.sees_the_end().1, 0);
    house.fwpctl(["list"]).ended(0);
    // The last one stays.
    house.with_pins(&[PASSPHRASE], ["keys", "remove", "2", "--yes"]).ended(14);
    house
        .with_pins(&[PASSPHRASE], ["keys", "rotate", "--data-key", "--yes", "--passphrase-fd", "0"])
        .ended(0);
    house.fwpctl(["keys", "accept-copy", "--yes"]).ended(1);
    house.fwpctl(["keys", "add", "key-file", "--pcrs", "7", "--yes"]).ended(2);
}

#[test]
fn what_is_exported_comes_back_and_ages_own_program_reads_it() {
    let house = House::with_cards();
    let file = house.path("cards.age");
    let done = house.with_pins(&[PASSPHRASE], ["export", &file, "--yes", "--passphrase-fd", "0"]).ended(0);
    assert!(done.out.contains("2 cards exported."), "{}", done.out);
    house.with_pins(&[PASSPHRASE], ["export", &file, "--yes", "--passphrase-fd", "0"]).ended(1);
    let plain = house.path("plain");
    let mut person = house.shell_at_terminal(&format!("exec age -d -o '{plain}' '{file}'"));
    person.sees("passphrase");
    person.types(PASSPHRASE);
    let (shown, status) = person.sees_the_end();
    assert_eq!(status, 0, "age (Debian package age): {shown}");
    assert!(std::fs::read(&plain).unwrap().starts_with(b"fwpd backup 1\n"));

    let import = |house: &House, file: &str| {
        house.with_pins(&[PASSPHRASE], ["import", file, "--yes", "--passphrase-fd", "0", "--json"])
    };
    let cards = import(&house, &file).ended(0).json();
    assert_eq!((&cards[0]["state"], &cards[0]["needs"]), (&"present".into(), &"nothing".into()));
    let other = House::new();
    let cards = import(&other, &file).ended(0).json();
    assert_eq!((&cards[1]["state"], &cards[1]["needs"]), (&"stored".into(), &"enroll".into()));
    assert_eq!(other.fwpctl(["list", "--json"]).ended(0).json().as_array().unwrap().len(), 2);
    let refused = import(&other, &plain).ended(8);
    assert!(refused.err.contains("no backup"), "{}", refused.err);

    // Into a pipe, and out of one.
    let piped = house.path("piped");
    let script = format!(
        "printf '{PASSPHRASE}\\n' > '{plain}'; \"$FWPCTL\" export - --yes --passphrase-fd 3 3<'{plain}' | cat > '{piped}'; \
         cat '{piped}' | \"$FWPCTL\" import - --yes --passphrase-fd 4 4<'{plain}'"
    );
    let (shown, status) = house.shell_at_terminal(&script).sees_the_end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("2 cards exported.") && shown.contains("present"), "{shown}");
}

#[test]
fn a_suggested_passphrase_is_on_the_terminal_alone() {
    let house = House::with_cards();
    let log = house.path("log");
    let mut person = house.shell_at_terminal(&format!("\"$FWPCTL\" keys add passphrase --yes 2>'{log}'"));
    person.sees("New recovery passphrase (at least 8 characters):");
    person.types(PASSPHRASE);
    person.sees("The same again:");
    person.types(PASSPHRASE);
    let (shown, status) = person.sees_the_end();
    assert_eq!(status, 0, "{shown}");
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("Approved by --yes") && !log.contains("nobody guesses"), "{log}");
}

#[test]
fn no_copy_is_read_from_or_written_to_a_terminal() {
    let house = House::with_cards();
    for command in ["import", "export"] {
        let (shown, status) = house.at_terminal([command, "-", "--yes"]).sees_the_end();
        assert_eq!(status, 2, "{shown}");
        assert!(shown.contains("is a terminal"), "{shown}");
    }
}
