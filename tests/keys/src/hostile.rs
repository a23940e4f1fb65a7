//! A security key that lies: a generated stream of wrong answers to every command.
//!
//! [`lies`] gives the stream. [`Exchange`] says which answers a lie is told in, and [`lying`] puts it between a good device and
//! the client:
//!
//! ```no_run
//! use virtual_keys::hostile::{Exchange, lies, lying};
//! use virtual_keys::{Touch, opensk};
//! for lie in lies(Exchange::GetAssertion) {
//!     let mut device = lying(opensk::key(Touch::AtOnce).device(), Exchange::GetAssertion, &lie);
//!     // run the ceremony: an error that says what is wrong, and nothing signed
//! }
//! ```

use crate::user::Between;
use ctap_core::authenticator_data::{AuthenticatorData, Flags};
use ctap_core::messages::{
    ClientPinSubcommand, CommandCode, CredentialId, GetAssertionResponse, MakeCredentialResponse, Request,
    Response,
};
use ctap_core::transport::Device;
use fwp_cose::cbor::{Map, Value, decode};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use std::sync::Arc;

/// A command or subcommand, and with it its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the standard's names")]
pub enum Exchange {
    GetInfo,
    PinRetries,
    KeyAgreement,
    PinToken,
    PinUvAuthTokenUsingPin,
    PinUvAuthTokenUsingUv,
    SetPin,
    ChangePin,
    MakeCredential,
    GetAssertion,
    Selection,
    Reset,
}

impl Exchange {
    /// Which one `command` begins.
    pub fn of(command: &[u8]) -> Option<Self> {
        Some(match Request::decode(command).ok()? {
            Request::GetInfo => Self::GetInfo,
            Request::MakeCredential(_) => Self::MakeCredential,
            Request::GetAssertion(_) => Self::GetAssertion,
            Request::Selection => Self::Selection,
            Request::Reset => Self::Reset,
            Request::GetNextAssertion => return None,
            Request::ClientPin(request) => match request.subcommand {
                ClientPinSubcommand::GetPinRetries => Self::PinRetries,
                ClientPinSubcommand::GetKeyAgreement => Self::KeyAgreement,
                ClientPinSubcommand::SetPin { .. } => Self::SetPin,
                ClientPinSubcommand::ChangePin { .. } => Self::ChangePin,
                ClientPinSubcommand::GetPinToken { .. } => Self::PinToken,
                ClientPinSubcommand::GetPinUvAuthTokenUsingPinWithPermissions { .. } => {
                    Self::PinUvAuthTokenUsingPin
                }
                ClientPinSubcommand::GetPinUvAuthTokenUsingUvWithPermissions { .. } => {
                    Self::PinUvAuthTokenUsingUv
                }
                ClientPinSubcommand::GetUvRetries => return None,
            },
        })
    }

    /// The command.
    pub fn command(self) -> CommandCode {
        match self {
            Self::GetInfo => CommandCode::GetInfo,
            Self::MakeCredential => CommandCode::MakeCredential,
            Self::GetAssertion => CommandCode::GetAssertion,
            Self::Selection => CommandCode::Selection,
            Self::Reset => CommandCode::Reset,
            Self::PinRetries
            | Self::KeyAgreement
            | Self::PinToken
            | Self::PinUvAuthTokenUsingPin
            | Self::PinUvAuthTokenUsingUv
            | Self::SetPin
            | Self::ChangePin => CommandCode::ClientPin,
        }
    }

    /// Whether its good answer is a status alone, to which some devices add an empty map.
    fn answers_nothing(self) -> bool {
        matches!(self, Self::SetPin | Self::ChangePin | Self::Selection | Self::Reset)
    }
}

type Tell = dyn Fn(&[u8], Vec<u8>) -> Vec<u8> + Send + Sync;

/// A way to answer wrongly.
#[derive(Clone)]
pub struct Lie {
    /// In words.
    pub name: String,
    /// Nothing may come of it. Else a change that the client need not notice: of a member that it does not use, say.
    pub grave: bool,
    tell: Arc<Tell>,
}

impl Lie {
    fn new(
        name: impl Into<String>,
        grave: bool,
        tell: impl Fn(&[u8], Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), grave, tell: Arc::new(tell) }
    }

    /// What is answered to `command` instead of `response`.
    pub fn tell(&self, command: &[u8], response: Vec<u8>) -> Vec<u8> {
        (self.tell)(command, response)
    }
}

/// `device`, but that it tells `lie` whenever it answers `exchange`.
pub fn lying<D: Device>(device: D, exchange: Exchange, lie: &Lie) -> Between<'static, D> {
    let lie = lie.clone();
    Between::new(device, move |command, response| {
        if Exchange::of(command) == Some(exchange) { lie.tell(command, response) } else { response }
    })
}

