//! Enrollments on a real bus: how cards enter, and how they don't.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwp_dbus::proxy::EnrollmentProxy;
use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{Client, ClientError, ErrorName, Event, Events};
use fwp_tests::requests::BANKNET;
use fwp_tests::{
    Answer, Bank, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll, refused, soon,
};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

struct Stage {
    bus: PrivateBus,
    fwpd: Fwpd,
    agent: ScriptedAgent,
    _desktop: Client,
    client: Client,
    bank: Bank,
}

async fn stage() -> Stage {
    stage_with(QUICK).await
}

async fn stage_with(config: &str) -> Stage {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, config).await;
    let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    Stage { bus, fwpd, agent, _desktop: desktop, client, bank: Bank::new(MY_BANK) }
}

async fn begin(stage: &Stage, offer: &str, host: &str) -> Result<zbus::OwnedObjectPath, ClientError> {
    stage.client.wallet().await.unwrap().begin_enrollment(offer, host, &EnrollmentOptions::default()).await
}

#[tokio::test]
async fn an_enrolled_card_is_listed_and_still_there_after_kill_9() {
    let mut stage = stage().await;
    let wallet = stage.client.wallet().await.unwrap();
    assert!(!wallet.can_make_payment().await.unwrap());
    assert_eq!(wallet.status().await.unwrap().store, "new");
    let stored =
        enroll(&stage.client, &stage.bank, &[(BANKNET, "1"), ("https://other.net", "2")]).await.unwrap();
    let list = wallet.list_credentials().await.unwrap();
    assert_eq!(list.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>().len(), 2);
    assert!(list.iter().all(|(path, card)| stored.contains(path) && card.rp_id == MY_BANK));
    assert!(wallet.can_make_payment().await.unwrap());

    stage.fwpd.kill();
    stage.fwpd.start_again(stage.client.connection()).await;
    let client = stage.fwpd.client(&stage.bus).await;
    let wallet = client.wallet().await.unwrap();
    assert_eq!(wallet.list_credentials().await.unwrap(), list);
    let image = client.credential(&list[0].0).await.unwrap().card_image().await.unwrap();
    assert!(image.starts_with(b"<svg"));
}

#[tokio::test]
async fn consent_names_the_rp_id_and_without_it_no_key_is_made() {
    let stage = stage().await;
    stage.agent.answers([Answer::No]);
    let error = enroll(&stage.client, &stage.bank, &[(BANKNET, "1")]).await;
    assert_eq!(refused(error), ErrorName::Declined);
    let prompts = stage.agent.prompts();
    assert!(matches!(&prompts[0], Prompt::Consent(kind, details)
        if kind == "enroll" && details.rp_id.as_deref() == Some(MY_BANK) && details.host.as_deref() == Some(MY_BANK)));
    assert!(!prompts.iter().any(|prompt| matches!(prompt, Prompt::Pin(_))), "no ceremony began");
}

#[tokio::test]
async fn no_to_the_pin_of_an_enrollment_is_a_no_after_which_nobody_is_asked_for_a_moment() {
    let stage = stage_with("[policy]\ncool-down = 60").await;
    stage.agent.types([None]);
    assert_eq!(refused(enroll(&stage.client, &stage.bank, &[(BANKNET, "1")]).await), ErrorName::Declined);
    assert_eq!(refused(enroll(&stage.client, &stage.bank, &[(BANKNET, "1")]).await), ErrorName::CoolDown);
}

#[tokio::test]
async fn the_first_enrollment_sets_the_pin_and_the_next_one_asks_for_it() {
    let stage = stage().await;
    let purposes = |stage: &Stage| -> Vec<String> {
        let of = |prompt| match prompt {
            Prompt::Pin(request) => Some(request.purpose),
            _ => None,
        };
        stage.agent.prompts().into_iter().filter_map(of).collect()
    };
    enroll(&stage.client, &stage.bank, &[(BANKNET, "1")]).await.unwrap();
    assert_eq!(purposes(&stage), ["new", "use"]);
    stage.agent.forget();
    enroll(&stage.client, &stage.bank, &[(BANKNET, "2")]).await.unwrap();
    assert_eq!(purposes(&stage), ["use"]);
}

