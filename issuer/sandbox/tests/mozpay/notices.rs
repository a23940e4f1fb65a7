//! Notices: again until they are confirmed, in whatever goes wrong in between; and those that the shop does not believe.

use crate::common::server::Sandbox;
use crate::fixture::{Fixture, raw, settings};
use fwp_sandbox::client;
use fwp_sandbox::moz_pay::jwt::Signer;
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn a_notice_comes_again_until_the_shop_confirms_it() {
    let fixture = Fixture::failing(3);
    let (order, jwt) = fixture.order(json!({}));
    assert_eq!(fixture.pay(&jwt, 1).status, 200);
    fixture.wait_for(&order, "booked");
    let notices = fixture.wait_for_notices(1);
    assert_eq!(notices[0]["attempts"], 4, "three failures, then one that was confirmed");
}

#[test]
fn a_notice_that_was_not_confirmed_is_sent_after_a_restart() {
    let fixture = Fixture::failing(u32::MAX);
    let (order, jwt) = fixture.order(json!({}));
    let assertion = fixture.authorize(&fixture.card, &jwt, "localhost", &jwt, 1);
    let paid = fixture.deliver(&jwt, &assertion).body;
    assert_eq!(paid["status"], "booked");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(fixture.order_json(&order)["state"], "open");
    assert_eq!(fixture.notices()[0]["delivered"], false);
    let Fixture { dir, sandbox, card, keys } = fixture;
    drop(sandbox);
    let sandbox = Sandbox::run(settings(&dir, 0));
    let fixture = Fixture { dir, sandbox, card, keys };
    assert_eq!(fixture.wait_for(&order, "booked")["transactionID"], paid["transactionID"]);
    assert!(fixture.wait_for_notices(1)[0]["attempts"].as_u64().unwrap() >= 2);
    // The delivery, too, is known after it.
    assert_eq!(fixture.deliver(&jwt, &assertion).body, paid);
    assert_eq!(fixture.balance(), "9565.00");
}

#[test]
fn a_payment_that_the_bank_declines_is_told_by_a_chargeback_and_can_be_tried_again() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({ "amount": "20000.00" }));
    let declined = fixture.pay(&jwt, 1);
    assert_eq!((declined.status, &declined.body["error"]), (402, &"declined".into()));
    assert_eq!(declined.body["message"], "insufficient funds");
    let state = fixture.wait_for(&order, "declined");
    assert_eq!(state["message"], "insufficient funds");
    let notices = fixture.wait_for_notices(1);
    assert_eq!((&notices[0]["kind"], &notices[0]["reason"]), (&"chargeback".into(), &"failed".into()));
    assert_eq!(fixture.pay(&jwt, 2).status, 402, "not already paid");
    fixture.wait_for_notices(2);
}

#[test]
fn a_refund_gives_the_money_back_once_and_tells_the_shop() {
    let fixture = Fixture::new();
    let (order, jwt) = fixture.order(json!({}));
    assert_eq!(client::refund_order(&fixture.sandbox.url, &order).unwrap().body["error"], "not-paid");
    let transaction = fixture.pay(&jwt, 1).body["transactionID"].as_str().unwrap().to_owned();
    fixture.wait_for(&order, "booked");
    assert_eq!(fixture.balance(), "9565.00");
    let refunded = client::refund_order(&fixture.sandbox.url, &order).unwrap();
    assert_eq!((refunded.status, &refunded.body["status"]), (200, &"refunded".into()), "{}", refunded.body);
    fixture.wait_for(&order, "refunded");
    let again = client::refund_transaction(&fixture.sandbox.url, &transaction).unwrap();
    assert_eq!(again.status, 200);
    assert_eq!(fixture.balance(), "10000.00");
    let notices = fixture.wait_for_notices(2);
    assert_eq!((&notices[1]["kind"], &notices[1]["reason"]), (&"chargeback".into(), &"refund".into()));
    assert_eq!(client::refund_transaction(&fixture.sandbox.url, "sandbox:none").unwrap().status, 404);
    // It was paid once; that it was given back does not make it payable.
    assert_eq!(fixture.pay(&jwt, 2).body["error"], "already-paid");
}

#[test]
fn nobody_but_a_merchant_has_requests_signed_or_money_given_back() {
    let fixture = Fixture::new();
    for path in ["/psp/mozpay/requests", "/psp/mozpay/refunds", "/bank/refunds"] {
        assert_eq!(fixture.post(path, &json!({})).status, 401, "{path}");
    }
}

