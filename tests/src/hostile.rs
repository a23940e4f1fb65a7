//! Calls that no honest program makes, generated from the contract's XML: wrong types, other users' paths, huge strings, members in
//! the wrong order of an object's life, signals in another's name. The same seed gives the same calls.

#![expect(clippy::indexing_slicing, reason = "what is thrown is below the length")]

use std::collections::HashMap;
use std::fs::File;

use fwp_dbus::interfaces::{self, BUS_NAME, Interface, WALLET_PATH};
use roxmltree::{Document, ParsingOptions};
use zbus::message::Flags;
use zbus::wire::StructureBuilder;
use zbus::{Array, Dict, Fd, Message, ObjectPath, Signature, Str, Variant};

use crate::bank::Bank;
use crate::owner::MY_BANK;
use crate::requests::{BANKNET, SPACE_SHOP, details, method_data};

/// SplitMix64: repeatable, and good enough for this.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same throws.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.any() % u64::try_from(end.max(1)).unwrap_or(u64::MAX)).unwrap_or(0)
    }

    /// Whether one of `of` fell.
    pub fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A method or property of the contract.
#[derive(Debug, Clone)]
struct Member {
    interface: &'static str,
    name: String,
    /// The types of its arguments.
    arguments: Vec<String>,
}

/// Makes hostile calls.
#[derive(Debug)]
pub struct Generator {
    dice: Dice,
    methods: Vec<Member>,
    properties: Vec<Member>,
    signals: Vec<Member>,
    /// Objects of other users.
    pub foreign: Vec<String>,
    /// Objects of its own, as far as they were told; of any state.
    pub own: Vec<String>,
    /// Files that are handed over.
    files: Vec<File>,
    /// A bank's offer of cards, as it should be.
    offer: String,
}

/// What is sent.
#[derive(Debug)]
pub enum Shot {
    /// A method call, and whether its answer is waited for.
    Call(Message, bool),
    /// A signal in another's name.
    Signal(Message),
}

fn members(interface: Interface, kind: &str) -> Vec<Member> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(interface.xml, options).expect("the contract's XML");
    let nodes = document.descendants().filter(|node| node.has_tag_name(kind));
    let of = |node: roxmltree::Node<'_, '_>| {
        let arguments = node.children().filter(|arg| arg.has_tag_name("arg"));
        let inward = arguments.filter(|arg| arg.attribute("direction") != Some("out"));
        Member {
            interface: interface.name,
            name: node.attribute("name").unwrap_or_default().to_owned(),
            arguments: inward.filter_map(|arg| arg.attribute("type")).map(str::to_owned).collect(),
        }
    };
    nodes.map(of).collect()
}

impl Generator {
    /// Of the whole contract; `foreign`: object paths of other users.
    ///
    /// # Panics
    /// If the contract's XML can't be read.
    pub fn new(seed: u64, foreign: Vec<String>) -> Self {
        let all = |kind| interfaces::ALL.iter().flat_map(|interface| members(*interface, kind)).collect();
        let files = ["/dev/null", "/dev/zero"].iter().filter_map(|path| File::open(path).ok()).collect();
        Self {
            dice: Dice::new(seed),
            methods: all("method"),
            properties: all("property"),
            signals: all("signal"),
            foreign,
            own: Vec::new(),
            files,
            offer: Bank::new(MY_BANK).offer().to_json().to_string(),
        }
    }

    /// The next one.
    ///
    /// # Errors
    /// What can't even be encoded.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and may fail")]
    pub fn next(&mut self) -> zbus::Result<Shot> {
        match self.dice.below(20) {
            0 => self.signal(),
            1..=3 => self.standard(),
            4..=6 => self.create(),
            _ => self.method(),
        }
    }

    /// A method of the contract, on an object that may or may not fit, with arguments that may or may not.
    fn method(&mut self) -> zbus::Result<Shot> {
        let member = self.dice.pick(&self.methods).clone();
        let path = self.path(member.interface);
        let wrong = self.dice.one_in(4);
        let arguments = if wrong { self.wrong_types() } else { member.arguments };
        let body: Vec<_> = arguments.iter().map(|signature| self.value(signature)).collect();
        self.call(&path, member.interface, &member.name, body)
    }

