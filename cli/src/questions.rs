//! What the wallet's questions say on a terminal: everything that is shown, made harmless.

use crate::cards::masked_account;
use crate::text::safe;
use fwp_dbus::types::{AuthorizeCard, AuthorizeRequest, ConsentDetails};

/// What the user is asked to authorize, and the cards to pick from. The host has a line of its own.
pub(crate) fn payment_text(request: &AuthorizeRequest, cards: &[AuthorizeCard]) -> String {
    let mut text = String::from("\n");
    if request.retry {
        text.push_str("  Once more:");
        match request.error.as_deref() {
            Some(error) => text.push_str(&format!(" the shop says \"{}\"\n", safe(error))),
            None => text.push_str(" the shop asks again\n"),
        }
    }
    text.push_str(&format!("  Payment to  {}\n", safe(&request.payee_name)));
    text.push_str(&format!("  at          {}\n", safe(&request.payee_host)));
    text.push_str(&format!("  amount      {} {}\n", safe(&request.amount), safe(&request.currency)));
    text.push_str(&format!("  request     {}\n", safe(&request.request_id)));
    // What a shop signed for its provider, who checks it later; the wallet can't know whether it is true.
    if let Some(provider) = &request.provider {
        let claim = |text: &Option<String>| safe(text.as_deref().unwrap_or("(not said)")).to_string();
        text.push_str("  The shop claims, unchecked:\n");
        text.push_str(&format!("    for       {}\n", claim(&request.claimed_name)));
        text.push_str(&format!("              {}\n", claim(&request.claimed_description)));
        text.push_str(&format!("  to book by  {}\n", safe(provider)));
    }
    for notice in &request.notices {
        text.push_str(&format!("  Note: {}\n", safe(notice)));
    }
    text.push('\n');
    for (i, card) in cards.iter().enumerate() {
        text.push_str(&format!(
            "  {}  card {}  of bank {}  in {}\n     rpId {}, key held by: {}\n",
            i + 1,
            masked_account(&card.account_id),
            safe(&card.issuer_id),
            safe(&card.payment_network_id),
            safe(&card.rp_id),
            safe(&card.authenticator),
        ));
    }
    if !cards.is_empty() {
        text.push('\n');
    }
    text
}

/// What consent is asked for, and the question; `None` for a kind that this version doesn't know.
pub(crate) fn consent_text(kind: &str, details: &ConsentDetails) -> Option<(String, String)> {
    let field = |value: &Option<String>| safe(value.as_deref().unwrap_or("(not said)")).to_string();
    match kind {
        "enroll" => {
            let mut text = format!(
                "\n  New cards from  {}\n  rpId            {}\n  offered by      {}\n  key made in     {} ({})\n",
                field(&details.issuer_name),
                field(&details.rp_id),
                field(&details.host),
                field(&details.authenticator_name),
                field(&details.authenticator),
            );
            if details.replace == Some(true) {
                text.push_str("  Cards of the same account are replaced.\n");
            }
            text.push('\n');
            Some((text, format!("Make a key for {}?", field(&details.rp_id))))
        }
        "delete" => {
            let account = masked_account(details.account_id.as_deref().unwrap_or("(not said)"));
            let text = format!(
                "\n  Card     {account}\n  bank     {}\n  network  {}\n  rpId     {}\n\n",
                field(&details.issuer_id),
                field(&details.payment_network_id),
                field(&details.rp_id),
            );
            Some((text, format!("Remove the card {account} from this wallet?")))
        }
        "reset" => {
            let cards = match details.cards {
                None | Some(0) => "none of this wallet's".to_owned(),
                Some(1) => "1 of this wallet's may be: it can't be used any more then".to_owned(),
                Some(cards) => format!("{cards} of this wallet's may be: they can't be used any more then"),
            };
            let name = field(&details.authenticator_name);
            let text = format!(
                "\n  Reset           {name} ({})\n  deletes         all its keys, those of other sites too, and its PIN\n  cards on it     {cards}\n\n",
                field(&details.authenticator),
            );
            Some((text, format!("Delete everything on {name}, for good?")))
        }
        "certify" => {
            let (name, host) = (field(&details.authenticator_name), field(&details.host));
            let text = format!(
                "\n  Certify         {name} ({})\n  by              {host}, which will know this computer's TPM again\n\n",
                field(&details.authenticator),
            );
            Some((text, format!("Let {host} certify {name}?")))
        }
        "slot-add" => {
            let kind = slot_name(details.slot_kind.as_deref());
            let text = format!("\n  Another way to open your wallet's store: {kind}\n\n");
            Some((text, format!("Let {kind} open the store?")))
        }
        "slot-remove" => {
            let kind = slot_name(details.slot_kind.as_deref());
            let number = details.slot.map_or_else(|| "(not said)".to_owned(), |slot| slot.to_string());
            let text = format!("\n  One way less to open your wallet's store: slot {number}, {kind}\n\n");
            Some((text, format!("Remove the key slot {number} ({kind})?")))
        }
        "rotate" => {
            let (text, question) = match details.what.as_deref() {
                Some("data-key") => {
                    ("a new key, and everything encrypted anew under it", "Encrypt the store anew?")
                }
                _ => ("every key slot filled anew", "Fill every key slot anew?"),
            };
            Some((format!("\n  Your wallet's store: {text}\n\n"), question.to_owned()))
        }
        "accept-copy" => {
            let text = "\n  Your wallet's store is an old copy. It has forgotten what happened since: cards, payments that you\n  authorized, wrong PINs that were tried. If you did not put it there yourself, somebody else did.\n\n";
            Some((text.to_owned(), "Use this old copy from now on?".to_owned()))
        }
        "export" | "import" => {
            let cards = match details.cards {
                Some(1) => "1 card".to_owned(),
                Some(cards) => format!("{cards} cards"),
                None => "cards".to_owned(),
            };
            Some(if kind == "export" {
                let text = format!(
                    "\n  A copy of {cards}, encrypted by a passphrase. Their keys stay where they are.\n\n"
                );
                (text, format!("Export {cards}?"))
            } else {
                let mut text = format!("\n  From a file into your wallet: {cards} that it doesn't have\n");
                if details.rp_id.is_some() {
                    text.push_str(&format!("  rpId            {}\n", field(&details.rp_id)));
                }
                text.push('\n');
                (text, format!("Import {cards}?"))
            })
        }
        "replace-agent" => {
            let text = format!(
                "\n  Another program wants to ask your wallet's questions: {} ({})\n\n",
                field(&details.name),
                field(&details.kind),
            );
            Some((text, "Let it take over from this terminal?".to_owned()))
        }
        _ => None,
    }
}

