//! The three parties over real HTTP: enroll, order, pay, deliver again, and what each refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::FidoKey;
use common::server::Sandbox;
use common::tpm::{TpmKey, certify};
use fwp::enrollment::Offer;
use fwp_sandbox::client::{self, Outcome};
use fwp_sandbox::http::{self, now_ms};
use fwp_sandbox::serve::{Server, Settings};

#[test]
fn the_space_shop_order_is_booked_and_its_replay_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path());
    let cards = sandbox.enroll(FidoKey::es256, 7);
    assert_eq!(cards.len(), 2);
    let (order, request) = sandbox.order();
    assert_eq!(order, "7040566321");
    assert_eq!((request.prcd().amount.as_str(), request.prcd().currency.as_str()), ("435.00", "EUR"));

    let assertion = cards[0].pay(&request, now_ms().unwrap(), 1).to_json().to_string();
    let paid = client::checkout(&sandbox.url, &order, &assertion).unwrap();
    assert_eq!(paid.outcome, Outcome::Booked);
    assert_eq!(paid.line(), "bank: booked 435.00 EUR for Space Shop, order 7040566321, reference B-000001");
    let again = client::redeliver(&sandbox.url, &order).unwrap();
    assert_eq!(again.outcome, Outcome::Replay);
    let again = client::checkout(&sandbox.url, &order, &assertion).unwrap();
    assert_eq!(
        again.outcome,
        Outcome::Replay,
        "the page posting the assertion twice makes another envelope too"
    );

    // The second card, of the other network, key type and algorithms.
    let (order, request) = sandbox.order();
    let assertion = cards[1].pay(&request, now_ms().unwrap(), 2).to_json().to_string();
    assert_eq!(client::checkout(&sandbox.url, &order, &assertion).unwrap().outcome, Outcome::Booked);

    let list = sandbox.page("/bank");
    assert!(list.contains("B-000001") && list.contains("B-000002") && list.contains("replay"), "{list}");
    assert!(list.contains("9565.00 EUR"), "{list}");
    assert!(list.contains("the key itself"), "who vouched: {list}");
    let cards = http::get(&format!("{}/bank/cards", sandbox.url)).unwrap().body;
    assert_eq!(cards[0]["vouchedBy"], "itself");
    let view = sandbox.page("/bank/deliveries/1");
    for shown in
        ["435.00 EUR", "Space Shop", "FR7630002111110020050014382", "spaceshop.com", "additional stuff..."]
    {
        assert!(view.contains(shown), "{shown}: {view}");
    }
    assert!(sandbox.page("/shop").contains("7040566321"));
    assert!(sandbox.page("/bank/deliveries/99").contains("no such delivery"));
}

#[test]
fn a_new_authorization_of_a_booked_order_gets_the_first_answer() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path());
    let card = sandbox.enroll(FidoKey::ed25519, 9).remove(0);
    let (order, request) = sandbox.order();
    for (count, duplicate) in [(1, false), (2, true), (3, true)] {
        let assertion = card.pay(&request, now_ms().unwrap(), count).to_json().to_string();
        let paid = client::checkout(&sandbox.url, &order, &assertion).unwrap();
        assert_eq!(paid.outcome, Outcome::Booked);
        assert_eq!(paid.answer["duplicate"], duplicate);
        assert_eq!(paid.answer["reference"], "B-000001");
    }
    assert!(sandbox.page("/bank").contains("9565.00 EUR"), "booked once");
}

#[test]
fn many_parallel_checkouts_of_one_authorization_book_once() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path());
    let card = sandbox.enroll(FidoKey::es256, 7).remove(0);
    let (order, request) = sandbox.order();
    let assertion = card.pay(&request, now_ms().unwrap(), 1).to_json().to_string();
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let deliver = || client::checkout(&sandbox.url, &order, &assertion).unwrap();
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(deliver)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().outcome).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Booked).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::Replay).count(), 11, "{outcomes:?}");
    assert!(sandbox.page("/bank").contains("9565.00 EUR"));
}

