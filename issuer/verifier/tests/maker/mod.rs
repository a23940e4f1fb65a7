//! A maker of security keys, or an authority for TPMs, with its certificates, for the tests.
#![allow(unreachable_pub, dead_code, reason = "each test program uses its part")]

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, PublicKeyData, SigningKey, date_time_ymd,
};
use yasna::models::ObjectIdentifier;
use yasna::{Tag, construct_der};

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
    pub fn sign(&self, params: CertificateParams, key: &impl PublicKeyData) -> Vec<u8> {
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

/// tcg-kp-AIKCertificate.
pub const ATTESTATION_PURPOSE: &[u64] = &[2, 23, 133, 8, 3];
/// tcg-kp-EKCertificate.
pub const ENDORSEMENT_PURPOSE: &[u64] = &[2, 23, 133, 8, 1];
/// Manufacturer, model and version of a TPM.
pub const TPM: [(u64, &str); 3] = [(1, "id:00001014"), (2, "swtpm"), (3, "id:20191023")];

/// The certificate of a TPM's attestation key as WebAuthn section 8.3.1 wants it.
pub fn tpm_leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(ATTESTATION_PURPOSE.to_vec())];
    params.custom_extensions = vec![tpm_name_extension(&[&TPM])];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
    params
}

/// A critical subject alternative name with these directoryNames: last number of each attribute's type (2.23.133.2.x) and value.
pub fn tpm_name_extension(names: &[&[(u64, &str)]]) -> CustomExtension {
    let content = construct_der(|writer| {
        writer.write_sequence(|writer| {
            for name in names {
                writer.next().write_tagged(Tag::context(4), |writer| {
                    writer.write_sequence(|writer| {
                        for (kind, value) in *name {
                            writer.next().write_set(|writer| {
                                writer.next().write_sequence(|writer| {
                                    let kind = ObjectIdentifier::from_slice(&[2, 23, 133, 2, *kind]);
                                    writer.next().write_oid(&kind);
                                    writer.next().write_utf8_string(value);
                                });
                            });
                        }
                    });
                });
            }
        });
    });
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], content);
    extension.set_criticality(true);
    extension
}
