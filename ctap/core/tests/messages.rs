//! Messages, authenticatorData and attestation objects: what is written is read, and any bytes are read or refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_core::attestation::{AttestationObject, PackedStatement};
use ctap_core::authenticator_data::{AttestedCredential, AuthenticatorData, Flags};
use ctap_core::messages::{
    ClientPinRequest, ClientPinResponse, ClientPinSubcommand, CredProtect, CredentialId, EmptyResponse,
    GetAssertionRequest, GetAssertionResponse, GetInfo, MakeCredentialRequest, MakeCredentialResponse,
    PinUvAuthParam, RelyingParty, Request, Response, UserAccount,
};
use ctap_core::pin_uv_auth::{KeyAgreement, KeyAgreementKey, Permissions, Protocol};
use ctap_core::{MessageError, Random, RandomError, Status};
use data_encoding::HEXLOWER;
use fwp_cose::cbor::{Map, Value};
use fwp_cose::key::Ed25519Key;
use fwp_cose::{PublicKey, SignatureAlgorithm};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

struct Constant(u8);

impl Random for Constant {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        out.fill(self.0);
        Ok(())
    }
}

fn key_agreement() -> impl Strategy<Value = KeyAgreementKey> {
    (1..=254u8).prop_map(|byte| KeyAgreement::generate(&mut Constant(byte)).unwrap().public_key().clone())
}

fn credential_id() -> impl Strategy<Value = CredentialId> {
    vec(any::<u8>(), 1..200).prop_map(|bytes| CredentialId::new(bytes).unwrap())
}