/// A kind of key slot, for people.
fn slot_name(kind: Option<&str>) -> String {
    let name = match kind {
        Some("key-file") => "a file that only you can read",
        Some("secret-service") => "the desktop's keyring",
        Some("systemd-credential") => "a credential of systemd",
        Some("tpm") => "this computer's TPM",
        Some("passphrase") => "a passphrase",
        other => return safe(other.unwrap_or("(not said)")).to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::describe;
    use crate::text::is_harmless;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_a_shop_or_bank_is_called_the_questions_are_harmless(texts in proptest::collection::vec(any::<String>(), 8)) {
            let [name, host, amount, notice, account, issuer, network, rp_id] = texts.try_into().unwrap();
            let card = AuthorizeCard {
                account_id: account.clone(),
                issuer_id: issuer.clone(),
                payment_network_id: network.clone(),
                rp_id: rp_id.clone(),
                ..AuthorizeCard::default()
            };
            let request = AuthorizeRequest {
                payee_name: name.clone(),
                payee_host: host.clone(),
                amount,
                notices: vec![notice.clone()],
                retry: true,
                error: Some(notice),
                claimed_name: Some(account.clone()),
                claimed_description: Some(issuer.clone()),
                provider: Some(network.clone()),
                ..AuthorizeRequest::default()
            };
            let details = ConsentDetails {
                rp_id: Some(rp_id),
                host: Some(host),
                issuer_name: Some(name),
                issuer_id: Some(issuer),
                payment_network_id: Some(network),
                account_id: Some(account.clone()),
                authenticator_name: Some(account.clone()),
                slot_kind: Some(account.clone()),
                what: Some(account),
                ..ConsentDetails::default()
            };
            let mut shown = payment_text(&request, std::slice::from_ref(&card)) + &describe(&card);
            for kind in [
                "enroll", "delete", "reset", "certify", "slot-add", "slot-remove", "rotate", "export", "import",
                "replace-agent",
            ] {
                let (text, question) = consent_text(kind, &details).unwrap();
                shown += &(text + &question);
            }
            prop_assert!(shown.chars().all(|c| c == '\n' || is_harmless(c)));
        }
    }

    #[test]
    fn the_host_stands_on_a_line_of_its_own_and_nothing_acts_on_the_terminal() {
        let request = AuthorizeRequest {
            payee_name: "Shop\n  at          good.example\x1b[A".to_owned(),
            payee_host: "evil.example".to_owned(),
            amount: "1.00".to_owned(),
            currency: "EUR".to_owned(),
            ..AuthorizeRequest::default()
        };
        let text = payment_text(&request, &[]);
        assert_eq!(
            text.lines().filter(|line| line.starts_with("  at ")).collect::<Vec<_>>(),
            ["  at          evil.example"]
        );
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn what_a_shop_signed_is_shown_as_its_claim() {
        let request = AuthorizeRequest {
            payee_host: "shop.example".to_owned(),
            claimed_name: Some("Rocket boots\n  at          good.example".to_owned()),
            claimed_description: Some("A pair".to_owned()),
            provider: Some("sandbox/payments/pay/v1".to_owned()),
            ..AuthorizeRequest::default()
        };
        let text = payment_text(&request, &[]);
        let claims = text.split_once("The shop claims, unchecked:").unwrap().1;
        assert!(claims.contains("Rocket boots") && claims.contains("A pair"), "{text}");
        assert!(text.contains("  to book by  sandbox/payments/pay/v1\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("  at ")).count(), 1);
        assert!(!payment_text(&AuthorizeRequest::default(), &[]).contains("claims"));
    }

    #[test]
    fn an_enrollment_names_the_rp_id_in_the_question_itself() {
        let details = ConsentDetails { rp_id: Some("mybank.fr".to_owned()), ..ConsentDetails::default() };
        let (_, question) = consent_text("enroll", &details).unwrap();
        assert_eq!(question, "Make a key for mybank.fr?");
        assert_eq!(consent_text("something-new", &details), None);
    }
}
