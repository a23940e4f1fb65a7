//! The published sample values, and cases made with another author's implementation: AD, SAD, AAD and credential are
//! rebuilt to the byte from the fields of each, one named test a case.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use data_encoding::HEXLOWER;
use fwp::authorization::KeyReference;
use fwp::json::Json;
use fwp::{
    Amount, AuthorizationData, Credential, Currency, EncryptedSad, Location, PayeeHost, PlatformData, Prcd,
    SignedAuthorizationData, TimeStamp,
};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

const VECTORS: &str = include_str!("data/vectors.json");
const INTEROP: &str = include_str!("data/interop.jsonl");

fn main() {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = INTEROP
        .lines()
        .map(|line| {
            let case: Value = serde_json::from_str(line).unwrap();
            let name = format!(
                "interop::{}_{}_signature_{}_issuer_key",
                text(&case, "id"),
                text(&case, "fidoKeyType"),
                text(&case, "issuerKeyType")
            );
            Trial::test(name, move || interop(&case).map_err(Failed::from))
        })
        .collect();
    assert_eq!(trials.len(), 59, "a case of interop.jsonl is missing");
    trials.push(Trial::test("vectors::ad_is_rebuilt_to_the_byte", || {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let ad = sample_authorization_data();
        same("AD", &HEXLOWER.encode(&ad.encode()), text(&vectors, "adHex"))?;
        same("hash", &HEXLOWER.encode(&ad.client_data_hash()), text(&vectors, "clientDataHashHex"))
            .map_err(Failed::from)
    }));
    trials.push(Trial::test("vectors::sad_reads_verifies_and_encodes_to_the_byte", || {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let sad = SignedAuthorizationData::decode(&hex(&vectors, "sadHex")).unwrap();
        assert_eq!(sad.authorization_data(), &sample_authorization_data());
        sad.verify().unwrap();
        same("SAD", &HEXLOWER.encode(&sad.encode()), text(&vectors, "sadHex")).map_err(Failed::from)
    }));
    trials.push(Trial::test("vectors::esad_reads_and_encodes_to_the_byte", || {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let esad = EncryptedSad::decode(&hex(&vectors, "esadHex")).unwrap();
        assert_eq!(esad.key_reference, KeyReference::Id(text(&vectors, "encryptionKeyId").into()));
        same("ESAD", &HEXLOWER.encode(&esad.encode()), text(&vectors, "esadHex")).map_err(Failed::from)
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn sample_authorization_data() -> AuthorizationData {
    let x = "e812b1a6dcbc708f9ec43cc2921fa0a14e9d5eadcc6dc63471dd4b680c6236b5";
    let y = "9826dcbd4ce6e388f72edd9be413f2425a10f75b5fd83d95fa0cde53159a51d8";
    let coordinate = |hex: &str| HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap();
    AuthorizationData {
        payment_request: Prcd {
            payee_name: "Space Shop".into(),
            request_id: "7040566321".into(),
            amount: Amount::parse("435.00").unwrap(),
            currency: Currency::parse("EUR").unwrap(),
        },
        payee_host: PayeeHost::parse("spaceshop.com").unwrap(),
        account_id: fwp::AccountId::new("FR7630002111110020050014382"),
        payment_network_id: "https://banknet2.org".into(),
        serial_number: "0057162932".into(),
        network_options: Some("additional stuff...".into()),
        platform_data: PlatformData {
            os_name: "Android".into(),
            os_version: "12.0".into(),
            user_agent_name: "Chrome".into(),
            user_agent_version: "108".into(),
        },
        location: Location::new(40.74844, -73.984559),
        time_stamp: TimeStamp::parse("2023-02-16T10:14:07+01:00").unwrap(),
        signature_algorithm: fwp_cose::SignatureAlgorithm::Es256,
        public_key: fwp_cose::PublicKey::P256(
            fwp_cose::key::P256Key::new(coordinate(x), coordinate(y)).unwrap(),
        ),
    }
}

fn interop(case: &Value) -> Result<(), String> {
    let credential =
        Credential::decode(&hex(&case["credential"], "cbor")).map_err(|error| error.to_string())?;
    same("credential", &HEXLOWER.encode(&credential.encode()), text(&case["credential"], "cbor"))?;
    same("rpId", credential.rp_id.as_str(), text(&case["credential"], "rpId"))?;
    same("accountId", credential.card.account_id.as_str(), text(&case["credential"], "accountId"))?;

    let ad = rebuild(case, &credential);
    same("AD", &HEXLOWER.encode(&ad.encode()), text(case, "ad"))?;
    same("adSha256", &HEXLOWER.encode(&ad.client_data_hash()), text(case, "adSha256"))?;

    let sad = ad
        .signed(hex(case, "authenticatorData"), hex(case, "signature"))
        .map_err(|error| error.to_string())?;
    same("SAD", &HEXLOWER.encode(&sad.encode()), text(case, "sad"))?;
    sad.verify().map_err(|error| error.to_string())?;
    if SignedAuthorizationData::decode(&hex(case, "sad")).as_ref() != Ok(&sad) {
        return Err("the SAD reads as something else than it was made of".into());
    }

    let esad = EncryptedSad::decode(&hex(case, "esad")).map_err(|error| error.to_string())?;
    same("ESAD", &HEXLOWER.encode(&esad.encode()), text(case, "esad"))?;
    same("AAD", &HEXLOWER.encode(&esad.aad()), text(case, "esadAad"))
}

/// The AD made anew from the case's fields, as a wallet would make it.
fn rebuild(case: &Value, credential: &Credential) -> AuthorizationData {
    let prcd = &case["paymentRequest"];
    let platform = &case["platformData"];
    let bits = |name: &str| f64::from_bits(u64::from_str_radix(text(&case["location"], name), 16).unwrap());
    AuthorizationData {
        payment_request: Prcd {
            payee_name: text(prcd, "payeeName").into(),
            request_id: text(prcd, "requestId").into(),
            amount: Amount::parse(text(prcd, "amount")).unwrap(),
            currency: Currency::parse(text(prcd, "currency")).unwrap(),
        },
        payee_host: PayeeHost::parse(text(case, "payeeHost")).unwrap(),
        account_id: credential.card.account_id.clone(),
        payment_network_id: credential.card.payment_network_id.clone(),
        serial_number: credential.card.serial_number.clone(),
        network_options: case
            .get("networkOptionsJson")
            .map(|json| Json::parse(json.as_str().unwrap()).expect("networkOptionsJson").to_cbor()),
        platform_data: PlatformData {
            os_name: text(platform, "osName").into(),
            os_version: text(platform, "osVersion").into(),
            user_agent_name: text(platform, "uaName").into(),
            user_agent_version: text(platform, "uaVersion").into(),
        },
        location: case
            .get("location")
            .map(|_| Location::new(bits("latitudeBits"), bits("longitudeBits")).unwrap()),
        time_stamp: TimeStamp::parse(text(case, "timeStamp")).unwrap(),
        signature_algorithm: credential.signature_algorithm,
        public_key: credential.public_key.clone(),
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is missing"))
}

fn hex(value: &Value, name: &str) -> Vec<u8> {
    HEXLOWER.decode(text(value, name).as_bytes()).unwrap()
}

fn same(what: &str, ours: &str, theirs: &str) -> Result<(), String> {
    if ours == theirs { Ok(()) } else { Err(format!("{what} differs\n  ours   {ours}\n  theirs {theirs}")) }
}
