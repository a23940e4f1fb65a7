//! The payment life cycle, the uniqueness ledger and policy, as pure state machines.
