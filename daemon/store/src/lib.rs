//! The wallet's encrypted store.
//!
//! One directory (0700) and one SQLite file (0600) per wallet, held by one process at a time. Every record is sealed
//! with AES-256-GCM, bound to table, row, schema version and generation; a sealed head vouches for the set of all
//! records, so that none can be changed, moved, dropped or put back alone. What is damaged, newer or of another key is
//! not opened, the error says why, and nothing on disk changes.
//!
//! ```text
//! open(directory) -> Found::Nothing(Vacant)  -> create(slots)  -> Store
//!                 -> Found::Wallet(Locked)   -> unlock(slots)  -> Store
//! Store::commit(Changes, Durability)
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`locked`](Locked) | before unlocking: the lock state is in the type |
//! | [`store`](Store) | after unlocking: reading |
//! | [`changes`](Changes) | several changes, one commit |
//! | [`slot`] | the ways to the data key: systemd credential, keyring, key file, passphrase, and others' drivers |
//! | `slots`, [`rotation`](Store::rotate) | the slots of an open store: list, check, add, remove; fill anew, replace the key |
//! | [`record`] | what the tables hold, as types and as CBOR |
//! | `seal` | the data key, keys derived from it, sealing |
//! | `head` | the record that vouches for all others |
//! | `verify`, `writer` | checking a whole store against its head; writing so that the head stays true |
//! | `schema`, `migrate` | SQL, pragmas; from one version to the next |
//! | [`counter`](OutsideCounter), `counting` | roll-back of the whole: what is compared, and when the counter moves |
//! | [`SecretServiceCounter`], `keyring` | a counter in the desktop's keyring, and how its items are reached |
//! | `secret` | 32 bytes that are overwritten when they go |
//!
//! All calls block: a commit waits for the disk, a slot may wait for the user.
#![forbid(unsafe_code)]

mod changes;
mod counter;
mod counting;
mod error;
mod files;
mod head;
#[cfg(feature = "secret-service")]
mod keyring;
mod locked;
mod migrate;
pub mod record;
mod rotation;
mod schema;
mod seal;
mod secret;
#[cfg(feature = "secret-service")]
mod secret_service_counter;
pub mod slot;
mod slots;
mod store;
mod table;
mod verify;
mod writer;

pub use changes::{Changes, Committed, Durability};
pub use counter::{CounterError, CounterKind, MOST_BEHIND, OutsideCounter, Pace, RollBack};
pub use error::StoreError;
pub use locked::{Found, Locked, Refusal, Vacant, open};
pub use rotation::Rotation;
pub use seal::{DataKey, WalletId};
#[cfg(feature = "secret-service")]
pub use secret_service_counter::SecretServiceCounter;
pub use slots::{MAX_SLOTS, SlotCheck, SlotId};
pub use store::Store;
pub use table::{SCHEMA_VERSION, Table};
