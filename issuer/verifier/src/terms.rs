//! What an issuer serves: its rpId, payment networks and their rules.

use fwp::RpId;
use fwp_cose::cbor::Value;

/// What an issuer checks payments against. Of what is `None` nothing is checked, and
/// [`Verified::unchecked`](crate::Verified::unchecked) says so: right for a laboratory, while [`Terms::live`] leaves nothing out.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// The relying party identifier that the issuer's FIDO keys were made for.
    pub rp_id: Option<RpId>,
    /// The payment networks that the issuer serves.
    pub networks: Option<Vec<NetworkTerms>>,
    /// How far the envelopes' time stamps may be from the issuer's clock, in milliseconds either way.
    pub envelope_limit_ms: Option<i64>,
    /// What networkOptions of this one payment must be, to the letter, whatever its network's terms say of them: for payments by way
    /// of a provider that was given a request signed by the merchant, which the user has authorized as networkOptions.
    pub provider_request: Option<Value>,
}

/// What an issuer wants on one payment network.
#[derive(Clone, Debug, Default)]
pub struct NetworkTerms {
    /// paymentNetworkId; any, if there is none.
    pub id: Option<String>,
    /// The issuer's own identifiers on the network.
    pub issuer_ids: Option<Vec<String>>,
    /// Whether a receiveAccount has the network's form.
    pub receive_account: Option<fn(&str) -> bool>,
    /// Whether networkOptions (or that there are none) are what the issuer wants.
    pub network_options: Option<fn(Option<&Value>) -> bool>,
}

/// Milliseconds that a live service lets envelope time stamps be away from its clock (protocol section 6).
pub const ENVELOPE_LIMIT_MS: i64 = 600_000;

impl Terms {
    /// The terms of a live issuer: everything is checked.
    pub fn live(rp_id: RpId, networks: Vec<NetworkTerms>) -> Self {
        Self {
            rp_id: Some(rp_id),
            networks: Some(networks),
            envelope_limit_ms: Some(ENVELOPE_LIMIT_MS),
            provider_request: None,
        }
    }

    /// These terms for a payment whose networkOptions must be `request`, a provider's.
    #[must_use]
    pub fn for_provider(&self, request: &str) -> Self {
        Self { provider_request: Some(request.into()), ..self.clone() }
    }
}

impl NetworkTerms {
    /// The terms of a network on which everything is checked.
    pub fn live(
        id: impl Into<String>,
        issuer_id: impl Into<String>,
        receive_account: fn(&str) -> bool,
        network_options: fn(Option<&Value>) -> bool,
    ) -> Self {
        Self {
            id: Some(id.into()),
            issuer_ids: Some(vec![issuer_id.into()]),
            receive_account: Some(receive_account),
            network_options: Some(network_options),
        }
    }
}

/// Whether `text` is an IBAN (ISO 13616): two letters, two check digits, 11 to 30 letters and digits, the whole 1 modulo 97.
/// Spaces between groups are taken, as IBANs are printed.
pub fn is_iban(text: &str) -> bool {
    let iban: String = text.chars().filter(|c| *c != ' ').collect();
    if !(15..=34).contains(&iban.len()) || !iban.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    {
        return false;
    }
    let Some((head, account)) = iban.split_at_checked(4) else { return false };
    let (country, check) = head.split_at(2);
    if !country.bytes().all(|b| b.is_ascii_uppercase()) || !check.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let remainder =
        account.chars().chain(head.chars()).filter_map(|c| c.to_digit(36)).fold(0, |remainder, digit| {
            let shift = if digit < 10 { 10 } else { 100 };
            (remainder * shift + digit) % 97
        });
    remainder == 1
}

/// Whether `text` is an issuer URL: https, or http for this machine, with a host and without blanks.
pub fn is_issuer_url(text: &str) -> bool {
    let local = text.strip_prefix("http://").filter(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        matches!(authority.split(':').next(), Some("localhost" | "127.0.0.1"))
    });
    let rest = text.strip_prefix("https://").or(local);
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with(['/', '?', '#', ':'])
            && rest.bytes().all(|b| b.is_ascii_graphic())
    })
}

/// Whether `text` is a neutered card number: 12 to 19 digits with the Luhn check digit (ISO/IEC 7812).
pub fn is_card_issuer_number(text: &str) -> bool {
    let luhn = text.bytes().rev().enumerate().fold(0u32, |sum, (index, byte)| {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        let doubled = if index % 2 == 1 { digit * 2 } else { digit };
        sum + doubled / 10 + doubled % 10
    });
    (12..=19).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) && luhn % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ibans() {
        for good in ["DE89370400440532013000", "FR7630002111110020050014382", "SE35 5000 0000 0549 1000 0003"]
        {
            assert!(is_iban(good), "{good}");
        }
        for bad in [
            "",
            "DE89370400440532013001",
            "de89370400440532013000",
            "DE8937",
            "4532562005003239",
            "DÉ89370400440532013000",
        ] {
            assert!(!is_iban(bad), "{bad}");
        }
    }

    #[test]
    fn issuer_ids() {
        for good in [
            "https://mybank.fr/payment",
            "http://localhost:8080/bank/payments",
            "http://127.0.0.1/",
            "https://bank.example/fwp?x=1&y=2",
        ] {
            assert!(is_issuer_url(good), "{good}");
        }
        for bad in [
            "",
            "http://mybank.fr/",
            "https://",
            "https:///x",
            "http://localhost.evil/",
            "ftp://mybank.fr",
            "https://a b",
        ] {
            assert!(!is_issuer_url(bad), "{bad}");
        }
        assert!(is_card_issuer_number("4972039000000004"));
        for bad in ["", "4972039000000005", "49720390000000O4", "0", "4972"] {
            assert!(!is_card_issuer_number(bad), "{bad}");
        }
    }
}
