//! mozPay between a shop and its provider (docs/mozpay.md): requests and notices are JWTs, which the other side verifies with the
//! `jsonwebtoken` crate before it believes anything.
//!
//! | requests of type | are signed | with | so the wallet |
//! |---|---|---|---|
//! | [`TYP_SHARED`] | by the shop | HS256, the secret that it shares with the provider | can't check them |
//! | [`TYP_SIGNED`] | by the provider, for the shop | ES256, the provider's key | checks them with the key that came with the card |
//!
//! Which algorithm is right follows from the type, never from the JWT's own header.

pub mod jwt;
pub mod keys;

/// The provider's name: `aud` of requests, `iss` of notices.
pub const PROVIDER: &str = "sandbox-psp";
/// Requests signed by the shop.
pub const TYP_SHARED: &str = "sandbox/payments/pay/v1";
/// Requests signed by the provider for the shop.
pub const TYP_SIGNED: &str = "sandbox/signed/pay/v1";
/// All types.
pub const TYPES: [&str; 2] = [TYP_SHARED, TYP_SIGNED];
/// Name of the provider's key in JWTs and at cards.
pub const KID: &str = "1";
/// Seconds for which a request is good.
pub const REQUEST_LIFE_S: i64 = 3600;
/// Seconds for which a notice is good; a retry is a new one.
pub const NOTICE_LIFE_S: i64 = 600;

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// Paid.
    Postback,
    /// Not paid after all, or given back.
    Chargeback,
}

impl NoticeKind {
    /// A word that stays the same.
    pub fn word(self) -> &'static str {
        match self {
            Self::Postback => "postback",
            Self::Chargeback => "chargeback",
        }
    }

    /// `typ` of such a notice about a request of the type `typ`, such as `sandbox/payments/pay/postback/v1`.
    pub fn typ(self, typ: &str) -> String {
        typ.replacen("/pay/", &format!("/pay/{}/", self.word()), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_have_types_of_their_own() {
        assert_eq!(NoticeKind::Postback.typ(TYP_SHARED), "sandbox/payments/pay/postback/v1");
        assert_eq!(NoticeKind::Chargeback.typ(TYP_SIGNED), "sandbox/signed/pay/chargeback/v1");
    }
}