#[tokio::test]
async fn an_rp_id_that_is_not_the_hosts_is_refused() {
    let stage = stage().await;
    let offer = stage.bank.offer().to_json().to_string();
    for host in ["evil.com", "notmybank.fr", "mybank.fr.evil.com", "fr"] {
        assert_eq!(refused(begin(&stage, &offer, host).await), ErrorName::AccessDenied, "{host}");
    }
    for host in ["mybank.fr", "cards.mybank.fr"] {
        begin(&stage, &offer, host).await.unwrap();
    }
    assert_eq!(refused(begin(&stage, &offer, "https://mybank.fr").await), ErrorName::InvalidRequest);
}

#[tokio::test]
async fn an_rp_id_that_everybody_shares_is_refused_by_the_daemon_itself() {
    let stage = stage().await;
    for (host, rp_id) in [
        ("mybank.co.uk", "co.uk"),
        ("mybank.fr", "fr"),
        ("me.github.io", "github.io"),
        ("bank.localhost", "localhost"),
        ("127.0.0.1", "mybank.fr"),
        ("[::1]", "mybank.fr"),
    ] {
        let offer = Bank::new(rp_id).offer().to_json().to_string();
        let refusal = begin(&stage, &offer, host).await;
        let message = refusal.as_ref().unwrap_err().to_string();
        assert_eq!(refused(refusal), ErrorName::AccessDenied, "{host} {rp_id}");
        assert!(message.contains(rp_id) && message.contains(host), "{message}");
    }
    for (host, rp_id) in [
        ("pay.mybank.co.uk", "mybank.co.uk"),
        ("localhost", "localhost"),
        ("bank.localhost", "bank.localhost"),
    ] {
        begin(&stage, &Bank::new(rp_id).offer().to_json().to_string(), host).await.unwrap();
    }
}

#[tokio::test]
async fn offers_with_unknown_fields_are_refused() {
    let stage = stage().await;
    let mut offer = stage.bank.offer().to_json();
    offer["surprise"] = true.into();
    assert_eq!(refused(begin(&stage, &offer.to_string(), MY_BANK).await), ErrorName::InvalidRequest);
}

