//! A wallet that pays.

use fwp_dbus::types::EnrollmentOptions;
use fwp_dbus::{Client, Event};
use fwp_tests::daemon::MANY_PAYMENTS;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, ScriptedAgent, enroll_with};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A daemon on a bus of its own, with an agent that answers at once and a card.
pub(crate) struct Wallet {
    page: Client,
    paid: usize,
    _desktop: Client,
    _fwpd: Fwpd,
    _bus: PrivateBus,
}

impl Wallet {
    /// With the TPM at `address`, and a card whose key is in the authenticator of this kind.
    pub(crate) async fn start(program: &Path, address: &str, kind: &str) -> Self {
        let bus = PrivateBus::session();
        let settings = format!("{MANY_PAYMENTS}\n[tpm]\naddress = \"{address}\"\n");
        let fwpd = Fwpd::start(&bus, program, &settings).await;
        let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        ScriptedAgent::new().register(&desktop).await.unwrap();
        let all = page.wallet().await.unwrap().list_authenticators().await.unwrap();
        let (path, _) = all.into_iter().find(|(_, info)| info.kind == kind).expect("the authenticator");
        let options = EnrollmentOptions { authenticator: Some(path), ..EnrollmentOptions::default() };
        let card = (BANKNET, "FR7630002111110020050014382");
        enroll_with(&page, &Bank::new(MY_BANK), &[card], &options)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", fwpd.log()));
        let listed = page.wallet().await.unwrap().list_credentials().await.unwrap();
        assert_eq!(listed[0].1.authenticator, kind);
        Self { page, paid: 0, _desktop: desktop, _fwpd: fwpd, _bus: bus }
    }

    /// Seconds of one payment, from CreatePayment to Closed after Complete.
    pub(crate) async fn pay(&mut self) -> f64 {
        self.paid += 1;
        let (id, value) = (format!("order-{}", self.paid), format!("{}.00", self.paid));
        let start = Instant::now();
        let mut checkout = Checkout::of(&self.page, "spaceshop.com", &[BANKNET], &id, &value).await.unwrap();
        checkout.pay().await;
        checkout.payment.complete("success").await.unwrap();
        assert_eq!(checkout.next().await, Event::Finished(Ok(())));
        start.elapsed().as_secs_f64()
    }

    /// Gives what may still be done after a payment the time for it.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// `fwpd` of the release build, in the target folder that this benchmark runs from.
pub(crate) fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder =
        this.ancestors().find(|folder| folder.ends_with("release")).unwrap_or(Path::new("target/release"));
    let program = folder.join("fwpd");
    assert!(program.is_file(), "no release build of fwpd; use `make bench`");
    program
}
