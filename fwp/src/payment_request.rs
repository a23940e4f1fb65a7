//! What a merchant asks for (FIDO Web Pay section 6, step 1), and its core data (PRCD, section 4.1).

use crate::host::PayeeHost;
use crate::json::{Attributes, FieldError, Json};
use crate::money::{Amount, Currency};
use crate::moz_pay::MozPayRequest;
use crate::text::check_shown;
use fwp_cose::cbor::{Fields, Map, SchemaError, Value};

/// Most UTF-16 code units of a payee name.
pub const MAX_PAYEE_NAME: usize = 256;
/// Most UTF-16 code units of a request ID or a network ID.
pub const MAX_ID: usize = 1024;
/// Most payment networks in one request.
pub const MAX_NETWORKS: usize = 64;
/// Most bytes of method data or details as JSON, as in the W3C's Payment Request (1 MiB).
pub const MAX_JSON_BYTES: usize = 1 << 20;
/// Most bytes of one network's options as CBOR. A limit of ours: what is signed must fit into a browser message.
pub const MAX_OPTIONS_BYTES: usize = 1 << 18;
/// How deep network options may nest, well within what a CBOR decoder takes.
pub const MAX_OPTIONS_DEPTH: usize = 64;

/// PaymentRequest Core Data: what the user authorizes, labels 1 to 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prcd {
    /// payeeName (1): common name of the merchant.
    pub payee_name: String,
    /// requestId (2): the merchant's ID of this request, copy of `details.id`.
    pub request_id: String,
    /// amount (3).
    pub amount: Amount,
    /// currency (4).
    pub currency: Currency,
}

/// Why CBOR or JSON is no PRCD.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrcdError {
    /// Labels or types are off.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Amount or currency is none.
    #[error("paymentRequest: {0}")]
    Money(#[from] crate::money::MoneyError),
}

impl Prcd {
    /// The CBOR map with labels 1 to 4.
    pub fn to_value(&self) -> Value {
        Value::Map(
            Map::new()
                .with(1, self.payee_name.as_str())
                .with(2, self.request_id.as_str())
                .with(3, self.amount.as_str())
                .with(4, self.currency.as_str()),
        )
    }

    /// Reads a PRCD that was signed. Names are taken as they are: what is shown was checked when the request was made.
    ///
    /// # Errors
    /// [`PrcdError`].
    pub fn from_value(value: Value) -> Result<Self, PrcdError> {
        let mut fields = Fields::of("paymentRequest (PRCD)", value)?;
        let prcd = Self {
            payee_name: fields.text(1)?,
            request_id: fields.text(2)?,
            amount: Amount::parse(&fields.text(3)?)?,
            currency: Currency::parse(&fields.text(4)?)?,
        };
        fields.finish()?;
        Ok(prcd)
    }

    /// Reads a PRCD in JSON notation, as it stands in PSPRequest.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn from_json(mut attributes: Attributes) -> Result<Self, FieldError> {
        let prcd = Self {
            payee_name: attributes.text("payeeName")?,
            request_id: attributes.text("requestId")?,
            amount: attributes.parsed("amount", Amount::parse)?,
            currency: attributes.parsed("currency", Currency::parse)?,
        };
        attributes.finish()?;
        Ok(prcd)
    }

    /// The PRCD in JSON notation.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "payeeName": self.payee_name,
            "requestId": self.request_id,
            "amount": self.amount.as_str(),
            "currency": self.currency.as_str(),
        })
    }
}

/// A payment network that the merchant takes, with what it wants signed along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// URL or short string, compared with a card's paymentNetworkId as it is.
    pub id: String,
    /// networkOptions, already as CBOR.
    pub options: Option<Value>,
}

/// A payment request that breaks a rule: the field by its path, and the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid payment request: {0}")]
pub struct InvalidRequest(#[from] pub FieldError);

/// A payment request that keeps every rule of protocol section 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRequest {
    prcd: Prcd,
    payee_host: PayeeHost,
    terms: Terms,
}

/// Which cards a request takes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Terms {
    /// Those of these networks.
    Networks(Vec<Network>),
    /// Those with a provider of this signed request's type.
    Signed(Box<MozPayRequest>),
}

