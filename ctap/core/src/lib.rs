//! CTAP 2.1 without I/O: messages, PIN/UV auth protocols, ceremonies, the transport trait.
