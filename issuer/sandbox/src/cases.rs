//! `fwp-sandbox verify` (protocol section 10): one case in, one verdict out, no memory. Cases are lines of JSON:
//!
//! | attribute | what |
//! |---|---|
//! | `id` | comes back in the verdict |
//! | `issuerRequest` or `issuerRequestText` | the IssuerRequest as JSON, or as text |
//! | `issuerKeys` | `[{keyId, publicKey, cosePrivate}]`, CBOR in hexadecimal; keyId is optional |
//! | `now` | optional: the bank's clock, milliseconds since 1970; without it, SAD.timeStamp |
//! | `account` | optional: serialNumber, accountId, publicKeySha256 (hexadecimal) |
//! | `bank` | optional: rpId, issuerIds, networks |
//!
//! Other attributes are not looked at. What is not given is not checked, and the verdict's `notChecked` says so.

use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use fwp::RpId;
use fwp_cose::cbor;
use fwp_verifier::{IssuerKey, KeyRing, NetworkTerms, Refusal, Terms, Verified};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::io::{BufRead, Read, Write};

/// Most bytes of a line. Twice what an IssuerRequest may have.
pub const MAX_LINE_BYTES: usize = 2 * fwp::envelope::MAX_ENVELOPE_BYTES;
/// Most keys in a line.
pub const MAX_KEYS: usize = 64;

/// What `fwp-sandbox verify` says of one line.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// The case's `id`, null if it has none or could not be read.
    pub id: serde_json::Value,
    /// Whether the bank would go on to book it.
    pub ok: bool,
    /// Why not, in a word: [`Refusal::code`], or `line` for a line that is no case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The decrypted SAD in hexadecimal, if it is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sad: Option<String>,
    /// What was not checked.
    #[serde(rename = "notChecked", skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<&'static str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case<'a> {
    #[serde(default)]
    id: serde_json::Value,
    #[serde(borrow)]
    issuer_request: Option<&'a RawValue>,
    issuer_request_text: Option<String>,
    issuer_keys: Option<Vec<CaseKey>>,
    now: Option<Now>,
    account: Option<Account>,
    bank: Option<Bank>,
}

