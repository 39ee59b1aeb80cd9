//! XML as AMT answers it, read by namespace into values of our own.
//!
//! It knows limits and structure, and no operation of WS-Management. A machine may send anything: what would take the parser
//! more than a bounded time for each byte (attributes and namespaces are compared with each other), is too deep or has a DTD
//! is refused by one pass over the text before it is parsed. Bytes that are not UTF-8 are replaced.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::str::FromStr;

use roxmltree::{Document, Node, ParsingOptions};
use thiserror::Error;

/// Longest answer that is read. The largest honest ones, 390 log records in one answer, have about 40 KB.
pub(crate) const XML_BYTES_MAX: usize = 1024 * 1024;

/// Deepest nesting. Honest answers have 8 levels: envelope, body, response, items, instance, reference, selectors, selector.
pub(crate) const XML_DEPTH_MAX: usize = 32;

/// Most elements and texts. A pull of 999 instances, more than any machine has, stays below.
pub(crate) const XML_NODES_MAX: u32 = 100_000;

/// Longest tag. Honest envelopes declare a dozen namespaces in some 800 bytes.
pub(crate) const XML_TAG_BYTES_MAX: usize = 8 * 1024;

/// Most attributes and namespaces of one tag. Each is compared with all others of its tag.
pub(crate) const XML_ATTRIBUTES_MAX: usize = 64;

/// Most namespaces that an element and those around it declare together. Each name is looked up among them.
pub(crate) const XML_SCOPE_MAX: usize = 64;

/// Most declarations of namespaces in all. The parser keeps those that differ in a sorted list.
pub(crate) const XML_NAMESPACES_MAX: usize = 20_000;

/// Namespace of `Datetime` and `Interval`.
pub(super) const COMMON: &str = "http://schemas.dmtf.org/wbem/wscim/1/common";
/// WS-Addressing.
pub(super) const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
/// WS-Management.
pub(super) const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
/// Where `nil` is from.
const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// Why an answer is no XML that is read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum XmlError {
    /// More than [`XML_BYTES_MAX`].
    #[error("the XML has more than {XML_BYTES_MAX} bytes")]
    TooLong,
    /// More than [`XML_DEPTH_MAX`].
    #[error("the XML is nested deeper than {XML_DEPTH_MAX} levels")]
    TooDeep,
    /// More than [`XML_NODES_MAX`].
    #[error("the XML has more than {XML_NODES_MAX} nodes")]
    TooMany,
    /// A tag with more than [`XML_TAG_BYTES_MAX`], [`XML_ATTRIBUTES_MAX`] or [`XML_SCOPE_MAX`], or all of them together with
    /// more than [`XML_NAMESPACES_MAX`].
    #[error("the XML has a tag that is too long, or too many attributes or namespaces")]
    Crowded,
    /// A document type, which may hold entities. WS-Management has none.
    #[error("the XML has a document type, which SOAP forbids")]
    Dtd,
    /// Not well-formed.
    #[error("the answer is no XML: {0}")]
    Malformed(String),
}

/// Parses within the limits, and lets `read` look at the root element.
pub(super) fn parse<T>(bytes: &[u8], read: impl FnOnce(Node<'_, '_>) -> T) -> Result<T, XmlError> {
    if bytes.len() > XML_BYTES_MAX {
        return Err(XmlError::TooLong);
    }
    let text = readable(bytes);
    check_bounds(&text)?;
    let options = ParsingOptions { nodes_limit: XML_NODES_MAX, ..ParsingOptions::default() };
    match Document::parse_with_options(&text, options) {
        Ok(document) => Ok(read(document.root_element())),
        Err(roxmltree::Error::NodesLimitReached) => Err(XmlError::TooMany),
        Err(roxmltree::Error::DtdDetected) => Err(XmlError::Dtd),
        // Its words may quote the answer, and so be long.
        Err(error) => Err(XmlError::Malformed(error.to_string().chars().take(120).collect())),
    }
}

