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
//! | [`slot`] | the ways to the data key: keyring, key file, others later |
//! | [`record`] | what the tables hold, as types and as CBOR |
//! | `seal` | the data key, keys derived from it, sealing |
//! | `head` | the record that vouches for all others |
//! | `verify`, `writer` | checking a whole store against its head; writing so that the head stays true |
//! | `schema`, `migrate` | SQL, pragmas; from one version to the next |
//! | [`counter`](OutsideCounter) | roll-back of the whole |
//!
//! All calls block: a commit waits for the disk, a slot may wait for the user.
#![forbid(unsafe_code)]

mod changes;
mod counter;
mod error;
mod files;
mod head;
mod locked;
mod migrate;
pub mod record;
mod schema;
mod seal;
pub mod slot;
mod store;
mod table;
mod verify;
mod writer;

pub use changes::{Changes, Committed, Durability};
pub use counter::{OutsideCounter, RollBack};
pub use error::StoreError;
pub use locked::{Found, Locked, Refusal, Vacant, open};
pub use seal::{DataKey, WalletId};
pub use store::{SlotId, Store};
pub use table::{SCHEMA_VERSION, Table};
