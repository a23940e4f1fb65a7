//! Sample payment requests, as a browser hands them on.

use serde_json::json;

/// The host of the Space Shop of the FIDO Web Pay document.
pub const SPACE_SHOP: &str = "spaceshop.com";
/// The network of the document's sample.
pub const BANKNET: &str = "https://banknet2.org";

/// methodData for these networks.
pub fn method_data(networks: &[&str]) -> String {
    let networks: Vec<_> = networks.iter().map(|id| json!({"id": id})).collect();
    let data = json!({"payeeName": "Space Shop", "networks": networks});
    json!([{"supportedMethods": "fido-web-pay/v1", "data": data}]).to_string()
}

/// details with this id and total.
pub fn details(id: &str, value: &str) -> String {
    json!({"id": id, "total": total(value)}).to_string()
}

/// details of an update to this total.
pub fn update(value: &str) -> String {
    json!({"total": total(value)}).to_string()
}

fn total(value: &str) -> serde_json::Value {
    json!({"label": null, "amount": {"currency": "EUR", "value": value}})
}
