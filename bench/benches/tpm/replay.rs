//! The same TPM commands, without the wallet: with objects of the same kinds and sizes, made once, and tss-esapi alone. Commands
//! can't be replayed byte by byte, since sessions have nonces. Each part is sent on a connection of its own, as the wallet does
//! between which others use the TPM; opening it is in the floor.

use ctap_tpm::TpmAddress;
use std::fmt;
use tss_esapi::attributes::{NvIndexAttributesBuilder, ObjectAttributesBuilder, SessionAttributesBuilder};
use tss_esapi::constants::tss::TPM2_RH_NULL;
use tss_esapi::constants::{NvIndexType, SessionType, StructureTag};
use tss_esapi::handles::{
    AuthHandle, KeyHandle, NvIndexHandle, NvIndexTpmHandle, ObjectHandle, SessionHandle, TpmHandle,
};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::{Hierarchy, NvAuth, Provision};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Auth, Digest, EccPoint, EccScheme, HashScheme, HashcheckTicket, KeyedHashScheme, MaxNvBuffer, Nonce,
    NvPublic, Private, Public, PublicBuilder, PublicEccParametersBuilder, PublicKeyedHashParameters,
    SensitiveData, SignatureScheme, SymmetricDefinition, SymmetricDefinitionObject,
};
use tss_esapi::tss2_esys::TPMT_TK_HASHCHECK;
use tss_esapi::utils::TpmsContext;
use tss_esapi::{Context, TctiNameConf};

/// Commands that belong together, on one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The key store: the PIN, and a signature.
    Sign,
    /// The store's counter against roll-back goes up.
    Count,
    /// It is read.
    ReadCounter,
    /// The store's key slot.
    Unseal,
}

const PARTS: [Part; 4] = [Part::Sign, Part::Count, Part::ReadCounter, Part::Unseal];

impl Part {
    /// Names (TPM 2.0 Library, Part 3) and codes (Part 2, section 6.5.2).
    const fn commands(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Sign => &[
                ("ContextLoad", 0x161),
                ("NV_ReadPublic", 0x169),
                ("StartAuthSession", 0x176),
                ("NV_Read", 0x14e),
                ("Load", 0x157),
                ("NV_ReadPublic", 0x169),
                ("NV_Increment", 0x134),
                ("NV_Read", 0x14e),
                ("StartAuthSession", 0x176),
                ("PolicySecret", 0x151),
                ("PolicyAuthValue", 0x16b),
                ("Sign", 0x15d),
                ("FlushContext", 0x165),
                ("FlushContext", 0x165),
            ],
            Self::Count => &[("NV_ReadPublic", 0x169), ("NV_Increment", 0x134), ("NV_Read", 0x14e)],
            Self::ReadCounter => &[("NV_ReadPublic", 0x169), ("NV_Read", 0x14e)],
            Self::Unseal => &[
                ("CreatePrimary", 0x131),
                ("ContextSave", 0x162),
                ("Load", 0x157),
                ("StartAuthSession", 0x176),
                ("Unseal", 0x15e),
                ("FlushContext", 0x165),
                ("FlushContext", 0x165),
            ],
        }
    }

    /// The parts that were sent, by their codes.
    pub(crate) fn split(sent: &[u32]) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut rest = sent;
        while !rest.is_empty() {
            let part = PARTS.into_iter().find_map(|part| {
                let codes: Vec<u32> = part.commands().iter().map(|(_, code)| *code).collect();
                Some((part, rest.strip_prefix(codes.as_slice())?))
            });
            let (part, left) = part.unwrap_or_else(|| {
                panic!("the replay does not know these commands of {sent:x?} (after {parts:?}): {rest:x?}")
            });
            parts.push(part);
            rest = left;
        }
        parts
    }

    /// A line for each part.
    pub(crate) fn describe(parts: &[Self]) -> String {
        let lines: Vec<String> = parts
            .iter()
            .map(|part| {
                let names: Vec<&str> = part.commands().iter().map(|(name, _)| *name).collect();
                format!("{part}: {}", names.join(", "))
            })
            .collect();
        lines.join("\n")
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sign => "PIN and signature",
            Self::Count => "counter against roll-back",
            Self::ReadCounter => "counter against roll-back, read",
            Self::Unseal => "key slot",
        })
    }
}

