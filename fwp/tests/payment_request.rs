//! Protocol section 1: each deviation is an error that names its field.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwp::{InvalidRequest, PaymentRequest};
use proptest::prelude::*;
use serde_json::{Value, json};

fn method_data() -> Value {
    json!([{
        "supportedMethods": "fido-web-pay/v1",
        "data": {
            "payeeName": "Space Shop",
            "networks": [
                {"id": "https://mastercard.com/fwp"},
                {"id": "https://visa.com/fwp"},
                {"id": "https://banknet2.org", "networkOptions": "additional stuff..."}
            ]
        }
    }])
}

fn details() -> Value {
    json!({"id": "7040566321", "total": {"label": null, "amount": {"currency": "EUR", "value": "435.00"}}})
}

fn request(method_data: &Value, details: &Value) -> Result<PaymentRequest, InvalidRequest> {
    PaymentRequest::from_json("spaceshop.com", &method_data.to_string(), &details.to_string())
}

/// The field that is named when `change` has been made to the sample.
fn refused(change: impl FnOnce(&mut Value, &mut Value)) -> String {
    let (mut method_data, mut details) = (method_data(), details());
    change(&mut method_data, &mut details);
    request(&method_data, &details).expect_err("the change should have been refused").0.field
}

#[test]
fn the_sample_of_the_document_is_taken() {
    let request = request(&method_data(), &details()).unwrap();
    assert_eq!(request.prcd().payee_name, "Space Shop");
    assert_eq!(request.prcd().request_id, "7040566321");
    assert_eq!(request.prcd().amount.as_str(), "435.00");
    assert_eq!(request.prcd().currency.as_str(), "EUR");
    assert_eq!(request.payee_host().as_str(), "spaceshop.com");
    assert_eq!(request.networks().len(), 3);
    assert_eq!(request.network_options("https://banknet2.org"), Ok(Some("additional stuff...".into())));
    assert_eq!(request.network_options("https://visa.com/fwp"), Ok(None));
    assert!(request.network_options("https://other.example").is_err());
}

#[test]
fn rule_1_data_is_an_object() {
    assert_eq!(refused(|m, _| drop(m[0].as_object_mut().unwrap().remove("data"))), "methodData[0].data");
    assert_eq!(refused(|m, _| m[0]["data"] = json!([])), "methodData[0].data");
}

#[test]
fn rule_2_payee_name_is_a_non_empty_string() {
    for name in
        [json!(""), json!(7), json!(null), json!("a\u{202e}b"), json!("a\u{1b}[2J"), json!("x".repeat(257))]
    {
        assert_eq!(refused(|m, _| m[0]["data"]["payeeName"] = name), "methodData[0].data.payeeName");
    }
}

#[test]
fn rule_3_networks_is_a_non_empty_array_of_objects() {
    for networks in [json!([]), json!({}), json!(null)] {
        assert_eq!(refused(|m, _| m[0]["data"]["networks"] = networks), "methodData[0].data.networks");
    }
    assert_eq!(refused(|m, _| m[0]["data"]["networks"][1] = json!("x")), "methodData[0].data.networks[1]");
}

#[test]
fn rule_4_a_network_has_an_id_and_nothing_but_options() {
    assert_eq!(
        refused(|m, _| m[0]["data"]["networks"][0]["id"] = json!("")),
        "methodData[0].data.networks[0].id"
    );
    assert_eq!(
        refused(|m, _| m[0]["data"]["networks"][0]["fee"] = json!(1)),
        "methodData[0].data.networks[0].fee"
    );
    for options in
        [json!(1.5), json!(9_007_199_254_740_993_u64), json!([{"deep": -9_007_199_254_740_993_i64}])]
    {
        assert_eq!(refused(|m, _| m[0]["data"]["networks"][0]["networkOptions"] = options), "methodData");
    }
}

#[test]
fn rule_5_the_total_is_the_only_item_and_its_label_is_null() {
    assert_eq!(refused(|_, d| d["total"]["label"] = json!("Total")), "details.total.label");
    assert_eq!(
        refused(|_, d| drop(d["total"].as_object_mut().unwrap().remove("label"))),
        "details.total.label"
    );
    assert_eq!(refused(|_, d| d["displayItems"] = json!([])), "details.displayItems");
    assert_eq!(refused(|_, d| d["modifiers"] = json!([])), "details.modifiers");
    assert_eq!(refused(|_, d| drop(d.as_object_mut().unwrap().remove("total"))), "details.total");
    for value in [json!("-1"), json!(435), json!("1e2"), json!("")] {
        assert_eq!(refused(|_, d| d["total"]["amount"]["value"] = value), "details.total.amount.value");
    }
    assert_eq!(
        refused(|_, d| d["total"]["amount"]["currency"] = json!("EURO")),
        "details.total.amount.currency"
    );
}

