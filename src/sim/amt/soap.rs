//! Reads WS-Management requests: by namespace, whatever the prefixes. Pure; it knows no class.

use roxmltree::{Document, ParsingOptions};

/// The namespaces, with the letters under which the protocol's descriptions know them.
pub(super) mod ns {
    pub(crate) const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
    pub(crate) const ADDRESSING: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing";
    pub(crate) const WSMAN: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd";
    pub(crate) const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";
    pub(crate) const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
    pub(crate) const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
    pub(crate) const COMMON: &str = "http://schemas.dmtf.org/wbem/wscim/1/common";
    pub(crate) const IDENTITY: &str = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd";
}

/// The most nodes in a request; the longest real one, a Put of boot settings, has about a hundred.
const NODES_MAX: u32 = 4_096;
/// How deep a request may be nested; real ones need ten levels.
const DEPTH_MAX: usize = 32;

/// An element, taken out of its document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Elem {
    pub ns: String,
    pub name: String,
    /// Its own text, trimmed.
    pub text: String,
    /// Local names and values.
    pub attributes: Vec<(String, String)>,
    pub children: Vec<Elem>,
}

impl Elem {
    /// The first child of this local name, whatever its namespace.
    pub(super) fn child(&self, name: &str) -> Option<&Elem> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of a child.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The value of a selector in an endpoint reference.
    pub(super) fn selector(&self, name: &str) -> Option<&str> {
        let set = self.child("ReferenceParameters")?.child("SelectorSet")?;
        selectors(set).find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

fn selectors(set: &Elem) -> impl Iterator<Item = (&str, &str)> {
    set.children.iter().filter(|child| child.name == "Selector").filter_map(|selector| {
        let name = selector.attributes.iter().find(|(key, _)| key == "Name")?;
        Some((name.1.as_str(), selector.text.as_str()))
    })
}

/// The requested operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Identify,
    Get,
    Put,
    Create,
    Delete,
    Enumerate,
    Pull,
    Release,
    Invoke(String),
}

impl Operation {
    pub(super) fn name(&self) -> &str {
        match self {
            Operation::Identify => "Identify",
            Operation::Get => "Get",
            Operation::Put => "Put",
            Operation::Create => "Create",
            Operation::Delete => "Delete",
            Operation::Enumerate => "Enumerate",
            Operation::Pull => "Pull",
            Operation::Release => "Release",
            Operation::Invoke(method) => method,
        }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub operation: Operation,
    pub action: String,
    pub resource: String,
    /// The last part of `resource`.
    pub class: String,
    pub message_id: String,
    pub selectors: Vec<(String, String)>,
    /// The first element of the body.
    pub body: Elem,
}

/// Why a text is no request, as the name of a WS-Management fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub &'static str);

const INVALID_HEADER: Unreadable = Unreadable("InvalidMessageInformationHeader");

/// Reads a request.
pub(super) fn parse(bytes: &[u8]) -> Result<Call, Unreadable> {
    let invalid = Unreadable("SchemaValidationError");
    let text = std::str::from_utf8(bytes).map_err(|_| invalid)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|_| invalid)?;
    let envelope = own(document.root_element(), 0).ok_or(invalid)?;
    if envelope.name != "Envelope" || envelope.ns != ns::SOAP {
        return Err(invalid);
    }
    let body = envelope.child("Body").ok_or(invalid)?.children.first().cloned().unwrap_or_default();
    let identify = body.name == "Identify" && body.ns == ns::IDENTITY;
    let header = envelope.child("Header").cloned().unwrap_or_default();
    let find = |ns: &str, name: &str| header.children.iter().find(|child| child.ns == ns && child.name == name);
    let text = |ns: &str, name: &str| find(ns, name).map(|found| found.text.clone());
    let action = text(ns::ADDRESSING, "Action").unwrap_or_default();
    let resource = text(ns::WSMAN, "ResourceURI").unwrap_or_default();
    let operation = if identify { Operation::Identify } else { operation(&action, &resource).ok_or(INVALID_HEADER)? };
    let class = resource.rsplit('/').next().unwrap_or_default().to_owned();
    let set = find(ns::WSMAN, "SelectorSet");
    let selectors = set.into_iter().flat_map(selectors).map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Call {
        operation,
        class,
        message_id: text(ns::ADDRESSING, "MessageID").unwrap_or_default(),
        selectors: selectors.collect(),
        action,
        resource,
        body,
    })
}