#[test]
fn a_restart_keeps_cards_keys_and_what_was_booked() {
    let dir = tempfile::tempdir().unwrap();
    let (order, assertion, card, request) = {
        let sandbox = Sandbox::start(dir.path());
        let card = sandbox.enroll(FidoKey::es256, 7).remove(0);
        let (order, request) = sandbox.order();
        let assertion = card.pay(&request, now_ms().unwrap(), 1).to_json().to_string();
        assert_eq!(client::checkout(&sandbox.url, &order, &assertion).unwrap().outcome, Outcome::Booked);
        (order, assertion, card, request)
    };
    let sandbox = Sandbox::start(dir.path());
    assert_eq!(client::checkout(&sandbox.url, &order, &assertion).unwrap().outcome, Outcome::Replay);
    assert_eq!(client::redeliver(&sandbox.url, &order).unwrap().outcome, Outcome::Replay);
    let again = card.pay(&request, now_ms().unwrap(), 2).to_json().to_string();
    let again = client::checkout(&sandbox.url, &order, &again).unwrap();
    assert_eq!((again.outcome, &again.answer["duplicate"]), (Outcome::Booked, &true.into()));
    let (order, request) = sandbox.order();
    assert_eq!(order, "7040566322");
    let assertion = card.pay(&request, now_ms().unwrap(), 3).to_json().to_string();
    assert_eq!(client::checkout(&sandbox.url, &order, &assertion).unwrap().outcome, Outcome::Booked);
}

#[test]
fn nobody_but_the_psp_and_the_shop_may_ask_for_payments() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path());
    for path in ["/bank/payments", "/psp/payments"] {
        for headers in
            [&[][..], &[("authorization", "Bearer "), ("fwp-merchant", "x"), ("fwp-transaction", "x")][..]]
        {
            let answer = http::post(&format!("{}{path}", sandbox.url), headers, "{}").unwrap();
            assert_eq!((answer.status, &answer.body["error"]), (401, &"unauthorized".into()));
        }
    }
}

#[test]
fn a_page_of_another_site_that_points_its_name_here_gets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path());
    let port = sandbox.url.rsplit_once(':').unwrap().1;
    for host in ["evil.example", &format!("evil.example:{port}"), "localhost.evil.example", ""] {
        let answer = http::post(&format!("{}/shop/orders", sandbox.url), &[("host", host)], "").unwrap();
        assert_eq!(answer.status, 421, "{host:?}");
    }
}

#[test]
fn a_bank_with_makers_roots_says_why_it_refuses_a_key_of_none() {
    let dir = tempfile::tempdir().unwrap();
    let roots = dir.path().join("roots.pem");
    let key = rcgen::KeyPair::generate().unwrap();
    let mut root = rcgen::CertificateParams::default();
    root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    std::fs::write(&roots, root.self_signed(&key).unwrap().pem()).unwrap();
    let sandbox = Sandbox::start_with_roots(dir.path(), Some(roots));
    let offer = http::get(&format!("{}/bank/offer", sandbox.url)).unwrap();
    let offer = Offer::parse(&offer.body.to_string()).unwrap();
    let attestation = FidoKey::es256(7).attest(&offer, &[7; 20]).to_json().to_string();
    let answer = http::post(offer.attestation_url.as_deref().unwrap(), &[], &attestation).unwrap();
    assert_eq!((answer.status, &answer.body["error"]), (422, &"no-maker".into()));
    assert_eq!(http::get(&format!("{}/bank/cards", sandbox.url)).unwrap().body, serde_json::json!([]));
}

#[test]
fn hostile_text_is_escaped_on_the_pages_of_the_bank() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path());
    let mut card = sandbox.enroll(FidoKey::es256, 7).remove(0);
    let (order, request) = sandbox.order();
    card.credential.card.issuer_id = "https://x/<script>alert(1)</script>".into();
    let assertion = card.pay(&request, now_ms().unwrap(), 1).to_json().to_string();
    let refused = client::checkout(&sandbox.url, &order, &assertion).unwrap();
    assert_eq!((refused.outcome, &refused.answer["error"]), (Outcome::Refused, &"issuer-id".into()));
    let view = sandbox.page("/bank/deliveries/1");
    assert!(view.contains("&lt;script&gt;") && !view.contains("<script"), "{view}");
}

#[test]
fn what_is_no_assertion_or_no_order_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path());
    let (order, _) = sandbox.order();
    let error = client::checkout(&sandbox.url, &order, "{}").unwrap_err().to_string();
    assert!(error.contains("paymentNetworkId is missing"), "{error}");
    let error = client::redeliver(&sandbox.url, &order).unwrap_err().to_string();
    assert!(error.contains("never checked out"), "{error}");
    for order in ["1", "x", "../bank"] {
        let error = client::redeliver(&sandbox.url, order).unwrap_err().to_string();
        assert!(error.contains("no order of that number"), "{error}");
    }
    assert!(client::order(&sandbox.url, Some("-1")).is_err());
    drop(sandbox);
    let error = client::order("http://localhost:1", None).unwrap_err().to_string();
    assert!(error.contains("is `fwp-sandbox serve` running there?"), "{error}");
}