/// The text of an answer. Fields of SMBIOS may hold any byte: what is not UTF-8 or has no place in XML is replaced.
fn readable(bytes: &[u8]) -> Cow<'_, str> {
    let foreign =
        |c: char| matches!(c, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
    match String::from_utf8_lossy(bytes.trim_ascii_start()) {
        text if text.contains(foreign) => Cow::Owned(text.replace(foreign, "\u{fffd}")),
        text => text,
    }
}

/// Checks in one pass that the parser's work on this text is bounded for each byte, and that nothing that walks or drops the
/// tree can run out of stack. What is not well-formed may be counted wrongly; the parser refuses it.
fn check_bounds(text: &str) -> Result<(), XmlError> {
    // The open elements, each with the namespaces that it declares.
    let mut open: Vec<usize> = Vec::new();
    let (mut in_scope, mut declared) = (0, 0);
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        if let Some(comment) = tag.strip_prefix("!--") {
            rest = behind(comment, "-->");
        } else if let Some(section) = tag.strip_prefix("![CDATA[") {
            rest = behind(section, "]]>");
        } else if tag.starts_with('!') {
            return Err(XmlError::Dtd);
        } else if let Some(instruction) = tag.strip_prefix('?') {
            rest = behind(instruction, "?>");
        } else if let Some(end_tag) = tag.strip_prefix('/') {
            in_scope -= open.pop().unwrap_or(0);
            rest = behind(end_tag, ">");
        } else {
            let Tag { inside, attributes, after } = split_tag(tag)?;
            let namespaces = inside.matches("xmlns").count();
            declared += namespaces;
            if attributes > XML_ATTRIBUTES_MAX || in_scope + namespaces > XML_SCOPE_MAX || declared > XML_NAMESPACES_MAX
            {
                return Err(XmlError::Crowded);
            }
            if open.len() >= XML_DEPTH_MAX {
                return Err(XmlError::TooDeep);
            }
            if !inside.ends_with('/') {
                in_scope += namespaces;
                open.push(namespaces);
            }
            rest = after;
        }
    }
    Ok(())
}

/// What follows `end`.
fn behind<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, after)| after)
}

/// A tag up to its `>`, which may also stand in an attribute.
struct Tag<'a> {
    inside: &'a str,
    attributes: usize,
    after: &'a str,
}

fn split_tag(tag: &str) -> Result<Tag<'_>, XmlError> {
    let (mut quote, mut attributes) = (None, 0);
    for (at, byte) in tag.bytes().enumerate().take(XML_TAG_BYTES_MAX) {
        match (quote, byte) {
            (None, b'>') => {
                let (inside, after) = (tag.get(..at).unwrap_or(""), tag.get(at + 1..).unwrap_or(""));
                return Ok(Tag { inside, attributes, after });
            }
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'=') => attributes += 1,
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
    }
    if tag.len() > XML_TAG_BYTES_MAX { Err(XmlError::Crowded) } else { Ok(Tag { inside: tag, attributes, after: "" }) }
}

/// The first child element of this name.
pub(super) fn child<'a, 'i>(node: Node<'a, 'i>, namespace: &str, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name((namespace, name)))
}

/// The text within an element, blanks around it taken off.
pub(super) fn text_of<'a>(node: Node<'a, '_>) -> &'a str {
    node.text().unwrap_or("").trim()
}

/// Puts a text into XML: with entities for what has a meaning there, without what XML cannot hold.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(c));
            }
            '\u{0}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// One value of a field or of a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// A string, number, boolean or base64, as it was written.
    Text(String),
    /// A `Datetime`: `2020-08-10T00:00:00Z`.
    Datetime(String),
    /// An `Interval`: `P1DT0H0M0S`.
    Interval(String),
    /// Another instance.
    Reference(Reference),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Text(number.to_string())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Text(truth.to_string())
    }
}

impl From<Reference> for Value {
    fn from(reference: Reference) -> Value {
        Value::Reference(reference)
    }
}

/// An endpoint reference: which instance of which class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    /// `CIM_ComputerSystem`.
    pub class: String,
    /// What tells it from others of its class: `Name` is `ManagedSystem`.
    pub selectors: Vec<(String, String)>,
}

impl Reference {
    /// A reference to the instance of `class` with these selectors.
    pub(crate) fn new(class: &str, selectors: &[(&str, &str)]) -> Reference {
        let own = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
        Reference { class: class.into(), selectors: selectors.iter().map(own).collect() }
    }