/// The request does not take a card of this network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the merchant does not take the payment network of this card")]
pub struct NetworkNotAccepted;

impl PaymentRequest {
    /// Checks a request as its caller makes it: `payee_host` as the browser attests it, the W3C's `methodData` and
    /// `details` as JSON.
    ///
    /// # Errors
    /// [`InvalidRequest`], naming the field and the rule.
    pub fn from_json(payee_host: &str, method_data: &str, details: &str) -> Result<Self, InvalidRequest> {
        let payee_host =
            PayeeHost::parse(payee_host).map_err(|error| FieldError::invalid("payeeHost", error))?;
        let (payee_name, networks) = read_method_data(parse_bounded("methodData", method_data)?)?;
        let mut details = Attributes::of("details", parse_bounded("details", details)?)?;
        // 6. details.id is there and not empty.
        let request_id = shown(&mut details, "id", MAX_ID)?;
        let (amount, currency) = read_total(&mut details)?;
        Ok(Self {
            prcd: Prcd { payee_name, request_id, amount, currency },
            payee_host,
            terms: Terms::Networks(networks),
        })
    }

    /// What a page asks for by `navigator.mozPay`: `payee_host` as the browser attests it. The PRCD is what the shop claims,
    /// and networkOptions are the JWT.
    pub fn from_moz_pay(payee_host: PayeeHost, request: MozPayRequest) -> Self {
        Self { prcd: request.prcd().clone(), payee_host, terms: Terms::Signed(Box::new(request)) }
    }

    /// This request with the total of `details` (the W3C's updateWith and retry); without a total it stays as it is.
    ///
    /// # Errors
    /// [`InvalidRequest`], also if `details` names another id, or this is a signed request: then nothing can be changed.
    pub fn updated(&self, details: &str) -> Result<Self, InvalidRequest> {
        if self.moz_pay().is_some() {
            return Err(FieldError::invalid("details", "what its shop signed can't be changed").into());
        }
        let mut details = Attributes::of("details", parse_bounded("details", details)?)?;
        let mut updated = self.clone();
        match details.optional("id") {
            None => {}
            Some(Json::Text(id)) if id == self.prcd.request_id => {}
            Some(_) => {
                return Err(
                    FieldError::invalid("details.id", "an update cannot change the request's id").into()
                );
            }
        }
        if details.has("total") {
            (updated.prcd.amount, updated.prcd.currency) = read_total(&mut details)?;
        }
        Ok(updated)
    }

    /// What the user authorizes.
    pub fn prcd(&self) -> &Prcd {
        &self.prcd
    }

    /// Where the request comes from, as the browser attests it.
    pub fn payee_host(&self) -> &PayeeHost {
        &self.payee_host
    }

    /// The networks that the merchant takes, in its order; no two have the same id. None of a signed request: that takes
    /// cards by their providers.
    pub fn networks(&self) -> &[Network] {
        match &self.terms {
            Terms::Networks(networks) => networks,
            Terms::Signed(_) => &[],
        }
    }

    /// The signed request that this is, if it came by `navigator.mozPay`.
    pub fn moz_pay(&self) -> Option<&MozPayRequest> {
        match &self.terms {
            Terms::Networks(_) => None,
            Terms::Signed(request) => Some(request),
        }
    }

    /// networkOptions for a card of the network with this id: what the merchant gave for it, if anything; the JWT of a signed
    /// request, whatever the network.
    ///
    /// # Errors
    /// [`NetworkNotAccepted`].
    pub fn network_options(&self, id: &str) -> Result<Option<Value>, NetworkNotAccepted> {
        match &self.terms {
            Terms::Networks(networks) => {
                let network = networks.iter().find(|network| network.id == id);
                network.map(|network| network.options.clone()).ok_or(NetworkNotAccepted)
            }
            Terms::Signed(request) => Ok(Some(Value::from(request.jwt()))),
        }
    }
}

fn parse_bounded(field: &str, text: &str) -> Result<Json, FieldError> {
    if text.len() > MAX_JSON_BYTES {
        return Err(FieldError::invalid(field, format_args!("it has more than {MAX_JSON_BYTES} bytes")));
    }
    Json::parse(text).map_err(|error| FieldError::invalid(field, error))
}