#[test]
fn an_offer_serves_one_key_once() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(dir.path());
    let offer = http::get(&format!("{}/bank/offer", sandbox.url)).unwrap();
    let offer = Offer::parse(&offer.body.to_string()).unwrap();
    assert_eq!((offer.rp_id.as_str(), offer.rp_name.as_str()), ("localhost", "Sandbox Bank"));
    assert_eq!(offer.attestation_url.as_deref(), Some(format!("{}/bank/attestation", sandbox.url).as_str()));
    let attestation = FidoKey::es256(7).attest(&offer, &[7; 20]).to_json().to_string();
    let url = offer.attestation_url.unwrap();
    assert_eq!(http::post(&url, &[], &attestation).unwrap().status, 200);
    let again = http::post(&url, &[], &attestation).unwrap();
    assert_eq!((again.status, &again.body["error"]), (422, &"challenge".into()));
}

#[test]
fn the_record_verifies_with_the_exported_keys() {
    let dir = tempfile::tempdir().unwrap();
    {
        let sandbox = Sandbox::start(dir.path());
        let card = sandbox.enroll(FidoKey::es256, 7).remove(1);
        let (order, request) = sandbox.order();
        let assertion = card.pay(&request, now_ms().unwrap(), 1).to_json().to_string();
        client::checkout(&sandbox.url, &order, &assertion).unwrap();
        client::redeliver(&sandbox.url, &order).unwrap();
    }
    let record = std::fs::read(dir.path().join("record.jsonl")).unwrap();
    let keys = fwp_sandbox::bank::keys::KeyFile::read(&dir.path().join("sandbox")).unwrap();
    let mut verdicts = Vec::new();
    fwp_sandbox::cases::verify_lines(&record[..], &mut verdicts, &keys.issuer_keys).unwrap();
    let verdicts: Vec<serde_json::Value> = String::from_utf8(verdicts)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(verdicts.len(), 2);
    assert!(verdicts.iter().all(|verdict| verdict["ok"] == true), "{verdicts:?}");
    let recorded: Vec<serde_json::Value> =
        String::from_utf8(record).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(recorded[0]["verdict"]["status"], "booked");
    assert_eq!(recorded[1]["verdict"]["error"], "replay");
}

#[test]
fn only_loopback_is_listened_on() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::new("0.0.0.0:0".parse().unwrap(), dir.path().join("sandbox"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(Server::start(&settings)).unwrap_err().to_string();
    assert!(refused.contains("not on loopback"), "{refused}");
    assert!(!settings.dir.exists());
}

#[test]
fn a_tpm_is_certified_enrolled_and_shown_as_verified() {
    let dir = tempfile::tempdir().unwrap();
    let swtpm = virtual_tpm::Swtpm::from_the_maker();
    let roots = dir.path().join("makers.pem");
    std::fs::write(&roots, swtpm.makers_roots()).unwrap();
    let sandbox = Sandbox::start_with(dir.path(), None, Some(roots));
    let authority = format!("{}/bank/tpm-ca", sandbox.url);
    let tpm = swtpm.tpm();
    let key = tpm.create_attestation_key().unwrap();
    let certificates = certify(&tpm, &key, |question| {
        let answer = http::post(&authority, &[], &question).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body.to_string()
    });
    let key = TpmKey::new(&tpm, &key, certificates);
    let enroll = |sandbox: &Sandbox| {
        let offer = http::get(&format!("{}/bank/offer", sandbox.url)).unwrap();
        let offer = Offer::parse(&offer.body.to_string()).unwrap();
        let attestation = key.attest(&offer).to_json().to_string();
        let answer = http::post(offer.attestation_url.as_deref().unwrap(), &[], &attestation).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        http::get(&format!("{}/bank/cards", sandbox.url)).unwrap().body
    };
    let cards = enroll(&sandbox);
    assert_eq!(cards[0]["vouchedBy"], "tpm");
    assert_eq!(cards[0]["aaguid"], "88d08c45-9cb0-4089-ab1a-ab39fd266a62");
    assert!(sandbox.page("/bank").contains("a TPM, verified"));

    // Whoever is refused is told why.
    let answer = http::post(&authority, &[], "{}").unwrap();
    assert_eq!((answer.status, &answer.body["error"]), (422, &"message".into()));
    assert_eq!(answer.body["by"], "tpm-ca");

    // Without makers' roots nothing new is certified, and what was certified stays so.
    drop(sandbox);
    let sandbox = Sandbox::start(dir.path());
    let answer = http::post(&format!("{}/bank/tpm-ca", sandbox.url), &[], "{}").unwrap();
    assert_eq!((answer.status, &answer.body["error"]), (404, &"no-tpm-ca".into()));
    assert!(answer.body["message"].as_str().unwrap().contains("--tpm-roots"));
    assert_eq!(enroll(&sandbox)[0]["vouchedBy"], "tpm");
}
