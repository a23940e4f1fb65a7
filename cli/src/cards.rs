//! Cards as a person names and sees them.

use crate::error::Error;
use crate::text::safe;
use data_encoding::BASE64URL_NOPAD;
use fwp_dbus::Client;
use fwp_dbus::types::{AuthorizeCard, CredentialInfo};
use serde::Serialize;
use zbus::OwnedObjectPath;

/// Characters of an account number that are shown where the whole isn't needed.
const ACCOUNT_TAIL: usize = 4;

/// A card of the wallet.
#[derive(Clone)]
pub struct Card {
    /// Its place in `fwpctl list`, from 1.
    pub number: usize,
    /// Its object.
    pub path: OwnedObjectPath,
    /// What is known of it.
    pub info: CredentialInfo,
}

impl Card {
    /// The ID that stays the same: the last part of its object's path.
    pub fn id(&self) -> &str {
        id_of(&self.path)
    }

    /// The card for scripts.
    pub fn json(&self) -> impl Serialize + use<> {
        serde_json::json!({
            "number": self.number,
            "id": self.id(),
            "rpId": self.info.rp_id,
            "paymentNetworkId": self.info.payment_network_id,
            "issuerId": self.info.issuer_id,
            "accountId": self.info.account_id,
            "serialNumber": self.info.serial_number,
            "signatureAlgorithm": algorithm_name(self.info.signature_algorithm),
            "credentialId": BASE64URL_NOPAD.encode(&self.info.credential_id),
            "authenticator": self.info.authenticator,
            "created": self.info.created,
        })
    }
}

/// The last part of an object's path.
pub fn id_of(path: &OwnedObjectPath) -> &str {
    path.as_str().rsplit('/').next().unwrap_or_default()
}

/// The end of an account number, as it is printed on receipts.
pub fn masked_account(account: &str) -> String {
    let length = account.chars().count();
    if length <= ACCOUNT_TAIL {
        return safe(account).to_string();
    }
    let tail: String = account.chars().skip(length - ACCOUNT_TAIL).collect();
    format!("...{}", safe(&tail))
}

/// A card that fits a payment, in a few words that are safe to print.
pub fn describe(card: &AuthorizeCard) -> String {
    format!(
        "{} of {}, {}",
        masked_account(&card.account_id),
        safe(&card.rp_id),
        safe(&card.payment_network_id)
    )
}

/// The name of a COSE signature algorithm.
pub fn algorithm_name(id: i32) -> String {
    match id {
        -7 => "ES256".to_owned(),
        -8 => "Ed25519".to_owned(),
        -257 => "RS256".to_owned(),
        other => other.to_string(),
    }
}

/// The cards of the wallet, oldest first.
///
/// # Errors
/// The daemon's.
pub async fn list(client: &Client) -> Result<Vec<Card>, Error> {
    let cards = client.wallet().await?.list_credentials().await?;
    Ok(cards.into_iter().enumerate().map(|(i, (path, info))| Card { number: i + 1, path, info }).collect())
}

/// The one card that `name` is the ID, the serial number or the number in the list of.
///
/// # Errors
/// [`Error::NoSuchCard`], [`Error::AmbiguousCard`].
pub fn find<'c>(cards: &'c [Card], name: &str) -> Result<&'c Card, Error> {
    // An ID can't be another card's, so that it always is a way out.
    if let Some(card) = cards.iter().find(|card| card.id() == name) {
        return Ok(card);
    }
    let mut named =
        cards.iter().filter(|card| card.info.serial_number == name || card.number.to_string() == name);
    match (named.next(), named.next()) {
        (None, _) => Err(Error::NoSuchCard(name.to_owned())),
        (Some(card), None) => Ok(card),
        (Some(_), Some(_)) => Err(Error::AmbiguousCard(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards(serials: &[&str]) -> Vec<Card> {
        let card = |(i, serial): (usize, &&str)| Card {
            number: i + 1,
            path: OwnedObjectPath::try_from(format!("/io/github/fwpd/credential/c{i}")).unwrap(),
            info: CredentialInfo { serial_number: (*serial).to_owned(), ..CredentialInfo::default() },
        };
        serials.iter().enumerate().map(card).collect()
    }

    #[test]
    fn a_card_is_found_by_number_serial_and_id() {
        let cards = cards(&["0057162932", "x"]);
        for (name, number) in [("1", 1), ("x", 2), ("c1", 2), ("0057162932", 1)] {
            assert_eq!(find(&cards, name).map(|card| card.number).ok(), Some(number), "{name}");
        }
        assert!(matches!(find(&cards, "3"), Err(Error::NoSuchCard(_))));
    }

    #[test]
    fn a_serial_number_that_is_another_cards_number_is_ambiguous() {
        let cards = cards(&["2", "x"]);
        assert!(matches!(find(&cards, "2"), Err(Error::AmbiguousCard(_))));
    }

    #[test]
    fn an_account_number_shows_its_end_only() {
        assert_eq!(masked_account("FR7630002111110020050014382"), "...4382");
        assert_eq!(masked_account("4382"), "4382");
        assert_eq!(masked_account("x\x1b[2J"), "...\\u{1b}[2J");
    }
}