/// Some hundred lies to tell in `exchange`, the same ones in every run.
pub fn lies(exchange: Exchange) -> Vec<Lie> {
    let mut lies = statuses(exchange);
    lies.extend(malformed(exchange));
    lies.extend(lengths());
    lies.extend(flipped());
    lies.extend(members());
    match exchange {
        Exchange::MakeCredential => lies.extend(new_credentials()),
        Exchange::GetAssertion => lies.extend(assertions()),
        _ => {}
    }
    lies
}

/// Every status byte but success.
fn statuses(exchange: Exchange) -> Vec<Lie> {
    // A device of CTAP 2.0 does not know authenticatorSelection, and is chosen in another way.
    let grave = |status| !(exchange == Exchange::Selection && status == 1);
    (1..=255)
        .map(|status| Lie::new(format!("status 0x{status:02x}"), grave(status), move |_, _| vec![status]))
        .collect()
}

/// What is no message of CTAP2, or another one than was asked for.
fn malformed(exchange: Exchange) -> Vec<Lie> {
    let empty = exchange.answers_nothing();
    let fixed = |name: &str, grave, answer: Vec<u8>| Lie::new(name, grave, move |_, _| answer.clone());
    let huge = [&[0], vec![0x81; 60_000].as_slice()].concat();
    vec![
        fixed("nothing at all", true, Vec::new()),
        fixed("a status without CBOR", !empty, vec![0]),
        fixed("no map", true, vec![0, 0x80]),
        fixed("an empty map", !empty, vec![0, 0xa0]),
        fixed("an indefinite map", true, vec![0, 0xbf, 0xff]),
        fixed("keys out of order", true, vec![0, 0xa2, 0x02, 0x00, 0x01, 0x00]),
        fixed("keys twice", true, vec![0, 0xa2, 0x01, 0x00, 0x01, 0x00]),
        fixed("members of another type", !empty, vec![0, 0xa5, 1, 0xf6, 2, 0xf6, 3, 0xf6, 4, 0xf6, 5, 0xf6]),
        fixed(
            "a length without its bytes",
            true,
            vec![0, 0xa1, 1, 0x5b, 0x7f, 255, 255, 255, 255, 255, 255, 255],
        ),
        fixed("nesting without end", true, huge),
        fixed("too large", true, vec![0; 100_000]),
        Lie::new("one byte long", true, |_, mut answer| {
            answer.push(0);
            answer
        }),
        Lie::new("the command itself", true, |command, _| [&[0], command].concat()),
    ]
}

const CUTS: usize = 32;

/// Cut off and blown up.
fn lengths() -> Vec<Lie> {
    let mut lies = Vec::new();
    for part in 0..CUTS {
        lies.push(Lie::new(format!("cut to {part}/{CUTS}"), true, move |_, mut answer| {
            answer.truncate(answer.len() * part / CUTS);
            answer
        }));
        for byte in [0x00, 0xff] {
            lies.push(Lie::new(
                format!("0x{byte:02x} put in at {part}/{CUTS}"),
                false,
                move |_, mut answer| {
                    answer.insert(answer.len() * part / CUTS, byte);
                    answer
                },
            ));
        }
    }
    lies
}

const FLIPS: usize = 64;

/// One bit is another.
fn flipped() -> Vec<Lie> {
    let flip = |part: usize| {
        Lie::new(
            format!("bit {} flipped at {part}/{FLIPS}", part % 8),
            false,
            move |_, mut answer: Vec<u8>| {
                let at = answer.len() * part / FLIPS;
                if let Some(byte) = answer.get_mut(at) {
                    *byte ^= 1 << (part % 8);
                }
                answer
            },
        )
    };
    (0..FLIPS).map(flip).collect()
}

/// Each member left out, or of another type.
fn members() -> Vec<Lie> {
    let values = [
        ("left out", None),
        ("null", Some(Value::Null)),
        ("false", Some(Value::Bool(false))),
        ("0", Some(Value::Unsigned(0))),
        ("2^64 - 1", Some(Value::Unsigned(u64::MAX))),
        ("-1", Some(Value::int(-1))),
        ("empty bytes", Some(Value::Bytes(Vec::new()))),
        ("a text", Some(Value::from("x"))),
        ("an empty array", Some(Value::Array(Vec::new()))),
        ("an empty map", Some(Value::Map(Map::new()))),
    ];
    let mut lies = Vec::new();
    for member in 0..6 {
        for (name, value) in &values {
            let value = value.clone();
            lies.push(Lie::new(format!("member {member} is {name}"), false, move |_, answer| {
                with_member(answer, member, value.clone())
            }));
        }
    }
    lies
}

