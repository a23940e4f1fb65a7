//! The program as a person or a script runs it: exit codes, output, a kill in the middle, and a log without secrets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Card, FidoKey, cards};
use fwp::PaymentRequest;
use fwp::enrollment::{IssuedCard, Offer};
use fwp_sandbox::http::{self, now_ms};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const INTEROP: &str = include_str!("../../../fwp/tests/data/interop.jsonl");

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_fwp-sandbox"))
}

/// Exit code, standard output and standard error of a run.
fn run(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that needs no input may be gone before it is written.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A running `fwp-sandbox serve`.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start(dir: &Path) -> Self {
        let record = dir.join("record.jsonl");
        let mut child = program()
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--dir"])
            .arg(dir.join("sandbox"))
            .arg("--record")
            .arg(record)
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let url = ready["url"].as_str().unwrap().to_owned();
        assert_eq!(ready["offer"], format!("{url}/bank/offer"));
        Self { child, url }
    }

    fn enroll(&self) -> Vec<Card> {
        let offer = http::get(&format!("{}/bank/offer", self.url)).unwrap();
        let offer = Offer::parse(&offer.body.to_string()).unwrap();
        let attestation = FidoKey::es256(7).attest(&offer, &[7; 20]).to_json().to_string();
        let answer = http::post(offer.attestation_url.as_deref().unwrap(), &[], &attestation).unwrap();
        cards(FidoKey::es256, 7, IssuedCard::parse_all(&answer.body.to_string()).unwrap())
    }

    /// Ends it at once, as a crash would.
    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.log()
    }

    fn log(mut self) -> String {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        self.child.wait().unwrap();
        log
    }
}

fn assertion(card: &Card, request: &str, count: u32) -> String {
    let request: serde_json::Value = serde_json::from_str(request).unwrap();
    let text = |name: &str| request[name].to_string();
    let host = request["payeeHost"].as_str().unwrap();
    let request = PaymentRequest::from_json(host, &text("methodData"), &text("details")).unwrap();
    card.pay(&request, now_ms().unwrap(), count).to_json().to_string()
}

#[test]
fn the_first_round_of_the_help_text_works_and_each_outcome_has_its_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let card = serving.enroll().remove(0);
    let at = ["--url", &serving.url];
    let with = |command: &[&str], input: &str| run(&[command, &at[..]].concat(), input);

    let (code, request, told) = with(&["order"], "");
    assert_eq!((code, told.as_str()), (0, "shop: order 7040566321, 435.00 EUR\n"));
    let paid = assertion(&card, &request, 1);
    let (code, line, _) = with(&["checkout", "--order", "7040566321"], &paid);
    assert_eq!(line, "bank: booked 435.00 EUR for Space Shop, order 7040566321, reference B-000001\n");
    assert_eq!(code, 0);
    let (code, line, _) = with(&["redeliver", "--order", "7040566321"], "");
    assert_eq!(line, "bank: refused as a replay: the authorization was used before (replay)\n");
    assert_eq!(code, 4);
    let (code, json, _) = with(&["redeliver", "--json", "--order", "7040566321"], "");
    assert_eq!(code, 4);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["error"], "replay");

    let (_, request, _) = with(&["order", "--amount", "20000.00"], "");
    let (code, line, _) = with(&["checkout", "--order", "7040566322"], &assertion(&card, &request, 2));
    assert_eq!((code, line.as_str()), (5, "bank: declined, insufficient funds\n"));

    let (_, request, _) = with(&["order"], "");
    let mut bad: serde_json::Value = serde_json::from_str(&assertion(&card, &request, 3)).unwrap();
    bad["issuerId"] = "nobody".into();
    let (code, line, _) = with(&["checkout", "--order", "7040566323"], &bad.to_string());
    assert_eq!(code, 3);
    assert_eq!(
        line,
        "psp: refused (issuer-id-form): issuerId does not have the form that its payment network wants\n"
    );

    let (code, out, told) = with(&["checkout", "--order", "1"], &bad.to_string());
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(told.contains("the shop has no order of that number"), "{told}");
    let (code, _, told) = with(&["checkout", "--order", "7040566323"], "not JSON");
    assert_eq!(code, 1);
    assert!(told.contains("assertion"), "{told}");
    serving.kill();
    let (code, _, told) = run(&["order", "--url", "http://127.0.0.1:1"], "");
    assert_eq!(code, 1);
    assert!(told.contains("is `fwp-sandbox serve` running there?"), "{told}");
}

