//! Attestation (WebAuthn Level 2 section 8.3): a key of the TPM's, whose certificate an issuer's CA gives, vouches for new keys.
//!
//! 1. [`Tpm::create_attestation_key`] makes one, a restricted signing key: it signs what the TPM itself says, nothing else.
//! 2. The CA gets [`Tpm::endorsement_certificate`] and [`AttestationKey::public`], checks the maker's certificate, and makes a
//!    credential for both (TPM2_MakeCredential, Part 1, section 24): [`Tpm::activate_credential`] opens it, which this TPM alone
//!    can, and only for a key that it holds. The CA then gives the certificate.
//! 3. [`TpmKeyStore::certify`](crate::TpmKeyStore::certify) has the attestation key say that a new key is in this TPM.

use crate::connection::{Connection, Tried};
use crate::failure::{Code, Failure};
use crate::policy::object_name;
use crate::primary;
use crate::tpm::Tpm;
use ctap_authenticator::HardwareError;
use fwp_cose::key::P256Key;
use tss_esapi::abstraction::AsymmetricAlgorithmSelection;
use tss_esapi::abstraction::ek::create_ek_public_from_default_template_2;
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::handles::{AuthHandle, KeyHandle, NvIndexTpmHandle};
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::key_bits::RsaKeyBits;
use tss_esapi::interface_types::resource_handles::{Hierarchy, NvAuth};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    Digest, EccPoint, EccScheme, EncryptedSecret, HashScheme, IdObject, Nonce, Private, Public,
    PublicBuilder, PublicEccParametersBuilder, SymmetricDefinitionObject,
};
use tss_esapi::traits::{Marshall, UnMarshall};

/// The certificate of the RSA 2048 endorsement key (TCG EK Credential Profile, section 2.2.1.4).
const EK_CERTIFICATE: u32 = 0x01c0_0002;
/// Bytes of an NV index that are read at once, which every TPM gives.
const NV_CHUNK: u16 = 512;

/// An attestation key, as the TPM made it: nothing secret outside the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationKey {
    public: Vec<u8>,
    private: Vec<u8>,
}

impl AttestationKey {
    /// The TPMT_PUBLIC (Part 2, section 12.2.4).
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The key by itself, which a CA puts into the certificate.
    ///
    /// # Errors
    /// [`HardwareError::Failed`] for what is no key on P-256.
    pub fn public_key(&self) -> Result<P256Key, HardwareError> {
        let public = Public::unmarshall(&self.public).map_err(|error| Failure::new("TPM2_Load", &error));
        public.and_then(|public| crate::credential::public_key(&public)).map_err(|failure| failure.meaning())
    }

    /// The name, for which the CA makes a credential: 34 bytes (Part 1, section 16).
    pub fn name(&self) -> [u8; 34] {
        object_name(&self.public)
    }

    /// TPM2B_PUBLIC and TPM2B_PRIVATE, to be kept; about 250 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let sized =
            |part: &[u8]| [&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes(), part].concat();
        [sized(&self.public), sized(&self.private)].concat()
    }

    /// Reads what [`AttestationKey::encode`] wrote. Whether this TPM made it shows when it is used.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (public, rest) = crate::credential::sized(bytes)?;
        let (private, rest) = crate::credential::sized(rest)?;
        rest.is_empty().then(|| Self { public: public.to_vec(), private: private.to_vec() })
    }

    pub(crate) fn load(&self, connection: &mut Connection, parent: KeyHandle) -> Tried<KeyHandle> {
        let command = "TPM2_Load";
        let bad = |error| Failure::new(command, &error);
        let public = Public::unmarshall(&self.public).map_err(bad)?;
        let private = Private::try_from(self.private.as_slice()).map_err(bad)?;
        let key = connection
            .run_with(command, AuthSession::Password, |context| context.load(parent, private, public))
            .map_err(Failure::of_attestation_key)?;
        Ok(connection.hold(key))
    }
}

/// What the attestation key says about another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// TPMS_ATTEST (Part 2, section 10.12.12): `certInfo`.
    pub cert_info: Vec<u8>,
    /// TPMT_SIGNATURE (Part 2, section 11.3.4): `sig`.
    pub signature: Vec<u8>,
    /// TPMT_PUBLIC of the key: `pubArea`.
    pub public: Vec<u8>,
}

impl Tpm {
    /// Makes an attestation key: ECDSA on P-256 with SHA-256.
    ///
    /// # Errors
    /// [`HardwareError`].
    pub fn create_attestation_key(&self) -> Result<AttestationKey, HardwareError> {
        self.with_primary(|connection, parent| {
            let template = template()?;
            let made = connection.run_with("TPM2_Create", AuthSession::Password, |context| {
                context.create(parent, template, None, None, None, None)
            })?;
            Ok(AttestationKey {
                public: marshalled(&made.out_public)?,
                private: made.out_private.value().to_vec(),
            })
        })
    }

    /// The endorsement key's certificate by the TPM's maker, in DER. `None`: the TPM has none.
    ///
    /// # Errors
    /// [`HardwareError`].
    pub fn endorsement_certificate(&self) -> Result<Option<Vec<u8>>, HardwareError> {
        let mut connection = self.connect()?;
        read_certificate(&mut connection).map_err(|failure| self.explain(&mut connection, &failure))
    }

