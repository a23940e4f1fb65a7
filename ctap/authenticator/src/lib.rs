//! The platform authenticator: a CTAP 2.1 authenticator, generic over where its keys live.
//!
//! * [`Authenticator`]: bytes in, bytes out. ES256 keys that are not discoverable, user verification on every
//!   operation by clientPIN (PIN/UV auth protocols one and two), a signature counter, packed self attestation.
//! * [`KeyStore`]: what it needs of the place where the keys live. It is cut so that a TPM can be one.
//! * [`software`]: the key store without a TPM: keys sealed with AES-256-GCM, the whole state one small blob that the
//!   caller keeps sealed.
//! * [`PlatformDevice`]: the authenticator as a [`ctap_core::transport::Device`], so that the same client drives it as
//!   drives a security key on USB.
//!
//! ```
//! use ctap_authenticator::software::{InMemory, SoftwareKeyStore};
//! use ctap_authenticator::{Authenticator, ImpliedPresence, Os, PlatformDevice};
//! use ctap_core::{ceremony, transport::CancelToken};
//!
//! // A real StateStorage seals the state and makes it durable.
//! let keys = SoftwareKeyStore::open(InMemory::default(), Os::new())?;
//! let mut device = PlatformDevice::new(Authenticator::new(keys, Os::new())?, ImpliedPresence);
//! let info = ceremony::get_info(&mut device, &CancelToken::new())?;
//! assert_eq!(info.option("clientPin"), Some(false));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Its presence and its limits
//! There is nothing to touch: the flag UP is set when [`UserPresence`] says so, which for the wallet means that the user
//! has said yes to its dialog ([`ImpliedPresence`]). UV is always wanted (`alwaysUv`), so assertions without a PIN do
//! not exist, not even silent ones (`up` false is refused).
#![forbid(unsafe_code)]

mod authenticator;
mod client_pin;
mod device;
mod environment;
mod key_store;
mod recorder;
pub mod software;

pub use authenticator::{Authenticator, Presence};
pub use device::{ImpliedPresence, PlatformDevice, UserPresence};
pub use environment::{Environment, Os};
pub use key_store::{CreatedKey, HardwareError, KeyStore, KeyStoreError, PinState, Unlock};