/// Where the replay has its PIN object and its counters; the wallet's are elsewhere.
const PIN_OBJECT: u32 = 0x0180_0001;
const COUNTER: u32 = 0x0180_0002;
/// The PIN's length, and that of the secret that keys and slots have.
const PIN: [u8; 16] = [0x31; 16];
const SECRET: [u8; 32] = [0x5c; 32];

/// What is needed to send them.
pub(crate) struct Replay {
    address: TpmAddress,
    name: TctiNameConf,
    primary: TpmsContext,
    key: (Private, Public),
    sealed: (Private, Public),
}

impl Replay {
    /// Makes its objects in the TPM at this address, unless another one has made them.
    pub(crate) fn new(address: TpmAddress) -> Self {
        let name = name(&address);
        let mut context = Context::new(name.clone()).unwrap();
        let primary = create_primary(&mut context);
        if read_public(&mut context, PIN_OBJECT).is_none() {
            define(&mut context);
        }
        let pin_object = read_public(&mut context, PIN_OBJECT).unwrap();
        let policy = policy(&mut context, pin_object);
        let key = create(&mut context, primary, signing_key(policy), None);
        let content = SensitiveData::try_from(SECRET.as_slice()).unwrap();
        let sealed = create(&mut context, primary, sealed_object(), Some(content));
        let saved = context.context_save(primary.into()).unwrap();
        context.flush_context(primary.into()).unwrap();
        Self { address, name, primary: saved, key, sealed }
    }

    /// Sends them.
    pub(crate) fn play(&mut self, parts: &[Part]) {
        for part in parts {
            // A program that opens its store has just started, and reads the address.
            let name = if *part == Part::Unseal { name(&self.address) } else { self.name.clone() };
            let mut context = Context::new(name).unwrap();
            match part {
                Part::Sign => self.sign(&mut context),
                Part::Count => {
                    let counter = read_public(&mut context, COUNTER).unwrap();
                    count_up(&mut context, AuthSession::Password, counter);
                }
                Part::ReadCounter => {
                    let counter = read_public(&mut context, COUNTER).unwrap();
                    read(&mut context, AuthSession::Password, counter, 8);
                }
                Part::Unseal => self.unseal(&mut context),
            }
        }
    }

    fn sign(&self, context: &mut Context) {
        let primary = KeyHandle::from(context.context_load(self.primary.clone()).unwrap());
        let pin_object = read_public(context, PIN_OBJECT).unwrap();
        let session = salted_session(context, primary);
        context.tr_set_auth(pin_object.into(), Auth::try_from(PIN.as_slice()).unwrap()).unwrap();
        assert_eq!(read(context, session, pin_object, 32), SECRET);
        let key = load(context, session, primary, &self.key);
        let counter = read_public(context, COUNTER).unwrap();
        count_up(context, session, counter);
        let policy = start(context, None, SessionType::Policy);
        is_last(context, session);
        satisfy(context, session, policy, pin_object);
        forget(context, session);
        context.tr_set_auth(key.into(), Auth::try_from(SECRET.as_slice()).unwrap()).unwrap();
        let ticket = HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
            tag: StructureTag::Hashcheck.into(),
            hierarchy: TPM2_RH_NULL,
            digest: Default::default(),
        });
        let digest = Digest::try_from([7; 32].as_slice()).unwrap();
        is_last(context, policy);
        context
            .execute_with_session(Some(policy), |context| {
                context.sign(key, digest, SignatureScheme::Null, ticket.unwrap())
            })
            .unwrap();
        forget(context, policy);
        context.flush_context(key.into()).unwrap();
        context.flush_context(primary.into()).unwrap();
    }

    fn unseal(&self, context: &mut Context) {
        let primary = create_primary(context);
        context.context_save(primary.into()).unwrap();
        let object = load(context, AuthSession::Password, primary, &self.sealed);
        let session = salted_session(context, primary);
        is_last(context, session);
        let secret =
            context.execute_with_session(Some(session), |context| context.unseal(object.into())).unwrap();
        assert_eq!(secret.value(), SECRET);
        forget(context, session);
        context.flush_context(object.into()).unwrap();
        context.flush_context(primary.into()).unwrap();
    }
}

