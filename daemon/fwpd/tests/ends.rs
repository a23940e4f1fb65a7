//! The daemon ends in the middle of something, told to (SIGTERM) or not (SIGKILL): whoever waits hears of it by name, and the
//! ledger holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use fwp_dbus::types::{EnrollmentOptions, HistoryOptions};
use fwp_dbus::{Client, ClientError, Error, ErrorName, Event};
use fwp_tests::requests::BANKNET;
use fwp_tests::{
    Answer, Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll, soon,
};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

/// A wallet with two cards that fit.
struct House {
    bus: PrivateBus,
    fwpd: Fwpd,
    agent: ScriptedAgent,
    page: Client,
    _desktop: Client,
}

impl House {
    async fn new() -> Self {
        let bus = PrivateBus::session();
        let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
        let (page, desktop) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        enroll(&page, &Bank::new(MY_BANK), &[(BANKNET, "first"), (BANKNET, "second")]).await.unwrap();
        agent.forget();
        Self { bus, fwpd, agent, page, _desktop: desktop }
    }

    async fn start_again(self) -> Self {
        let Self { bus, mut fwpd, .. } = self;
        fwpd.start_again(&bus.connect().await).await;
        let (page, desktop) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        Self { bus, fwpd, agent, page, _desktop: desktop }
    }

    /// SIGTERM ends it well and soon.
    fn terminate(&mut self) {
        let told = Instant::now();
        let status = self.fwpd.terminate();
        assert!(status.success(), "{status:?}");
        assert!(told.elapsed() < Duration::from_secs(2), "it took {:?}", told.elapsed());
    }

    /// Pays order "1" with this card of the list.
    async fn pay_with(&self, card: usize) -> Result<(), Error> {
        self.agent.answers([Answer::Card(card)]);
        let mut checkout = Checkout::new(&self.page, "1").await.unwrap();
        checkout.payment.show().await.unwrap();
        match checkout.next().await {
            Event::Response(_) => Ok(()),
            Event::Finished(end) => Err(end.unwrap_err()),
            event => panic!("{event:?}"),
        }
    }

    async fn outcomes(&self) -> Vec<String> {
        let history = self.page.wallet().await.unwrap().history(9, &HistoryOptions::default()).await.unwrap();
        history.into_iter().map(|entry| entry.event).collect()
    }

    async fn is_asked(&self, what: &str, is_it: impl Fn(&Prompt) -> bool) {
        self.agent.wait_for(what, |prompt| is_it(prompt).then_some(())).await;
    }
}

async fn ends_by_name(checkout: &mut Checkout) {
    let error = checkout.failure().await;
    assert_eq!((error.name, error.message.as_str()), (ErrorName::Aborted, "the wallet is shutting down"));
}

fn was_withdrawn(agent: &ScriptedAgent) -> bool {
    agent.prompts().iter().any(|prompt| matches!(prompt, Prompt::Withdrawn))
}

#[tokio::test]
async fn sigterm_ends_a_payment_that_waits_for_the_user_by_name_and_takes_the_prompt_away() {
    let mut house = House::new().await;
    house.agent.answers([Answer::Never]);
    let mut unshown = Checkout::new(&house.page, "2").await.unwrap();
    let mut checkout = Checkout::new(&house.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    house.is_asked("the question", |prompt| matches!(prompt, Prompt::Authorize(..))).await;
    house.terminate();
    ends_by_name(&mut checkout).await;
    ends_by_name(&mut unshown).await;
    assert!(was_withdrawn(&house.agent));
    let house = house.start_again().await;
    assert_eq!(house.outcomes().await, ["aborted"], "what the user saw stands in the history");
    // Nothing was signed, so that any card may pay.
    house.pay_with(1).await.unwrap();
}

#[tokio::test]
async fn sigterm_ends_a_payment_at_the_pin_and_its_request_is_not_tied() {
    let mut house = House::new().await;
    house.agent.types([Some("")]);
    let mut checkout = Checkout::new(&house.page, "1").await.unwrap();
    checkout.payment.show().await.unwrap();
    house.is_asked("the PIN", |prompt| matches!(prompt, Prompt::Pin(_))).await;
    house.terminate();
    ends_by_name(&mut checkout).await;
    assert!(was_withdrawn(&house.agent));
    let house = house.start_again().await;
    house.pay_with(1).await.unwrap();
}

#[tokio::test]
async fn sigterm_after_the_authorization_leaves_it_in_history_and_ledger() {
    let mut house = House::new().await;
    let mut checkout = Checkout::new(&house.page, "1").await.unwrap();
    checkout.pay().await;
    house.terminate();
    ends_by_name(&mut checkout).await;
    let house = house.start_again().await;
    assert_eq!(house.outcomes().await, ["authorized"]);
    assert_eq!(house.pay_with(1).await.unwrap_err().name, ErrorName::CardTied);
    house.pay_with(0).await.unwrap();
}

#[tokio::test]
async fn sigterm_ends_an_enrollment_by_name_and_what_still_calls_is_told() {
    let mut house = House::new().await;
    house.agent.answers([Answer::Never]);
    let (offer, wallet) = (Bank::new("other.fr").offer(), house.page.wallet().await.unwrap());
    let text = offer.to_json().to_string();
    let path = wallet.begin_enrollment(&text, "other.fr", &EnrollmentOptions::default()).await.unwrap();
    let mut events = house.page.events(&path);
    house.page.enrollment(&path).await.unwrap().start().await.unwrap();
    house.is_asked("the consent", |prompt| matches!(prompt, Prompt::Consent(..))).await;
    house.terminate();
    let Event::Finished(Err(error)) = soon("its end", events.next()).await.unwrap() else { panic!() };
    assert_eq!(error.name, ErrorName::Aborted);
    assert!(matches!(wallet.can_make_payment().await, Err(ClientError::NotRunning | ClientError::Bus(_))));
}

#[tokio::test]
async fn kill_9_in_a_payment_is_told_to_its_owner_and_the_ledger_holds() {
    for at_the_pin in [true, false] {
        let mut house = House::new().await;
        let mut checkout = Checkout::new(&house.page, "1").await.unwrap();
        if at_the_pin {
            house.agent.types([Some("")]);
            checkout.payment.show().await.unwrap();
            house.is_asked("the PIN", |prompt| matches!(prompt, Prompt::Pin(_))).await;
        } else {
            checkout.pay().await;
        }
        house.fwpd.kill();
        let end = soon("the news", checkout.events.next()).await;
        assert!(matches!(end, Err(ClientError::NotRunning)), "{end:?}");
        let house = house.start_again().await;
        if at_the_pin {
            house.pay_with(1).await.unwrap();
        } else {
            assert_eq!(house.outcomes().await, ["authorized"]);
            assert_eq!(house.pay_with(1).await.unwrap_err().name, ErrorName::CardTied);
            house.pay_with(0).await.unwrap();
        }
    }
}
