//! Requests of navigator.mozPay on a real bus: from a shop's JWT to what its provider gets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::moz_pay::{Shop, TYP, enroll_with_providers, provider};
use fwp_cose::cbor::Value;
use fwp_dbus::types::{AuthorizeCard, AuthorizeRequest, Delivery, EnrollmentOptions, PaymentOptions};
use fwp_dbus::{Client, ClientError, ErrorName, Event};
use fwp_tests::requests::{SPACE_SHOP, update};
use fwp_tests::{Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, refused};
use serde_json::json;

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
const PSP: &str = "https://psp.example/mozpay";

struct Stage {
    bus: PrivateBus,
    fwpd: Fwpd,
    agent: ScriptedAgent,
    _desktop: Client,
    page: Client,
    bank: Bank,
}

impl Stage {
    /// A wallet with one card that has these providers.
    async fn with(providers: serde_json::Value) -> Self {
        let bus = PrivateBus::session();
        let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
        let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        let bank = Bank::new(MY_BANK);
        enroll_with_providers(&page, &bank, "1", &providers, &EnrollmentOptions::default()).await.unwrap();
        agent.forget();
        Self { bus, fwpd, agent, _desktop: desktop, page, bank }
    }

    async fn ask(&self, requests: &[&str]) -> Result<Checkout, ClientError> {
        ask(&self.page, requests).await
    }

    fn shown(&self) -> Vec<(AuthorizeRequest, Vec<AuthorizeCard>)> {
        let of = |prompt| match prompt {
            Prompt::Authorize(_, request, cards) => Some((request, cards)),
            _ => None,
        };
        self.agent.prompts().into_iter().filter_map(of).collect()
    }
}

