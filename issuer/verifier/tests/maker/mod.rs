//! A maker of security keys with its certificates, for the tests.
#![allow(unreachable_pub)]

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    SigningKey, date_time_ymd,
};

/// Within all dates of all certificates here: 2026-01-01.
pub const NOW_MS: i64 = 1_767_225_600_000;
/// The first moment of a leaf: 2020-01-01.
pub const NOT_BEFORE_MS: i64 = 1_577_836_800_000;
/// The last moment of a leaf: 2030-01-01.
pub const NOT_AFTER_MS: i64 = 1_893_456_000_000;
/// id-fido-gen-ce-aaguid.
pub const MODEL_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4];

/// Whoever signs certificates.
pub struct Maker {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    pem: String,
}

impl Maker {
    /// With a root certificate.
    pub fn new(name: &str) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), authority_params(name));
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), certificate: der, pem }
    }

    /// An authority below this one.
    pub fn authority(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (key, mut params) = (KeyPair::generate().unwrap(), authority_params(name));
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), certificate: der, pem }
    }

    /// The owner of a leaf, who signs with it.
    pub fn from_leaf(params: CertificateParams, key: KeyPair, leaf: &[u8]) -> Self {
        Self { issuer: Issuer::new(params, key), certificate: leaf.to_vec(), pem: String::new() }
    }

    /// Its certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `key` in DER.
    pub fn sign(&self, params: CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &self.issuer).unwrap().der().to_vec()
    }
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// An attestation certificate as WebAuthn section 8.2.1 wants it.
pub fn leaf_params(model: Option<[u8; 16]>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "SE"),
        (DnType::OrganizationName, "Maker AB"),
        (DnType::OrganizationalUnitName, "Authenticator Attestation"),
        (DnType::CommonName, "Maker FIDO EE Serial 1"),
    ] {
        params.distinguished_name.push(kind, value);
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.custom_extensions = model.iter().map(model_extension).collect();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
    params
}

/// The extension that names the model.
pub fn model_extension(model: &[u8; 16]) -> CustomExtension {
    CustomExtension::from_oid_content(MODEL_OID, [&[4, 16][..], model].concat())
}

/// `key`'s signature over `message`.
pub fn signature(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(message).unwrap()
}
