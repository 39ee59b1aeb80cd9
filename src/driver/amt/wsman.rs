//! WS-Management: builds requests, reads replies. Pure.
//!
//! It knows no HTTP and no class. Elements of SOAP, WS-Addressing and WS-Management are found by their namespace; those of
//! a class by their local name, since enumerating a class brings its children under names and namespaces of their own.

use std::fmt::Write as _;

use roxmltree::Node;
use thiserror::Error;

use super::status_codes::FaultCode;
use super::xml::{self, ADDRESSING, COMMON, Instance, Reference, Value, WSMAN, XmlError, child, escape, text_of};

const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
const IDENTITY: &str = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>";

/// How long the machine may work on a request, as it is told. Nothing shows that AMT heeds it.
const OPERATION_TIMEOUT: &str = "PT60S";

/// Most instances of one Pull. Without it AMT sends one.
const ELEMENTS_MAX: u32 = 999;

/// Most characters of one Pull.
const CHARACTERS_MAX: u32 = 99_999;

/// Longest text of a fault that is passed on.
const REASON_CHARACTERS_MAX: usize = 200;

/// The body of an Identify request, with its envelope: it has no header.
pub(crate) fn identify() -> String {
    format!(
        "{DECLARATION}<s:Envelope xmlns:s=\"{SOAP}\"><s:Header/><s:Body><i:Identify xmlns:i=\"{IDENTITY}\"/></s:Body></s:Envelope>"
    )
}

/// The URI of a class: the prefix that its name begins with, and its name.
pub(crate) fn class_uri(class: &str) -> String {
    let schema = match class.split('_').next() {
        Some("AMT") => "http://intel.com/wbem/wscim/1/amt-schema/1/",
        Some("IPS") => "http://intel.com/wbem/wscim/1/ips-schema/1/",
        _ => "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/",
    };
    format!("{schema}{class}")
}

/// A request on a class or on one instance of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The class.
    pub class: &'a str,
    /// Which instance, where there are several.
    pub selectors: &'a [(&'a str, &'a str)],
    /// Names the request. The reply repeats it.
    pub message_id: u64,
}

impl Request<'_> {
    /// Reads one instance.
    pub(crate) fn get(self) -> String {
        self.envelope(&format!("{TRANSFER}/Get"), "")
    }

    /// Writes one instance, whole.
    pub(crate) fn put(self, instance: &Instance) -> String {
        let body = element_tree(&instance.class, &class_uri(&instance.class), pairs(&instance.fields));
        self.envelope(&format!("{TRANSFER}/Put"), &body)
    }

    /// Begins to read all instances.
    pub(crate) fn enumerate(self) -> String {
        self.envelope(&format!("{ENUMERATION}/Enumerate"), &format!("<n:Enumerate xmlns:n=\"{ENUMERATION}\"/>"))
    }

    /// Reads the next instances.
    pub(crate) fn pull(self, context: &str) -> String {
        let body = format!(
            "<n:Pull xmlns:n=\"{ENUMERATION}\"><n:EnumerationContext>{}</n:EnumerationContext>\
             <n:MaxElements>{ELEMENTS_MAX}</n:MaxElements><n:MaxCharacters>{CHARACTERS_MAX}</n:MaxCharacters></n:Pull>",
            escape(context)
        );
        self.envelope(&format!("{ENUMERATION}/Pull"), &body)
    }

    /// Ends an enumeration early.
    pub(crate) fn release(self, context: &str) -> String {
        let context = escape(context);
        let body = format!(
            "<n:Release xmlns:n=\"{ENUMERATION}\"><n:EnumerationContext>{context}</n:EnumerationContext></n:Release>"
        );
        self.envelope(&format!("{ENUMERATION}/Release"), &body)
    }

    /// Calls a method.
    pub(crate) fn invoke(self, method: &str, parameters: &[(&str, Value)]) -> String {
        let uri = class_uri(self.class);
        let parameters = parameters.iter().map(|(name, value)| (*name, value));
        let body = element_tree(&format!("{method}_INPUT"), &uri, parameters);
        self.envelope(&format!("{uri}/{method}"), &body)
    }

    fn envelope(self, action: &str, body: &str) -> String {
        let uri = class_uri(self.class);
        let selectors = selector_set(self.selectors.iter().copied());
        format!(
            "{DECLARATION}<s:Envelope xmlns:s=\"{SOAP}\" xmlns:a=\"{ADDRESSING}\" xmlns:w=\"{WSMAN}\"><s:Header>\
             <a:Action>{}</a:Action><a:To>/wsman</a:To><w:ResourceURI>{}</w:ResourceURI>\
             <a:MessageID>{}</a:MessageID><a:ReplyTo><a:Address>{ANONYMOUS}</a:Address></a:ReplyTo>\
             <w:OperationTimeout>{OPERATION_TIMEOUT}</w:OperationTimeout>{selectors}</s:Header>\
             <s:Body>{body}</s:Body></s:Envelope>",
            escape(action),
            escape(&uri),
            self.message_id
        )
    }
}

