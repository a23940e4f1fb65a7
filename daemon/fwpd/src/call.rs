//! One method call: who calls, with which arguments, and what is answered.

use std::fmt;

use fwp_dbus::{Error, ErrorName};
use zbus::Message;
use zbus::message::Flags;
use zbus::names::OwnedUniqueName;

/// A Unix user.
pub(crate) type Uid = u32;

/// Who calls: a connection to the bus, and the user that it belongs to. The bus vouches for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The connection's unique name.
    pub(crate) name: OwnedUniqueName,
    /// The connection's user.
    pub(crate) uid: Uid,
}

/// A method call of a known caller.
#[derive(Debug)]
pub(crate) struct Call {
    /// As it came from the bus.
    pub(crate) message: Message,
    /// Who sent it.
    pub(crate) caller: Caller,
}

impl Call {
    /// A call as it came.
    pub(crate) fn new(message: Message, caller: Caller) -> Self {
        Self { message, caller }
    }

    /// The arguments.
    ///
    /// # Errors
    /// [`Failure::InvalidArgs`] if the signature is another, or the contents don't fit.
    pub(crate) fn args<T>(&self) -> Result<T, Failure>
    where
        T: serde::de::DeserializeOwned + zbus::Type,
    {
        self.message.body().deserialize().map_err(|error| Failure::InvalidArgs(error.to_string()))
    }

    /// The reply with these results.
    ///
    /// # Errors
    /// [`Failure::Contract`] if zbus can't encode them.
    pub(crate) fn reply<B>(&self, body: &B) -> Result<Message, Failure>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        Ok(Message::method_return(&self.message.header()).build(body)?)
    }

    /// Whether the caller waits for a reply.
    pub(crate) fn wants_reply(&self) -> bool {
        !self.message.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED)
    }

    /// The error reply.
    pub(crate) fn refusal(&self, failure: &Failure) -> Option<Message> {
        Message::error(&self.message.header(), failure.dbus_name()).build(&(failure.to_string(),)).ok()
    }
}

/// Why a call fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// An error of the contract.
    Contract(Error),
    /// No such object for this caller.
    UnknownObject,
    /// The object has no such interface.
    UnknownInterface,
    /// The interface has no such method.
    UnknownMethod,
    /// The interface has no such property.
    UnknownProperty,
    /// No property of ours is written.
    PropertyReadOnly,
    /// Wrong number or types of arguments.
    InvalidArgs(String),
}

impl Failure {
    /// An error of the contract.
    pub(crate) fn new(name: ErrorName, message: impl Into<String>) -> Self {
        Self::Contract(Error::new(name, message))
    }

    fn dbus_name(&self) -> &'static str {
        match self {
            Self::Contract(error) => error.name.as_str(),
            Self::UnknownObject => "org.freedesktop.DBus.Error.UnknownObject",
            Self::UnknownInterface => "org.freedesktop.DBus.Error.UnknownInterface",
            Self::UnknownMethod => "org.freedesktop.DBus.Error.UnknownMethod",
            Self::UnknownProperty => "org.freedesktop.DBus.Error.UnknownProperty",
            Self::PropertyReadOnly => "org.freedesktop.DBus.Error.PropertyReadOnly",
            Self::InvalidArgs(_) => "org.freedesktop.DBus.Error.InvalidArgs",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contract(error) => f.write_str(&error.message),
            Self::UnknownObject => f.write_str("there is no such object"),
            Self::UnknownInterface => f.write_str("the object has no such interface"),
            Self::UnknownMethod => f.write_str("the interface has no such method"),
            Self::UnknownProperty => f.write_str("the interface has no such property"),
            Self::PropertyReadOnly => f.write_str("the property is read-only"),
            Self::InvalidArgs(reason) => write!(f, "arguments: {reason}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Contract(error)
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        tracing::error!(%error, "the bus library fails");
        Self::new(ErrorName::Internal, "the wallet can't answer; its log tells more")
    }
}
