//! A computer with a TPM of its own: swtpm, the wallet, its agent and a bank.

use fwp_dbus::proxy::AuthenticatorProxy;
use fwp_dbus::types::{AuthenticatorInfo, EnrollmentOptions, WalletStatus};
use fwp_dbus::{Error, Event};
use fwp_tests::{Checkout, PrivateBus, QUICK, soon};
use virtual_tpm::Swtpm;
use zbus::OwnedObjectPath;

use crate::common::{Stage, finished};

/// The authenticator with keys in the TPM.
pub(crate) const ON_TPM: &str = "/io/github/fwpd/authenticator/tpm";

pub(crate) fn on_tpm() -> OwnedObjectPath {
    OwnedObjectPath::try_from(ON_TPM).unwrap()
}

pub(crate) struct Computer {
    pub(crate) stage: Stage,
    pub(crate) swtpm: Swtpm,
}

impl Computer {
    /// A new one, on a session's bus.
    pub(crate) async fn new() -> Self {
        Self::with(Swtpm::new()).await
    }

    /// One with this TPM and a wallet of its own.
    pub(crate) async fn with(swtpm: Swtpm) -> Self {
        Self::set_up(swtpm, "").await
    }

    /// One with this TPM and these further settings.
    pub(crate) async fn set_up(swtpm: Swtpm, settings: &str) -> Self {
        let config = format!("{settings}{QUICK}[tpm]\naddress = \"{}\"\n", swtpm.address());
        Self { stage: Stage::on(PrivateBus::session(), &config).await, swtpm }
    }

    /// One with a PIN and a card.
    pub(crate) async fn enrolled() -> Self {
        let computer = Self::new().await;
        computer.enroll("1").await;
        computer.stage.agent.forget();
        computer
    }

    /// Enrolls one card with this account, the key made in the TPM.
    pub(crate) async fn enroll(&self, account: &str) {
        let options = EnrollmentOptions { authenticator: Some(on_tpm()), ..EnrollmentOptions::default() };
        self.stage.enroll(account, options).await.unwrap();
    }

    pub(crate) async fn authenticator(&self) -> AuthenticatorProxy<'static> {
        self.stage.client.authenticator(&on_tpm()).await.unwrap()
    }

    /// As it is listed, if it is.
    pub(crate) async fn info(&self) -> Option<AuthenticatorInfo> {
        let all = self.stage.client.wallet().await.unwrap().list_authenticators().await.unwrap();
        all.into_iter().find(|(path, _)| path.as_str() == ON_TPM).map(|(_, info)| info)
    }

    pub(crate) async fn status(&self) -> WalletStatus {
        self.stage.client.wallet().await.unwrap().status().await.unwrap()
    }

    /// The store is open and gives its cards.
    pub(crate) async fn opens(&self) {
        assert_eq!(self.status().await.store, "open");
        let cards = self.stage.client.wallet().await.unwrap().list_credentials().await.unwrap();
        assert!(!cards.is_empty());
    }

    /// Pays for an order with the first card: the authorization verified by the bank, or how it ended.
    pub(crate) async fn pay(&self, order: &str) -> Result<(), Error> {
        let mut checkout = Checkout::new(&self.stage.client, order).await.unwrap();
        checkout.payment.show().await.unwrap();
        match soon("the end", checkout.events.next()).await.unwrap() {
            Event::Response(response) => {
                self.stage.bank.open(&response);
                checkout.payment.complete("success").await.unwrap();
                finished(&mut checkout.events).await
            }
            Event::Finished(end) => Err(end.expect_err("an end without a response")),
            event => panic!("{event:?}"),
        }
    }

    /// No object and no session is left in the TPM.
    pub(crate) fn has_nothing_left(&self) {
        assert_eq!(self.swtpm.left(), Vec::<String>::new());
    }
}