    /// A selector's value.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn selector(&self, name: &str) -> Option<&str> {
        self.selectors.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Reads `ReferenceParameters`, wherever they are below `node`.
    fn read(node: Node<'_, '_>) -> Option<Reference> {
        let parameters = child(node, ADDRESSING, "ReferenceParameters")?;
        let class = child(parameters, WSMAN, "ResourceURI").map_or("", text_of);
        let class = class.rsplit('/').next().unwrap_or(class).to_owned();
        let set = child(parameters, WSMAN, "SelectorSet");
        let selectors =
            set.into_iter().flat_map(|set| set.children().filter(|node| node.has_tag_name((WSMAN, "Selector"))));
        let pair = |node: Node<'_, '_>| Some((node.attribute("Name")?.to_owned(), text_of(node).to_owned()));
        Some(Reference { class, selectors: selectors.filter_map(pair).collect() })
    }
}

/// An instance of a class, or the results of a method: named values in the machine's order, some names several times.
///
/// A field that is nil or has a structure of its own is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Instance {
    /// The element's name: the class, which may be a child of the one that was asked for.
    pub class: String,
    /// The values.
    pub fields: Vec<(String, Value)>,
}

impl Instance {
    /// Reads the children of an element, whatever their namespaces: each class has its own.
    pub(super) fn read(node: Node<'_, '_>) -> Instance {
        let fields = node.children().filter(Node::is_element);
        let named = |field: Node<'_, '_>| Some((field.tag_name().name().to_owned(), read_value(field)?));
        Instance { class: node.tag_name().name().to_owned(), fields: fields.filter_map(named).collect() }
    }

    /// All values of this name.
    pub(crate) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Value> {
        self.fields.iter().filter(move |(own, _)| own == name).map(|(_, value)| value)
    }

    /// Whether the machine knows this field, even if it is empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The first text of this name, blanks around it taken off; `None` when it is empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.list(name).next()
    }

    /// All texts of this name that are not empty.
    pub(crate) fn list<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values(name).filter_map(|value| match value {
            Value::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            _ => None,
        })
    }

    /// The first text as a number; `None` when it is none, or too large for `T`.
    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// The first text as a boolean.
    pub(crate) fn boolean(&self, name: &str) -> Option<bool> {
        match self.text(name)? {
            "true" | "True" | "TRUE" | "1" => Some(true),
            "false" | "False" | "FALSE" | "0" => Some(false),
            _ => None,
        }
    }

    /// The moment in a `Datetime` or the span in an `Interval`, as written: `2020-08-10T00:00:00Z`.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn datetime(&self, name: &str) -> Option<&str> {
        self.values(name).find_map(|value| match value {
            Value::Datetime(text) | Value::Interval(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The instance that a field points to.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn reference(&self, name: &str) -> Option<&Reference> {
        self.values(name).find_map(|value| match value {
            Value::Reference(reference) => Some(reference),
            _ => None,
        })
    }

    /// Gives a field this one value, where it stands or at the end.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Value>) {
        let at = self.fields.iter().position(|(own, _)| own == name).unwrap_or(self.fields.len());
        self.remove(name);
        self.fields.insert(at, (name.into(), value.into()));
    }

    /// Takes a field out, for a Put that must not hold it.
    pub(crate) fn remove(&mut self, name: &str) {
        self.fields.retain(|(own, _)| own != name);
    }
}

fn read_value(node: Node<'_, '_>) -> Option<Value> {
    if matches!(node.attribute((INSTANCE, "nil")), Some("true" | "1")) {
        return None;
    }
    if !node.has_children() || node.children().all(|child| !child.is_element()) {
        return Some(Value::Text(node.text().unwrap_or("").to_owned()));
    }
    let inner = node.first_element_child()?;
    match inner.tag_name().name() {
        "Datetime" => Some(Value::Datetime(text_of(inner).to_owned())),
        "Interval" => Some(Value::Interval(text_of(inner).to_owned())),
        _ => Reference::read(node).map(Value::Reference),
    }
}

#[cfg(test)]
mod tests;