fn name(address: &TpmAddress) -> TctiNameConf {
    match address {
        TpmAddress::Device(path) => path.to_string_lossy().parse().map(TctiNameConf::Device),
        TpmAddress::Swtpm { host, port } => {
            format!("host={host},port={port}").parse().map(TctiNameConf::Swtpm)
        }
    }
    .unwrap()
}

fn read_public(context: &mut Context, index: u32) -> Option<NvIndexHandle> {
    let index = TpmHandle::NvIndex(NvIndexTpmHandle::new(index).unwrap());
    context.tr_from_tpm_public(index).ok().map(NvIndexHandle::from)
}

fn read(context: &mut Context, session: AuthSession, index: NvIndexHandle, size: u16) -> Vec<u8> {
    let read = |context: &mut Context| context.nv_read(NvAuth::NvIndex(index), index, size, 0);
    context.execute_with_session(Some(session), read).unwrap().value().to_vec()
}

fn count_up(context: &mut Context, session: AuthSession, index: NvIndexHandle) {
    let increment = |context: &mut Context| context.nv_increment(NvAuth::NvIndex(index), index);
    context.execute_with_session(Some(session), increment).unwrap();
    read(context, session, index, 8);
}

fn load(
    context: &mut Context,
    session: AuthSession,
    parent: KeyHandle,
    (private, public): &(Private, Public),
) -> KeyHandle {
    let load = |context: &mut Context| context.load(parent, private.clone(), public.clone());
    context.execute_with_session(Some(session), load).unwrap()
}

fn start(context: &mut Context, salt: Option<KeyHandle>, kind: SessionType) -> AuthSession {
    let symmetric = SymmetricDefinition::AES_128_CFB;
    let started = context.start_auth_session(salt, None, None, kind, symmetric, HashingAlgorithm::Sha256);
    started.unwrap().unwrap()
}

fn salted_session(context: &mut Context, primary: KeyHandle) -> AuthSession {
    let session = start(context, Some(primary), SessionType::Hmac);
    let (attributes, mask) = SessionAttributesBuilder::new().with_decrypt(true).with_encrypt(true).build();
    context.tr_sess_set_attributes(session, attributes, mask).unwrap();
    session
}

fn flush_session(context: &mut Context, session: AuthSession) {
    context.flush_context(SessionHandle::from(session).into()).unwrap();
}

/// With its next command the TPM flushes the session by itself.
fn is_last(context: &mut Context, session: AuthSession) {
    let (attributes, mask) = SessionAttributesBuilder::new().with_continue_session(false).build();
    context.tr_sess_set_attributes(session, attributes, mask).unwrap();
}

/// The library's memory of a session that the TPM has flushed.
fn forget(context: &mut Context, session: AuthSession) {
    let _forgotten = context.tr_close(&mut ObjectHandle::from(SessionHandle::from(session)));
}

fn satisfy(context: &mut Context, session: AuthSession, policy: AuthSession, pin_object: NvIndexHandle) {
    let policy = PolicySession::try_from(policy).unwrap();
    let policy_ref = Nonce::try_from(SECRET.as_slice()).unwrap();
    let secret = |context: &mut Context| {
        let by = AuthHandle::from(pin_object);
        context.policy_secret(policy, by, Nonce::default(), Digest::default(), policy_ref, None)
    };
    context.execute_with_session(Some(session), secret).unwrap();
    context.policy_auth_value(policy).unwrap();
}

