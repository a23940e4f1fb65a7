//! From the origin of a page, as the browser attests it, to the payee host that is shown and signed.

use fwp::PayeeHost;
use std::net::Ipv4Addr;

/// Why an origin can't pay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// A sandboxed frame, a file, or another page that the browser gives no origin.
    #[error(
        "the page has an opaque origin (a sandboxed frame or a file): nobody could be shown as the payee"
    )]
    Opaque,
    /// Not of the web, or plain HTTP from elsewhere than this computer.
    #[error("payments need https (or http on this computer's own names, for developers)")]
    Insecure,
    /// Not what a browser writes as an origin (HTML, "ASCII serialisation of an origin").
    #[error(
        "this is not an origin as a browser writes it: scheme, host in lower-case ASCII, and port if it is not the scheme's"
    )]
    Malformed,
}

/// The payee host of the origin of a page.
///
/// # Errors
/// [`OriginError`].
pub fn payee_host(origin: &str) -> Result<PayeeHost, OriginError> {
    if origin == "null" {
        return Err(OriginError::Opaque);
    }
    let (scheme, authority) = origin.split_once("://").ok_or(OriginError::Malformed)?;
    let default_port = match scheme {
        "https" => "443",
        "http" => "80",
        _ => return Err(OriginError::Insecure),
    };
    let host = host_of(authority, default_port).ok_or(OriginError::Malformed)?;
    if scheme == "http" && !is_loopback(host.as_str()) {
        return Err(OriginError::Insecure);
    }
    Ok(host)
}

fn host_of(authority: &str, default_port: &str) -> Option<PayeeHost> {
    // The colons of an IPv6 address stand in brackets.
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let written = !port.starts_with('0') && port.bytes().all(|b| b.is_ascii_digit());
            if !written || port.parse::<u16>().is_err() || port == default_port {
                return None;
            }
            host
        }
        _ => authority,
    };
    PayeeHost::parse(host).ok()
}

/// Names and addresses that never leave this computer (Secure Contexts, section 3.1; RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_host_of_a_secure_origin_is_the_payee_host() {
        for (origin, host) in [
            ("https://spaceshop.com", "spaceshop.com"),
            ("https://spaceshop.com:8443", "spaceshop.com"),
            ("https://xn--caf-dma.example", "xn--caf-dma.example"),
            ("https://192.0.2.7", "192.0.2.7"),
            ("https://[2001:db8::1]:8443", "[2001:db8::1]"),
            ("http://localhost", "localhost"),
            ("http://localhost:8080", "localhost"),
            ("http://spaceshop.localhost:8080", "spaceshop.localhost"),
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("http://127.255.1.2", "127.255.1.2"),
            ("http://[::1]:8080", "[::1]"),
            ("http://localhost:443", "localhost"),
        ] {
            assert_eq!(payee_host(origin).map(|host| host.to_string()), Ok(host.to_owned()), "{origin}");
        }
    }

    #[test]
    fn what_is_not_secure_is_refused() {
        for origin in [
            "http://spaceshop.com",
            "http://localhost.example",
            "http://notlocalhost",
            "http://128.0.0.1",
            "http://[::2]",
            "http://0.0.0.0",
            "chrome-extension://fbbcjgngepnkomgepnccbeccbiocnebc",
            "moz-extension://0b1c",
            "file://",
            "ftp://spaceshop.com",
            "ws://localhost",
            "HTTPS://spaceshop.com",
        ] {
            assert_eq!(payee_host(origin), Err(OriginError::Insecure), "{origin}");
        }
        assert_eq!(payee_host("null"), Err(OriginError::Opaque));
    }

    #[test]
    fn what_no_browser_writes_is_refused() {
        for origin in [
            "",
            "spaceshop.com",
            "https:spaceshop.com",
            "https://",
            "https://spaceshop.com/",
            "https://spaceshop.com/pay",
            "https://spaceshop.com?x",
            "https://spaceshop.com#x",
            "https://user@spaceshop.com",
            "https://Spaceshop.com",
            "https://café.example",
            "https://spaceshop.com.",
            "https://spaceshop.com:",
            "https://spaceshop.com:443",
            "http://localhost:80",
            "https://spaceshop.com:065",
            "https://spaceshop.com:65536",
            "https://spaceshop.com:+1",
            "https://spaceshop.com:1:2",
            "https://[::1",
            "https://::1",
            "https://[::1]x",
            "https://127.1",
            "https://a..b",
            "https://spaceshop.com\0",
            "https://spaceshop.com https://moonshop.example",
        ] {
            assert_eq!(payee_host(origin), Err(OriginError::Malformed), "{origin}");
        }
    }

    proptest! {
        #[test]
        fn a_host_comes_out_as_it_stood_in_the_origin(origin in "https?://[a-z0-9.:\\[\\]-]{0,20}") {
            if let Ok(host) = payee_host(&origin) {
                let after = origin.split_once("://").unwrap().1.strip_prefix(host.as_str()).unwrap();
                prop_assert!(after.is_empty() || after.starts_with(':'));
            }
        }
    }
}
