//! The shipped interface XML, and the names and paths that go with it.

/// The daemon's name on the bus.
pub const BUS_NAME: &str = "io.github.fwpd";
/// The object with [`WALLET`] and [`STORE`].
pub const WALLET_PATH: &str = "/io/github/fwpd/Wallet";
/// Payments are below this path.
pub const PAYMENT_PREFIX: &str = "/io/github/fwpd/payment";
/// Enrollments are below this path.
pub const ENROLLMENT_PREFIX: &str = "/io/github/fwpd/enrollment";
/// Cards are below this path.
pub const CREDENTIAL_PREFIX: &str = "/io/github/fwpd/credential";
/// Authenticators are below this path.
pub const AUTHENTICATOR_PREFIX: &str = "/io/github/fwpd/authenticator";

/// One interface of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// Its D-Bus name.
    pub name: &'static str,
    /// The shipped file, with its documentation.
    pub xml: &'static str,
}

impl Interface {
    /// The `<interface>` element of the shipped file alone, comments taken out: what introspection answers.
    pub fn element(&self) -> String {
        let without_comments = strip_comments(self.xml);
        let start = without_comments.find("<interface").unwrap_or(0);
        let end = without_comments
            .find("</interface>")
            .map_or(without_comments.len(), |at| at + "</interface>".len());
        without_comments
            .get(start..end)
            .unwrap_or_default()
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// Takes `<!-- ... -->` out of one of our own files.
fn strip_comments(xml: &str) -> String {
    let mut kept = String::with_capacity(xml.len());
    let mut rest = xml;
    while let Some((before, comment)) = rest.split_once("<!--") {
        kept.push_str(before);
        rest = comment.split_once("-->").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

macro_rules! interfaces {
    ($($constant:ident = $name:literal, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub const $constant: Interface = Interface {
                name: $name,
                xml: include_str!(concat!("../interfaces/", $name, ".xml")),
            };
        )*

        /// Every interface of the contract.
        pub const ALL: &[Interface] = &[$($constant),*];
    };
}

interfaces! {
    WALLET = "io.github.fwpd.Wallet1", "The wallet of the calling user.";
    STORE = "io.github.fwpd.Store1", "The calling user's store: what opens it, and copies of it.";
    PAYMENT = "io.github.fwpd.Payment1", "One payment.";
    ENROLLMENT = "io.github.fwpd.Enrollment1", "One enrollment.";
    CREDENTIAL = "io.github.fwpd.Credential1", "One card.";
    AUTHENTICATOR = "io.github.fwpd.Authenticator1", "One authenticator.";
    AGENT = "io.github.fwpd.Agent1", "The user's dialog, on the agent's side.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_describes_the_interface_it_is_named_after() {
        for interface in ALL {
            let document = roxmltree::Document::parse_with_options(
                interface.xml,
                roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
            )
            .unwrap();
            let names: Vec<_> = document
                .descendants()
                .filter(|node| node.has_tag_name("interface"))
                .filter_map(|node| node.attribute("name"))
                .collect();
            assert_eq!(names, [interface.name]);
        }
    }

    #[test]
    fn every_method_signal_and_property_is_documented() {
        for interface in ALL {
            let document = roxmltree::Document::parse_with_options(
                interface.xml,
                roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
            )
            .unwrap();
            let members = document
                .descendants()
                .filter(|node| ["method", "signal", "property"].contains(&node.tag_name().name()));
            for member in members {
                let name = member.attribute("name").unwrap();
                let comment = member
                    .prev_siblings()
                    .skip(1)
                    .find(|node| !node.is_text())
                    .and_then(|node| node.is_comment().then(|| node.text().unwrap_or_default()))
                    .unwrap_or_else(|| panic!("{}.{name} has no comment", interface.name));
                assert!(
                    comment.trim().starts_with(&format!("{name}:")),
                    "{}.{name}: {comment}",
                    interface.name
                );
                for arg in member.children().filter(|node| node.has_tag_name("arg")) {
                    let arg = arg.attribute("name").unwrap();
                    assert!(
                        comment.contains(&format!("@{arg}:")),
                        "{}.{name}: @{arg} isn't explained",
                        interface.name
                    );
                }
            }
        }
    }

    #[test]
    fn the_element_for_introspection_has_no_comments() {
        for interface in ALL {
            let element = interface.element();
            assert!(element.starts_with("<interface name="), "{element}");
            assert!(element.ends_with("</interface>"));
            assert!(!element.contains("<!--"));
            roxmltree::Document::parse(&element).unwrap();
        }
    }
}