fn pairs(fields: &[(String, Value)]) -> impl Iterator<Item = (&str, &Value)> {
    fields.iter().map(|(name, value)| (name.as_str(), value))
}

/// An element with its values, all in the namespace of the class.
fn element_tree<'a>(name: &str, uri: &str, values: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let mut inside = String::new();
    for (name, value) in values {
        let _ = match value {
            Value::Text(text) => write!(inside, "<p:{name}>{}</p:{name}>", escape(text)),
            Value::Datetime(text) => {
                write!(inside, "<p:{name}><c:Datetime xmlns:c=\"{COMMON}\">{}</c:Datetime></p:{name}>", escape(text))
            }
            Value::Interval(text) => {
                write!(inside, "<p:{name}><c:Interval xmlns:c=\"{COMMON}\">{}</c:Interval></p:{name}>", escape(text))
            }
            Value::Reference(reference) => write!(inside, "<p:{name}>{}</p:{name}>", endpoint(reference)),
        };
    }
    format!("<p:{name} xmlns:p=\"{}\">{inside}</p:{name}>", escape(uri))
}

/// The inside of a reference parameter.
fn endpoint(reference: &Reference) -> String {
    let selectors = reference.selectors.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    format!(
        "<a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters><w:ResourceURI>{}</w:ResourceURI>{}\
         </a:ReferenceParameters>",
        escape(&class_uri(&reference.class)),
        selector_set(selectors)
    )
}

fn selector_set<'a>(selectors: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let inside: String = selectors
        .map(|(name, value)| format!("<w:Selector Name=\"{}\">{}</w:Selector>", escape(name), escape(value)))
        .collect();
    if inside.is_empty() { inside } else { format!("<w:SelectorSet>{inside}</w:SelectorSet>") }
}

/// Why a reply does not bring what was asked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReplyError {
    /// No XML, or beyond the limits.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// XML, but not such a reply.
    #[error("the answer lacks {0}")]
    Lacks(&'static str),
    /// The machine refused it.
    #[error("{0}")]
    Fault(SoapFault),
}

/// A SOAP fault.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{code}{}", said(.reason))]
pub struct SoapFault {
    /// The subcode, or else the code.
    pub code: FaultCode,
    /// The machine's own words.
    pub reason: String,
}

fn said(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" (the machine says: {reason})") }
}

/// What one Pull brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pulled {
    /// The instances.
    pub items: Vec<Instance>,
    /// Where to go on; `None` at the end of the sequence.
    pub next: Option<String>,
}

/// What a method returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// 0 means that the machine has accepted, not that it is done.
    pub return_value: u32,
    /// All values of the output.
    pub values: Instance,
}

/// What Identify says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `Intel(r)`.
    pub vendor: Option<String>,
    /// `AMT 16.1.25`.
    pub version: Option<String>,
}

/// Looks into the body of a reply; a fault in it is an error.
fn in_body<T>(reply: &[u8], read: impl FnOnce(Node<'_, '_>) -> Result<T, ReplyError>) -> Result<T, ReplyError> {
    xml::parse(reply, |envelope| {
        if !envelope.has_tag_name((SOAP, "Envelope")) {
            return Err(ReplyError::Lacks("a SOAP envelope"));
        }
        let body = child(envelope, SOAP, "Body").ok_or(ReplyError::Lacks("a SOAP body"))?;
        match child(body, SOAP, "Fault") {
            Some(fault) => Err(ReplyError::Fault(read_fault(fault))),
            None => read(body),
        }
    })?
}

fn read_fault(fault: Node<'_, '_>) -> SoapFault {
    // A QName: what stands before the colon is a prefix of the reply's own choice.
    let local = |node: Node<'_, '_>| {
        let name = child(node, SOAP, "Value").map_or("", text_of);
        name.rsplit(':').next().unwrap_or(name).to_owned()
    };
    let code = child(fault, SOAP, "Code");
    let subcode = code.and_then(|code| child(code, SOAP, "Subcode")).or(code).map(local).unwrap_or_default();
    let reason = child(fault, SOAP, "Reason").and_then(|reason| child(reason, SOAP, "Text")).map_or("", text_of);
    let reason = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARACTERS_MAX).collect();
    SoapFault { code: FaultCode::parse(&subcode), reason }
}

