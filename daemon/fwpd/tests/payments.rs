//! Payments on a real bus: from a page's request to an authorization that the bank can open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use fwp_dbus::interfaces::{CREDENTIAL, PAYMENT, WALLET, WALLET_PATH};
use fwp_dbus::types::{HistoryOptions, PaymentOptions};
use fwp_dbus::{Client, ClientError, ErrorName, Event};
use fwp_tests::daemon::MANY_PAYMENTS;
use fwp_tests::requests::{BANKNET, SPACE_SHOP, details, method_data, update};
use fwp_tests::{
    Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll, refused, soon,
};
use zbus::message::{Flags, Type};
use zbus::{Message, MessageStream};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

/// A bus with the daemon, an agent, a bank and a wallet with cards of its.
struct Stage {
    bus: PrivateBus,
    fwpd: Fwpd,
    agent: ScriptedAgent,
    /// The agent's connection.
    desktop: Client,
    /// The page's.
    page: Client,
    bank: Bank,
}

impl Stage {
    async fn with_cards(cards: &[(&str, &str)]) -> Self {
        Self::with(cards, QUICK).await
    }

    async fn with_config(config: &str) -> Self {
        Self::with(&[(BANKNET, "FR7630002111110020050014382")], config).await
    }

    async fn with(cards: &[(&str, &str)], config: &str) -> Self {
        let bus = PrivateBus::session();
        let fwpd = Fwpd::start(&bus, FWPD, config).await;
        let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        let bank = Bank::new(MY_BANK);
        enroll(&page, &bank, cards).await.unwrap();
        agent.forget();
        Self { bus, fwpd, agent, desktop, page, bank }
    }

    async fn new() -> Self {
        Self::with_cards(&[
            (BANKNET, "FR7630002111110020050014382"),
            ("https://other.net", "4972039000000004"),
        ])
        .await
    }

    async fn shown(&self) -> fwp_dbus::types::AuthorizeRequest {
        self.agent
            .wait_for("the payment before the user", |prompt| match prompt {
                Prompt::Authorize(_, request, _) => Some(request.clone()),
                _ => None,
            })
            .await
    }

    fn shown_payments(
        &self,
    ) -> Vec<(fwp_dbus::types::AuthorizeRequest, Vec<fwp_dbus::types::AuthorizeCard>)> {
        let of = |prompt| match prompt {
            Prompt::Authorize(_, request, cards) => Some((request, cards)),
            _ => None,
        };
        self.agent.prompts().into_iter().filter_map(of).collect()
    }
}

#[tokio::test]
async fn a_payment_ends_with_an_authorization_that_the_bank_can_open_and_verify() {
    let stage = Stage::new().await;
    let mut checkout = Checkout::new(&stage.page, "7040566321").await.unwrap();
    assert_eq!(checkout.payment.state().await.unwrap(), "created");
    let assertion = checkout.pay().await;
    assert_eq!(checkout.payment.state().await.unwrap(), "authorized");

    let shown = stage.shown().await;
    assert_eq!((shown.payee_name.as_str(), shown.payee_host.as_str()), ("Space Shop", SPACE_SHOP));
    assert_eq!((shown.amount.as_str(), shown.currency.as_str()), ("435.00", "EUR"));
    let sad = stage.bank.open(&assertion);
    let signed = sad.authorization_data();
    assert_eq!(signed.payment_request.request_id, "7040566321");
    assert_eq!(signed.payment_request.amount.as_str(), "435.00");
    assert_eq!(signed.payee_host.as_str(), SPACE_SHOP);
    assert_eq!(signed.account_id.as_str(), "FR7630002111110020050014382");
    assert_eq!(signed.platform_data.user_agent_name, "Chrome");

    checkout.payment.complete("success").await.unwrap();
    assert_eq!(checkout.next().await, Event::Finished(Ok(())));
    let wallet = stage.page.wallet().await.unwrap();
    let history = wallet.history(10, &HistoryOptions::default()).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].event, "authorized, merchant says success");
    assert_eq!(history[0].payee_host.as_deref(), Some(SPACE_SHOP));
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_refused_by_the_fields_name_and_makes_no_payment() {
    let stage = Stage::new().await;
    let wallet = stage.page.wallet().await.unwrap();
    let options = PaymentOptions::default();
    let details = details("1", "435.00").replace("null", "\"Total\"");
    let refusal = wallet.create_payment(SPACE_SHOP, &method_data(&[BANKNET]), &details, &options).await;
    let message = refusal.as_ref().unwrap_err().to_string();
    assert_eq!(refused(refusal), ErrorName::InvalidRequest);
    assert!(message.contains("details.total.label"), "{message}");
}