/// One of a bank's keys as cases and the sandbox's key file write it: CBOR in hexadecimal.
#[derive(Clone, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseKey {
    /// The keyId, if cards name the key by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The public COSE key.
    pub public_key: String,
    /// The private COSE key. A test key: nobody else's comes here.
    pub cose_private: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Now {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    serial_number: Option<String>,
    account_id: Option<String>,
    public_key_sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bank {
    rp_id: Option<String>,
    issuer_ids: Option<Vec<String>>,
    networks: Option<Vec<String>>,
}

/// Why there is no verdict on a payment: the line is no case, or the payment is refused.
enum Failure {
    Line(String),
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Reads lines from `input` and writes a verdict for each to `output`, in the same order. `keys` are for lines that have
/// none.
///
/// # Errors
/// Those of `input` and `output`. A bad line is no error: it gets its verdict.
pub fn verify_lines(
    mut input: impl BufRead,
    mut output: impl Write,
    keys: &[CaseKey],
) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        if input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let ended = line.pop_if(|byte| *byte == b'\n').is_some();
        let verdict = if line.len() > MAX_LINE_BYTES {
            if !ended {
                input.skip_until(b'\n')?;
            }
            Verdict::of_failure(
                serde_json::Value::Null,
                Failure::Line(format!("it has more than {MAX_LINE_BYTES} bytes")),
            )
        } else {
            verify_line(&line, keys)
        };
        serde_json::to_writer(&mut output, &verdict)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
}

/// The verdict on one line. `keys` are for a line that has none.
pub fn verify_line(line: &[u8], keys: &[CaseKey]) -> Verdict {
    let case = std::str::from_utf8(line)
        .map_err(|_| "it is not UTF-8".to_owned())
        .and_then(|text| serde_json::from_str::<Case<'_>>(text).map_err(|error| error.to_string()));
    let case = match case {
        Ok(case) => case,
        Err(why) => return Verdict::of_failure(serde_json::Value::Null, Failure::Line(why)),
    };
    let id = case.id.clone();
    match verify_case(case, keys) {
        Ok((payment, not_checked)) => Verdict {
            id,
            ok: true,
            error: None,
            message: None,
            sad: Some(HEX.encode(&payment.sad().encode())),
            not_checked,
        },
        Err(failure) => Verdict::of_failure(id, failure),
    }
}

impl Verdict {
    fn of_failure(id: serde_json::Value, failure: Failure) -> Self {
        let (error, message) = match failure {
            Failure::Line(why) => ("line", format!("the line is not a case: {why}")),
            Failure::Refused(refusal) => (refusal.code(), refusal.to_string()),
        };
        Self { id, ok: false, error: Some(error), message: Some(message), sad: None, not_checked: Vec::new() }
    }
}

fn verify_case(case: Case<'_>, keys: &[CaseKey]) -> Result<(Verified, Vec<&'static str>), Failure> {
    let text = match (case.issuer_request, &case.issuer_request_text) {
        (Some(request), None) => request.get(),
        (None, Some(text)) => text.as_str(),
        _ => {
            return Err(Failure::Line(
                "it must have exactly one of issuerRequest and issuerRequestText".to_owned(),
            ));
        }
    };
    let keys = case.issuer_keys.as_deref().unwrap_or(keys);
    if keys.is_empty() {
        return Err(Failure::Line("it must have issuerKeys, or --keys must be given".to_owned()));
    }
    let keys = read_keys(keys).map_err(Failure::Line)?;
    let now_ms = case.now.map(read_now).transpose().map_err(Failure::Line)?;
    let terms = read_terms(case.bank).map_err(Failure::Line)?;
    let payment = fwp_verifier::verify(text, &keys, &terms, now_ms)?;
    let mut not_checked: Vec<&str> = payment.unchecked().iter().map(|unchecked| unchecked.name()).collect();
    match case.account {
        Some(account) => check_account(&payment, &account, &mut not_checked)?,
        None => not_checked.push("account"),
    }
    not_checked.extend(["replay", "uniqueness"]);
    Ok((payment, not_checked))
}

/// The keys of a case.
///
/// # Errors
/// What is wrong, for people.
pub fn read_keys(keys: &[CaseKey]) -> Result<KeyRing, String> {
    if keys.len() > MAX_KEYS {
        return Err(format!("issuerKeys has more than {MAX_KEYS} entries"));
    }
    keys.iter().map(read_key).collect::<Result<Vec<_>, _>>().map(KeyRing::new)
}

fn read_key(key: &CaseKey) -> Result<IssuerKey, String> {
    let hex = |name: &str, text: &str| {
        HEX.decode(text.as_bytes()).map_err(|_| format!("issuerKeys: {name} is not hexadecimal"))
    };
    let value = |name: &str, text: &str| {
        cbor::decode(&hex(name, text)?).map_err(|error| format!("issuerKeys: {name}: {error}"))
    };
    let key_id = key.key_id.as_ref().map(|text| value("keyId", text)).transpose()?;
    let private = zeroize::Zeroizing::new(hex("cosePrivate", &key.cose_private)?);
    let read = IssuerKey::from_cose_private(&private, key_id.as_ref()).map_err(|error| error.to_string())?;
    if read.public().to_value() != value("publicKey", &key.public_key)? {
        return Err("issuerKeys: publicKey is not that of cosePrivate".to_owned());
    }
    Ok(read)
}

fn read_now(now: Now) -> Result<i64, String> {
    match now {
        Now::Number(ms) => Ok(ms),
        Now::Text(text) => text.parse().map_err(|_| "now is not a number of milliseconds".to_owned()),
    }
}

fn read_terms(bank: Option<Bank>) -> Result<Terms, String> {
    let Some(bank) = bank else { return Ok(Terms::default()) };
    let rp_id = bank
        .rp_id
        .map(|text| RpId::parse(&text))
        .transpose()
        .map_err(|error| format!("bank.rpId: {error}"))?;
    let network = |id| NetworkTerms { id, issuer_ids: bank.issuer_ids.clone(), ..NetworkTerms::default() };
    let networks = match bank.networks {
        Some(ids) => ids.into_iter().map(|id| network(Some(id))).collect(),
        None => vec![network(None)],
    };
    Ok(Terms { rp_id, networks: Some(networks), ..Terms::default() })
}

fn check_account(
    payment: &Verified,
    account: &Account,
    not_checked: &mut Vec<&'static str>,
) -> Result<(), Failure> {
    let ad = payment.authorization();
    match &account.serial_number {
        Some(serial_number) if *serial_number != ad.serial_number => return Err(Refusal::UnknownCard.into()),
        Some(_) => {}
        None => not_checked.push("account.serialNumber"),
    }
    match &account.account_id {
        Some(account_id) if account_id != ad.account_id.as_str() => return Err(Refusal::UnknownCard.into()),
        Some(_) => {}
        None => not_checked.push("account.accountId"),
    }
    match &account.public_key_sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&HEX.encode(&ad.public_key.sha256())) => {
            Err(Refusal::KeyNotOfCard.into())
        }
        Some(_) => Ok(()),
        None => {
            not_checked.push("account.publicKeySha256");
            Ok(())
        }
    }
}
