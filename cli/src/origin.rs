//! Where an offer comes from, and which rpId that place may name.

use fwp::relying_party::{self, ForeignRpId};
use std::fmt;
use url::{Host, Url};

/// Why a URL or an rpId is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not a URL at all.
    #[error("\"{0}\" is not a URL; an offer's looks like https://bank.example/offer")]
    NotAUrl(String),
    /// Not a host (`--host`).
    #[error("\"{0}\" is not a host; it looks like bank.example, without https:// and path")]
    NotAHost(String),
    /// Neither https, nor http on this machine.
    #[error("{0}: only https is accepted (http for localhost, 127.0.0.1 and [::1])")]
    NotSecure(Origin),
    /// A user name or password in the URL.
    #[error("{0}: a URL with a user name or password in it is not accepted")]
    Credentials(Origin),
    /// An attestation URL that is not of the offer's origin.
    #[error("the offer of {offer} wants the attestation sent to {other}, another origin; tell your bank")]
    OtherOrigin {
        /// The offer's.
        offer: Origin,
        /// The other one.
        other: Origin,
    },
    /// The rpId is a public suffix, such as co.uk: everyone's and no one's.
    #[error("the offer's rpId \"{rp_id}\" is a public suffix, which no bank can own")]
    PublicSuffix {
        /// The rpId.
        rp_id: String,
    },
    /// The host is an address, which no rpId can be.
    #[error(
        "{host} is an address; a card can be enrolled from a host with a name only (on this machine: localhost)"
    )]
    AddressHost {
        /// The address.
        host: String,
    },
    /// The rpId is not the host's.
    #[error("the offer's rpId \"{rp_id}\" is neither its host {host} nor a parent domain of it")]
    ForeignRpId {
        /// The rpId.
        rp_id: String,
        /// The offer's host.
        host: String,
    },
}

/// Scheme, host and port, as in `https://bank.example`; a port that goes without saying is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(Box<str>);

impl Origin {
    fn of(url: &Url) -> Self {
        let port = url.port().map_or(String::new(), |port| format!(":{port}"));
        Self(
            format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default().trim_end_matches('.'))
                .into(),
        )
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An opaque host may hold anything; those of https and http are ASCII by now.
        write!(f, "{}", crate::text::safe(&self.0))
    }
}

/// A URL that this program is willing to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferUrl {
    url: Url,
    origin: Origin,
}

impl OfferUrl {
    /// Reads an offer's URL.
    ///
    /// # Errors
    /// [`Error::NotAUrl`], [`Error::NotSecure`], [`Error::Credentials`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let not_a_url = || Error::NotAUrl(crate::text::safe(text).to_string());
        let mut url = Url::parse(text).map_err(|_| not_a_url())?;
        url.set_fragment(None);
        let origin = Origin::of(&url);
        let secure = match (url.scheme(), url.host()) {
            (_, None) => return Err(not_a_url()),
            ("https", Some(_)) => true,
            ("http", Some(host)) => is_loopback(&host),
            _ => false,
        };
        if !secure {
            return Err(Error::NotSecure(origin));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Credentials(origin));
        }
        Ok(Self { url, origin })
    }

    /// A URL that this one's answer names, perhaps relative to it.
    ///
    /// # Errors
    /// Those of [`OfferUrl::parse`], and [`Error::OtherOrigin`].
    pub fn same_origin(&self, reference: &str) -> Result<Self, Error> {
        let joined =
            self.url.join(reference).map_err(|_| Error::NotAUrl(crate::text::safe(reference).to_string()))?;
        let other = Self::parse(joined.as_str())?;
        if other.origin == self.origin {
            Ok(other)
        } else {
            Err(Error::OtherOrigin { offer: self.origin.clone(), other: other.origin })
        }
    }

    /// The URL's text.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The host, lower-case and in ASCII, an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        let host = self.url.host_str().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.')
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        self.url.host().is_some_and(|host| is_loopback(&host))
    }

    /// Checks that this host may name `rp_id`: see [`check_rp_id`].
    ///
    /// # Errors
    /// [`Error::PublicSuffix`], [`Error::ForeignRpId`].
    pub fn check_rp_id(&self, rp_id: &str) -> Result<(), Error> {
        check_rp_id(self.host(), rp_id)
    }
}

