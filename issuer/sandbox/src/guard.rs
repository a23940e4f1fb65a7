//! Who may talk to the sandbox, under which name, and what its pages may do.

use crate::bank;
use crate::http::{Client, error};
use crate::merchants::MERCHANTS;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::Response;

/// What a page may do that has no script: nothing.
const NO_SCRIPT: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// What a page with a script may do besides: run scripts of its own site, and talk to that.
pub const OWN_SCRIPT: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
);

/// The one address that pages and programs of any origin may send to: the provider's, who trusts signatures only.
pub const OPEN_TO_ALL_ORIGINS: &str = "/psp/mozpay";

/// Lets only those in who call this machine by a name that is the sandbox's, and each party's pages only under that party's own
/// names: a page of another site whose name was made to point here can't talk to the sandbox. What a page sends must
/// come from the site that it is sent to. No page may frame ours or load anything into it.
pub async fn guard(ConnectInfo(client): ConnectInfo<Client>, request: Request, next: Next) -> Response {
    let Some(name) = host_name(request.headers()).filter(|name| is_ours(name)) else {
        return error(
            421,
            "host",
            "the sandbox answers to localhost, names below it and its parties' own only",
        );
    };
    if let Some(owners) = names_for(request.uri().path())
        && !is_address(name)
        && !owners.contains(&name)
    {
        let message = format!("this page is not under that name, but under {}", owners.join(", "));
        return error(421, "host", &message);
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && request.uri().path() != OPEN_TO_ALL_ORIGINS && is_from_elsewhere(request.headers(), client) {
        return error(403, "origin", "a page of another origin may not send this");
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NO_SCRIPT));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The name of the header Host, without port.
pub fn host_name(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    })
}

/// The host of the page that sent this, if a page did: browsers say the origin of what they send.
pub fn page_host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN).and_then(|_| host_name(headers))
}

/// The origin that the client has called, such as `https://spaceshop.com:8443`.
pub fn called_origin(headers: &HeaderMap, client: Client) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(format!("{}://{host}", if client.https { "https" } else { "http" }))
}

fn is_address(name: &str) -> bool {
    matches!(name, "127.0.0.1" | "[::1]")
}

fn is_ours(name: &str) -> bool {
    is_address(name)
        || name == "localhost"
        || name.ends_with(".localhost")
        || bank::HOSTS.contains(&name)
        || MERCHANTS.iter().any(|merchant| merchant.hosts.contains(&name))
}

/// The names under which `path` is served, if it is some party's own.
fn names_for(path: &str) -> Option<&'static [&'static str]> {
    if path == "/bank" || path.starts_with("/bank/") {
        return Some(bank::HOSTS);
    }
    MERCHANTS.iter().find(|merchant| merchant.serves(path)).map(|merchant| merchant.hosts)
}

fn is_from_elsewhere(headers: &HeaderMap, client: Client) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    called_origin(headers, client).is_none_or(|called| origin.as_bytes() != called.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))])
    }

    #[test]
    fn names_are_read_without_port() {
        for (host, name) in
            [("localhost:80", "localhost"), ("[::1]:8080", "[::1]"), ("spaceshop.com", "spaceshop.com")]
        {
            assert_eq!(host_name(&headers(host)), Some(name));
        }
        assert_eq!(host_name(&HeaderMap::new()), None);
    }

    #[test]
    fn only_the_sandboxs_names_are_answered_to() {
        for name in ["localhost", "127.0.0.1", "[::1]", "a.localhost", "spaceshop.com", "moonshop.example"] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "",
            "localhost.",
            "evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "www.spaceshop.com",
            "127.0.0.2",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn each_party_has_its_own_names() {
        assert!(names_for("/shop/orders").unwrap().contains(&"spaceshop.com"));
        assert!(!names_for("/shop").unwrap().contains(&"moonshop.example"));
        assert!(!names_for("/moon/attack").unwrap().contains(&"localhost"));
        assert!(!names_for("/bank/offer").unwrap().contains(&"spaceshop.com"));
        assert_eq!(names_for("/psp/mozpay"), None);
        assert_eq!(names_for("/banker"), None);
    }
}
