//! Hosts of payees, and relying party identifiers.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Why text is no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a host is lower-case ASCII (punycode) such as spaceshop.com, without scheme, port, path and final dot, at most 253 characters; an IPv6 address stands in brackets"
)]
pub struct HostError;

/// Host name of a payee as the browser attests it: lower-case ASCII (punycode), no port, no final dot. An IP literal is a
/// host too (IPv6 in brackets, as in a URL); which ones a wallet serves is policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayeeHost(String);

/// A FIDO relying party identifier: a domain, never an IP literal (WebAuthn section 5.1.2, "effective domain").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RpId(String);

impl PayeeHost {
    /// Reads a host.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let ipv6 = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let valid = match ipv6 {
            Some(address) => {
                address.parse::<Ipv6Addr>().is_ok() && !address.bytes().any(|b| b.is_ascii_uppercase())
            }
            None if ends_in_a_number(text) => text.parse::<Ipv4Addr>().is_ok(),
            None => is_domain(text),
        };
        if valid { Ok(Self(text.to_owned())) } else { Err(HostError) }
    }

    /// The host.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RpId {
    /// Reads a relying party identifier.
    ///
    /// # Errors
    /// [`HostError`], for IP literals too.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if is_domain(text) && !ends_in_a_number(text) { Ok(Self(text.to_owned())) } else { Err(HostError) }
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// The URL standard reads a host whose last label is a number as an IPv4 address.
fn ends_in_a_number(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for PayeeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_and_ip_literals_are_hosts() {
        for text in [
            "spaceshop.com",
            "localhost",
            "xn--caf-dma.example",
            "127.0.0.1",
            "[::1]",
            "a_b.example",
            "1.example",
        ] {
            assert_eq!(PayeeHost::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_no_bare_host_is_refused() {
        for text in [
            "",
            "Spaceshop.com",
            "spaceshop.com.",
            "spaceshop.com:443",
            "https://spaceshop.com",
            "spaceshop.com/",
            "a..b",
            ".a",
            "café.example",
            "a b",
            "1.2.3",
            "1.2.3.256",
            "01.2.3.4",
            "0x7f.1",
            "0x7f",
            "::1",
            "[::1",
            "[::G]",
            "user@a",
            "a%2e",
            &"a".repeat(64),
            &vec!["a"; 128].join("."),
        ] {
            assert!(PayeeHost::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_relying_party_is_a_domain_only() {
        assert!(RpId::parse("mybank.fr").is_ok());
        assert!(
            RpId::parse("127.0.0.1").is_err()
                && RpId::parse("[::1]").is_err()
                && RpId::parse("Bank.fr").is_err()
        );
    }
}
