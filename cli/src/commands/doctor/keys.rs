//! Security keys and this computer's own: are they seen, and can they be used from where the user sits?

use super::super::authenticators::{self, Found};
use super::report::{Health, Report};
use crate::cards::id_of;
use crate::text::safe;
use fwp_dbus::types::WalletStatus;
use fwp_dbus::{ClientError, ErrorName};

/// The wallet's own words, which say what to do.
fn words(text: Option<&str>) -> String {
    safe(text.unwrap_or("no reason was said")).to_string()
}

/// Whether security keys can be seen, and used from where the user sits.
pub(super) fn transports(report: &mut Report, status: &WalletStatus) {
    match status.usb.as_str() {
        "ready" => report.good("USB keys", "can be seen when they are plugged in"),
        _ => report.told("USB keys", Health::Warning, words(status.usb_problem.as_deref())),
    }
    match status.nfc.as_str() {
        "ready" => report.good("NFC keys", "can be seen when they are laid on a reader"),
        // Most machines have no reader.
        _ => report.told("NFC keys", Health::Unknown, words(status.nfc_problem.as_deref())),
    }
    match status.keys.as_str() {
        "allowed" => report.good("seat", "you may use the security keys here"),
        _ => report.told("seat", Health::Warning, words(status.keys_problem.as_deref())),
    }
}

/// Whether keys can be in this computer's TPM.
pub(super) fn tpm(report: &mut Report, status: &WalletStatus) {
    let problem = words(status.tpm_problem.as_deref());
    match (status.tpm.as_str(), status.tpm_advice.as_deref()) {
        ("ready", None) => report.good("TPM", "can be used"),
        ("ready", Some(advice)) => report.told("TPM", Health::Warning, words(Some(advice))),
        // Many machines have none.
        ("off", _) => report.told("TPM", Health::Unknown, problem),
        _ if status.tpm_problem.as_deref().is_some_and(|text| text.starts_with("no TPM answers")) => {
            report.told("TPM", Health::Unknown, problem);
        }
        _ => report.told("TPM", Health::Warning, problem),
    }
}

/// Each authenticator that is there.
pub(super) fn authenticators(report: &mut Report, all: &[Found]) {
    if all.is_empty() {
        report.add("authenticators", Health::Bad, "none", "plug in a security key");
    }
    for one in all {
        let (name, id) = (safe(&one.info.name), safe(id_of(&one.path)).to_string());
        if !one.info.usable {
            let found = format!("{name} ({id}): {}", safe(&one.info.problem));
            report.told("authenticator", Health::Warning, found);
            continue;
        }
        let found = format!("{name} ({id}), PIN: {}", authenticators::pin_text(&one.pin));
        // Where there is one only, it needs no name.
        let which = if all.len() > 1 { format!(" {id}") } else { String::new() };
        match pin_remedy(one, &which) {
            Some((health, remedy)) => report.add("authenticator", health, found, remedy),
            None => report.good("authenticator", found),
        }
    }
}

/// What to do about a PIN, if anything.
fn pin_remedy(one: &Found, which: &str) -> Option<(Health, String)> {
    let remedy = match &one.pin {
        Ok(pin) if pin.blocked => (
            Health::Bad,
            format!("reset it (\"fwpctl authenticators reset{which}\"), and enroll its cards again"),
        ),
        Ok(pin) if !pin.set => (Health::Warning, format!("set one with \"fwpctl pin set{which}\"")),
        Ok(pin) if pin.retries <= 3 => (Health::Warning, "the right PIN makes it 8 again".to_owned()),
        Ok(_) => return None,
        Err(ClientError::Refused(error)) if error.name == ErrorName::Busy => {
            (Health::Unknown, "something else uses it now".to_owned())
        }
        Err(_) if one.info.attachment == authenticators::PLATFORM => {
            (Health::Bad, "the wallet's log tells more".to_owned())
        }
        Err(_) => (Health::Bad, "plug it out and in again".to_owned()),
    };
    Some(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwp_dbus::Error;
    use fwp_dbus::types::{AuthenticatorInfo, PinStatus};
    use zbus::OwnedObjectPath;

    #[test]
    fn what_is_said_of_security_keys_is_explained_in_the_documentation() {
        let mut report = Report::default();
        transports(&mut report, &WalletStatus::default());
        report.told("authenticator", Health::Warning, "");
        let page = include_str!("../../../../docs/security-keys.md");
        for check in &report.0 {
            let line = format!("| `{}` {}", check.what, check.health.word());
            assert!(page.contains(&line), "{line}");
        }
    }

    fn one(attachment: &str, pin: Result<PinStatus, ClientError>) -> Found {
        let info =
            AuthenticatorInfo { attachment: attachment.to_owned(), usable: true, ..Default::default() };
        let path = OwnedObjectPath::try_from("/io/github/fwpd/authenticator/usb_1").unwrap();
        Found { path, info, pin }
    }

    #[test]
    fn each_state_of_a_pin_has_its_finding_and_its_remedy() {
        let pin = |set, retries, blocked| Ok(PinStatus { set, retries, min_length: 4, blocked });
        let refused = |name| Err(ClientError::Refused(Error::new(name, "")));
        let says = |one: Found| {
            let mut report = Report::default();
            authenticators(&mut report, &[one]);
            report.text()
        };
        for (pin, health, remedy) in [
            (pin(true, 8, false), "ok ", ""),
            (pin(false, 8, false), "warning ", "fwpctl pin set"),
            (pin(true, 3, false), "warning ", "makes it 8 again"),
            (pin(true, 0, true), "problem ", "authenticators reset"),
            (refused(ErrorName::Busy), "unknown ", "something else uses it"),
            (refused(ErrorName::AuthenticatorFailed), "problem ", "plug it out"),
        ] {
            let text = says(one("cross-platform", pin));
            assert!(text.starts_with(health) && text.contains(remedy), "{text}");
        }
        let text = says(one("platform", refused(ErrorName::AuthenticatorFailed)));
        assert!(text.contains("the wallet's log"), "{text}");
        let mut unusable = one("cross-platform", pin(true, 8, false));
        unusable.info.usable = false;
        unusable.info.problem = "the security key speaks U2F only: use a FIDO2 key".to_owned();
        assert!(says(unusable).contains("warning  authenticator"));
        let mut none = Report::default();
        authenticators(&mut none, &[]);
        assert!(none.text().contains("problem  authenticators none; plug in a security key"));
    }

    #[test]
    fn a_tpm_is_told_of_as_the_wallet_sees_it() {
        let of = |tpm: &str, problem: Option<&str>, advice: Option<&str>| {
            let mut report = Report::default();
            tpm_status(&mut report, tpm, problem, advice);
            report.text()
        };
        assert!(of("ready", None, None).starts_with("ok"));
        assert!(of("ready", None, Some("give it a lockout password")).starts_with("warning"));
        assert!(of("off", Some("by the configuration"), None).starts_with("unknown"));
        assert!(of("unavailable", Some("no TPM answers at ..."), None).starts_with("unknown"));
        assert!(of("unavailable", Some("no permission: group tss"), None).starts_with("warning"));
    }

    fn tpm_status(report: &mut Report, state: &str, problem: Option<&str>, advice: Option<&str>) {
        let status = WalletStatus {
            tpm: state.to_owned(),
            tpm_problem: problem.map(str::to_owned),
            tpm_advice: advice.map(str::to_owned),
            ..WalletStatus::default()
        };
        tpm(report, &status);
    }
}
