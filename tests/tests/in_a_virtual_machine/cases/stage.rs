//! What the cases have in common: keys in the kernel's USB ports, and the wallet on a bus.

use std::future::Future;
use std::process::Command;
use std::time::{Duration, Instant};

use fwp_dbus::Client;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PATIENCE, PrivateBus, Prompt, QUICK, ScriptedAgent, enroll};
use tokio::runtime::Runtime;
use virtual_keys::vhci::{Identity, Plugged};
use virtual_keys::{Key, Touch, opensk};

/// The card that the bank issues.
pub(crate) const CARD: (&str, &str) = (BANKNET, "FR7630002111110020050014382");

/// OpenSK, out of the box, and its serial number.
pub(crate) fn new_key(serial: &str, touch: Touch) -> (Key, Identity) {
    (opensk::key(touch), Identity::opensk(serial))
}

/// Plugs a key in.
pub(crate) fn plug((key, identity): &(Key, Identity)) -> Plugged {
    Plugged::new(key, identity.clone()).unwrap()
}

/// What a program prints; it must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The wallet on a bus of its own, with a desktop's agent, a page and a bank.
pub(crate) struct Stage {
    pub(crate) bus: PrivateBus,
    pub(crate) fwpd: Fwpd,
    pub(crate) agent: ScriptedAgent,
    pub(crate) desktop: Client,
    pub(crate) page: Client,
    pub(crate) bank: Bank,
    payments: u32,
}

impl Stage {
    /// Runs a case on a stage of its own. What fails brings the wallet's log along.
    pub(crate) fn run<F: Future<Output = Self>>(case: impl FnOnce(Self) -> F) {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            case(Self::with(QUICK).await).await;
        });
    }

    /// With these settings of the wallet.
    pub(crate) async fn with(settings: &str) -> Self {
        let bus = PrivateBus::session();
        let fwpd = Fwpd::start(&bus, "/bin/fwpd", settings).await;
        let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        let agent = ScriptedAgent::new();
        agent.register(&desktop).await.unwrap();
        Self { bus, fwpd, agent, desktop, page, bank: Bank::new(MY_BANK), payments: 0 }
    }

    /// Waits until the wallet lists this many security keys.
    pub(crate) async fn sees_keys(&self, count: usize) {
        let started = Instant::now();
        loop {
            let all = self.page.wallet().await.unwrap().list_authenticators().await.unwrap();
            let keys = all.iter().filter(|(_, info)| info.kind == "usb" && info.usable).count();
            if keys == count {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{all:?}\n{}", self.fwpd.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Enrolls with the bank, and gets one card.
    pub(crate) async fn enroll(&self) {
        let cards = enroll(&self.page, &self.bank, &[CARD]).await;
        assert_eq!(cards.unwrap_or_else(|error| panic!("{error}\n{}", self.fwpd.log())).len(), 1);
    }

    /// The Space Shop's next payment, before the user.
    pub(crate) async fn payment(&mut self) -> Checkout {
        self.payments += 1;
        self.agent.forget();
        let checkout = Checkout::new(&self.page, &format!("order-{}", self.payments)).await.unwrap();
        checkout.payment.show().await.unwrap();
        checkout
    }

    /// Takes the payment's assertion, and has the bank open and verify it.
    pub(crate) async fn is_good(&self, checkout: &mut Checkout) {
        let signed = self.bank.open(&checkout.response().await);
        assert_eq!(signed.authorization_data().payee_host.as_str(), "spaceshop.com");
    }

    /// How many cards the wallet has.
    pub(crate) async fn cards(&self) -> usize {
        self.page.wallet().await.unwrap().list_credentials().await.unwrap().len()
    }

    /// Waits until the agent is told this state.
    pub(crate) async fn told(&self, wanted: &str) {
        let find =
            |prompt: &Prompt| matches!(prompt, Prompt::Status(state, _) if state == wanted).then_some(());
        self.agent.wait_for(wanted, find).await;
    }
}

/// Waits until the key blinks, and touches it.
pub(crate) fn touch(key: &Key) {
    assert!(key.wait_until_blinking(), "the key does not blink");
    assert!(key.touch(), "it was touched while it did not blink");
}