/// An enrollment whose key is made, and its attestation.
async fn attested(stage: &Stage) -> (EnrollmentProxy<'static>, Events, String) {
    let offer = stage.bank.offer().to_json().to_string();
    let path = begin(stage, &offer, MY_BANK).await.unwrap();
    let mut events = stage.client.events(&path);
    let enrollment = stage.client.enrollment(&path).await.unwrap();
    enrollment.start().await.unwrap();
    match soon("the attestation", events.next()).await.unwrap() {
        Event::Attestation(attestation) => (enrollment, events, attestation),
        event => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn of_two_enrollments_that_store_the_same_card_at_once_one_does() {
    let stage = stage().await;
    for account in ["1", "2", "3", "4"] {
        let ((one, _, first), (two, _, second)) = (attested(&stage).await, attested(&stage).await);
        let issued = [first, second].map(|attestation| stage.bank.issue(&attestation, &[(BANKNET, account)]));
        let stored = tokio::join!(one.store_cards(&issued[0]), two.store_cards(&issued[1]));
        let refusal = match stored {
            (Ok(_), refusal) => {
                two.cancel().await.unwrap();
                refusal
            }
            (refusal, _) => {
                one.cancel().await.unwrap();
                refusal
            }
        };
        assert_eq!(refused(refusal), ErrorName::InvalidRequest);
    }
    assert_eq!(stage.client.wallet().await.unwrap().list_credentials().await.unwrap().len(), 4);
}

#[tokio::test]
async fn an_enrollment_that_was_cancelled_stores_no_cards_and_one_that_stores_them_ends_with_them() {
    let stage = stage().await;
    let wallet = stage.client.wallet().await.unwrap();
    for account in ["1", "2", "3", "4"] {
        let (enrollment, mut events, attestation) = attested(&stage).await;
        let issued = stage.bank.issue(&attestation, &[(BANKNET, account)]);
        let before = wallet.list_credentials().await.unwrap().len();
        let (stored, cancelled) = tokio::join!(enrollment.store_cards(&issued), enrollment.cancel());
        let end = soon("the end", events.next()).await.unwrap();
        let more = wallet.list_credentials().await.unwrap().len() - before;
        let seen = (stored.is_ok(), cancelled.is_err(), matches!(end, Event::Finished(Ok(()))), more == 1);
        assert!(matches!(seen, (true, true, true, true) | (false, false, false, false)), "{seen:?}");
    }
}

#[tokio::test]
async fn cards_for_another_key_are_refused_and_nothing_is_stored() {
    let stage = stage().await;
    let ((enrollment, _, first), (_, _, second)) = (attested(&stage).await, attested(&stage).await);
    let attestations = [first, second];
    let foreign = stage.bank.issue(&attestations[1], &[(BANKNET, "1")]);
    assert_eq!(refused(enrollment.store_cards(&foreign).await), ErrorName::InvalidRequest);
    assert_eq!(refused(enrollment.store_cards("[]").await), ErrorName::InvalidRequest);
    assert!(stage.client.wallet().await.unwrap().list_credentials().await.unwrap().is_empty());
    // The enrollment is still open for the right ones.
    enrollment.store_cards(&stage.bank.issue(&attestations[0], &[(BANKNET, "1")])).await.unwrap();
}

#[tokio::test]
async fn the_same_card_again_needs_replace() {
    let stage = stage().await;
    enroll(&stage.client, &stage.bank, &[(BANKNET, "1")]).await.unwrap();
    let again = enroll(&stage.client, &stage.bank, &[(BANKNET, "1")]).await;
    assert_eq!(refused(again), ErrorName::InvalidRequest);
}

#[tokio::test]
async fn cards_enter_through_an_attested_enrollment_of_the_callers_only() {
    let stage = stage().await;
    let offer = stage.bank.offer().to_json().to_string();
    let path = begin(&stage, &offer, MY_BANK).await.unwrap();
    let other = stage.fwpd.client(&stage.bus).await;
    let theirs = other.enrollment(&path).await.unwrap().start().await;
    assert!(matches!(theirs, Err(ClientError::Bus(zbus::Error::FDO(error)))
        if matches!(*error, zbus::fdo::Error::UnknownObject(_))));
    let mine = stage.client.enrollment(&path).await.unwrap();
    let cards = r#"[{"credentialId": "AAAA", "cardData": "AAAA"}]"#;
    assert_eq!(refused(mine.store_cards(cards).await), ErrorName::InvalidRequest);
    mine.cancel().await.unwrap();
}

#[tokio::test]
async fn a_deleted_card_is_gone_after_consent_and_stays_without() {
    let stage = stage().await;
    let paths = enroll(&stage.client, &stage.bank, &[(BANKNET, "1")]).await.unwrap();
    let card = stage.client.credential(&paths[0]).await.unwrap();
    stage.agent.answers([Answer::No, Answer::Yes]);
    let mut events = stage.client.events(&paths[0]);
    card.delete().await.unwrap();
    let end = soon("the end", events.next()).await.unwrap();
    assert!(matches!(end, Event::Finished(Err(error)) if error.name == ErrorName::Declined));
    card.delete().await.unwrap();
    assert_eq!(soon("the end", events.next()).await.unwrap(), Event::Finished(Ok(())));
    assert!(stage.client.wallet().await.unwrap().list_credentials().await.unwrap().is_empty());
    assert!(card.card_image().await.is_err());
}

#[tokio::test]
async fn this_computers_authenticator_is_reset_after_a_consent_that_tells_how_many_cards_it_costs() {
    let stage = stage().await;
    enroll(&stage.client, &stage.bank, &[(BANKNET, "1"), ("https://other.net", "2")]).await.unwrap();
    let wallet = stage.client.wallet().await.unwrap();
    let path = wallet.list_authenticators().await.unwrap().remove(0).0;
    let authenticator = stage.client.authenticator(&path).await.unwrap();
    let mut events = stage.client.events(&path);
    stage.agent.forget();
    stage.agent.answers([Answer::No, Answer::Yes]);
    authenticator.reset().await.unwrap();
    let end = soon("the end", events.next()).await.unwrap();
    assert!(matches!(end, Event::Finished(Err(error)) if error.name == ErrorName::Declined));
    assert!(matches!(&stage.agent.prompts()[0], Prompt::Consent(kind, details)
        if kind == "reset" && details.cards == Some(2) && details.authenticator.as_deref() == Some("software")));
    assert!(authenticator.pin_status().await.unwrap().set);

    authenticator.reset().await.unwrap();
    assert_eq!(soon("the end", events.next()).await.unwrap(), Event::Finished(Ok(())));
    assert!(!authenticator.pin_status().await.unwrap().set);
    // The cards are not deleted behind the user's back; new ones can be enrolled.
    assert_eq!(wallet.list_credentials().await.unwrap().len(), 2);
    enroll(&stage.client, &stage.bank, &[(BANKNET, "3")]).await.unwrap();
}

#[tokio::test]
async fn where_the_key_is_made_is_said_in_one_way_or_not_at_all() {
    let stage = stage().await;
    let offer = stage.bank.offer().to_json().to_string();
    let wallet = stage.client.wallet().await.unwrap();
    let path = wallet.list_authenticators().await.unwrap().remove(0).0;
    let none = zbus::OwnedObjectPath::try_from("/io/github/fwpd/authenticator/usb_1").unwrap();
    let begin = async |authenticator, attachment: Option<&str>| {
        let attachment = attachment.map(str::to_owned);
        let options = EnrollmentOptions { authenticator, attachment, ..EnrollmentOptions::default() };
        wallet.begin_enrollment(&offer, MY_BANK, &options).await
    };
    begin(None, Some("platform")).await.unwrap();
    begin(None, Some("cross-platform")).await.unwrap();
    begin(Some(path.clone()), None).await.unwrap();
    assert_eq!(refused(begin(None, Some("usb")).await), ErrorName::InvalidRequest);
    assert_eq!(refused(begin(Some(path), Some("platform")).await), ErrorName::InvalidRequest);
    assert_eq!(refused(begin(Some(none), None).await), ErrorName::NotFound);
}

#[tokio::test]
async fn the_pin_is_set_once_and_changed_with_the_present_one() {
    let stage = stage().await;
    let wallet = stage.client.wallet().await.unwrap();
    let path = wallet.list_authenticators().await.unwrap().remove(0).0;
    let authenticator = stage.client.authenticator(&path).await.unwrap();
    let status = authenticator.pin_status().await.unwrap();
    assert_eq!((status.set, status.retries, status.blocked), (false, 8, false));
    assert_eq!(refused(authenticator.change_pin().await), ErrorName::PinNotSet);
    let mut events = stage.client.events(&path);
    authenticator.set_pin().await.unwrap();
    assert_eq!(soon("the end", events.next()).await.unwrap(), Event::Finished(Ok(())));
    assert!(authenticator.pin_status().await.unwrap().set);
    assert_eq!(refused(authenticator.set_pin().await), ErrorName::InvalidState);
    stage.agent.types([Some(fwp_tests::agent::PIN), Some("27182818")]);
    authenticator.change_pin().await.unwrap();
    assert_eq!(soon("the end", events.next()).await.unwrap(), Event::Finished(Ok(())));
    stage.agent.types([Some("27182818")]);
    enroll(&stage.client, &stage.bank, &[(BANKNET, "1")]).await.unwrap();
}