#[test]
fn a_refund_needs_a_payment_and_says_what_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let card = serving.enroll().remove(0);
    let asked = http::post(&format!("{}/shop/mozpay", serving.url), &[], "{}").unwrap().body;
    let (order, jwt) = (asked["order"].as_str().unwrap(), asked["jwt"].as_str().unwrap());
    let refund = |arguments: &[&str]| run(&[&["refund", "--url", &serving.url], arguments].concat(), "");
    let (code, line, _) = refund(&["--order", order]);
    assert_eq!(code, 3);
    assert!(line.starts_with("refused (not-paid): "), "{line}");

    let network = &card.credential.card.payment_network_id;
    let method_data = serde_json::json!([{ "supportedMethods": "fido-web-pay/v1", "data": {
        "payeeName": "Space Shop", "networks": [{ "id": network, "networkOptions": jwt }] } }]);
    let amount = serde_json::json!({ "currency": "EUR", "value": "435.00" });
    let details = serde_json::json!({ "id": order, "total": { "label": null, "amount": amount } });
    let request =
        PaymentRequest::from_json("localhost", &method_data.to_string(), &details.to_string()).unwrap();
    let assertion = card.pay(&request, now_ms().unwrap(), 1).to_json();
    let delivery = serde_json::json!({ "request": jwt, "fwpAssertion": assertion }).to_string();
    let paid = http::post(&format!("{}/psp/mozpay", serving.url), &[], &delivery).unwrap().body;
    let transaction = paid["transactionID"].as_str().unwrap();
    // The order has its transaction when the notice has come.
    let shown = || http::get(&format!("{}/shop/orders/{order}", serving.url)).unwrap().body;
    for _ in 0..300 {
        if shown()["state"] == "booked" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (code, line, _) = refund(&["--order", order]);
    assert_eq!(line, format!("psp: the money of {transaction} is given back; the shop gets a notice\n"));
    assert_eq!(code, 0);
    let (code, json, _) = refund(&["--json", "--transaction", transaction]);
    assert_eq!(code, 0, "given back before, and once");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["status"], "refunded");
    assert_eq!(refund(&["--transaction", "none"]).0, 3);
    assert_eq!(refund(&[]).0, 2);
    let log = serving.kill();
    for secret in [jwt, jwt.rsplit_once('.').unwrap().1] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_kill_loses_nothing_that_was_answered() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let card = serving.enroll().remove(0);
    let mut paid = Vec::new();
    for count in 1..=3 {
        let (_, request, _) = run(&["order", "--url", &serving.url], "");
        let assertion = assertion(&card, &request, count);
        let order = format!("704056632{count}");
        let (code, ..) = run(&["checkout", "--order", &order, "--url", &serving.url], &assertion);
        assert_eq!(code, 0);
        paid.push((order, assertion));
    }
    serving.kill();
    let serving = Serving::start(dir.path());
    for (order, assertion) in &paid {
        let (code, ..) = run(&["checkout", "--order", order, "--url", &serving.url], assertion);
        assert_eq!(code, 4, "a replay");
    }
    serving.kill();
}