fn operation(action: &str, resource: &str) -> Option<Operation> {
    if resource.is_empty() {
        return None;
    }
    let known = [
        (ns::TRANSFER, "Get", Operation::Get),
        (ns::TRANSFER, "Put", Operation::Put),
        (ns::TRANSFER, "Create", Operation::Create),
        (ns::TRANSFER, "Delete", Operation::Delete),
        (ns::ENUMERATION, "Enumerate", Operation::Enumerate),
        (ns::ENUMERATION, "Pull", Operation::Pull),
        (ns::ENUMERATION, "Release", Operation::Release),
    ];
    let (base, name) = action.rsplit_once('/')?;
    match known.into_iter().find(|(ns, known, _)| *ns == base && *known == name) {
        Some((.., operation)) => Some(operation),
        None if base == resource => Some(Operation::Invoke(name.to_owned())),
        None => None,
    }
}

/// An element out of its document; `None` when it is nested too deep.
fn own(node: roxmltree::Node<'_, '_>, depth: usize) -> Option<Elem> {
    if depth > DEPTH_MAX {
        return None;
    }
    let children = node.children().filter(roxmltree::Node::is_element);
    let attributes = node.attributes().map(|attribute| (attribute.name().to_owned(), attribute.value().to_owned()));
    Some(Elem {
        ns: node.tag_name().namespace().unwrap_or_default().to_owned(),
        name: node.tag_name().name().to_owned(),
        text: node.text().unwrap_or_default().trim().to_owned(),
        attributes: attributes.collect(),
        children: children.map(|child| own(child, depth + 1)).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn envelope(header: &str, body: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><x:Envelope xmlns:x=\"{}\" xmlns=\"{}\" xmlns:m=\"{}\"><x:Header>{header}</x:Header>\
             <x:Body>{body}</x:Body></x:Envelope>",
            ns::SOAP,
            ns::ADDRESSING,
            ns::WSMAN
        )
    }

    #[test]
    fn a_request_is_read_whatever_its_prefixes() {
        let resource = "http://intel.com/wbem/wscim/1/amt-schema/1/AMT_GeneralSettings";
        let text = envelope(
            &format!(
                "<Action>{}/Get</Action><m:ResourceURI> {resource} </m:ResourceURI><MessageID>7</MessageID>\
                 <m:SelectorSet><m:Selector m:Name=\"A\">b</m:Selector></m:SelectorSet>",
                ns::TRANSFER
            ),
            "",
        );
        let call = parse(text.as_bytes()).unwrap();
        assert_eq!(
            (call.operation, call.class.as_str(), call.message_id.as_str()),
            (Operation::Get, "AMT_GeneralSettings", "7")
        );
        assert_eq!(call.selectors, [("A".to_owned(), "b".to_owned())]);
        let invoke = envelope(
            &format!("<Action>{resource}/Do</Action><m:ResourceURI>{resource}</m:ResourceURI>"),
            "<Do_INPUT/>",
        );
        assert_eq!(parse(invoke.as_bytes()).unwrap().operation, Operation::Invoke("Do".into()));
    }

    #[test]
    fn identify_needs_no_header() {
        let text = envelope("", &format!("<i:Identify xmlns:i=\"{}\"/>", ns::IDENTITY));
        assert_eq!(parse(text.as_bytes()).unwrap().operation, Operation::Identify);
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        let fault = |text: &str| parse(text.as_bytes()).unwrap_err().0;
        assert_eq!(fault(""), "SchemaValidationError");
        assert_eq!(fault("<a/>"), "SchemaValidationError");
        assert_eq!(fault("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"), "SchemaValidationError");
        assert_eq!(fault(&envelope("", &"<a>".repeat(40).to_string())), "SchemaValidationError");
        assert_eq!(
            fault(&envelope("", &format!("{}{}", "<a>".repeat(40), "</a>".repeat(40)))),
            "SchemaValidationError"
        );
        assert_eq!(fault(&envelope("<Action>x</Action>", "")), "InvalidMessageInformationHeader");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fall_over(text in "[ -~]{0,200}") {
            let _ = parse(text.as_bytes());
            let _ = parse(envelope(&text, &text).as_bytes());
        }
    }
}
