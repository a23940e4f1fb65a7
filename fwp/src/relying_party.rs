//! Which host may have keys made for which relying party (WebAuthn section 5.1.3, step 7; HTML, "is a registrable domain
//! suffix of or is equal to"), by the public suffix list (publicsuffix.org) that was compiled in.

use std::net::IpAddr;

/// Why a host may not name an rpId.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignRpId {
    /// The host is an address, which no rpId can be.
    #[error("the host is an address; keys are made for hosts with a name only (on this machine: localhost)")]
    Address,
    /// The rpId is neither the host nor a parent of it; for names of this machine, not the very host.
    #[error("the rpId is neither the host nor a parent domain of it")]
    NotTheHosts,
    /// The rpId is a public suffix, such as co.uk: everyone's and no one's.
    #[error("the rpId is a public suffix, which no issuer can own")]
    PublicSuffix,
}

/// Checks that `host` (lower-case ASCII, an IPv6 address with or without brackets) may name `rp_id`: it is the host itself
/// or a parent domain of it, whole labels, and no public suffix. `localhost` and names below it, which are nobody's and for
/// trying things out, are good for themselves alone.
///
/// # Errors
/// [`ForeignRpId`].
pub fn check_rp_id(host: &str, rp_id: &str) -> Result<(), ForeignRpId> {
    if host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok() {
        return Err(ForeignRpId::Address);
    }
    let covers = host.strip_suffix(rp_id).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if rp_id.is_empty() || !covers {
        return Err(ForeignRpId::NotTheHosts);
    }
    if rp_id == "localhost" || rp_id.ends_with(".localhost") {
        return if host == rp_id { Ok(()) } else { Err(ForeignRpId::NotTheHosts) };
    }
    // A host on no list falls under the list's rule "*": its last label is a public suffix.
    match psl::domain_str(rp_id) {
        Some(_) => Ok(()),
        None => Err(ForeignRpId::PublicSuffix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rp_id_is_the_host_or_a_parent_that_someone_can_own() {
        for (host, rp_id) in [
            ("mybank.com", "mybank.com"),
            ("pay.mybank.co.uk", "mybank.co.uk"),
            ("me.github.io", "me.github.io"),
            ("localhost", "localhost"),
            ("bank.localhost", "bank.localhost"),
        ] {
            assert_eq!(check_rp_id(host, rp_id), Ok(()), "{host} {rp_id}");
        }
    }

    #[test]
    fn what_no_issuer_can_own_is_refused() {
        use ForeignRpId::{Address, NotTheHosts, PublicSuffix};
        for (host, rp_id, error) in [
            ("mybank.co.uk", "co.uk", PublicSuffix),
            ("mybank.com", "com", PublicSuffix),
            ("me.github.io", "github.io", PublicSuffix),
            ("intranet", "intranet", PublicSuffix),
            ("mybank.com", "bank.com", NotTheHosts),
            ("mybank.com", "pay.mybank.com", NotTheHosts),
            ("mybank.com", "", NotTheHosts),
            ("bank.localhost", "localhost", NotTheHosts),
            ("pay.bank.localhost", "bank.localhost", NotTheHosts),
            ("10.0.0.1", "0.1", Address),
            ("127.0.0.1", "127.0.0.1", Address),
            ("::1", "::1", Address),
            ("[::1]", "::1", Address),
        ] {
            assert_eq!(check_rp_id(host, rp_id), Err(error), "{host} {rp_id}");
        }
    }
}