#[test]
fn a_notice_as_it_should_be_is_confirmed_and_the_same_again_is_a_replay() {
    let fixture = Fixture::new();
    let (order, _) = fixture.order(json!({}));
    let notice = fixture.notice(&order, "sandbox:1", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &notice), (200, "sandbox:1".to_owned()));
    assert_eq!(fixture.order_json(&order)["state"], "booked");
    assert_eq!(fixture.tell_notice("postback", &notice), (409, "notice-replay".to_owned()));
    // The provider's second try, when it has missed the answer, is another notice of the same.
    let again = fixture.notice(&order, "sandbox:1", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &again), (200, "sandbox:1".to_owned()));
    // Once given back, no older notice makes it paid.
    let refund = fixture.notice(&order, "sandbox:1", "chargeback", |_| {});
    assert_eq!(fixture.tell_notice("chargeback", &refund), (200, "sandbox:1".to_owned()));
    let again = fixture.notice(&order, "sandbox:1", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &again), (409, "notice-state".to_owned()));
    assert_eq!(fixture.order_json(&order)["state"], "refunded");
}

#[test]
fn a_forged_or_expired_notice_is_refused() {
    let fixture = Fixture::new();
    let (order, request) = fixture.order(json!({}));
    let good = fixture.notice(&order, "sandbox:1", "postback", |_| {});
    let now = fixture.now_s();
    let form = |jwt: &str| format!("notice={jwt}");
    let forged = Signer::hs256(&[1; 32]).sign(&good).unwrap();
    assert_eq!(fixture.tell("postback", &form(&forged)), (403, "jwt-signature".to_owned()));
    let moon = fixture.keys.secret(&fwp_sandbox::merchants::MOON_SHOP).unwrap();
    let forged = Signer::hs256(moon).sign(&good).unwrap();
    assert_eq!(fixture.tell("postback", &form(&forged)), (403, "jwt-signature".to_owned()));
    let none = raw(r#"{"alg":"none"}"#, &good.to_string(), 0);
    assert_eq!(fixture.tell("postback", &form(&none)), (403, "jwt-form".to_owned()));
    // The shop's own request, which every customer has seen.
    assert_eq!(fixture.tell("postback", &form(&request)), (403, "jwt-issuer".to_owned()));
    type Change = fn(&mut Value, i64);
    let changes: [(Change, &str, u16); 9] = [
        (|claims, now| claims["exp"] = (now - 1).into(), "jwt-expired", 403),
        (|claims, now| claims["iat"] = (now + 300).into(), "jwt-not-yet-valid", 403),
        (|claims, _| claims["iss"] = "another-psp".into(), "jwt-issuer", 403),
        (|claims, _| claims["aud"] = "Moon Shop".into(), "jwt-audience", 403),
        (|claims, _| claims["typ"] = "sandbox/payments/pay/chargeback/v1".into(), "jwt-type", 403),
        (|claims, _| claims["typ"] = "sandbox/signed/pay/postback/v1".into(), "jwt-type", 403),
        (|claims, _| claims["request"]["id"] = "1".into(), "notice-order", 422),
        (|claims, _| claims["response"]["price"]["amount"] = "1.00".into(), "notice-order", 422),
        (|claims, _| drop(claims.as_object_mut().unwrap().remove("jti")), "jwt-form", 403),
    ];
    for (change, code, status) in changes {
        let changed = fixture.notice(&order, "sandbox:1", "postback", |claims| change(claims, now));
        assert_eq!(fixture.tell_notice("postback", &changed), (status, code.to_owned()));
    }
    for form in ["", "notice=", "note=x", "notice=x&notice=y"] {
        assert!(fixture.tell("postback", form).0 >= 400, "{form}");
    }
    assert_eq!(fixture.order_json(&order)["state"], "open");
    // Nor are notices about other transactions believed, once it is paid.
    assert_eq!(fixture.tell_notice("postback", &good).0, 200);
    let other = fixture.notice(&order, "sandbox:2", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &other), (409, "notice-state".to_owned()));
    let other = fixture.notice(&order, "sandbox:2", "chargeback", |_| {});
    assert_eq!(fixture.tell_notice("chargeback", &other), (409, "notice-state".to_owned()));
    assert_eq!(fixture.order_json(&order)["transactionID"], "sandbox:1");
}

#[test]
fn that_a_payment_failed_is_confirmed_after_another_one_has_paid_so_that_it_does_not_come_for_ever() {
    let fixture = Fixture::new();
    let (order, _) = fixture.order(json!({}));
    let failed = |transaction: &str| {
        fixture.notice(&order, transaction, "chargeback", |claims| {
            claims["response"]["reason"] = "failed".into();
        })
    };
    let paid = fixture.notice(&order, "sandbox:2", "postback", |_| {});
    assert_eq!(fixture.tell_notice("postback", &paid).0, 200);
    assert_eq!(fixture.tell_notice("chargeback", &failed("sandbox:1")), (200, "sandbox:1".to_owned()));
    // That the one that has paid it has failed can't be.
    assert_eq!(fixture.tell_notice("chargeback", &failed("sandbox:2")), (409, "notice-state".to_owned()));
    let state = fixture.order_json(&order);
    assert_eq!((&state["state"], &state["transactionID"]), (&"booked".into(), &"sandbox:2".into()));
}
