//! Names and policies, computed as the TPM computes them (TPM 2.0 Library, Part 1, sections 16 and 19.7; Part 3, section 23).

use sha2::{Digest, Sha256};
use tss_esapi::structures::NvPublic;

/// SHA-256, by the TPM's number (Part 2, section 6.3).
const ALG_SHA256: u16 = 0x000b;
const CC_POLICY_SECRET: u32 = 0x151;
const CC_POLICY_AUTH_VALUE: u32 = 0x16b;
const CC_POLICY_COMMAND_CODE: u32 = 0x16c;
const CC_NV_CHANGE_AUTH: u32 = 0x13b;
/// TPMA_NV_WRITTEN (Part 2, section 13.4).
const NV_WRITTEN: u32 = 1 << 29;

/// A name: the algorithm and its digest of the public area.
pub(crate) const NAME: usize = 2 + 32;

/// The name of an object with this TPMT_PUBLIC, whose nameAlg is SHA-256.
pub(crate) fn object_name(public: &[u8]) -> [u8; NAME] {
    name(&[public])
}

/// The name of an NV index once it has been written for the first time.
pub(crate) fn written_nv_name(public: &NvPublic) -> [u8; NAME] {
    nv_name(public, NV_WRITTEN)
}

/// Its name before that.
pub(crate) fn unwritten_nv_name(public: &NvPublic) -> [u8; NAME] {
    nv_name(public, 0)
}

fn nv_name(public: &NvPublic, more_attributes: u32) -> [u8; NAME] {
    let policy = public.authorization_policy().value();
    name(&[
        &u32::from(public.nv_index()).to_be_bytes(),
        &ALG_SHA256.to_be_bytes(),
        &(nv_attributes(public) | more_attributes).to_be_bytes(),
        &u16::try_from(policy.len()).unwrap_or(u16::MAX).to_be_bytes(),
        policy,
        &u16::try_from(public.data_size()).unwrap_or(u16::MAX).to_be_bytes(),
    ])
}

fn nv_attributes(public: &NvPublic) -> u32 {
    // Attributes that the builder let through can be written as what they are.
    public.attributes().try_into().unwrap_or(0)
}

fn name(parts: &[&[u8]]) -> [u8; NAME] {
    let digest = parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize();
    let mut name = [0; NAME];
    name.iter_mut().zip(ALG_SHA256.to_be_bytes().into_iter().chain(digest)).for_each(|(to, from)| *to = from);
    name
}

/// The policy digest of a session, step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    pub(crate) fn new() -> Self {
        Self([0; 32])
    }

    pub(crate) fn secret(self, name: &[u8], policy_ref: &[u8]) -> Self {
        self.extend(&[&CC_POLICY_SECRET.to_be_bytes(), name]).extend(&[policy_ref])
    }

    pub(crate) fn auth_value(self) -> Self {
        self.extend(&[&CC_POLICY_AUTH_VALUE.to_be_bytes()])
    }

    pub(crate) fn nv_change_auth_only(self) -> Self {
        self.extend(&[&CC_POLICY_COMMAND_CODE.to_be_bytes(), &CC_NV_CHANGE_AUTH.to_be_bytes()])
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn extend(self, parts: &[&[u8]]) -> Self {
        let hash = Sha256::new().chain_update(self.0);
        Self(parts.iter().fold(hash, |hash, part| hash.chain_update(part)).finalize().into())
    }
}
