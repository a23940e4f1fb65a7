//! FIDO Web Pay without I/O: requests, cards, authorization data, encryption.