#[tokio::test]
async fn a_payment_is_not_there_for_other_connections_of_the_same_user() {
    let stage = Stage::new().await;
    let checkout = Checkout::new(&stage.page, "1").await.unwrap();
    let other = stage.fwpd.client(&stage.bus).await;
    let theirs = other.payment(&checkout.path).await.unwrap();
    for refusal in [theirs.show().await, theirs.abort().await, theirs.state().await.map(|_| ())] {
        let is_unknown = matches!(&refusal, Err(ClientError::Bus(zbus::Error::FDO(error)))
            if matches!(**error, zbus::fdo::Error::UnknownObject(_)));
        assert!(is_unknown, "{refusal:?}");
    }
    assert_eq!(checkout.payment.state().await.unwrap(), "created");
}

#[tokio::test]
async fn a_user_has_so_many_payments_open_and_no_more_until_one_ends() {
    let stage = Stage::with_config("[limits]\npayments = 3\n[policy]\ncool-down = 0").await;
    let mut open = Vec::new();
    for id in ["1", "2", "3"] {
        open.push(Checkout::new(&stage.page, id).await.unwrap());
    }
    assert_eq!(refused(Checkout::new(&stage.page, "4").await), ErrorName::LimitsExceeded);
    open[0].payment.abort().await.unwrap();
    assert_eq!(open[0].failure().await.name, ErrorName::Aborted);
    Checkout::new(&stage.page, "4").await.unwrap();
}

#[tokio::test]
async fn the_user_says_no_and_nobody_is_asked_again_for_a_moment() {
    let mut stage = Stage::new().await;
    stage.agent.answers([Answer::No]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::Declined);
    assert!(checkout.payment.state().await.is_err(), "the object is gone");

    // With the pause of the default settings.
    stage.fwpd.kill();
    let fwpd = Fwpd::start(&stage.bus, FWPD, "").await;
    let desktop = fwpd.client(&stage.bus).await;
    stage.agent.register(&desktop).await.unwrap();
    stage.agent.answers([Answer::No]);
    let page = fwpd.client(&stage.bus).await;
    enroll(&page, &stage.bank, &[(BANKNET, "1")]).await.expect_err("declined");
    let checkout = Checkout::new(&page, "2").await.unwrap();
    assert_eq!(refused(checkout.payment.show().await), ErrorName::CoolDown);
}

