//! Each published case is a test of its own, named by its id, class and detail: every line of interop.jsonl verifies, every
//! line of hostile.jsonl gets its `want`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

const INTEROP: &str = include_str!("../../../fwp/tests/data/interop.jsonl");
const HOSTILE: &str = include_str!("../../../fwp/tests/data/hostile.jsonl");

fn main() {
    let interop = INTEROP.lines().map(|line| {
        let case: Value = serde_json::from_str(line).unwrap();
        let name = format!(
            "interop {}: {} signature for an {} issuer key",
            case["id"].as_str().unwrap(),
            case["fidoKeyType"].as_str().unwrap(),
            case["issuerKeyType"].as_str().unwrap()
        );
        Trial::test(name, move || verifies(line, &case))
    });
    let hostile = HOSTILE.lines().map(|line| {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| case[name].as_str().unwrap().to_owned();
        let (id, class, detail, want) = (text("id"), text("class"), text("detail"), text("want"));
        Trial::test(format!("hostile {id} {class}: {detail}: {want}"), move || gets(line, &want))
    });
    libtest_mimic::run(&Arguments::from_args(), interop.chain(hostile).collect()).exit();
}

/// The case verifies, its SAD is the published one, and with everything given that it can be checked against it still does.
fn verifies(line: &str, case: &Value) -> Result<(), Failed> {
    let verdict = fwp_sandbox::cases::verify_line(line.as_bytes(), &[]);
    check(verdict.ok, &verdict)?;
    check(verdict.sad.as_deref() == case["sad"].as_str(), &verdict)?;

    let credential = &case["credential"];
    let mut full = case.clone();
    full["bank"] = serde_json::json!({
        "rpId": credential["rpId"], "issuerIds": [credential["issuerId"]], "networks": [credential["paymentNetworkId"]],
    });
    full["account"] = serde_json::json!({ "serialNumber": credential["serialNumber"], "accountId": credential["accountId"] });
    let verdict = fwp_sandbox::cases::verify_line(full.to_string().as_bytes(), &[]);
    check(verdict.ok, &verdict)?;
    for (pointer, wrong, code) in [
        ("/bank/rpId", serde_json::json!("elsewhere.example"), "rp-id"),
        ("/bank/issuerIds", serde_json::json!(["https://elsewhere.example/"]), "issuer-id"),
        ("/bank/networks", serde_json::json!(["https://elsewhere.example/"]), "network"),
        ("/account/serialNumber", serde_json::json!("0"), "unknown-card"),
        ("/account/accountId", serde_json::json!("0"), "unknown-card"),
        ("/account/publicKeySha256", serde_json::json!("00".repeat(32)), "key-not-of-card"),
    ] {
        let mut wrong_case = full.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        wrong_case.pointer_mut(parent).unwrap()[name] = wrong;
        let verdict = fwp_sandbox::cases::verify_line(wrong_case.to_string().as_bytes(), &[]);
        check(verdict.error == Some(code), &verdict)?;
    }
    Ok(())
}

fn gets(line: &str, want: &str) -> Result<(), Failed> {
    let verdict = fwp_sandbox::cases::verify_line(line.as_bytes(), &[]);
    check(verdict.ok == (want == "accept") && verdict.error != Some("line"), &verdict)
}

fn check(holds: bool, verdict: &fwp_sandbox::cases::Verdict) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{verdict:?}").into()) }
}
