//! The running daemon keeps the shipped contract: introspection, every member, every type.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};

use fwp_dbus::Client;
use fwp_dbus::interfaces::{self, Interface};
use fwp_dbus::types::EnrollmentOptions;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll};
use roxmltree::{Document, Node, ParsingOptions};
use zbus::{Connection, OwnedVariant};

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");

/// An interface, normalised: what there is, without order, layout and comments.
type Members = BTreeSet<String>;

fn members(interface: Node<'_, '_>) -> Members {
    let describe = |node: Node<'_, '_>| {
        let attributes: BTreeMap<_, _> = node.attributes().map(|a| (a.name(), a.value())).collect();
        let children: Vec<_> = node
            .children()
            .filter(Node::is_element)
            .map(|child| {
                let of: BTreeMap<_, _> = child.attributes().map(|a| (a.name(), a.value())).collect();
                format!("{} {of:?}", child.tag_name().name())
            })
            .collect();
        format!("{} {attributes:?} {children:?}", node.tag_name().name())
    };
    interface.children().filter(Node::is_element).map(describe).collect()
}

fn parse(xml: &str) -> Document<'_> {
    Document::parse_with_options(xml, ParsingOptions { allow_dtd: true, ..Default::default() }).unwrap()
}

fn interfaces_in(xml: &str) -> BTreeMap<String, Members> {
    let document = parse(xml);
    let nodes = document.root_element().children().filter(|node| node.has_tag_name("interface"));
    nodes.map(|node| (node.attribute("name").unwrap().to_owned(), members(node))).collect()
}

async fn introspect(connection: &Connection, path: &str) -> String {
    let interface = Some("org.freedesktop.DBus.Introspectable");
    let reply = connection.call_method(Some(interfaces::BUS_NAME), path, interface, "Introspect", &()).await;
    reply.unwrap().body().deserialize().unwrap()
}

/// One object of each kind, by its path.
async fn one_of_each(client: &Client) -> Vec<(Interface, String)> {
    let bank = Bank::new(MY_BANK);
    let card = enroll(client, &bank, &[(BANKNET, "1")]).await.unwrap().remove(0);
    let wallet = client.wallet().await.unwrap();
    let authenticator = wallet.list_authenticators().await.unwrap().remove(0).0;
    let payment = Checkout::new(client, "1").await.unwrap().path;
    let offer = bank.offer().to_json().to_string();
    let enrollment = wallet.begin_enrollment(&offer, MY_BANK, &EnrollmentOptions::default()).await.unwrap();
    [
        (interfaces::WALLET, interfaces::WALLET_PATH.to_owned()),
        (interfaces::STORE, interfaces::WALLET_PATH.to_owned()),
        (interfaces::PAYMENT, payment.to_string()),
        (interfaces::ENROLLMENT, enrollment.to_string()),
        (interfaces::CREDENTIAL, card.to_string()),
        (interfaces::AUTHENTICATOR, authenticator.to_string()),
    ]
    .into()
}

struct Stage {
    _bus: PrivateBus,
    _fwpd: Fwpd,
    _desktop: Client,
    client: Client,
}

async fn stage() -> Stage {
    let bus = PrivateBus::session();
    let fwpd = Fwpd::start(&bus, FWPD, QUICK).await;
    let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    ScriptedAgent::new().register(&desktop).await.unwrap();
    Stage { _bus: bus, _fwpd: fwpd, _desktop: desktop, client }
}

#[tokio::test]
async fn introspection_equals_the_shipped_xml_object_kind_by_object_kind() {
    let stage = stage().await;
    let mut objects: BTreeMap<String, BTreeMap<String, Members>> = BTreeMap::new();
    for (interface, path) in one_of_each(&stage.client).await {
        objects.entry(path).or_default().extend(interfaces_in(interface.xml));
    }
    for (path, shipped) in objects {
        let xml = introspect(stage.client.connection(), &path).await;
        let told = interfaces_in(&xml);
        let ours: Vec<_> = told.iter().filter(|(name, _)| name.starts_with("io.github.fwpd.")).collect();
        assert_eq!(ours, shipped.iter().collect::<Vec<_>>(), "{path}");
        let standard: Vec<_> = told.keys().filter(|name| !name.starts_with("io.github.fwpd.")).collect();
        let expected =
            ["Introspectable", "Peer", "Properties"].map(|name| format!("org.freedesktop.DBus.{name}"));
        assert_eq!(standard, expected.iter().collect::<Vec<_>>());
        assert!(!xml.contains("<node name"), "objects below are not told: {xml}");
    }
}

