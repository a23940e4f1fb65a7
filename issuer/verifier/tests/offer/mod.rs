//! The offer that the bank of these tests made.
#![allow(unreachable_pub, reason = "a module of several test programs")]

use fwp::RpId;
use fwp::enrollment::Offer;
use fwp_cose::SignatureAlgorithm;

pub fn offer() -> Offer {
    Offer {
        rp_id: RpId::parse("bank.example").unwrap(),
        rp_name: "Bank".into(),
        user_id: vec![1; 16],
        user_name: "Ada".into(),
        challenge: vec![9; 32],
        algorithms: SignatureAlgorithm::ALL.to_vec(),
        attestation_url: None,
    }
}