/// The fault in a reply, if there is one. For answers with a status that tells of a failure.
pub(crate) fn fault(reply: &[u8]) -> Option<SoapFault> {
    match in_body(reply, |_| Ok(())) {
        Err(ReplyError::Fault(fault)) => Some(fault),
        _ => None,
    }
}

/// The instance that Get and Put return. Some firmware returns nothing for a Put.
pub(crate) fn instance(reply: &[u8]) -> Result<Instance, ReplyError> {
    in_body(reply, |body| match body.first_element_child() {
        Some(instance) => Ok(Instance::read(instance)),
        None => Err(ReplyError::Lacks("an instance")),
    })
}

/// A reply that need not hold anything: Put, Release.
pub(crate) fn done(reply: &[u8]) -> Result<(), ReplyError> {
    in_body(reply, |_| Ok(()))
}

/// What the beginning of an enumeration brought: a context, and instances where the machine sends some at once.
pub(crate) fn enumerated(reply: &[u8]) -> Result<Pulled, ReplyError> {
    sequence(reply, "EnumerateResponse")
}

/// The instances of a Pull.
pub(crate) fn pulled(reply: &[u8]) -> Result<Pulled, ReplyError> {
    sequence(reply, "PullResponse")
}

/// A part of a sequence. `Items` and `EndOfSequence` may be those of WS-Management, and in any order.
fn sequence(reply: &[u8], name: &str) -> Result<Pulled, ReplyError> {
    in_body(reply, |body| {
        let response = child(body, ENUMERATION, name).ok_or(ReplyError::Lacks("the response to an enumeration"))?;
        let parts = |name: &'static str| response.children().filter(move |part| part.tag_name().name() == name);
        let found = parts("Items").flat_map(|items| items.children().filter(Node::is_element));
        let items: Vec<Instance> = found.filter_map(item).map(Instance::read).collect();
        let ended = parts("EndOfSequence").next().is_some();
        let next = if ended { None } else { context_in(response) };
        // Where the end is not said, it is after the last items.
        if !ended && next.is_none() && parts("Items").next().is_none() {
            return Err(ReplyError::Lacks("Items, EndOfSequence and an EnumerationContext"));
        }
        Ok(Pulled { items, next })
    })
}

/// The instance in an item: it may stand in an `Item` together with a reference to it.
fn item<'a, 'i>(node: Node<'a, 'i>) -> Option<Node<'a, 'i>> {
    match node.tag_name().name() {
        "Item" => node.children().filter(Node::is_element).find_map(item),
        "EndpointReference" => None,
        _ => Some(node),
    }
}

fn context_in(response: Node<'_, '_>) -> Option<String> {
    let context = child(response, ENUMERATION, "EnumerationContext").map_or("", text_of);
    Some(context.to_owned()).filter(|context| !context.is_empty())
}

/// The output of a method.
pub(crate) fn output(reply: &[u8], method: &str) -> Result<Output, ReplyError> {
    in_body(reply, |body| {
        let output = body.first_element_child().filter(|output| {
            let name = output.tag_name().name();
            name.strip_suffix("_OUTPUT") == Some(method)
        });
        let values = Instance::read(output.ok_or(ReplyError::Lacks("the output of the method"))?);
        let return_value = match values.number("ReturnValue") {
            Some(value) => value,
            // What only gets something may say that it did by its values. An order has to say what became of it.
            None if method.starts_with("Get") && !values.has("ReturnValue") && !values.fields.is_empty() => 0,
            None => return Err(ReplyError::Lacks("a ReturnValue")),
        };
        Ok(Output { return_value, values })
    })
}

/// What Identify says.
pub(crate) fn identity(reply: &[u8]) -> Result<Identity, ReplyError> {
    in_body(reply, |body| {
        let response = child(body, IDENTITY, "IdentifyResponse").ok_or(ReplyError::Lacks("an IdentifyResponse"))?;
        let text = |name| child(response, IDENTITY, name).map(text_of).filter(|text| !text.is_empty());
        Ok(Identity {
            vendor: text("ProductVendor").map(str::to_owned),
            version: text("ProductVersion").map(str::to_owned),
        })
    })
}

#[cfg(test)]
mod tests;