/// Takes the string `name` out, which is going to be shown.
fn shown(attributes: &mut Attributes, name: &str, max: usize) -> Result<String, FieldError> {
    attributes.parsed(name, |text| check_shown(text, max).map(|()| text.to_owned()))
}

/// The payee name and networks of the one entry that is for FIDO Web Pay. Others are other wallets' business.
fn read_method_data(method_data: Json) -> Result<(String, Vec<Network>), FieldError> {
    let Json::Array(entries) = method_data else {
        return Err(FieldError::not_a("methodData", "an array"));
    };
    let mut methods = Vec::new();
    let mut ours = None;
    for (index, entry) in entries.into_iter().enumerate() {
        let mut entry = Attributes::of(format!("methodData[{index}]"), entry)?;
        let method = entry.text("supportedMethods")?;
        if method == crate::PAYMENT_METHOD {
            ours = Some(index);
        }
        // Two entries of one method are ambiguous (formal analysis, section III-B).
        if methods.iter().any(|(seen, _)| *seen == method) {
            return Err(FieldError::invalid(
                entry.path("supportedMethods"),
                "another entry has the same method",
            ));
        }
        methods.push((method, entry));
    }
    let Some((_, mut entry)) = ours.and_then(|index| methods.into_iter().nth(index)) else {
        return Err(FieldError::invalid(
            "methodData",
            format_args!("no entry has the supportedMethods \"{}\"", crate::PAYMENT_METHOD),
        ));
    };
    // 1. A data attribute is there and is a JSON object.
    let mut data = entry.object("data")?;
    // 2. data.payeeName is a non-empty string.
    let payee_name = shown(&mut data, "payeeName", MAX_PAYEE_NAME)?;
    // 3. data.networks is a non-empty array of objects.
    let networks = data.array("networks")?;
    read_networks(&data.path("networks"), networks).map(|networks| (payee_name, networks))
}

fn read_networks(path: &str, entries: Vec<Json>) -> Result<Vec<Network>, FieldError> {
    if entries.is_empty() || entries.len() > MAX_NETWORKS {
        return Err(FieldError::invalid(path, format_args!("it must have 1 to {MAX_NETWORKS} entries")));
    }
    let mut networks: Vec<Network> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        // 4. Each has a non-empty string id, and no other attribute than an optional networkOptions.
        let mut entry = Attributes::of(format!("{path}[{index}]"), entry)?;
        let id = shown(&mut entry, "id", MAX_ID)?;
        let options_path = entry.path("networkOptions");
        let options =
            entry.optional("networkOptions").map(|json| read_options(&options_path, &json)).transpose()?;
        if networks.iter().any(|network| network.id == id) {
            return Err(FieldError::invalid(entry.path("id"), "another network has the same id"));
        }
        entry.finish()?;
        networks.push(Network { id, options });
    }
    Ok(networks)
}

fn read_options(path: &str, json: &Json) -> Result<Value, FieldError> {
    let options = json.to_cbor();
    if options.depth() > MAX_OPTIONS_DEPTH {
        return Err(FieldError::invalid(
            path,
            format_args!("it nests deeper than {MAX_OPTIONS_DEPTH} levels"),
        ));
    }
    if options.encode().len() > MAX_OPTIONS_BYTES {
        return Err(FieldError::invalid(
            path,
            format_args!("it has more than {MAX_OPTIONS_BYTES} bytes as CBOR"),
        ));
    }
    Ok(options)
}

/// 5. There is one PaymentItem only, the total, and its label is null.
fn read_total(details: &mut Attributes) -> Result<(Amount, Currency), FieldError> {
    for refused in ["displayItems", "modifiers"] {
        if details.optional(refused).is_some() {
            return Err(FieldError::invalid(
                details.path(refused),
                "the total is the only item that is signed",
            ));
        }
    }
    let mut total = details.object("total")?;
    if total.required("label")? != Json::Null {
        return Err(FieldError::not_a(total.path("label"), "null"));
    }
    let mut amount = total.object("amount")?;
    Ok((amount.parsed("value", Amount::parse)?, amount.parsed("currency", Currency::parse_any_case)?))
}
