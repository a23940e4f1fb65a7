//! What the bank's staff sees of a delivery: sections of labelled lines, kept as JSON in the books and shown by the pages.

use data_encoding::HEXLOWER as HEX;
use fwp::envelope::IssuerRequest;
use fwp_cose::SignatureAlgorithm;
use fwp_cose::cbor::Value;
use fwp_verifier::{Reply, Verified};
use serde::{Deserialize, Serialize};

/// Sections of labelled lines.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct View {
    /// In the order in which they are shown.
    pub sections: Vec<Section>,
}

/// Labelled lines.
#[derive(Debug, Deserialize, Serialize)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// Label and value.
    pub lines: Vec<(String, String)>,
}

impl View {
    /// Adds a section.
    #[must_use]
    pub fn with<const N: usize>(mut self, title: &str, lines: [(&str, String); N]) -> Self {
        let lines = lines.into_iter().map(|(label, value)| (label.to_owned(), value)).collect();
        self.sections.push(Section { title: title.to_owned(), lines });
        self
    }

    /// What the PSP sent.
    #[must_use]
    pub fn with_request(self, request: &IssuerRequest) -> Self {
        let psp = &request.psp_request;
        let prcd = &psp.payment_request;
        self.with(
            "What the merchant asks for",
            [
                ("Payee", prcd.payee_name.clone()),
                ("Amount", format!("{} {}", prcd.amount, prcd.currency)),
                ("Request ID", prcd.request_id.clone()),
                ("Payee's host", request.payee_host.to_string()),
                ("To be credited", psp.receive_account.clone()),
                ("Payment network", psp.fwp_assertion.payment_network_id.clone()),
                ("Issuer", psp.fwp_assertion.issuer_id.clone()),
                ("User's address", psp.client_ip_address.clone()),
                ("Sent by merchant / PSP", format!("{} / {}", psp.time_stamp, request.time_stamp)),
            ],
        )
    }

    /// What the user authorized and the authenticator said.
    #[must_use]
    pub fn with_authorization(self, payment: &Verified) -> Self {
        let ad = payment.authorization();
        let stated = payment.authenticator_data();
        let platform = &ad.platform_data;
        let algorithm = match ad.signature_algorithm {
            SignatureAlgorithm::Es256 => "ES256",
            SignatureAlgorithm::Ed25519 => "Ed25519",
            SignatureAlgorithm::Rs256 => "RS256",
        };
        let location = |location: fwp::Location| format!("{}, {}", location.latitude(), location.longitude());
        self.with(
            "What the user authorized (only the bank can read this)",
            [
                ("Payee", ad.payment_request.payee_name.clone()),
                ("Amount", format!("{} {}", ad.payment_request.amount, ad.payment_request.currency)),
                ("Shown as coming from", ad.payee_host.to_string()),
                ("Account", ad.account_id.as_str().to_owned()),
                ("Card", format!("{} on {}", ad.serial_number, ad.payment_network_id)),
                (
                    "Merchant's options",
                    ad.network_options.as_ref().map_or_else(|| "none".to_owned(), diagnostic),
                ),
                ("When", ad.time_stamp.to_string()),
                ("Where", ad.location.map_or_else(|| "not told".to_owned(), location)),
                ("System", format!("{} {}", platform.os_name, platform.os_version)),
                ("Program", format!("{} {}", platform.user_agent_name, platform.user_agent_version)),
            ],
        )
        .with(
            "How it was signed",
            [
                ("Algorithm", algorithm.to_owned()),
                (
                    "User present / verified",
                    format!("{} / {}", yes(stated.user_present), yes(stated.user_verified)),
                ),
                ("Signature counter", stated.sign_count.to_string()),
                ("Public key (SHA-256)", HEX.encode(&ad.public_key.sha256())),
                ("Replay key", HEX.encode(&payment.replay_key())),
            ],
        )
    }

    /// What the risk side is told.
    #[must_use]
    pub fn with_risk(self, reply: &Reply) -> Self {
        let counter = if reply.risk.counter_stepped_back {
            "the signature counter did not go up: there may be a copy of the key"
        } else {
            "nothing to report"
        };
        self.with("For the risk department", [("Counter", counter.to_owned())])
    }
}

fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

/// CBOR diagnostic notation, for people.
fn diagnostic(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Unsigned(n) => n.to_string(),
        Value::Negative(n) => (-1 - i128::from(*n)).to_string(),
        Value::Bytes(bytes) => format!("h'{}'", HEX.encode(bytes)),
        Value::Text(text) => format!("{text:?}"),
        Value::Array(items) => format!("[{}]", list(items.iter().map(diagnostic).collect())),
        Value::Map(map) => {
            let entry = |(key, value): &(Value, Value)| format!("{}: {}", diagnostic(key), diagnostic(value));
            format!("{{{}}}", list(map.iter().map(entry).collect()))
        }
        Value::Bool(b) => b.to_string(),
        Value::Null => "null".to_owned(),
        Value::Float(float) => float.value().to_string(),
        Value::Cotx(id, object) => format!("1010([{id:?}, {}])", diagnostic(object)),
    }
}
