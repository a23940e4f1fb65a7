//! A payment request as it comes: from a file, or from options.

use crate::args::PayArgs;
use crate::error::Error;
use fwp::payment_request::PaymentRequest;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

/// A request that keeps the protocol's rules, in the words that the daemon gets.
#[derive(Debug)]
pub struct Request {
    /// The host that asks.
    pub payee_host: String,
    /// The W3C's method data, JSON.
    pub method_data: String,
    /// The W3C's details, JSON.
    pub details: String,
}

/// A request file. Its parts stay as they were written, so that the strict checks see what is there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestFile {
    payee_host: Option<String>,
    method_data: Box<RawValue>,
    details: Box<RawValue>,
}

impl Request {
    /// Reads a request file. `host` is what `--host` says.
    ///
    /// # Errors
    /// [`Error::RequestFile`], [`Error::Request`], [`Error::Usage`].
    pub fn from_file(text: &str, host: Option<&str>) -> Result<Self, Error> {
        let file: RequestFile =
            serde_json::from_str(text).map_err(|error| Error::RequestFile(error.to_string()))?;
        let payee_host = match (file.payee_host, host) {
            (Some(file), Some(host)) if file != host => {
                return Err(Error::RequestFile(format!("it is of {file}, and --host says {host}")));
            }
            (Some(file), _) => file,
            (None, Some(host)) => host.to_owned(),
            (None, None) => {
                return Err(Error::Usage(
                    "who asks for the money? The file has no \"payeeHost\"; give --host".to_owned(),
                ));
            }
        };
        Self {
            payee_host,
            method_data: file.method_data.get().to_owned(),
            details: file.details.get().to_owned(),
        }
        .checked()
    }

    /// Makes a request of options.
    ///
    /// # Errors
    /// [`Error::Usage`] naming the option that lacks, [`Error::Request`].
    pub fn from_options(args: &PayArgs) -> Result<Self, Error> {
        let options = [
            ("--host", &args.host),
            ("--payee", &args.payee),
            ("--id", &args.id),
            ("--amount", &args.amount),
            ("--currency", &args.currency),
        ];
        let mut missing: Vec<_> =
            options.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
        if args.network.is_empty() {
            missing.push("--network");
        }
        if !missing.is_empty() {
            return Err(Error::Usage(format!(
                "a payment without a request file needs {} too; \"fwpctl pay --help\" has examples",
                missing.join(", ")
            )));
        }
        let networks: Vec<_> = args.network.iter().map(|id| json!({"id": id})).collect();
        let data = json!({"payeeName": args.payee, "networks": networks});
        let amount = json!({"currency": args.currency, "value": args.amount});
        Self {
            payee_host: args.host.clone().unwrap_or_default(),
            method_data: json!([{"supportedMethods": "fido-web-pay/v1", "data": data}]).to_string(),
            details: json!({"id": args.id, "total": {"label": null, "amount": amount}}).to_string(),
        }
        .checked()
    }

    /// The daemon checks again; here it's said sooner, and without a daemon.
    fn checked(self) -> Result<Self, Error> {
        PaymentRequest::from_json(&self.payee_host, &self.method_data, &self.details)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = r#"{"payeeHost": "spaceshop.com",
        "methodData": [{"supportedMethods": "fido-web-pay/v1",
                        "data": {"payeeName": "Space Shop", "networks": [{"id": "https://banknet2.org"}]}}],
        "details": {"id": "7040566321", "total": {"label": null, "amount": {"currency": "EUR", "value": "435.00"}}}}"#;

    #[test]
    fn the_example_of_the_help_is_a_request() {
        let request = Request::from_file(FILE, None).unwrap();
        assert_eq!(request.payee_host, "spaceshop.com");
        assert!(Request::from_file(FILE, Some("spaceshop.com")).is_ok());
    }

    #[test]
    fn two_hosts_are_one_too_many_and_none_is_too_few() {
        let error = Request::from_file(FILE, Some("evil.example")).unwrap_err().to_string();
        assert!(error.contains("spaceshop.com") && error.contains("evil.example"), "{error}");
        let without = FILE.replace(r#""payeeHost": "spaceshop.com","#, "");
        assert!(matches!(Request::from_file(&without, None), Err(Error::Usage(_))));
        assert!(Request::from_file(&without, Some("spaceshop.com")).is_ok());
    }

    #[test]
    fn a_broken_rule_is_told_with_its_field() {
        for (from, to, field) in [
            ("\"435.00\"", "\"435,00\"", "value"),
            ("\"435.00\"", "435.00", "value"),
            ("\"EUR\"", "\"Euro\"", "currency"),
            ("null", "\"Total\"", "label"),
            ("Space Shop", "Space\\u202eShop", "payeeName"),
            ("\"id\": \"7040566321\"", "\"id\": \"1\", \"id\": \"2\"", "id"),
            ("spaceshop.com", "https://spaceshop.com/", "payeeHost"),
        ] {
            let error = Request::from_file(&FILE.replace(from, to), None).unwrap_err().to_string();
            assert!(error.contains(field), "{to}: {error}");
        }
    }

    #[test]
    fn what_a_request_file_does_not_know_is_refused() {
        let more = FILE.replace("\"payeeHost\"", "\"options\": {}, \"payeeHost\"");
        assert!(Request::from_file(&more, None).unwrap_err().to_string().contains("options"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[\\[\\]{}\":,a-z0-9 ]{0,80}") {
            let _ = Request::from_file(&text, Some("a.example"));
        }
    }
}