async fn ask(page: &Client, requests: &[&str]) -> Result<Checkout, ClientError> {
    let options = PaymentOptions::default();
    let path = page.wallet().await?.create_moz_payment(SPACE_SHOP, requests, &options).await?;
    let payment = page.payment(&path).await?;
    Ok(Checkout { payment, events: page.events(&path), path })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

async fn closed(checkout: &mut Checkout) -> fwp_dbus::Error {
    match checkout.next().await {
        Event::Finished(Err(error)) => error,
        event => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn what_a_shop_signed_is_shown_as_its_claim_authorized_word_for_word_and_delivered() {
    let stage = Stage::with(json!([provider(TYP, PSP, &[])])).await;
    let jwt = Shop::hs256().sign(&Shop::claims());
    let mut checkout = stage.ask(&[&jwt]).await.unwrap();
    assert_eq!(checkout.payment.delivery().await.unwrap(), Delivery::default(), "before it is authorized");
    let assertion = checkout.pay().await;

    let (request, cards) = stage.shown().remove(0);
    assert_eq!((request.payee_name.as_str(), request.payee_host.as_str()), ("Space Shop", SPACE_SHOP));
    assert_eq!((request.amount.as_str(), request.currency.as_str()), ("435.00", "EUR"));
    assert_eq!(request.claimed_name.as_deref(), Some("Rocket boots"));
    assert_eq!(request.claimed_description.as_deref(), Some("A pair, size 42"));
    assert_eq!(request.provider.as_deref(), Some(TYP));
    assert_eq!(cards.len(), 1);

    let sad = stage.bank.open(&assertion);
    let signed = sad.authorization_data();
    assert_eq!(signed.network_options, Some(Value::Text(jwt.clone())));
    assert_eq!(signed.payment_request.request_id, "order-1");
    let delivery = checkout.payment.delivery().await.unwrap();
    let expected = Delivery { url: Some(PSP.into()), typ: Some(TYP.into()), request: Some(jwt) };
    assert_eq!(delivery, expected);

    // To nobody else, and no longer than until it is over.
    let other = stage.fwpd.client(&stage.bus).await;
    assert!(other.payment(&checkout.path).await.unwrap().delivery().await.is_err());
    checkout.payment.complete("success").await.unwrap();
    assert_eq!(checkout.next().await, Event::Finished(Ok(())));
    assert!(checkout.payment.delivery().await.is_err());
}

#[tokio::test]
async fn an_ordinary_payment_has_nothing_to_deliver() {
    let stage = Stage::with(json!([provider(TYP, PSP, &[])])).await;
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.pay().await;
    assert_eq!(checkout.payment.delivery().await.unwrap(), Delivery::default());
    let (request, _) = stage.shown().remove(0);
    assert_eq!((request.claimed_name, request.claimed_description, request.provider), (None, None, None));
}

#[tokio::test]
async fn whether_a_card_fits_is_told_to_the_user_before_it_is_told_to_the_page() {
    let stage = Stage::with(json!([provider("other/pay/v1", PSP, &[])])).await;
    let mut checkout = stage.ask(&[&Shop::hs256().sign(&Shop::claims())]).await.unwrap();
    assert!(stage.shown().is_empty());
    checkout.payment.show().await.unwrap();
    assert_eq!(closed(&mut checkout).await.name, ErrorName::NoMatchingCard);
    let (request, cards) = stage.shown().remove(0);
    assert_eq!((request.provider.as_deref(), cards.len()), (Some(TYP), 0));
}

#[tokio::test]
async fn of_several_requests_the_first_for_whose_provider_there_is_a_card_is_shown() {
    let stage = Stage::with(json!([provider("b", PSP, &[]), provider("c", "https://c.example/", &[])])).await;
    let shop = Shop::hs256();
    let jwts = ["a", "c", "b"].map(|typ| shop.sign(&Shop::claims_for(typ)));
    let mut checkout = stage.ask(&[&jwts[0], &jwts[1], &jwts[2]]).await.unwrap();
    checkout.pay().await;
    assert_eq!(stage.shown()[0].0.provider.as_deref(), Some("c"));
    let delivery = checkout.payment.delivery().await.unwrap();
    assert_eq!(
        (delivery.url.as_deref(), delivery.request),
        (Some("https://c.example/"), Some(jwts[1].clone()))
    );
}

#[tokio::test]
async fn a_request_signed_with_the_providers_key_is_paid() {
    let shop = Shop::es256(1);
    let stage = Stage::with(json!([provider(TYP, PSP, &[("1", &shop)])])).await;
    stage.ask(&[&shop.sign(&Shop::claims())]).await.unwrap().pay().await;
    assert!(stage.shown()[0].0.notices.is_empty());
}

#[tokio::test]
async fn a_forged_request_is_refused_with_the_reason_after_the_user_saw_that_it_is_one() {
    let (shop, forger) = (Shop::es256(1), Shop::es256(2));
    let stage = Stage::with(json!([provider(TYP, PSP, &[("1", &shop)])])).await;
    let jwt = forger.sign(&Shop::claims());
    // Nothing tells a page so before.
    let mut checkout = stage.ask(&[&jwt]).await.unwrap();
    stage.agent.answers([Answer::No]);
    checkout.payment.show().await.unwrap();
    let error = closed(&mut checkout).await;
    assert_eq!(error.name, ErrorName::InvalidRequest);
    assert!(error.message.contains(TYP) && error.message.contains("forged"), "{}", error.message);
    let (request, cards) = stage.shown().remove(0);
    assert!(cards.is_empty());
    assert!(request.notices[0].contains("forged or changed"), "{:?}", request.notices);
}

#[tokio::test]
async fn a_signed_request_is_neither_changed_nor_asked_for_again() {
    let stage = Stage::with(json!([provider(TYP, PSP, &[])])).await;
    let mut checkout = stage.ask(&[&Shop::hs256().sign(&Shop::claims())]).await.unwrap();
    assert_eq!(refused(checkout.payment.update(&update("1.00")).await), ErrorName::InvalidState);
    checkout.pay().await;
    assert_eq!(refused(checkout.payment.retry("{}").await), ErrorName::InvalidState);
    assert_eq!(checkout.payment.state().await.unwrap(), "authorized");
    assert_eq!(stage.shown().len(), 1);
}

#[tokio::test]
async fn what_is_no_request_or_does_not_hold_now_is_refused_at_the_door_by_its_field() {
    let stage = Stage::with(json!([provider(TYP, PSP, &[])])).await;
    let shop = Shop::hs256();
    let good = shop.sign(&Shop::claims());
    let with = |pointer: &str, value: serde_json::Value| {
        let mut claims = Shop::claims();
        *claims.pointer_mut(pointer).unwrap() = value;
        shop.sign(&claims)
    };
    let none = good.replacen(good.split('.').next().unwrap(), "eyJhbGciOiJub25lIn0", 1);
    for (requests, field) in [
        (vec![], "requests"),
        (vec!["x".to_owned()], "requests[0]"),
        (vec![none], "requests[0].header.alg"),
        (vec![with("/exp", json!(now() - 1)), good.clone()], "requests[0].exp"),
        (vec![with("/iat", json!(now() + 100))], "requests[0].iat"),
        (vec![with("/request/price/amount", json!("-1"))], "requests[0].request.price.amount"),
        (vec![with("/iss", json!("a\u{202e}b"))], "requests[0].iss"),
        (vec![good.clone(), good.clone()], "requests[1].typ"),
    ] {
        let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
        let refusal = stage.ask(&requests).await;
        let message = refusal.as_ref().unwrap_err().to_string();
        assert_eq!(refused(refusal), ErrorName::InvalidRequest, "{message}");
        assert!(message.contains(&format!("{field} ")), "{field}: {message}");
    }
    let wallet = stage.page.wallet().await.unwrap();
    let options = PaymentOptions::default();
    let host = wallet.create_moz_payment("https://spaceshop.com", &[&good], &options).await;
    assert_eq!(refused(host), ErrorName::InvalidRequest);
    assert!(stage.agent.prompts().is_empty());
}

#[tokio::test]
async fn a_request_that_expires_before_it_is_shown_or_before_the_yes_is_not_signed() {
    let stage = Stage::with(json!([provider(TYP, PSP, &[])])).await;
    let short = |id: &str| {
        let mut claims = Shop::claims();
        (claims["exp"], claims["request"]["id"]) = (json!(now() + 3), json!(id));
        Shop::hs256().sign(&claims)
    };
    let checkout = stage.ask(&[&short("1")]).await.unwrap();
    let mut slow = stage.ask(&[&short("2")]).await.unwrap();
    stage.agent.answers([Answer::After(Duration::from_secs(4), Box::new(Answer::Yes))]);
    slow.payment.show().await.unwrap();
    let error = closed(&mut slow).await;
    assert_eq!(error.name, ErrorName::InvalidRequest);
    assert!(error.message.contains("expired"), "{}", error.message);
    assert!(
        !stage.agent.prompts().iter().any(|prompt| matches!(prompt, Prompt::Pin(_))),
        "nothing was signed"
    );
    assert_eq!(refused(checkout.payment.show().await), ErrorName::InvalidRequest);
    assert_eq!(stage.shown().len(), 1);
}

#[tokio::test]
async fn a_request_stays_with_the_card_that_it_was_authorized_with() {
    let stage = Stage::with(json!([provider(TYP, PSP, &[])])).await;
    let other = json!([provider(TYP, "https://other.example/", &[])]);
    enroll_with_providers(&stage.page, &stage.bank, "2", &other, &EnrollmentOptions::default())
        .await
        .unwrap();
    let jwt = Shop::hs256().sign(&Shop::claims());
    stage.ask(&[&jwt]).await.unwrap().pay().await;
    stage.agent.answers([Answer::Card(1)]);
    let mut again = stage.ask(&[&jwt]).await.unwrap();
    again.payment.show().await.unwrap();
    assert_eq!(closed(&mut again).await.name, ErrorName::CardTied);
}

#[tokio::test]
async fn providers_stay_with_a_card_over_a_restart_a_backup_and_until_it_is_replaced() {
    let mut stage = Stage::with(json!([provider(TYP, PSP, &[])])).await;
    let url = async |page: &Client, id: &str| {
        let mut claims = Shop::claims();
        claims["request"]["id"] = json!(id);
        let mut checkout = ask(page, &[&Shop::hs256().sign(&claims)]).await.unwrap();
        checkout.pay().await;
        checkout.payment.delivery().await.unwrap().url.unwrap()
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cards.age");
    let store = stage.page.store().await.unwrap();
    let written: std::os::fd::OwnedFd = File::create(&file).unwrap().into();
    assert_eq!(store.export(written.into()).await.unwrap(), 1);

    stage.fwpd.kill();
    stage.fwpd.start_again(stage.page.connection()).await;
    let (desktop, page) = (stage.fwpd.client(&stage.bus).await, stage.fwpd.client(&stage.bus).await);
    stage.agent.register(&desktop).await.unwrap();
    assert_eq!(url(&page, "1").await, PSP);

    let wallet = page.wallet().await.unwrap();
    let card = wallet.list_credentials().await.unwrap().remove(0).0;
    let mut events = page.events(&card);
    page.credential(&card).await.unwrap().delete().await.unwrap();
    assert_eq!(events.next().await.unwrap(), Event::Finished(Ok(())));
    let file: std::os::fd::OwnedFd = File::open(&file).unwrap().into();
    page.store().await.unwrap().import(file.into()).await.unwrap();
    assert_eq!(url(&page, "2").await, PSP);

    let replace = EnrollmentOptions { replace: Some(true), ..EnrollmentOptions::default() };
    let new = json!([provider(TYP, "https://new.example/", &[])]);
    enroll_with_providers(&page, &stage.bank, "1", &new, &replace).await.unwrap();
    assert_eq!(wallet.list_credentials().await.unwrap().len(), 1);
    assert_eq!(url(&page, "3").await, "https://new.example/");
}

#[tokio::test]
async fn cards_with_a_provider_that_breaks_a_rule_are_not_stored() {
    let stage = Stage::with(json!([])).await;
    let bad = json!([provider(TYP, "http://psp.example/", &[])]);
    let options = EnrollmentOptions::default();
    let refusal = enroll_with_providers(&stage.page, &stage.bank, "2", &bad, &options).await;
    let message = refusal.as_ref().unwrap_err().to_string();
    assert_eq!(refused(refusal), ErrorName::InvalidRequest);
    assert!(message.contains("cards[0].providers[0].deliveryUrl"), "{message}");
    assert_eq!(stage.page.wallet().await.unwrap().list_credentials().await.unwrap().len(), 1);
}