#[test]
fn rule_6_the_id_is_there_and_not_empty() {
    assert_eq!(refused(|_, d| drop(d.as_object_mut().unwrap().remove("id"))), "details.id");
    for id in [json!(""), json!(7), json!("a\nb"), json!("x".repeat(1025))] {
        assert_eq!(refused(|_, d| d["id"] = id), "details.id");
    }
}

#[test]
fn attack_b_ambiguous_networks_and_methods_are_refused() {
    assert_eq!(
        refused(|m, _| m[0]["data"]["networks"][1]["id"] = json!("https://mastercard.com/fwp")),
        "methodData[0].data.networks[1].id"
    );
    assert_eq!(
        refused(|m, _| {
            let twin = m[0].clone();
            m.as_array_mut().unwrap().push(twin);
        }),
        "methodData[1].supportedMethods"
    );
    assert_eq!(
        refused(|m, _| {
            for _ in 0..2 {
                m.as_array_mut().unwrap().push(json!({"supportedMethods": "https://other.example/pay"}));
            }
        }),
        "methodData[2].supportedMethods"
    );
}

#[test]
fn another_wallets_method_beside_ours_is_none_of_our_business() {
    let mut methods = method_data();
    methods
        .as_array_mut()
        .unwrap()
        .push(json!({"supportedMethods": "https://other.example/pay", "data": {"x": 1}}));
    assert!(request(&methods, &details()).is_ok());
    assert_eq!(refused(|m, _| m[0]["supportedMethods"] = json!("basic-card")), "methodData");
}

#[test]
fn a_page_may_write_its_currency_in_lower_case() {
    let mut details = details();
    details["total"]["amount"]["currency"] = json!("eur");
    assert_eq!(request(&method_data(), &details).unwrap().prcd().currency.as_str(), "EUR");
}

#[test]
fn an_update_changes_the_total_and_nothing_else() {
    let before = request(&method_data(), &details()).unwrap();
    let total =
        |value: &str| json!({"total": {"label": null, "amount": {"currency": "EUR", "value": value}}});
    let after = before.updated(&total("440.00").to_string()).unwrap();
    assert_eq!(after.prcd().amount.as_str(), "440.00");
    assert_eq!((after.networks(), after.payee_host()), (before.networks(), before.payee_host()));
    assert_eq!(before.updated("{}").unwrap(), before);
    assert_eq!(before.updated(r#"{"id":"other"}"#).unwrap_err().0.field, "details.id");
    assert_eq!(before.updated(&total("-1").to_string()).unwrap_err().0.field, "details.total.amount.value");
}

#[test]
fn options_nest_only_so_deep_and_json_is_only_so_large() {
    let deep = |levels: usize| {
        let options = "[".repeat(levels) + &"]".repeat(levels);
        let methods = method_data().to_string().replace("\"additional stuff...\"", &options);
        PaymentRequest::from_json("a.example", &methods, &details().to_string())
    };
    assert!(deep(64).is_ok());
    assert_eq!(deep(65).unwrap_err().0.field, "methodData[0].data.networks[2].networkOptions");
    let long = format!("[{}1]", " ".repeat(1 << 20));
    assert_eq!(PaymentRequest::from_json("a.example", &long, "{}").unwrap_err().0.field, "methodData");
}

#[test]
fn the_payee_host_is_a_bare_host() {
    for host in ["", "Spaceshop.com", "https://spaceshop.com", "spaceshop.com:443"] {
        let error =
            PaymentRequest::from_json(host, &method_data().to_string(), &details().to_string()).unwrap_err();
        assert_eq!(error.0.field, "payeeHost");
    }
}

proptest! {
    #[test]
    fn any_text_gets_an_answer_and_never_a_panic(host in ".{0,20}", methods in ".{0,200}", details in ".{0,200}") {
        let _ = PaymentRequest::from_json(&host, &methods, &details);
    }

    #[test]
    fn what_is_taken_shows_no_treacherous_text(name in any::<String>(), id in any::<String>()) {
        let (mut methods, mut with_id) = (method_data(), details());
        methods[0]["data"]["payeeName"] = json!(name);
        with_id["id"] = json!(id);
        if let Ok(request) = request(&methods, &with_id) {
            prop_assert!(!request.prcd().payee_name.chars().any(fwp::text::is_treacherous));
            prop_assert!(!request.prcd().request_id.chars().any(fwp::text::is_treacherous));
        }
    }
}