fn pin_uv_auth() -> impl Strategy<Value = Option<PinUvAuthParam>> {
    option::of((any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(|(two, param)| PinUvAuthParam {
        protocol: if two { Protocol::Two } else { Protocol::One },
        param,
    }))
}

fn make_credential() -> impl Strategy<Value = Request> {
    let entities = (
        ".{0,20}",
        option::of(".{0,20}"),
        vec(any::<u8>(), 0..64),
        option::of(".{0,9}"),
        option::of(".{0,9}"),
    );
    let options = (option::of(any::<bool>()), option::of(any::<bool>()), option::of(any::<bool>()));
    let lists = (vec(any::<i64>(), 0..5), vec(credential_id(), 0..4));
    (any::<[u8; 32]>(), entities, lists, option::of(1..=3u64), options, pin_uv_auth()).prop_map(
        |(
            client_data_hash,
            (rp_id, rp_name, id, name, display_name),
            (algorithms, exclude),
            level,
            (rk, up, uv),
            auth,
        )| {
            Request::MakeCredential(MakeCredentialRequest {
                client_data_hash,
                rp: RelyingParty { id: rp_id, name: rp_name },
                user: UserAccount { id, name, display_name },
                algorithms,
                exclude,
                cred_protect: level.and_then(CredProtect::from_level),
                resident_key: rk,
                user_presence: up,
                user_verification: uv,
                pin_uv_auth: auth,
            })
        },
    )
}

fn get_assertion() -> impl Strategy<Value = Request> {
    let options = (option::of(any::<bool>()), option::of(any::<bool>()));
    (".{0,20}", any::<[u8; 32]>(), vec(credential_id(), 0..4), options, pin_uv_auth()).prop_map(
        |(rp_id, client_data_hash, allow, (up, uv), pin_uv_auth)| {
            Request::GetAssertion(GetAssertionRequest {
                rp_id,
                client_data_hash,
                allow,
                user_presence: up,
                user_verification: uv,
                pin_uv_auth,
            })
        },
    )
}

fn client_pin() -> impl Strategy<Value = Request> {
    use ClientPinSubcommand as S;
    let bytes = || vec(any::<u8>(), 0..100);
    let parts = (key_agreement(), bytes(), bytes(), bytes(), 1..=255u8, option::of(".{0,20}"));
    (0..8, any::<bool>(), parts).prop_map(|(kind, two, (key_agreement, a, b, c, bits, rp_id))| {
        let permissions = Permissions(bits);
        let subcommand = match kind {
            0 => S::GetPinRetries,
            1 => S::GetKeyAgreement,
            2 => S::SetPin { key_agreement, new_pin_enc: a, pin_uv_auth_param: b },
            3 => S::ChangePin { key_agreement, pin_hash_enc: a, new_pin_enc: b, pin_uv_auth_param: c },
            4 => S::GetPinToken { key_agreement, pin_hash_enc: a },
            5 => S::GetPinUvAuthTokenUsingUvWithPermissions { key_agreement, permissions, rp_id },
            6 => S::GetUvRetries,
            _ => S::GetPinUvAuthTokenUsingPinWithPermissions {
                key_agreement,
                pin_hash_enc: a,
                permissions,
                rp_id,
            },
        };
        let protocol = Some(if two { Protocol::Two } else { Protocol::One });
        Request::ClientPin(ClientPinRequest { protocol, subcommand })
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let plain = prop::sample::select(vec![
        Request::GetInfo,
        Request::GetNextAssertion,
        Request::Reset,
        Request::Selection,
    ]);
    prop_oneof![make_credential(), get_assertion(), client_pin(), plain]
}

fn ed25519_key() -> PublicKey {
    // The base point's encoding.
    let mut bytes = [0x66; 32];
    bytes[0] = 0x58;
    PublicKey::Ed25519(Ed25519Key::new(bytes).unwrap())
}

fn authenticator_data() -> impl Strategy<Value = AuthenticatorData> {
    let attested = option::of((any::<[u8; 16]>(), credential_id()).prop_map(|(aaguid, credential_id)| {
        AttestedCredential {
            aaguid,
            credential_id,
            public_key: ed25519_key(),
            algorithm: SignatureAlgorithm::Ed25519,
        }
    }));
    let extensions = option::of(any::<bool>().prop_map(|value| {
        let mut map = Map::new();
        map.insert(Value::from("hmac-secret"), Value::Bool(value));
        map
    }));
    (any::<[u8; 32]>(), 0..64u8, any::<u32>(), attested, extensions).prop_map(
        |(rp_id_hash, bits, sign_count, attested, extensions)| {
            let mut flags = Flags(bits);
            flags = if attested.is_some() { flags.with(Flags::ATTESTED) } else { flags };
            flags = if extensions.is_some() { flags.with(Flags::EXTENSIONS) } else { flags };
            AuthenticatorData { rp_id_hash, flags, sign_count, attested, extensions }
        },
    )
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written(request in requests()) {
        prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
    }

    #[test]
    fn authenticator_data_is_read_as_it_was_written_and_in_no_other_length(
        data in authenticator_data(),
        extra: u8,
        cut: prop::sample::Index,
    ) {
        let bytes = data.encode();
        prop_assert_eq!(AuthenticatorData::parse(&bytes), Ok(data));
        let longer = [bytes.as_slice(), &[extra]].concat();
        prop_assert!(AuthenticatorData::parse(&longer).is_err());
        let cut = cut.index(bytes.len());
        prop_assert!(AuthenticatorData::parse(&bytes[..cut]).is_err());
    }

    #[test]
    fn attestation_objects_are_read_as_they_were_written(
        fmt in ".{0,10}", auth_data: Vec<u8>, alg: i64, signature: Vec<u8>, certificates in vec(any::<Vec<u8>>(), 0..8),
    ) {
        let statement = PackedStatement { alg, signature, certificates };
        prop_assert_eq!(PackedStatement::from_map(&statement.to_map()), Ok(statement.clone()));
        let object = AttestationObject { fmt, att_stmt: statement.to_map(), auth_data };
        prop_assert_eq!(AttestationObject::decode(&object.encode()), Ok(object.clone()));
        let response = MakeCredentialResponse { attestation: object };
        prop_assert_eq!(MakeCredentialResponse::decode(&response.encode()), Ok(Ok(response)));
    }

    #[test]
    fn responses_are_read_as_they_were_written(
        credential in option::of(credential_id()), auth_data: Vec<u8>, signature: Vec<u8>,
        number in option::of(any::<u64>()), key_agreement in option::of(key_agreement()),
        token in option::of(any::<Vec<u8>>()), power_cycle_state in option::of(any::<bool>()),
        max_msg_size in option::of(any::<u64>()), aaguid: [u8; 16], versions in vec(".{0,9}", 1..4), flags: (bool, bool),
        transports_for_reset in vec(".{0,9}", 0..4),
    ) {
        let assertion =
            GetAssertionResponse { credential, auth_data, signature, user: None, number_of_credentials: number };
        prop_assert_eq!(GetAssertionResponse::decode(&assertion.encode()), Ok(Ok(assertion)));
        let pin = ClientPinResponse {
            key_agreement, pin_uv_auth_token: token, pin_retries: number, power_cycle_state, uv_retries: number,
        };
        prop_assert_eq!(ClientPinResponse::decode(&pin.encode()), Ok(Ok(pin)));
        let info = GetInfo {
            versions: versions.clone(), extensions: versions.clone(), aaguid, options: vec![("up".to_owned(), true)],
            max_msg_size, pin_uv_auth_protocols: vec![2, 1], max_credential_count_in_list: number,
            max_credential_id_length: number, transports: versions, algorithms: vec![-7, -8], force_pin_change: flags.0,
            min_pin_length: number, preferred_platform_uv_attempts: number, max_pin_length: number,
            firmware_version: max_msg_size, remaining_discoverable_credentials: number, long_touch_for_reset: flags.1,
            transports_for_reset,
        };
        prop_assert_eq!(GetInfo::decode(&info.encode()), Ok(Ok(info)));
    }

    #[test]
    fn cred_protect_is_read_as_it_was_written_and_nothing_else(level: u64, other: Vec<u8>) {
        let read = |value: Value| {
            let mut extensions = Map::new();
            extensions.insert(Value::from("credProtect"), value);
            extensions.insert(Value::from("credBlob"), Value::from(other.as_slice()));
            CredProtect::from_extensions(&extensions)
        };
        for level in [level, level % 5] {
            match CredProtect::from_level(level) {
                Some(policy) => {
                    prop_assert!((1..=3).contains(&level));
                    prop_assert_eq!(read(Value::Unsigned(level)), Ok(Some(policy)));
                    prop_assert_eq!(CredProtect::from_extensions(&policy.to_extensions()), Ok(Some(policy)));
                }
                None => {
                    prop_assert!(read(Value::Unsigned(level)).is_err());
                }
            }
        }
        prop_assert!(read(Value::from(other.as_slice())).is_err());
        prop_assert_eq!(CredProtect::from_extensions(&Map::new()), Ok(None));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        for first in [None, Some(0), Some(1), Some(2), Some(6)] {
            let bytes: Vec<u8> = first.into_iter().chain(bytes.iter().copied()).collect();
            let _ = Request::decode(&bytes);
            let _ = GetInfo::decode(&bytes);
            let _ = MakeCredentialResponse::decode(&bytes);
            let _ = GetAssertionResponse::decode(&bytes);
            let _ = ClientPinResponse::decode(&bytes);
            let _ = EmptyResponse::decode(&bytes);
            let _ = AuthenticatorData::parse(&bytes);
            let _ = AttestationObject::decode(&bytes);
        }
    }

    #[test]
    fn a_request_with_a_byte_changed_is_read_or_refused(request in requests(), at: prop::sample::Index, byte: u8) {
        let mut bytes = request.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = Request::decode(&bytes) {
            // Unknown members are skipped, so that what is read may be written shorter, but it is read the same.
            prop_assert_eq!(Request::decode(&read.encode()), Ok(read));
        }
    }
}

/// The getInfo response of the CTAP 2.1 text (section 6.4), with its later members.
#[test]
fn members_that_are_not_known_are_skipped() {
    let info = GetInfo { versions: vec!["FIDO_2_3".to_owned()], ..GetInfo::default() };
    let map = info.to_map().with(0x15, vec![Value::int(1)]).with(0x1f, "later");
    let mut bytes = vec![0];
    Value::Map(map).encode_to(&mut bytes);
    assert_eq!(GetInfo::decode(&bytes), Ok(Ok(info)));
}

/// What keys of each version say of themselves (CTAP 2.0 section 5.4, 2.1, 2.2 and 2.3 section 6.4): the members that are read
/// are read, whatever else is there.
#[test]
fn get_info_of_every_version_of_ctap_is_read() {
    let named = |entries: &[(&str, Value)]| {
        let mut map = Map::new();
        entries.iter().for_each(|(name, value)| {
            map.insert(Value::from(*name), value.clone());
        });
        map
    };
    let options =
        |names: &[&str]| named(&names.iter().map(|name| (*name, Value::Bool(true))).collect::<Vec<_>>());
    let texts = |texts: &[&str]| Value::Array(texts.iter().map(|text| Value::from(*text)).collect());
    let algorithm = |alg| Value::Map(named(&[("alg", Value::int(alg)), ("type", Value::from("public-key"))]));
    let v2_0 = Map::new()
        .with(0x01, texts(&["U2F_V2", "FIDO_2_0"]))
        .with(0x02, texts(&["uvm", "hmac-secret"]))
        .with(0x03, &[1; 16][..])
        .with(0x04, options(&["rk", "up", "plat", "clientPin"]))
        .with(0x05, 1200)
        .with(0x06, vec![Value::int(1)]);
    let v2_1 = v2_0
        .clone()
        .with(0x01, texts(&["U2F_V2", "FIDO_2_0", "FIDO_2_1_PRE", "FIDO_2_1"]))
        .with(0x02, texts(&["credProtect", "hmac-secret", "largeBlobKey", "credBlob", "minPinLength"]))
        .with(
            0x04,
            options(&["rk", "up", "uv", "alwaysUv", "credMgmt", "bioEnroll", "clientPin", "pinUvAuthToken"]),
        )
        .with(0x06, vec![Value::int(2), Value::int(1)])
        .with(0x07, 8)
        .with(0x08, 128)
        .with(0x09, texts(&["nfc", "usb"]))
        .with(0x0a, vec![algorithm(-7), algorithm(-8), algorithm(-35)])
        .with(0x0b, 4096)
        .with(0x0c, false)
        .with(0x0d, 6)
        .with(0x0e, 328_707)
        .with(0x0f, 32)
        .with(0x10, 1)
        .with(0x11, 3)
        .with(0x12, 2)
        .with(0x13, named(&[("FIDO", Value::int(1)), ("FIPS-CMVP-3", Value::int(3))]))
        .with(0x14, 100)
        .with(0x15, vec![Value::Unsigned(u64::MAX)]);
    let v2_2 = v2_1
        .clone()
        .with(0x01, texts(&["FIDO_2_0", "FIDO_2_1", "FIDO_2_2"]))
        .with(0x16, texts(&["packed", "none"]))
        .with(0x17, 7)
        .with(0x18, true);
    let v2_3 = v2_2
        .clone()
        .with(0x01, texts(&["FIDO_2_1", "FIDO_2_3"]))
        .with(0x19, &[9; 32][..])
        .with(0x1a, texts(&["usb"]))
        .with(0x1b, true)
        .with(0x1c, &b"https://example.com/policy"[..])
        .with(0x1d, 32)
        .with(0x1e, &[8; 32][..])
        .with(0x1f, vec![Value::int(3)]);
    let read = |map: Map| {
        let mut bytes = vec![0];
        Value::Map(map).encode_to(&mut bytes);
        GetInfo::decode(&bytes).unwrap().unwrap()
    };
    let [v2_0, v2_1, v2_2, v2_3] = [v2_0, v2_1, v2_2, v2_3].map(read);
    assert!([&v2_0, &v2_1, &v2_2, &v2_3].iter().all(|info| info.speaks_ctap2() && info.aaguid == [1; 16]));
    assert_eq!((v2_0.protocol(), v2_1.protocol()), (Some(Protocol::One), Some(Protocol::Two)));
    assert!(!v2_0.extension(CredProtect::NAME) && v2_1.extension(CredProtect::NAME));
    assert_eq!((v2_1.max_credential_count_in_list, v2_1.max_credential_id_length), (Some(8), Some(128)));
    assert_eq!((v2_1.firmware_version, v2_1.remaining_discoverable_credentials), (Some(328_707), Some(100)));
    assert_eq!((v2_1.min_pin_code_points(), v2_1.max_pin_code_points()), (6, None));
    assert_eq!(v2_1.algorithms, [-7, -8, -35]);
    assert_eq!((v2_1.long_touch_for_reset, v2_2.long_touch_for_reset), (false, true));
    assert_eq!((v2_3.max_pin_code_points(), v2_3.transports_for_reset), (Some(32), vec!["usb".to_owned()]));
    assert!(!read(Map::new().with(0x01, texts(&["U2F_V2"])).with(0x03, &[0; 16][..])).speaks_ctap2());
}

#[test]
fn get_info_of_ctap_2_0_has_protocol_one_and_a_message_size_of_1024() {
    // A CTAP 2.0 key's: versions, aaguid, options with clientPin; nothing else.
    let hex = "00a30182665532465f5632684649444f5f325f30035000112233445566778899aabbccddeeff\
               04a262726bf569636c69656e7450696ef5";
    let info = GetInfo::decode(&HEXLOWER.decode(hex.replace(' ', "").as_bytes()).unwrap()).unwrap().unwrap();
    assert_eq!(info.versions, ["U2F_V2", "FIDO_2_0"]);
    assert_eq!((info.option("rk"), info.option("uv")), (Some(true), None));
    assert_eq!(
        (info.protocol(), info.max_request(), info.min_pin_code_points()),
        (Some(Protocol::One), 1024, 4)
    );
}

#[test]
fn bad_requests_have_the_status_that_the_standard_gives_them() {
    let status = |hex: &str| Request::decode(&HEXLOWER.decode(hex.as_bytes()).unwrap()).unwrap_err().status();
    assert_eq!(status(""), Status::INVALID_LENGTH);
    assert_eq!(status("03"), Status::INVALID_COMMAND);
    assert_eq!(status("01"), Status::INVALID_CBOR);
    assert_eq!(status("01a0"), Status::MISSING_PARAMETER);
    assert_eq!(status("0180"), Status::CBOR_UNEXPECTED_TYPE);
    assert_eq!(status("02a1011864"), Status::CBOR_UNEXPECTED_TYPE);
    assert_eq!(status("06a201020218ff"), Status::INVALID_SUBCOMMAND);
    assert_eq!(status("06a201030201"), Status::INVALID_PARAMETER);
}

#[test]
fn credential_ids_have_1_to_1023_bytes() {
    assert!(CredentialId::new(Vec::new()).is_err());
    assert!(CredentialId::new(vec![0; 1023]).is_ok());
    assert!(matches!(CredentialId::new(vec![0; 1024]), Err(MessageError::Member { .. })));
}

#[test]
fn statuses_have_their_names() {
    assert_eq!(Status::PIN_AUTH_BLOCKED.to_string(), "CTAP2_ERR_PIN_AUTH_BLOCKED (0x34)");
    assert_eq!(Status(0x16).to_string(), "CTAP2_ERR_UNSUPPORTED_EXTENSION (0x16)", "of CTAP 2.0");
    assert_eq!(Status(0x41).to_string(), "status 0x41");
    assert_eq!(Status(0xe0).to_string(), "an extension's status 0xe0");
    assert_eq!(Status(0xf1).to_string(), "a vendor's status 0xf1");
}