    /// Something that is right, so that there are objects to be called in the wrong order.
    fn create(&mut self) -> zbus::Result<Shot> {
        let (data, details) = (method_data(&[BANKNET]), details(&self.dice.any().to_string(), "435.00"));
        let none = Dict::new(&Signature::Str, &Signature::Variant);
        if self.dice.one_in(4) {
            let mut options = none;
            let platform = Variant::Variant(Box::new(Variant::from("platform".to_owned())));
            options.append(Variant::from("attachment".to_owned()), platform)?;
            let (offer, host) = (Variant::from(self.offer.clone()), Variant::from(MY_BANK.to_owned()));
            let body = vec![offer, host, Variant::Dict(options)];
            return self.call(WALLET_PATH, interfaces::WALLET.name, "BeginEnrollment", body);
        }
        let body = vec![
            Variant::from(SPACE_SHOP.to_owned()),
            Variant::from(data),
            Variant::from(details),
            Variant::Dict(none),
        ];
        self.call(WALLET_PATH, interfaces::WALLET.name, "CreatePayment", body)
    }

    /// A standard interface, on anything.
    fn standard(&mut self) -> zbus::Result<Shot> {
        let interface = *self.dice.pick(interfaces::ALL);
        let path = self.path(interface.name);
        let property = self.dice.pick(&self.properties).name.clone();
        let name = || Variant::from(interface.name.to_owned());
        let properties = "org.freedesktop.DBus.Properties";
        match self.dice.below(5) {
            0 => self.call(&path, properties, "GetAll", vec![name()]),
            1 => self.call(&path, properties, "Get", vec![name(), Variant::from(property)]),
            2 => {
                let value = self.value("v");
                self.call(&path, properties, "Set", vec![name(), Variant::from(property), value])
            }
            3 => self.call(&path, "org.freedesktop.DBus.Introspectable", "Introspect", Vec::new()),
            _ => self.call(&path, "org.freedesktop.DBus.Peer", "GetMachineId", Vec::new()),
        }
    }

    /// What only the bus, logind or the daemon may say.
    fn signal(&mut self) -> zbus::Result<Shot> {
        let path = self.path(interfaces::PAYMENT.name);
        let signal = |path: &str, interface: &str, name: &str| {
            Message::signal(path.to_owned(), interface.to_owned(), name.to_owned())
        };
        let message = match self.dice.below(3) {
            0 => signal("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameOwnerChanged")
                .destination(BUS_NAME)
                .build(&(":1.1", ":1.1", ""))?,
            1 => signal(
                "/org/freedesktop/login1/seat/seat0",
                "org.freedesktop.DBus.Properties",
                "PropertiesChanged",
            )
            .destination(BUS_NAME)
            .build(&(
                "org.freedesktop.login1.Seat",
                HashMap::<&str, Variant<'_>>::new(),
                ["ActiveSession"],
            ))?,
            _ => {
                let member = self.dice.pick(&self.signals).clone();
                signal(&path, member.interface, &member.name).destination(BUS_NAME).build(&("", ""))?
            }
        };
        Ok(Shot::Signal(message))
    }

    fn call(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        arguments: Vec<Variant<'_>>,
    ) -> zbus::Result<Shot> {
        let silent = self.dice.one_in(10);
        let mut builder = Message::method_call(path.to_owned(), member.to_owned())
            .destination(BUS_NAME)
            .interface(interface.to_owned());
        if silent {
            builder = builder.with_flags(Flags::NO_REPLY_EXPECTED);
        }
        if self.dice.one_in(5) {
            builder = builder.with_flags(Flags::ALLOW_INTERACTIVE_AUTH);
        }
        let message = if arguments.is_empty() {
            builder.build(&())?
        } else {
            let mut body = StructureBuilder::new();
            for argument in arguments {
                body.push_value(argument);
            }
            builder.build(&body.build()?)?
        };
        Ok(Shot::Call(message, !silent))
    }

    /// An object for this interface: its own, another user's, a guess, or none that fits.
    fn path(&mut self, interface: &str) -> String {
        let is_wallets = [interfaces::WALLET.name, interfaces::STORE.name].contains(&interface);
        match self.dice.below(10) {
            0..=3 if is_wallets => WALLET_PATH.to_owned(),
            0..=3 if interface == interfaces::AUTHENTICATOR.name => {
                let which = *self.dice.pick(&["software", "tpm", "usb_1", "nfc_1"]);
                format!("{}/{which}", interfaces::AUTHENTICATOR_PREFIX)
            }
            0..=4 if !self.own.is_empty() => self.dice.pick(&self.own).clone(),
            5 | 6 if !self.foreign.is_empty() => self.dice.pick(&self.foreign).clone(),
            7 => format!("{}/{:016x}", interfaces::CREDENTIAL_PREFIX, self.dice.any()),
            8 => format!("{}/{:032x}", interfaces::PAYMENT_PREFIX, u128::from(self.dice.any())),
            _ => (*self.dice.pick(&["/", WALLET_PATH, "/io/github/fwpd", "/nowhere"])).to_owned(),
        }
    }

