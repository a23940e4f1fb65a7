//! A card's picture: an SVG that some bank wrote, made safe and turned into pixels.
//!
//! The picture is untrusted. [`sanitize`] reads it strictly, refuses what is hostile with a named [`Error`], and
//! writes a new document from the few elements that a drawing needs; [`render`] draws only such a document.
//! Both are bounded in time and memory by the limits below, whatever the input. Nothing is ever fetched, no
//! font is read: text in a picture is left out ([`Sanitized::left_out`] says so), the card's names are
//! printed beside it anyway.

mod render;
mod sanitize;

pub use render::render;
pub use sanitize::{Sanitized, sanitize};

/// Bytes that the SVG may have: as many as a card may hold.
pub const MAX_BYTES: usize = fwp::credential::MAX_CARD_IMAGE_BYTES;
/// Elements, counted as often as they are drawn (`<use>` draws its target again).
pub const MAX_ELEMENTS: usize = 2_000;
/// Elements nested in each other, references included.
pub const MAX_DEPTH: usize = 32;
/// Attributes of one element.
pub const MAX_ATTRIBUTES: usize = 128;
/// Bytes of all style sheets together.
pub const MAX_STYLE_BYTES: usize = 16 * 1024;
/// Lines and curves, counted as often as they are drawn.
pub const MAX_SEGMENTS: usize = 20_000;
/// Layers: groups with an opacity, a mask or a clip path of their own.
pub const MAX_LAYERS: usize = 64;
/// Pixels along either side of the rendered picture.
pub const MAX_PIXELS: u32 = 2_048;
/// How much longer one side may be than the other.
pub const MAX_ASPECT: f32 = 4.0;

/// Why a picture is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More bytes than [`MAX_BYTES`].
    #[error("the card image has {bytes} bytes, more than the {MAX_BYTES} that are allowed")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// Not UTF-8 (the standard's label 14 is UTF-8 encoded SVG).
    #[error("the card image is not UTF-8 text")]
    NotUtf8,
    /// Not well-formed XML. `line` and `column` count from 1.
    #[error("the card image is not well-formed XML (line {line}, column {column})")]
    NotXml {
        /// Line of the fault.
        line: u32,
        /// Column of the fault.
        column: u32,
    },
    /// The root is not SVG's `svg` element.
    #[error("the card image is not an SVG document")]
    NotSvg,
    /// A document type declaration, the way to entity bombs and external entities.
    #[error("the card image declares a document type or entities")]
    DocumentType,
    /// An element that can run code or embed another document.
    #[error("the card image holds active content: <{element}>")]
    ActiveContent {
        /// The element's name.
        element: &'static str,
    },
    /// An attribute that runs code (`onload` ...).
    #[error("the card image holds a script in an event attribute")]
    EventHandler,
    /// A reference to anything outside the document.
    #[error("the card image refers to something outside itself, in \"{attribute}\"")]
    ExternalReference {
        /// Where: an attribute's name or `style`.
        attribute: &'static str,
    },
    /// Deeper than [`MAX_DEPTH`], or a reference that leads back to itself.
    #[error("the card image is nested deeper than {MAX_DEPTH} levels or refers to itself")]
    TooDeep,
    /// More of something than is allowed.
    #[error("the card image is too complex: more than {limit} {what}")]
    TooComplex {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// No size, or one that no card has.
    #[error(
        "the card image has no usable size: it needs a width and height or a viewBox, none over {MAX_ASPECT} times the other"
    )]
    Size,
    /// The renderer does not take it.
    #[error("the card image cannot be drawn")]
    NotDrawable,
}