/// The policy of a key, as a trial session has it.
fn policy(context: &mut Context, pin_object: NvIndexHandle) -> Digest {
    let trial = start(context, None, SessionType::Trial);
    context.tr_set_auth(pin_object.into(), Auth::try_from(PIN.as_slice()).unwrap()).unwrap();
    satisfy(context, AuthSession::Password, trial, pin_object);
    let digest = context.policy_get_digest(PolicySession::try_from(trial).unwrap()).unwrap();
    flush_session(context, trial);
    digest
}

/// PIN object and counter.
fn define(context: &mut Context) {
    let nv = |index: u32, size: usize, counter: bool| {
        let attributes = NvIndexAttributesBuilder::new().with_auth_read(true).with_auth_write(true);
        let attributes = match counter {
            true => attributes.with_nv_index_type(NvIndexType::Counter).with_no_da(true),
            false => attributes,
        };
        NvPublic::builder()
            .with_nv_index(NvIndexTpmHandle::new(index).unwrap())
            .with_index_name_algorithm(HashingAlgorithm::Sha256)
            .with_index_attributes(attributes.build().unwrap())
            .with_data_area_size(size)
            .build()
            .unwrap()
    };
    let pin = Auth::try_from(PIN.as_slice()).unwrap();
    let content = MaxNvBuffer::try_from(SECRET.as_slice()).unwrap();
    context.execute_with_session(Some(AuthSession::Password), |context| {
        let index = context
            .nv_define_space(Provision::Owner, Some(pin), nv(PIN_OBJECT, SECRET.len(), false))
            .unwrap();
        context.nv_write(NvAuth::NvIndex(index), index, content, 0).unwrap();
        let counter = context.nv_define_space(Provision::Owner, None, nv(COUNTER, 8, true)).unwrap();
        context.nv_increment(NvAuth::NvIndex(counter), counter).unwrap();
    });
}

fn create_primary(context: &mut Context) -> KeyHandle {
    let attributes = ours().with_sensitive_data_origin(true).with_user_with_auth(true);
    let attributes = attributes.with_restricted(true).with_decrypt(true).build().unwrap();
    let parameters = PublicEccParametersBuilder::new_restricted_decryption_key(
        SymmetricDefinitionObject::AES_128_CFB,
        EccCurve::NistP256,
    );
    let template = PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters.build().unwrap())
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
        .unwrap();
    let create =
        |context: &mut Context| context.create_primary(Hierarchy::Owner, template, None, None, None, None);
    context.execute_with_session(Some(AuthSession::Password), create).unwrap().key_handle
}

fn create(
    context: &mut Context,
    parent: KeyHandle,
    template: Public,
    content: Option<SensitiveData>,
) -> (Private, Public) {
    // A slot's key is opened by nothing but the TPM, a payment key by the secret too.
    let auth = content.is_none().then(|| Auth::try_from(SECRET.as_slice()).unwrap());
    let create = |context: &mut Context| context.create(parent, template, auth, content, None, None);
    let made = context.execute_with_session(Some(AuthSession::Password), create).unwrap();
    (made.out_private, made.out_public)
}

fn ours() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new().with_fixed_tpm(true).with_fixed_parent(true).with_no_da(true)
}

fn signing_key(policy: Digest) -> Public {
    let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
    let parameters = PublicEccParametersBuilder::new_unrestricted_signing_key(scheme, EccCurve::NistP256);
    let attributes = ours().with_sensitive_data_origin(true).with_admin_with_policy(true);
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes.with_sign_encrypt(true).build().unwrap())
        .with_auth_policy(policy)
        .with_ecc_parameters(parameters.build().unwrap())
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
        .unwrap()
}

fn sealed_object() -> Public {
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(ours().with_user_with_auth(true).build().unwrap())
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(KeyedHashScheme::Null))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
        .unwrap()
}
