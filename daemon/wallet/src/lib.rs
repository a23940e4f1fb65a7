//! The payment life cycle, the uniqueness ledger and policy: pure. No socket, no file, no clock and no random number;
//! what the time is and what happened come in as arguments, what is to be done goes out as a value.
//!
//! ```text
//!  PaymentRequest + cards --Payment::on(Show)--> Effect::Ask(PaymentConsent)      what the user is shown
//!  PaymentConsent --approve(card)--> Approved     --Ledger::tie--> Authorizable   what is signed
//! ```
//!
//! What is shown and what is signed are the same value by type: authorization data come from an [`Authorizable`] only, that
//! comes from an [`Approved`] that the ledger has seen, and that from the [`PaymentConsent`] that was shown.
//!
//! | module | what |
//! |---|---|
//! | [`payment`] | the life of one payment: Show, Update, Abort, Retry, Complete, deadlines |
//! | [`desk`] | one thing at a time before the user, and the pause after a "no" |
//! | [`consent`] | what is shown, as data |
//! | [`ledger`] | one card per (payeeHost, requestId), protocol section 9 |
//! | [`limits`] | what the keys in this computer may pay |
//! | [`card`] | cards, and which of them fit a request |
//! | [`enrollment`] | how cards enter |
//! | [`prompts`] | how often the user may be asked |
//! | [`agent`] | who may ask the user |
//! | [`time`] | the two clocks |
#![forbid(unsafe_code)]

pub mod agent;
pub mod card;
pub mod consent;
pub mod desk;
pub mod enrollment;
pub mod ledger;
pub mod limits;
pub mod payment;
pub mod prompts;
pub mod time;

pub use card::{Card, CardHandle, CardKey, is_same_card, matching};
pub use consent::{Approved, Authorizable, Notice, PaymentConsent};
pub use desk::{Desk, DeskRefusal};
pub use ledger::{CardTied, Ledger, LedgerEntry};
pub use payment::{CloseReason, Effect, Event, InvalidState, Payment, PaymentState};
pub use prompts::{Prompts, TooManyPrompts};
pub use time::{Deadlines, Moment};