#[test]
fn the_log_has_no_account_no_key_and_no_authorization() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let cards = serving.enroll();
    for (card, order) in cards.iter().zip(["7040566321", "7040566322"]) {
        let (_, request, _) = run(&["order", "--url", &serving.url], "");
        let paid = assertion(card, &request, 1);
        run(&["checkout", "--order", order, "--url", &serving.url], &paid);
        run(&["redeliver", "--order", order, "--url", &serving.url], "");
    }
    let keys = fwp_sandbox::bank::keys::KeyFile::read(&dir.path().join("sandbox")).unwrap();
    let log = serving.kill();
    assert!(log.contains("booked") && log.contains("replay"), "{log}");
    let mut secrets = vec!["FR7630002111110020050014382".to_owned(), "4532562005003239".to_owned()];
    secrets.push("DE89370400440532013000".to_owned());
    secrets.push("Bearer".to_owned());
    secrets.push("2QPygngkaHR0cHM6".to_owned());
    secrets.extend(
        keys.issuer_keys.iter().map(|key| key.cose_private[key.cose_private.len() - 64..].to_owned()),
    );
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret}: {log}");
    }
}

#[test]
fn verify_reads_lines_and_answers_lines() {
    let (code, out, told) = run(&["verify"], &format!("{INTEROP}x\n"));
    assert_eq!((code, told.as_str()), (0, ""));
    let verdicts: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verdicts.len(), INTEROP.lines().count() + 1);
    assert_eq!(verdicts.iter().filter(|verdict| verdict["ok"] == true).count(), INTEROP.lines().count());
}

#[test]
fn exported_keys_are_those_that_verify_reads() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let card = serving.enroll().remove(1);
    let (_, request, _) = run(&["order", "--url", &serving.url], "");
    let paid = assertion(&card, &request, 1);
    assert_eq!(run(&["checkout", "--order", "7040566321", "--url", &serving.url], &paid).0, 0);
    serving.kill();
    let sandbox = dir.path().join("sandbox");
    let (code, exported, _) = run(&["export-keys", "--dir", sandbox.to_str().unwrap()], "");
    assert_eq!(code, 0);
    let keys = dir.path().join("keys.json");
    std::fs::write(&keys, exported).unwrap();
    let record = std::fs::read_to_string(dir.path().join("record.jsonl")).unwrap();
    let (code, out, _) = run(&["verify", "--keys", keys.to_str().unwrap()], &record);
    assert_eq!(code, 0);
    let verdict: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&verdict["id"], &verdict["ok"]), (&"delivery-1".into(), &true.into()));
    let (code, _, told) = run(&["export-keys", "--dir", dir.path().to_str().unwrap()], "");
    assert_eq!(code, 1);
    assert!(told.contains("there are no keys in") && told.contains("--dir"), "{told}");
}

#[test]
fn a_checkout_with_nothing_on_standard_input_says_what_belongs_there() {
    let (code, _, told) = run(&["checkout", "--order", "1", "--url", "http://127.0.0.1:9"], "\n");
    assert_eq!(code, 1);
    assert!(told.contains("no assertion") && told.contains("fwpctl pay"), "{told}");
}

#[test]
fn files_with_keys_and_records_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    Serving::start(dir.path()).kill();
    let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("sandbox"), 0o700);
    assert_eq!(mode("sandbox/issuer-keys.json"), 0o600);
    assert_eq!(mode("sandbox/mozpay-keys.json"), 0o600);
    assert_eq!(mode("record.jsonl"), 0o600);
}

#[test]
fn wrong_usage_is_told_with_exit_code_2() {
    for arguments in [
        &[][..],
        &["serve"],
        &["checkout"],
        &["verify", "--x"],
        &["serve", "--dir", "x", "--listen", "x"],
        &["serve", "--dir", "x", "--https", "127.0.0.1:0"],
        &["refund", "--order", "1", "--transaction", "x"],
    ] {
        let (code, _, told) = run(arguments, "");
        assert_eq!(code, 2, "{arguments:?}");
        assert!(told.contains("--help"), "{told}");
    }
    let (code, help, _) = run(&["--help"], "");
    assert_eq!(code, 0);
    assert!(help.contains("Exit codes") && help.contains("fwpctl enroll"));
    let (code, _, told) = run(&["serve", "--dir", "unused", "--listen", "0.0.0.0:0"], "");
    assert_eq!(code, 1);
    assert!(told.contains("not on loopback"), "{told}");
}