/// A host as a person types it (`--host`): lower-case and in ASCII from now on.
///
/// # Errors
/// [`Error::NotAHost`].
pub fn parse_host(text: &str) -> Result<String, Error> {
    match Host::parse(text.trim_end_matches('.')) {
        Ok(Host::Domain(domain)) => Ok(domain),
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(Error::NotAHost(crate::text::safe(text).to_string())),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(domain) => *domain == "localhost",
        Host::Ipv4(address) => address.octets() == [127, 0, 0, 1],
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Checks that `host` may name `rp_id`, before anybody is asked for anything; the daemon checks it, too.
///
/// # Errors
/// [`Error::AddressHost`], [`Error::PublicSuffix`], [`Error::ForeignRpId`].
pub fn check_rp_id(host: &str, rp_id: &str) -> Result<(), Error> {
    let safe = |text| crate::text::safe(text).to_string();
    relying_party::check_rp_id(host, rp_id).map_err(|error| match error {
        ForeignRpId::Address => Error::AddressHost { host: safe(host) },
        ForeignRpId::PublicSuffix => Error::PublicSuffix { rp_id: safe(rp_id) },
        ForeignRpId::NotTheHosts => Error::ForeignRpId { rp_id: safe(rp_id), host: safe(host) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_offer_comes_over_https_or_from_this_machine() {
        for good in [
            "https://bank.example/offer",
            "http://localhost:8080/o",
            "http://127.0.0.1:1/o",
            "http://[::1]/o",
        ] {
            assert!(OfferUrl::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://bank.example/",
            "http://127.0.0.2/",
            "http://localhost.bank.example/",
            "ftp://localhost/",
        ] {
            assert!(matches!(OfferUrl::parse(bad), Err(Error::NotSecure(_))), "{bad}");
        }
        assert!(matches!(OfferUrl::parse("https://a:b@bank.example/"), Err(Error::Credentials(_))));
        assert!(matches!(OfferUrl::parse("offer.json"), Err(Error::NotAUrl(_))));
        assert!(matches!(OfferUrl::parse("data:text/plain,x"), Err(Error::NotAUrl(_))));
    }

    #[test]
    fn an_attestation_goes_to_the_offers_origin_only() {
        let offer = OfferUrl::parse("https://bank.example/offers/1").unwrap();
        assert_eq!(offer.same_origin("/attest").unwrap().as_str(), "https://bank.example/attest");
        assert_eq!(offer.same_origin("2/attest").unwrap().as_str(), "https://bank.example/offers/2/attest");
        for other in ["https://bank.example:444/a", "//evil.example/a", "https://www.bank.example/a"] {
            assert!(matches!(offer.same_origin(other), Err(Error::OtherOrigin { .. })), "{other}");
        }
        assert!(matches!(offer.same_origin("http://bank.example/a"), Err(Error::NotSecure(_))));
    }

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
    fn a_public_suffix_is_refused() {
        for (host, rp_id) in [
            ("mybank.co.uk", "co.uk"),
            ("mybank.com", "com"),
            ("me.github.io", "github.io"),
            ("github.io", "github.io"),
            ("bank.xn--55qx5d.cn", "xn--55qx5d.cn"),
            ("intranet", "intranet"),
        ] {
            assert!(matches!(check_rp_id(host, rp_id), Err(Error::PublicSuffix { .. })), "{host} {rp_id}");
        }
    }

    #[test]
    fn another_domain_or_half_a_label_is_refused() {
        for (host, rp_id) in [
            ("mybank.com", "bank.com"),
            ("evil.com", "mybank.com"),
            ("mybank.com", "pay.mybank.com"),
            ("mybank.com", ""),
        ] {
            assert!(matches!(check_rp_id(host, rp_id), Err(Error::ForeignRpId { .. })), "{host} {rp_id}");
        }
    }

    #[test]
    fn a_host_is_taken_as_people_type_it() {
        assert_eq!(parse_host("MyBank.FR.").as_deref(), Ok("mybank.fr"));
        assert_eq!(parse_host("bücher.example").as_deref(), Ok("xn--bcher-kva.example"));
        for bad in ["https://mybank.fr", "mybank.fr/offer", "my bank.fr", ""] {
            assert!(matches!(parse_host(bad), Err(Error::NotAHost(_))), "{bad}");
        }
    }

    #[test]
    fn an_address_cannot_name_an_rp_id() {
        for (host, rp_id) in [("10.0.0.1", "0.1"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1")] {
            assert!(matches!(check_rp_id(host, rp_id), Err(Error::AddressHost { .. })), "{host} {rp_id}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_rp_id_always_ends_the_host(host in "[a-z]{1,4}(\\.[a-z]{1,4}){0,3}", rp_id in "[a-z]{1,4}(\\.[a-z]{1,4}){0,2}") {
            if check_rp_id(&host, &rp_id).is_ok() {
                prop_assert!(host == rp_id || host.ends_with(&[".", &rp_id].concat()));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = OfferUrl::parse(&text);
        }
    }
}