    fn wrong_types(&mut self) -> Vec<String> {
        let all =
            ["s", "o", "u", "x", "t", "b", "y", "h", "d", "ay", "aay", "as", "au", "a{sv}", "v", "(ss)"];
        (0..self.dice.below(6)).map(|_| (*self.dice.pick(&all)).to_owned()).collect()
    }

    fn value(&mut self, signature: &str) -> Variant<'static> {
        match signature {
            "o" => {
                let path = self.path(interfaces::CREDENTIAL.name);
                Variant::from(ObjectPath::try_from(path).expect("a path"))
            }
            "y" => Variant::from(self.dice.any().to_le_bytes()[0]),
            "b" => Variant::from(self.dice.one_in(2)),
            "u" => Variant::from(*self.dice.pick(&[0_u32, 1, 1000, 65534, u32::MAX])),
            "x" => Variant::from(*self.dice.pick(&[0_i64, 1, -1, i64::MIN, i64::MAX])),
            "t" => Variant::from(*self.dice.pick(&[0_u64, 1, u64::MAX])),
            "d" => Variant::from(*self.dice.pick(&[0.0, f64::NAN, f64::INFINITY])),
            "h" => match &self.files[..] {
                [] => Variant::from(0_u32),
                files => {
                    let file = files[self.dice.below(files.len())].try_clone().expect("another descriptor");
                    Variant::from(Fd::from(std::os::fd::OwnedFd::from(file)))
                }
            },
            "ay" => Variant::from(vec![0xa5_u8; self.length()]),
            "aay" => Variant::from(vec![vec![0x30_u8; 70]; self.dice.below(20)]),
            "au" => Variant::from(vec![u32::MAX; self.dice.below(40)]),
            "as" => {
                let mut array = Array::new(&Signature::Str);
                for _ in 0..self.dice.below(12) {
                    array.append(Variant::Str(Str::from(self.text()))).expect("a string");
                }
                Variant::Array(array)
            }
            "a{sv}" => Variant::Dict(self.options()),
            "(ss)" => Variant::from((self.text(), self.text())),
            "v" => Variant::Variant(Box::new(Variant::from(self.text()))),
            _ => Variant::from(self.text()),
        }
    }

    fn options(&mut self) -> Dict<'static, 'static> {
        let keys = [
            "user-agent-name",
            "attachment",
            "authenticator",
            "replace",
            "name",
            "kind",
            "before",
            "pcrs",
            "x",
        ];
        let mut options = Dict::new(&Signature::Str, &Signature::Variant);
        for _ in 0..self.dice.below(4) {
            let key = (*self.dice.pick(&keys)).to_owned();
            let value = match self.dice.below(4) {
                0 => Variant::from(self.dice.any()),
                1 => Variant::from(true),
                2 => Variant::from("platform".to_owned()),
                _ => Variant::from(self.text()),
            };
            options
                .append(Variant::from(key), Variant::Variant(Box::new(value)))
                .expect("a dictionary's entry");
        }
        options
    }

    /// Mostly short; now and then up to 3 MiB, and rarely more than any call may have.
    fn length(&mut self) -> usize {
        match self.dice.below(200) {
            0 => 12 << 20,
            1..=4 => self.dice.below(3 << 20),
            5..=20 => self.dice.below(64 << 10),
            _ => self.dice.below(64),
        }
    }

    fn text(&mut self) -> String {
        let known = [
            "",
            "success",
            "slots",
            "passphrase",
            "tpm",
            SPACE_SHOP,
            "localhost",
            "xn--",
            "../../../etc/passwd",
            "%s%n",
            "\u{202e}",
            "{}",
            "[]",
            "[[[[[[[[[[[[[[[[[[[[",
            "{\"id\":\"1\"}",
            "null",
            "1e999",
            "\u{1b}[2J",
        ];
        match self.dice.below(10) {
            0 => "x".repeat(self.length()),
            1 => "[".repeat(self.length()),
            2 => format!("\"{}\"", "é".repeat(self.length() / 2)),
            3 => method_data(&[BANKNET]),
            4 => details("1", "0.00"),
            _ => (*self.dice.pick(&known)).to_owned(),
        }
    }
}
