//! The tables, and the place of a record in them.

use std::fmt;

/// Schema version that this program writes.
pub const SCHEMA_VERSION: u32 = 2;

/// A table of the store. The number is part of what every record's seal vouches for: never change or reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// The one record that vouches for all others.
    Head = 0,
    /// Key slots: the wrapped data key.
    Slot = 1,
    /// Virtual cards.
    Card = 2,
    /// The uniqueness ledger.
    Ledger = 3,
    /// The payment history.
    History = 4,
    /// The audit log.
    Audit = 5,
    /// The states of this computer's own authenticators.
    Authenticator = 6,
    /// Settings.
    Setting = 7,
}

impl Table {
    /// Every table but the head, in the order in which the head lists them.
    pub(crate) const LISTED: [Self; 7] = [
        Self::Slot,
        Self::Card,
        Self::Ledger,
        Self::History,
        Self::Audit,
        Self::Authenticator,
        Self::Setting,
    ];

    /// Its name in SQL and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Slot => "slot",
            Self::Card => "card",
            Self::Ledger => "ledger",
            Self::History => "history",
            Self::Audit => "audit",
            Self::Authenticator => "authenticator",
            Self::Setting => "setting",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a record stands, and since when: what its seal is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) schema: u32,
    pub(crate) table: Table,
    pub(crate) row: i64,
    /// Generation of the commit that wrote it.
    pub(crate) generation: u64,
}

impl Place {
    /// Fixed length, so that no two places have the same bytes.
    pub(crate) fn to_bytes(self) -> [u8; 21] {
        let mut out = [0; 21];
        let parts = self.schema.to_be_bytes().into_iter().chain([self.table as u8]);
        let parts = parts.chain(self.row.to_be_bytes()).chain(self.generation.to_be_bytes());
        for (to, from) in out.iter_mut().zip(parts) {
            *to = from;
        }
        out
    }
}