#[tokio::test]
async fn parents_show_the_way_to_the_wallet_and_nothing_of_payments_and_cards() {
    let stage = stage().await;
    one_of_each(&stage.client).await;
    for (path, child) in
        [("/", "io"), ("/io", "github"), ("/io/github", "fwpd"), ("/io/github/fwpd", "Wallet")]
    {
        let xml = introspect(stage.client.connection(), path).await;
        let document = parse(&xml);
        let children = document.root_element().children().filter(|node| node.has_tag_name("node"));
        assert_eq!(children.filter_map(|node| node.attribute("name")).collect::<Vec<_>>(), [child]);
    }
    for path in
        [interfaces::PAYMENT_PREFIX, interfaces::CREDENTIAL_PREFIX, "/nowhere", "/io/github/fwpd/Wallet/x"]
    {
        let interface = Some("org.freedesktop.DBus.Introspectable");
        let connection = stage.client.connection();
        let reply =
            connection.call_method(Some(interfaces::BUS_NAME), path, interface, "Introspect", &()).await;
        let error = reply.unwrap_err().to_string();
        assert!(error.contains("UnknownObject") || error.contains("no such object"), "{path}: {error}");
    }
}

#[tokio::test]
async fn every_method_in_the_xml_is_there_and_checks_its_arguments() {
    let stage = stage().await;
    let connection = stage.client.connection();
    for (interface, path) in one_of_each(&stage.client).await {
        let document = parse(interface.xml);
        for method in document.descendants().filter(|node| node.has_tag_name("method")) {
            let name = method.attribute("name").unwrap();
            // No method takes a byte alone.
            let reply = connection
                .call_method(Some(interfaces::BUS_NAME), path.as_str(), Some(interface.name), name, &(7_u8,))
                .await;
            match reply {
                Err(zbus::Error::FDO(error)) => {
                    assert!(matches!(*error, zbus::fdo::Error::InvalidArgs(_)), "{name}: {error}");
                }
                other => panic!("{}.{name}: {other:?}", interface.name),
            }
        }
        let unknown = connection
            .call_method(Some(interfaces::BUS_NAME), path.as_str(), Some(interface.name), "Nope", &())
            .await;
        assert!(
            matches!(unknown, Err(zbus::Error::FDO(error)) if matches!(*error, zbus::fdo::Error::UnknownMethod(_)))
        );
    }
}

#[tokio::test]
async fn every_property_in_the_xml_has_its_type_and_there_are_no_others() {
    let stage = stage().await;
    for (interface, path) in one_of_each(&stage.client).await {
        let properties = zbus::fdo::PropertiesProxy::builder(stage.client.connection())
            .destination(interfaces::BUS_NAME)
            .path(path.as_str())
            .build()
            .await
            .unwrap();
        let document = parse(interface.xml);
        let described: BTreeMap<_, _> = document
            .descendants()
            .filter(|node| node.has_tag_name("property"))
            .map(|node| (node.attribute("name").unwrap(), node.attribute("type").unwrap()))
            .collect();
        let all = properties.get_all(interface.name.try_into().unwrap()).await.unwrap();
        let told: BTreeMap<&str, String> =
            all.iter().map(|(name, value)| (name.as_str(), value.value_signature().to_string())).collect();
        let expected: BTreeMap<&str, String> =
            described.iter().map(|(name, signature)| (*name, (*signature).to_owned())).collect();
        assert_eq!(told, expected, "{}", interface.name);
        for (name, signature) in described {
            let value: OwnedVariant = properties.get(interface.name.try_into().unwrap(), name).await.unwrap();
            assert_eq!(value.value_signature().to_string(), signature);
            let set =
                properties.set(interface.name.try_into().unwrap(), name, &zbus::Variant::new("x")).await;
            assert!(matches!(set, Err(zbus::fdo::Error::PropertyReadOnly(_))), "{name}: {set:?}");
        }
        let none = properties.get(interface.name.try_into().unwrap(), "Nope").await;
        assert!(matches!(none, Err(zbus::fdo::Error::UnknownProperty(_))), "{none:?}");
    }
}

#[tokio::test]
async fn results_have_the_types_of_the_xml() {
    let stage = stage().await;
    one_of_each(&stage.client).await;
    let connection = stage.client.connection();
    let document = parse(interfaces::WALLET.xml);
    for name in ["CanMakePayment", "ListCredentials", "ListAuthenticators", "Status"] {
        let method = document.descendants().find(|node| node.attribute("name") == Some(name)).unwrap();
        let results = method.children().filter(|node| node.attribute("direction") == Some("out"));
        let expected: String = results.filter_map(|node| node.attribute("type")).collect();
        let reply = connection
            .call_method(
                Some(interfaces::BUS_NAME),
                interfaces::WALLET_PATH,
                Some(interfaces::WALLET.name),
                name,
                &(),
            )
            .await
            .unwrap();
        assert_eq!(reply.body().signature().to_string(), expected, "{name}");
    }
}
