//! What is authorized, and how it travels: Authorization Data (AD), Signed Authorization Data (SAD) and Encrypted Signed
//! Authorization Data (ESAD), FIDO Web Pay sections 4.2 to 4.4 and its Crypto document.
//!
//! [`AuthorizationData`] is built in [`authorization_data`]; an authenticator signs it and makes it a
//! [`SignedAuthorizationData`]; that is encrypted for the bank as an [`EncryptedSad`].

pub mod authorization_data;
pub mod encrypted;
pub mod encryption;
pub mod signed;

pub use crate::encryption_algorithm::{ContentEncryption, KeyEncryption};
pub use authorization_data::{AuthorizationData, Location, PlatformData};
pub use encrypted::{EncryptedSad, EsadError, KeyReference};
pub use encryption::{EncryptError, Randomness, derive_key};
pub use signed::{SadError, SignedAuthorizationData};
