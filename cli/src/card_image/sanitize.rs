//! From untrusted SVG to a document of known elements, no scripts, no outside references, bounded work.

use super::{Error, MAX_ATTRIBUTES, MAX_BYTES, MAX_DEPTH, MAX_ELEMENTS, MAX_STYLE_BYTES};
use resvg::usvg::roxmltree::{Document, Error as XmlError, Node, ParsingOptions};
use std::collections::HashMap;

const SVG_NAMESPACE: &str = "http://www.w3.org/2000/svg";
const XLINK_NAMESPACE: &str = "http://www.w3.org/1999/xlink";

/// Elements that a drawing needs. Whatever else there is, is left out with its content.
const DRAWING: [&str; 20] = [
    "svg",
    "g",
    "defs",
    "symbol",
    "use",
    "switch",
    "style",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "linearGradient",
    "radialGradient",
    "stop",
    "clipPath",
    "mask",
    "a",
];
/// Elements that can run code or embed a document: their presence refuses the picture.
const ACTIVE: [&str; 7] = ["script", "foreignObject", "iframe", "object", "embed", "handler", "listener"];
/// Elements that are left out because a picture loses nothing that counts: said nowhere.
const SILENT: [&str; 3] = ["title", "desc", "metadata"];

/// A picture that holds known drawing elements only. Made by [`sanitize`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sanitized {
    svg: String,
    left_out: usize,
}

impl Sanitized {
    /// The SVG text, well-formed and self-contained.
    pub fn as_str(&self) -> &str {
        &self.svg
    }

    /// How many elements that would have been visible are not in it (text, images, filters, animations ...).
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// Reads the SVG in `bytes` and writes a safe one.
///
/// # Errors
/// What is wrong with it; hostile content is refused by name, not repaired.
pub fn sanitize(bytes: &[u8]) -> Result<Sanitized, Error> {
    // 1. Bounds that need no parsing. The parser compares each attribute of an element with all others.
    if bytes.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Error::NotUtf8)?;
    check_attribute_counts(bytes)?;

    // 2. XML without a document type.
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: 16 * MAX_ELEMENTS as u32,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options).map_err(|error| xml_error(&error))?;
    let root = document.root_element();
    if !is_svg(root) || root.tag_name().name() != "svg" {
        return Err(Error::NotSvg);
    }

    // 3. Everything that there is, drawn or not: nothing active, nothing from outside.
    let mut reader = Reader { ids: HashMap::new(), style_bytes: 0 };
    for node in document.descendants().filter(Node::is_element) {
        reader.inspect(node)?;
    }

    // 4. As often as it will be drawn, references followed.
    let mut budget = MAX_ELEMENTS;
    reader.measure(root, 0, &mut budget)?;

    // 5. The new document.
    let mut writer = Writer { out: String::with_capacity(text.len()), left_out: 0 };
    writer.element(root, 0)?;
    Ok(Sanitized { svg: writer.out, left_out: writer.left_out })
}

