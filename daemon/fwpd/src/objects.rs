//! From an object path to the object, as far as the caller may know of it; and the standard interfaces of them all.
//!
//! Not zbus' object server: that one shows every object to every caller. Here each call is looked up for its caller, so
//! that what belongs to others isn't there, for calls, getters and introspection alike.

use std::fmt::Write;

use fwp_dbus::interfaces::{self, Interface};
use zbus::{Message, OwnedVariant, Variant};

use crate::call::{Call, Failure};

/// The properties of an object, by name.
pub(crate) type Properties = Vec<(&'static str, OwnedVariant)>;

/// An object that the caller may use.
pub(crate) trait Object {
    /// Its interface of the contract.
    const INTERFACE: Interface;

    /// Calls a method of that interface.
    ///
    /// # Errors
    /// [`Failure`].
    async fn call(&self, member: &str, call: &Call) -> Result<Message, Failure>;

    /// Reads all properties.
    ///
    /// # Errors
    /// [`Failure`].
    fn properties(&self) -> Result<Properties, Failure>;
}

/// The value of a property.
///
/// # Errors
/// [`Failure::Contract`] if zbus can't encode it.
pub(crate) fn variant<'v>(value: impl Into<Variant<'v>>) -> Result<OwnedVariant, Failure> {
    Ok(OwnedVariant::try_from(value.into())?)
}

const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PEER: &str = "org.freedesktop.DBus.Peer";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// The standard interfaces, as the D-Bus specification has them.
const STANDARD: &str = r#"  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect"><arg name="xml_data" type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId"><arg name="machine_uuid" type="s" direction="out"/></method>
  </interface>
"#;
const STANDARD_PROPERTIES: &str = r#"  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="out"/>
    </method>
    <method name="Set">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="property_name" type="s" direction="in"/>
      <arg name="value" type="v" direction="in"/>
    </method>
    <method name="GetAll">
      <arg name="interface_name" type="s" direction="in"/>
      <arg name="props" type="a{sv}" direction="out"/>
    </method>
    <signal name="PropertiesChanged">
      <arg name="interface_name" type="s"/>
      <arg name="changed_properties" type="a{sv}"/>
      <arg name="invalidated_properties" type="as"/>
    </signal>
  </interface>
"#;

/// Answers a call to an object of the contract.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn dispatch<O: Object>(object: &O, call: &Call) -> Result<Message, Failure> {
    let header = call.message.header();
    let member = header.member().map(|member| member.as_str()).ok_or(Failure::UnknownMethod)?;
    let ours = O::INTERFACE.name;
    match header.interface().map(|interface| interface.as_str()) {
        Some(interface) if interface == ours => object.call(member, call).await,
        Some(PROPERTIES) => properties(object, member, call),
        Some(INTROSPECTABLE) if member == "Introspect" => {
            let xml = format!("{}\n", O::INTERFACE.element());
            call.reply(&document(&format!("{STANDARD}{STANDARD_PROPERTIES}{xml}"), &[]))
        }
        Some(PEER) => peer(member, call),
        Some(INTROSPECTABLE) => Err(Failure::UnknownMethod),
        Some(_) => Err(Failure::UnknownInterface),
        // A call may leave the interface out (D-Bus specification, "Method Calls"): ours is tried.
        None => object.call(member, call).await,
    }
}

/// Answers a call to an object with two interfaces of the contract.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn dispatch_both<A: Object, B: Object>(
    first: &A,
    second: &B,
    call: &Call,
) -> Result<Message, Failure> {
    let header = call.message.header();
    let member = header.member().map(|member| member.as_str()).ok_or(Failure::UnknownMethod)?;
    match header.interface().map(|interface| interface.as_str()) {
        Some(interface) if interface == B::INTERFACE.name => second.call(member, call).await,
        Some(PROPERTIES) if properties_of(member, call)? == B::INTERFACE.name => {
            properties(second, member, call)
        }
        Some(INTROSPECTABLE) if member == "Introspect" => {
            let both = format!("{}\n{}\n", A::INTERFACE.element(), B::INTERFACE.element());
            call.reply(&document(&format!("{STANDARD}{STANDARD_PROPERTIES}{both}"), &[]))
        }
        None => match first.call(member, call).await {
            Err(Failure::UnknownMethod) => second.call(member, call).await,
            answer => answer,
        },
        Some(_) => dispatch(first, call).await,
    }
}