#[tokio::test]
async fn without_an_agent_nothing_is_shown() {
    let stage = Stage::new().await;
    let checkout = Checkout::new(&stage.page, "1").await.unwrap();
    stage.desktop.connection().clone().close().await.unwrap();
    let wallet = stage.page.wallet().await.unwrap();
    soon("the agent's end", async {
        while wallet.status().await.unwrap().agent {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(refused(checkout.payment.show().await), ErrorName::NoAgent);
    assert_eq!(checkout.payment.state().await.unwrap(), "created");
}

#[tokio::test]
async fn the_user_is_told_when_no_card_fits() {
    let stage = Stage::new().await;
    let mut checkout =
        Checkout::of(&stage.page, SPACE_SHOP, &["https://unknown.net"], "1", "1.00").await.unwrap();
    checkout.payment.show().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::NoMatchingCard);
    assert_eq!(stage.shown_payments()[0].1.len(), 0);
}

#[tokio::test]
async fn of_two_cards_the_one_that_the_user_picks_signs() {
    let stage = Stage::with_cards(&[(BANKNET, "first"), (BANKNET, "second")]).await;
    stage.agent.answers([Answer::Card(1)]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    let assertion = checkout.pay().await;
    let offered = stage.shown_payments()[0].1.clone();
    assert_eq!(offered.len(), 2);
    let signed = stage.bank.open(&assertion).authorization_data().account_id.clone();
    assert_eq!(signed.as_str(), offered[1].account_id);
}

#[tokio::test]
async fn a_second_payment_is_busy_while_the_first_is_before_the_user() {
    let stage = Stage::new().await;
    stage.agent.answers([Answer::Never]);
    let mut first = Checkout::new(&stage.page, "1").await.unwrap();
    let mut second = Checkout::new(&stage.page, "2").await.unwrap();
    first.payment.show().await.unwrap();
    assert_eq!(refused(second.payment.show().await), ErrorName::Busy);
    first.payment.abort().await.unwrap();
    assert_eq!(first.failure().await.name, ErrorName::Aborted);
    second.pay().await;
}

#[tokio::test]
async fn an_abort_takes_the_prompt_away() {
    let stage = Stage::new().await;
    stage.agent.answers([Answer::Never]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.shown().await;
    checkout.payment.abort().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::Aborted);
    stage
        .agent
        .wait_for("the prompt's end", |prompt| matches!(prompt, Prompt::Withdrawn).then_some(()))
        .await;
}

#[tokio::test]
async fn an_abort_while_the_pin_is_asked_for_ends_the_ceremony() {
    let stage = Stage::new().await;
    stage.agent.types([Some("")]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage
        .agent
        .wait_for("the question for a PIN", |prompt| matches!(prompt, Prompt::Pin(_)).then_some(()))
        .await;
    assert_eq!(checkout.payment.state().await.unwrap(), "signing");
    assert_eq!(refused(checkout.payment.update(&update("1.00")).await), ErrorName::InvalidState);
    checkout.payment.abort().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::Aborted);
    stage
        .agent
        .wait_for("the prompt's end", |prompt| matches!(prompt, Prompt::Withdrawn).then_some(()))
        .await;
    Checkout::new(&stage.page, "2").await.unwrap().pay().await;
}

#[tokio::test]
async fn a_user_who_does_nothing_ends_the_payment_by_the_deadline() {
    let stage = Stage::with_config("[deadlines]\nprompt = 1\nsign = 1\n[policy]\ncool-down = 0").await;
    stage.agent.answers([Answer::Never]);
    let mut unanswered = Checkout::new(&stage.page, "1").await.unwrap();
    unanswered.payment.show().await.unwrap();
    assert_eq!(unanswered.failure().await.name, ErrorName::Timeout);
    stage.agent.types([Some("")]);
    let mut without_pin = Checkout::new(&stage.page, "2").await.unwrap();
    without_pin.payment.show().await.unwrap();
    assert_eq!(without_pin.failure().await.name, ErrorName::Timeout);
    Checkout::new(&stage.page, "3").await.unwrap().pay().await;
}

#[tokio::test]
async fn the_agents_prompt_goes_when_the_daemon_is_killed() {
    let mut stage = Stage::new().await;
    stage.agent.answers([Answer::Never]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.shown().await;
    stage.fwpd.kill();
    stage
        .agent
        .wait_for("the prompt's end", |prompt| matches!(prompt, Prompt::Withdrawn).then_some(()))
        .await;
    let end = soon("the end", checkout.events.next()).await;
    assert!(matches!(end, Err(ClientError::NotRunning)), "{end:?}");
}

#[tokio::test]
async fn a_monitor_that_reads_everything_on_the_bus_finds_no_pin() {
    let stage = Stage::new().await;
    let mut monitor = Command::new("dbus-monitor")
        .args(["--pcap", "--address", stage.bus.address()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut captured = monitor.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        captured.read_to_end(&mut bytes).map(|_| bytes)
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    Checkout::new(&stage.page, "1").await.unwrap().pay().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    let seen = reader.join().unwrap().unwrap();
    let has = |text: &str| seen.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(
        has("RequestPin") && has("Authorize") && has("FR7630002111110020050014382"),
        "it saw the payment"
    );
    assert!(!has(fwp_tests::agent::PIN));
}

#[tokio::test]
async fn an_update_asks_again_for_the_new_total_which_is_what_is_signed() {
    let stage = Stage::new().await;
    stage.agent.answers([Answer::Never, Answer::Yes]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.shown().await;
    checkout.payment.update(&update("440.00")).await.unwrap();
    let assertion = checkout.response().await;
    let shown: Vec<_> = stage.shown_payments().into_iter().map(|(request, _)| request.amount).collect();
    assert_eq!(shown, ["435.00", "440.00"]);
    let sad = stage.bank.open(&assertion);
    assert_eq!(sad.authorization_data().payment_request.amount.as_str(), "440.00");
}

#[tokio::test]
async fn a_bad_update_is_refused_and_the_payment_goes_on() {
    let stage = Stage::new().await;
    stage.agent.answers([Answer::After(Duration::from_millis(300), Box::new(Answer::Yes))]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.shown().await;
    assert_eq!(refused(checkout.payment.update(&update("-1")).await), ErrorName::InvalidRequest);
    checkout.response().await;
    assert_eq!(refused(checkout.payment.update(&update("1.00")).await), ErrorName::InvalidState);
}

#[tokio::test]
async fn a_retry_offers_the_card_of_the_first_time_and_no_other() {
    let stage = Stage::with_cards(&[(BANKNET, "first"), (BANKNET, "second")]).await;
    stage.agent.answers([Answer::Card(1), Answer::Yes]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    let first = stage.bank.open(&checkout.pay().await);
    checkout.payment.retry(r#"{"error": "The card was refused"}"#).await.unwrap();
    let again = stage.bank.open(&checkout.response().await);
    assert_eq!(first.authorization_data().account_id, again.authorization_data().account_id);
    let (request, cards) = stage.shown_payments()[1].clone();
    assert_eq!(cards.len(), 1);
    assert!(request.retry);
    assert_eq!(request.error.as_deref(), Some("The card was refused"));
}

#[tokio::test]
async fn the_same_request_with_another_card_is_refused_also_after_a_restart() {
    let mut stage = Stage::with_cards(&[(BANKNET, "first"), (BANKNET, "second")]).await;
    Checkout::new(&stage.page, "1").await.unwrap().pay().await;
    stage.agent.answers([Answer::Card(1)]);
    let mut again = Checkout::new(&stage.page, "1").await.unwrap();
    again.payment.show().await.unwrap();
    assert_eq!(again.failure().await.name, ErrorName::CardTied);

    stage.fwpd.kill();
    stage.fwpd.start_again(stage.page.connection()).await;
    let (desktop, page) = (stage.fwpd.client(&stage.bus).await, stage.fwpd.client(&stage.bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    agent.answers([Answer::Card(1), Answer::Card(0)]);
    let mut restarted = Checkout::new(&page, "1").await.unwrap();
    restarted.payment.show().await.unwrap();
    assert_eq!(restarted.failure().await.name, ErrorName::CardTied);
    // The card of the first time still may.
    Checkout::new(&page, "1").await.unwrap().pay().await;
}

#[tokio::test]
async fn a_payment_whose_owner_goes_away_is_withdrawn() {
    let stage = Stage::new().await;
    stage.agent.answers([Answer::Never]);
    let visitor = stage.fwpd.client(&stage.bus).await;
    let checkout = Checkout::new(&visitor, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.shown().await;
    visitor.connection().clone().close().await.unwrap();
    stage
        .agent
        .wait_for("the prompt's end", |prompt| matches!(prompt, Prompt::Withdrawn).then_some(()))
        .await;
    let mut next = Checkout::new(&stage.page, "2").await.unwrap();
    soon("the floor", async {
        while next.payment.show().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    next.response().await;
}

#[tokio::test]
async fn an_agent_that_goes_away_ends_what_it_asked() {
    let stage = Stage::new().await;
    stage.agent.answers([Answer::Never]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.shown().await;
    stage.desktop.connection().clone().close().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::NoAgent);
}

#[tokio::test]
async fn an_agent_that_answers_nonsense_pays_nothing() {
    let stage = Stage::new().await;
    let path = zbus::OwnedObjectPath::try_from("/io/github/fwpd/credential/00000000000000aa").unwrap();
    stage.agent.answers([Answer::Nonsense, Answer::Path(path)]);
    for id in ["1", "2"] {
        let mut checkout = Checkout::new(&stage.page, id).await.unwrap();
        checkout.payment.show().await.unwrap();
        let failure = checkout.failure().await;
        assert!([ErrorName::NoAgent, ErrorName::NoMatchingCard].contains(&failure.name), "{failure}");
    }
}

#[tokio::test]
async fn wrong_pins_are_counted_before_the_user_and_block_in_the_end() {
    let stage = Stage::new().await;
    stage.agent.types([Some("00000000"), None]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::Declined);
    let asked = |stage: &Stage| -> Vec<(bool, Option<u32>)> {
        let of = |prompt| match prompt {
            Prompt::Pin(request) => Some((request.wrong, request.retries)),
            _ => None,
        };
        stage.agent.prompts().into_iter().filter_map(of).collect()
    };
    assert_eq!(asked(&stage), [(false, Some(8)), (true, Some(7))]);

    stage.agent.types(std::iter::repeat_n(Some("00000000"), 20));
    let mut last = None;
    for id in 2..10 {
        let mut checkout = Checkout::new(&stage.page, &id.to_string()).await.unwrap();
        checkout.payment.show().await.unwrap();
        last = Some(checkout.failure().await.name);
        if last == Some(ErrorName::PinBlocked) {
            break;
        }
        assert_eq!(last, Some(ErrorName::PinAuthBlocked));
    }
    assert_eq!(last, Some(ErrorName::PinBlocked));
    // The right one doesn't help any more, and an attempt is not even asked for.
    stage.agent.types([]);
    stage.agent.forget();
    let mut checkout = Checkout::new(&stage.page, "99").await.unwrap();
    checkout.payment.show().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::PinBlocked);
    assert_eq!(asked(&stage), []);
}

#[tokio::test]
async fn a_failed_attempt_ties_the_request_to_no_card() {
    let stage = Stage::with_cards(&[(BANKNET, "first"), (BANKNET, "second")]).await;
    stage.agent.types([Some("00000000"), None]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    assert_eq!(checkout.failure().await.name, ErrorName::Declined);
    stage.agent.answers([Answer::Card(1)]);
    Checkout::new(&stage.page, "1").await.unwrap().pay().await;
}

#[tokio::test]
async fn the_log_and_the_errors_have_no_account_number_and_no_pin() {
    let mut stage = Stage::new().await;
    Checkout::new(&stage.page, "1").await.unwrap().pay().await;
    assert!(stage.fwpd.terminate().success());
    let log = stage.fwpd.log();
    assert!(log.contains("serving"));
    for secret in ["FR7630002111110020050014382", "4972039000000004", fwp_tests::agent::PIN] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn ending_the_daemon_tells_the_owner_and_takes_the_prompt_away() {
    let mut stage = Stage::new().await;
    stage.agent.answers([Answer::Never]);
    let mut checkout = Checkout::new(&stage.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    stage.shown().await;
    assert!(stage.fwpd.terminate().success());
    assert_eq!(checkout.failure().await.name, ErrorName::Aborted);
    stage
        .agent
        .wait_for("the prompt's end", |prompt| matches!(prompt, Prompt::Withdrawn).then_some(()))
        .await;
}

/// The moment between the signature and its Response is short, so this tries often.
#[tokio::test]
async fn after_an_acknowledged_abort_no_authorization_is_handed_out() {
    let stage = Stage::with_config(MANY_PAYMENTS).await;
    let (connection, wallet) = (stage.page.connection(), stage.page.wallet().await.unwrap());
    for round in 0..40 {
        let id = format!("round {round}");
        let mut checkout = Checkout::new(&stage.page, &id).await.unwrap();
        checkout.payment.show().await.unwrap();
        while checkout.payment.state().await.is_ok_and(|state| state != "authorized") {}
        let abort = Message::method_call(&checkout.path, "Abort").destination(stage.page.daemon().as_str());
        let abort = abort.interface(PAYMENT.name).build(&()).unwrap();
        // A Response that is there already is not seen by this.
        let mut messages = MessageStream::from(connection);
        connection.send(&abort).await.unwrap();

        let mut acknowledged = false;
        loop {
            let message = soon("the end", messages.next()).await.unwrap().unwrap();
            let header = message.header();
            acknowledged |= header.reply_serial() == Some(abort.primary_header().serial_num())
                && message.message_type() == Type::MethodReturn;
            match header.member().map(|member| member.as_str()) {
                _ if header.path().is_none_or(|path| *path != *checkout.path) => {}
                Some("Response") => assert!(!acknowledged, "handed out after the abort, {id}"),
                Some("Closed") => break,
                _ => {}
            }
        }
        assert!(acknowledged);
        // Nor does the history tell of one.
        let handed_out = matches!(checkout.next().await, Event::Response(_));
        let history = wallet.history(1, &HistoryOptions::default()).await.unwrap();
        assert_eq!(history[0].request_id.as_deref(), Some(id.as_str()));
        assert_eq!(history[0].event == "authorized", handed_out, "{history:?}");
    }
}

/// Connects, makes itself known, calls without waiting for an answer, and goes away.
async fn calls_and_leaves<B>(stage: &Stage, path: &str, method: (&str, &str), body: &B)
where
    B: serde::Serialize + zbus::DynamicType,
{
    let connection = stage.bus.connect().await;
    let client = Client::connect(&connection).await.unwrap();
    client.wallet().await.unwrap().can_make_payment().await.unwrap();
    let call = Message::method_call(path, method.1).with_flags(Flags::NO_REPLY_EXPECTED);
    let call = call.destination(client.daemon().as_str()).interface(method.0).build(body).unwrap();
    connection.send(&call).await.unwrap();
    drop(client);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_leaves_at_once_leaves_no_payment_behind() {
    let stage = Stage::with_config("[limits]\npayments = 1\n[policy]\ncool-down = 0").await;
    let request = (SPACE_SHOP, method_data(&[BANKNET]), details("1", "435.00"), PaymentOptions::default());
    for _ in 0..20 {
        calls_and_leaves(&stage, WALLET_PATH, (WALLET.name, "CreatePayment"), &request).await;
    }
    soon("room for a payment", async {
        while Checkout::new(&stage.page, "2").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_leaves_at_once_leaves_no_prompt_behind() {
    let stage = Stage::new().await;
    let card = stage.page.wallet().await.unwrap().list_credentials().await.unwrap().remove(0).0;
    for _ in 0..20 {
        stage.agent.answers([Answer::Never, Answer::Never]);
        calls_and_leaves(&stage, card.as_str(), (CREDENTIAL.name, "Delete"), &()).await;
    }
    soon("the user's attention", async {
        while stage.page.wallet().await.unwrap().status().await.unwrap().busy {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
