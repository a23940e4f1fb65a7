//! A wire between a program and the TPM that a sniffer listens on.
