//! Whatever comes in, `verify` answers every line, in order, and does not panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwp_sandbox::cases::{MAX_LINE_BYTES, verify_line, verify_lines};
use proptest::prelude::*;
use serde_json::Value;
use std::io::{BufReader, Read};

const INTEROP: &str = include_str!("../../../fwp/tests/data/interop.jsonl");

fn verdicts(input: impl Read) -> Vec<Value> {
    let mut output = Vec::new();
    verify_lines(BufReader::new(input), &mut output, &[]).unwrap();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_gets_its_verdict_in_order_and_a_bad_one_does_not_end_it() {
    let lines: Vec<&str> = INTEROP.lines().take(3).collect();
    let input = format!("{}\nnonsense\n\n{}\n{{}}\n{}", lines[0], lines[1], lines[2]);
    let verdicts = verdicts(input.as_bytes());
    let told: Vec<_> =
        verdicts.iter().map(|v| (v["id"].as_str().unwrap_or("-"), v["ok"].as_bool().unwrap())).collect();
    assert_eq!(told, [("g5", true), ("-", false), ("-", false), ("g6", true), ("-", false), ("g7", true)]);
    assert_eq!(verdicts[1]["error"], "line");
    assert!(verdicts[1]["message"].as_str().unwrap().contains("expected"));
}

#[test]
fn what_was_not_checked_is_said() {
    let line = INTEROP.lines().next().unwrap();
    let verdict = serde_json::to_value(verify_line(line.as_bytes(), &[])).unwrap();
    let expected = [
        "envelope-time",
        "network",
        "receive-account",
        "issuer-id",
        "age",
        "network-options",
        "rp-id",
        "account",
        "replay",
        "uniqueness",
    ];
    assert_eq!(verdict["notChecked"], serde_json::json!(expected));
}

#[test]
fn a_line_without_end_is_neither_read_into_memory_nor_answered_twice() {
    let line = INTEROP.lines().next().unwrap();
    let endless = std::io::repeat(b'x').take(3 * MAX_LINE_BYTES as u64);
    let after = std::io::Cursor::new(format!("\n{line}\n"));
    let verdicts = verdicts(endless.chain(after));
    assert_eq!(verdicts.len(), 2);
    assert_eq!(verdicts[0]["error"], "line");
    assert_eq!(verdicts[1]["ok"], true);
}

#[test]
fn a_line_of_just_the_most_bytes_is_read() {
    let line = INTEROP.lines().next().unwrap();
    let padded = |bytes: usize| format!("{line}{}\n{line}\n", " ".repeat(bytes - line.len()));
    for (bytes, ok) in [(MAX_LINE_BYTES, true), (MAX_LINE_BYTES + 1, false)] {
        let verdicts = verdicts(std::io::Cursor::new(padded(bytes)));
        assert_eq!(verdicts.iter().map(|v| v["ok"] == true).collect::<Vec<_>>(), [ok, true], "{bytes}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(!verify_line(&bytes, &[]).ok);
    }

    /// A good line with some bytes changed is never taken for another payment: either the change was where nothing is
    /// looked at, and the SAD is the same, or it is refused.
    #[test]
    fn a_changed_line_is_refused_or_says_the_same(
        index in 0usize..40,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let line = INTEROP.lines().nth(index).unwrap();
        let mut bytes = line.as_bytes().to_vec();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        let verdict = verify_line(&bytes, &[]);
        let before = verify_line(line.as_bytes(), &[]);
        prop_assert!(!verdict.ok || verdict.sad == before.sad);
    }

    /// The same for the ESAD alone, of which every byte is looked at.
    #[test]
    fn a_changed_esad_is_refused(index in 0usize..40, at: prop::sample::Index, by in 1u8..=255) {
        let mut case: Value = serde_json::from_str(INTEROP.lines().nth(index).unwrap()).unwrap();
        let base64 = &data_encoding::BASE64URL_NOPAD;
        let field = &mut case["issuerRequest"]["pspRequest"]["fwpAssertion"]["userAuthorization"];
        let mut esad = base64.decode(field.as_str().unwrap().as_bytes()).unwrap();
        let at = at.index(esad.len());
        esad[at] ^= by;
        *field = base64.encode(&esad).into();
        prop_assert!(!verify_line(case.to_string().as_bytes(), &[]).ok);
    }
}