/// Counts the equals signs between `<` and `>`, which no honest element has many of.
fn check_attribute_counts(bytes: &[u8]) -> Result<(), Error> {
    let mut equals = None;
    for byte in bytes {
        match (byte, &mut equals) {
            (b'<', _) => equals = Some(0_usize),
            (b'>', _) => equals = None,
            (b'=', Some(count)) => {
                *count += 1;
                if *count > MAX_ATTRIBUTES {
                    return Err(Error::TooComplex {
                        what: "attributes of one element",
                        limit: MAX_ATTRIBUTES,
                    });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn xml_error(error: &XmlError) -> Error {
    match error {
        XmlError::DtdDetected => Error::DocumentType,
        XmlError::NodesLimitReached => Error::TooComplex { what: "elements", limit: MAX_ELEMENTS },
        other => {
            let at = other.pos();
            Error::NotXml { line: at.row, column: at.col }
        }
    }
}

fn is_svg(node: Node<'_, '_>) -> bool {
    node.tag_name().namespace() == Some(SVG_NAMESPACE)
}

/// What is known about the document once each element was looked at.
struct Reader<'a, 'input> {
    ids: HashMap<&'a str, Node<'a, 'input>>,
    style_bytes: usize,
}

impl<'a, 'input> Reader<'a, 'input> {
    fn inspect(&mut self, node: Node<'a, 'input>) -> Result<(), Error> {
        let name = node.tag_name().name();
        if let Some(element) = ACTIVE.iter().find(|active| name.eq_ignore_ascii_case(active)) {
            return Err(Error::ActiveContent { element });
        }
        for attribute in node.attributes() {
            let value = attribute.value();
            if attribute.name().get(..2).is_some_and(|start| start.eq_ignore_ascii_case("on")) {
                return Err(Error::EventHandler);
            }
            match attribute.name() {
                "id" => {
                    self.ids.entry(value).or_insert(node);
                }
                // An image within the document (data:) is inside; it is left out later. A link's target is not drawn.
                "href" if name == "image" && value.trim_start().starts_with("data:image/") => {}
                "href"
                    if name == "a" && !value.trim_start().to_ascii_lowercase().starts_with("javascript:") => {
                }
                "href" | "src" if !value.starts_with('#') => {
                    return Err(Error::ExternalReference { attribute: "href" });
                }
                "style" => check_css(value, "style")?,
                _ => check_css(value, "a url()")?,
            }
        }
        if name == "style" {
            let sheet = text_of(node);
            self.style_bytes += sheet.len();
            if self.style_bytes > MAX_STYLE_BYTES {
                return Err(Error::TooComplex { what: "bytes of style sheets", limit: MAX_STYLE_BYTES });
            }
            check_css(&sheet, "a style sheet")?;
        }
        Ok(())
    }

    /// Takes one from `budget` for each element that drawing `node` visits.
    fn measure(&self, node: Node<'a, 'input>, depth: usize, budget: &mut usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        *budget = budget.checked_sub(1).ok_or(Error::TooComplex { what: "elements", limit: MAX_ELEMENTS })?;
        for attribute in node.attributes() {
            for target in references(attribute.name(), attribute.value()) {
                if let Some(target) = self.ids.get(target) {
                    self.measure(*target, depth + 1, budget)?;
                }
            }
        }
        if node.tag_name().name() == "style" {
            // A rule may apply to every element, so that it may lead to nothing that costs more than a colour.
            for target in references("style", &text_of(node)) {
                let gradient =
                    |n: &Node<'_, '_>| matches!(n.tag_name().name(), "linearGradient" | "radialGradient");
                if self.ids.get(target).is_some_and(|n| !gradient(n)) {
                    return Err(Error::TooComplex { what: "style rules with a mask or clip path", limit: 0 });
                }
            }
        }
        node.children().filter(Node::is_element).try_for_each(|child| self.measure(child, depth + 1, budget))
    }
}

fn text_of(node: Node<'_, '_>) -> String {
    node.children().filter_map(|child| child.text()).collect()
}

/// Refuses everything in a style or presentation attribute that could load something.
fn check_css(css: &str, attribute: &'static str) -> Result<(), Error> {
    let lower = css.to_ascii_lowercase();
    // A backslash could spell any of these names in another way.
    let outside = lower.contains("@import") || lower.contains("javascript:") || lower.contains("image-set(");
    let hidden = lower.contains('\\') && attribute != "a url()";
    let urls_inside = urls(&lower).all(|url| url.starts_with('#'));
    if outside || hidden || !urls_inside { Err(Error::ExternalReference { attribute }) } else { Ok(()) }
}

/// What stands in the `url(...)`s of `css`, without quotes.
fn urls(css: &str) -> impl Iterator<Item = &str> {
    css.split("url(").skip(1).map(|rest| {
        let inside = rest.split_once(')').map_or(rest, |(inside, _)| inside);
        inside.trim().trim_matches(['"', '\''])
    })
}

/// The ids that an attribute refers to.
fn references<'v>(name: &str, value: &'v str) -> Vec<&'v str> {
    match name {
        "href" => value.strip_prefix('#').into_iter().collect(),
        _ => urls(value).filter_map(|url| url.strip_prefix('#')).collect(),
    }
}

struct Writer {
    out: String,
    left_out: usize,
}

impl Writer {
    fn element(&mut self, node: Node<'_, '_>, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        let name = node.tag_name().name();
        let Some(known) = DRAWING.iter().find(|known| **known == name && is_svg(node)) else {
            self.left_out += usize::from(is_svg(node) && !SILENT.contains(&name));
            return Ok(());
        };
        // A link is a group here: there is nowhere to go.
        let written = if *known == "a" { "g" } else { known };
        self.out.push('<');
        self.out.push_str(written);
        if depth == 0 {
            self.out.push_str(" xmlns=\"http://www.w3.org/2000/svg\"");
        }
        self.attributes(node, written);
        self.out.push('>');
        if written == "style" {
            escape(&without_costly_properties(&text_of(node)), &mut self.out);
        }
        for child in node.children().filter(Node::is_element) {
            self.element(child, depth + 1)?;
        }
        self.out.push_str("</");
        self.out.push_str(written);
        self.out.push('>');
        Ok(())
    }

    fn attributes(&mut self, node: Node<'_, '_>, written: &str) {
        let mut href_written = false;
        for attribute in node.attributes() {
            let name = attribute.name();
            match attribute.namespace() {
                None => {}
                Some(XLINK_NAMESPACE) if name == "href" && node.attribute("href").is_none() => {}
                Some(_) => continue,
            }
            // Filters and markers multiply work; without them a picture is the same but for shadows and arrowheads.
            let costly = name == "filter" || name.starts_with("marker") || name == "enable-background";
            let link = name == "href" && (written == "g" || href_written);
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if costly || link || !plain {
                continue;
            }
            href_written |= name == "href";
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            match name {
                "style" => escape(&without_costly_properties(attribute.value()), &mut self.out),
                _ => escape(attribute.value(), &mut self.out),
            }
            self.out.push('"');
        }
    }
}

/// Renames the properties that would multiply work, so that nothing knows them any more: a filter that is named but not
/// there would make the renderer leave the whole element out.
fn without_costly_properties(css: &str) -> String {
    let mut out = String::with_capacity(css.len() + 16);
    for (i, declaration) in css.split_inclusive([';', '{', '}']).enumerate() {
        let name = declaration.trim_start().to_ascii_lowercase();
        if name.starts_with("filter") || name.starts_with("marker") {
            // The first part of a style sheet may be a selector, which a prefix would not spoil either.
            out.push_str(if i == 0 { "x-" } else { " x-" });
            out.push_str(declaration.trim_start());
        } else {
            out.push_str(declaration);
        }
    }
    out
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\r' | '\t' => out.push(' '),
            _ => out.push(c),
        }
    }
}