/// The interface whose properties are asked for.
fn properties_of(member: &str, call: &Call) -> Result<String, Failure> {
    match member {
        "Get" => call.args::<(String, String)>().map(|(interface, _)| interface),
        "GetAll" => call.args::<String>(),
        "Set" => call.args::<(String, String, OwnedVariant)>().map(|(interface, ..)| interface),
        _ => Err(Failure::UnknownMethod),
    }
}

/// Answers a call to a path between the root and the objects. What is below `/io/github/fwpd` other than the wallet is
/// told by List methods alone, to whom it belongs.
///
/// # Errors
/// [`Failure::UnknownObject`] for every other path.
pub(crate) fn dispatch_parent(path: &str, call: &Call) -> Result<Message, Failure> {
    let child = parent_child(path).ok_or(Failure::UnknownObject)?;
    let header = call.message.header();
    let member = header.member().map(|member| member.as_str()).unwrap_or_default();
    match header.interface().map(|interface| interface.as_str()) {
        Some(INTROSPECTABLE) | None if member == "Introspect" => call.reply(&document(STANDARD, &[child])),
        Some(PEER) => peer(member, call),
        Some(INTROSPECTABLE) | None => Err(Failure::UnknownMethod),
        Some(_) => Err(Failure::UnknownInterface),
    }
}

fn parent_child(path: &str) -> Option<&'static str> {
    let below = interfaces::WALLET_PATH.strip_prefix(path)?;
    let below = if path == "/" { below } else { below.strip_prefix('/')? };
    below.split('/').next().filter(|child| !child.is_empty())
}

fn properties<O: Object>(object: &O, member: &str, call: &Call) -> Result<Message, Failure> {
    let check_interface = |interface: &str| {
        if interface == O::INTERFACE.name || interface.is_empty() {
            Ok(())
        } else {
            Err(Failure::UnknownInterface)
        }
    };
    match member {
        "Get" => {
            let (interface, name): (String, String) = call.args()?;
            check_interface(&interface)?;
            call.reply(&(property(object, &name)?,))
        }
        "GetAll" => {
            let interface: String = call.args()?;
            check_interface(&interface)?;
            let all: std::collections::HashMap<_, _> = object.properties()?.into_iter().collect();
            call.reply(&all)
        }
        "Set" => {
            let (interface, name, _): (String, String, OwnedVariant) = call.args()?;
            check_interface(&interface)?;
            property(object, &name).and(Err(Failure::PropertyReadOnly))
        }
        _ => Err(Failure::UnknownMethod),
    }
}

fn property<O: Object>(object: &O, name: &str) -> Result<OwnedVariant, Failure> {
    let mut all = object.properties()?.into_iter();
    all.find(|(known, _)| *known == name).map(|(_, value)| value).ok_or(Failure::UnknownProperty)
}

fn peer(member: &str, call: &Call) -> Result<Message, Failure> {
    match member {
        "Ping" => call.reply(&()),
        "GetMachineId" => {
            let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
            call.reply(&id.trim())
        }
        _ => Err(Failure::UnknownMethod),
    }
}

fn document(interfaces: &str, children: &[&str]) -> String {
    let mut xml = String::from(
        "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
         \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n",
    );
    xml.push_str(interfaces);
    for child in children {
        // Writing to a String can't fail.
        let _ = writeln!(xml, "  <node name=\"{child}\"/>");
    }
    xml.push_str("</node>\n");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_wallet_is_all_that_parents_show() {
        assert_eq!(parent_child("/"), Some("io"));
        assert_eq!(parent_child("/io"), Some("github"));
        assert_eq!(parent_child("/io/github/fwpd"), Some("Wallet"));
        for path in
            ["/io/github/fwpd/Wallet", "/io/git", "/io/github/fwpd/payment", "/x", "/io/github/fwpd/Wallet/x"]
        {
            assert_eq!(parent_child(path), None, "{path}");
        }
    }
}