fn with_member(answer: Vec<u8>, member: usize, value: Option<Value>) -> Vec<u8> {
    let Some((0, body)) = answer.split_first().map(|(status, body)| (*status, body)) else { return answer };
    let Ok(Value::Map(mut map)) = decode(body) else { return answer };
    let Some(key) = map.iter().nth(member).map(|(key, _)| key.clone()) else { return answer };
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
    [&[0], Value::Map(map).encode().as_slice()].concat()
}

type Change = fn(&mut AuthenticatorData);

/// Well-formed authenticatorData about something else. Its signature does not fit any more, where there is one.
fn about_something_else() -> [(&'static str, Change); 4] {
    [
        ("rpIdHash of another site", |data| data.rp_id_hash[31] ^= 1),
        ("flag UP missing", |data| data.flags = Flags(data.flags.0 & !Flags::USER_PRESENT.0)),
        ("flag UV missing", |data| data.flags = Flags(data.flags.0 & !Flags::USER_VERIFIED.0)),
        ("another counter than was signed", |data| data.sign_count ^= 0x100),
    ]
}

fn changed(auth_data: &mut Vec<u8>, change: impl Fn(&mut AuthenticatorData)) {
    let mut data = AuthenticatorData::parse(auth_data).expect("a good device's authenticatorData");
    change(&mut data);
    *auth_data = data.encode();
}

fn new_credentials() -> Vec<Lie> {
    type Tell = fn(&mut MakeCredentialResponse);
    let about_the_key: [(&str, Change); 2] = [
        ("no key in it", |data| data.attested = None),
        ("another credential ID than was signed", |data| {
            if let Some(attested) = &mut data.attested {
                attested.credential_id = CredentialId::new(vec![6; 32]).expect("a credential ID");
            }
        }),
    ];
    let about_the_statement: [(&str, Tell); 3] = [
        ("a statement without its signature", |response| {
            response.attestation.att_stmt.remove(&Value::from("sig"));
        }),
        ("a statement for another algorithm", |response| {
            response.attestation.att_stmt.insert(Value::from("alg"), Value::int(-257));
        }),
        ("no statement, but parts of one", |response| response.attestation.fmt = "none".to_owned()),
    ];
    let lie = |name: &str, tell: Box<dyn Fn(&mut MakeCredentialResponse) + Send + Sync>| {
        Lie::new(name, true, move |_, answer| {
            let Ok(Ok(mut response)) = MakeCredentialResponse::decode(&answer) else { return answer };
            tell(&mut response);
            response.encode()
        })
    };
    let mut lies = Vec::new();
    for (name, change) in about_something_else().into_iter().chain(about_the_key) {
        lies.push(lie(name, Box::new(move |response| changed(&mut response.attestation.auth_data, change))));
    }
    lies.extend(about_the_statement.map(|(name, tell)| lie(name, Box::new(tell))));
    lies
}

fn assertions() -> Vec<Lie> {
    type Tell = fn(&mut GetAssertionResponse, hash: &[u8; 32]);
    let mut lies = Vec::new();
    for (name, change) in about_something_else() {
        lies.push(Lie::new(name, true, move |_, answer| {
            let Ok(Ok(mut response)) = GetAssertionResponse::decode(&answer) else { return answer };
            changed(&mut response.auth_data, change);
            response.encode()
        }));
    }
    let others: [(&str, Tell); 5] = [
        ("another credential", |response, _| {
            response.credential = Some(CredentialId::new(vec![6; 32]).expect("a credential ID"));
        }),
        ("a signature by another key", |response, hash| {
            response.signature = another_signature(&[response.auth_data.as_slice(), hash].concat());
        }),
        ("a signature over something else", |response, _| {
            response.signature = another_signature(b"something else");
        }),
        ("no signature", |response, _| response.signature.clear()),
        ("a signature of zeros", |response, _| response.signature.fill(0)),
    ];
    for (name, tell) in others {
        lies.push(Lie::new(name, true, move |command, answer| {
            let Ok(Ok(mut response)) = GetAssertionResponse::decode(&answer) else { return answer };
            let Ok(Request::GetAssertion(request)) = Request::decode(command) else { return answer };
            tell(&mut response, &request.client_data_hash);
            response.encode()
        }));
    }
    lies
}

fn another_signature(message: &[u8]) -> Vec<u8> {
    let key = SigningKey::from_slice(&[4; 32]).expect("a key");
    let signature: Signature = key.sign(message);
    signature.to_der().as_bytes().to_vec()
}