    /// Opens a credential that a CA made for the RSA 2048 endorsement key and `key`: at most 32 bytes. `id_object` and `secret` are
    /// the contents of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET.
    ///
    /// # Errors
    /// [`HardwareError`]; [`HardwareError::Failed`] for one that is made for another key or TPM.
    pub fn activate_credential(
        &self,
        key: &AttestationKey,
        id_object: &[u8],
        secret: &[u8],
    ) -> Result<Vec<u8>, HardwareError> {
        let command = "TPM2_ActivateCredential";
        self.with_primary(|connection, parent| {
            let bad = |error| Failure::new(command, &error);
            let id_object = IdObject::try_from(id_object).map_err(bad)?;
            let secret = EncryptedSecret::try_from(secret).map_err(bad)?;
            let key = key.load(connection, parent)?;
            // Three slots are all that a TPM needs to have.
            connection.flush(parent)?;
            let endorsement = endorsement_key(connection)?;
            // The endorsement key's policy (EK Credential Profile, section B.6.2): PolicySecret on its hierarchy.
            let session = connection.policy_session()?;
            let policy = PolicySession::try_from(session).map_err(bad)?;
            connection.run_with("TPM2_PolicySecret", AuthSession::Password, |context| {
                context.policy_secret(
                    policy,
                    AuthHandle::Endorsement,
                    Nonce::default(),
                    Digest::default(),
                    Nonce::default(),
                    None,
                )
            })?;
            let opened = connection.run_with_both(command, (AuthSession::Password, session), |context| {
                context.activate_credential(key, endorsement, id_object, secret)
            })?;
            Ok(opened.value().to_vec())
        })
    }

    fn with_primary<T>(
        &self,
        work: impl FnOnce(&mut Connection, KeyHandle) -> Tried<T>,
    ) -> Result<T, HardwareError> {
        let mut connection = self.connect()?;
        let parent = self.load_primary(&mut connection)?;
        work(&mut connection, parent).map_err(|failure| self.explain(&mut connection, &failure))
    }
}

fn endorsement_key(connection: &mut Connection) -> Tried<KeyHandle> {
    let command = "TPM2_CreatePrimary";
    let algorithm = AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048);
    let template = create_ek_public_from_default_template_2(algorithm, None)
        .map_err(|error| Failure::new(command, &error))?;
    primary::create_from(connection, Hierarchy::Endorsement, template)
}

fn read_certificate(connection: &mut Connection) -> Tried<Option<Vec<u8>>> {
    let command = "TPM2_NV_Read";
    let index = NvIndexTpmHandle::new(EK_CERTIFICATE).map_err(|error| Failure::new(command, &error))?;
    let handle = match connection.nv_index(index) {
        Ok(handle) => handle,
        Err(failure) if failure.is(&[Code::HANDLE]) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let (public, _) = connection.run("TPM2_NV_ReadPublic", |context| context.nv_read_public(handle))?;
    let mut certificate = Vec::with_capacity(public.data_size());
    while certificate.len() < public.data_size() {
        let rest = u16::try_from(public.data_size().saturating_sub(certificate.len())).unwrap_or(NV_CHUNK);
        let offset = u16::try_from(certificate.len()).map_err(|error| Failure::local(command, error))?;
        let part = connection.run_with(command, AuthSession::Password, |context| {
            context.nv_read(NvAuth::NvIndex(handle), handle, rest.min(NV_CHUNK), offset)
        })?;
        if part.is_empty() {
            return Err(Failure::local(command, "the certificate ends early"));
        }
        certificate.extend_from_slice(part.value());
    }
    Ok(Some(certificate))
}

pub(crate) fn marshalled(what: &impl Marshall) -> Tried<Vec<u8>> {
    what.marshall().map_err(|error| Failure::new("TPM2_Certify", &error))
}

fn template() -> Tried<Public> {
    let build = || {
        let attributes = ObjectAttributesBuilder::new()
            .with_fixed_tpm(true)
            .with_fixed_parent(true)
            .with_sensitive_data_origin(true)
            .with_user_with_auth(true)
            .with_no_da(true)
            .with_restricted(true)
            .with_sign_encrypt(true)
            .build()?;
        let parameters = PublicEccParametersBuilder::new()
            .with_symmetric(SymmetricDefinitionObject::Null)
            .with_ecc_scheme(EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)))
            .with_curve(EccCurve::NistP256)
            .with_key_derivation_function_scheme(tss_esapi::structures::KeyDerivationFunctionScheme::Null)
            .with_is_signing_key(true)
            .with_restricted(true)
            .build()?;
        PublicBuilder::new()
            .with_public_algorithm(PublicAlgorithm::Ecc)
            .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
            .with_object_attributes(attributes)
            .with_ecc_parameters(parameters)
            .with_ecc_unique_identifier(EccPoint::default())
            .build()
    };
    build().map_err(|error| Failure::new("TPM2_Create", &error))
}
