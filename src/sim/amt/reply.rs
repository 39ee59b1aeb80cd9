//! Writes WS-Management answers: instances, endpoint references, envelopes and faults, with the prefixes that firmware
//! uses. Pure.

use std::fmt::Write;

use super::soap::{Call, Operation, ns};

/// A value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Val {
    Text(String),
    /// A repeated element.
    List(Vec<String>),
    /// A `Datetime` of the common namespace.
    Time(String),
    Epr(Epr),
    /// `xsi:nil`.
    Nil,
}

/// A reference to an instance: its class and its selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Epr(pub &'static str, pub Vec<(&'static str, String)>);

/// An instance of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub class: &'static str,
    pub fields: Vec<(&'static str, Val)>,
}

impl Instance {
    pub(super) fn new(class: &'static str) -> Instance {
        Instance { class, fields: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Instance {
        self.fields.push((name, Val::Text(value.to_string())));
        self
    }

    pub(super) fn val(mut self, name: &'static str, value: Val) -> Instance {
        self.fields.push((name, value));
        self
    }

    pub(super) fn list<T: ToString>(self, name: &'static str, values: &[T]) -> Instance {
        self.val(name, Val::List(values.iter().map(ToString::to_string).collect()))
    }

    /// Gives a property another value, where it has it; `None` leaves it out.
    pub(super) fn change(&mut self, name: &str, value: Option<Val>) {
        match value {
            Some(value) => {
                self.fields.iter_mut().filter(|(key, _)| *key == name).for_each(|(_, own)| *own = value.clone())
            }
            None => self.fields.retain(|(key, _)| *key != name),
        }
    }

    /// The plain text of a property.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| *key == name).and_then(|(_, value)| match value {
            Val::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// The reference to it: by the properties that are keys in the classes in question.
    pub(super) fn epr(&self) -> Epr {
        const KEYS: [&str; 8] = [
            "InstanceID",
            "CreationClassName",
            "DeviceID",
            "Name",
            "SystemCreationClassName",
            "SystemName",
            "Tag",
            "SoftwareElementID",
        ];
        let keys = KEYS.iter().filter_map(|key| Some((*key, self.text(key)?.to_owned())));
        Epr(self.class, keys.collect())
    }
}

/// The whole name of a class.
pub(super) fn uri(class: &str) -> String {
    let base = match class.split('_').next() {
        Some("AMT") => "http://intel.com/wbem/wscim/1/amt-schema/1/",
        Some("IPS") => "http://intel.com/wbem/wscim/1/ips-schema/1/",
        _ => "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/",
    };
    format!("{base}{class}")
}

/// The prefixes of an answer.
#[derive(Clone, Debug)]
pub(super) struct Prefixes {
    soap: &'static str,
    addressing: &'static str,
    wsman: &'static str,
    enumeration: &'static str,
    transfer: &'static str,
    common: &'static str,
    /// The classes in the answer, whose prefixes are declared on the envelope. `None`: each of their elements declares
    /// a default namespace.
    classes: Option<Vec<String>>,
}

/// The letter of the first class in an answer.
const FIRST_CLASS: u8 = b'h';

impl Prefixes {
    /// Those of most firmware. `classes` are those in the answer; the same one twice does no harm.
    pub(super) fn usual(classes: &[&str]) -> Prefixes {
        let mut all: Vec<String> = Vec::new();
        for class in classes {
            if !all.iter().any(|known| known == class) {
                all.push((*class).to_owned());
            }
        }
        Prefixes {
            soap: "a",
            addressing: "b",
            wsman: "c",
            enumeration: "g",
            transfer: "f",
            common: "d",
            classes: Some(all),
        }
    }

    /// The unusual prefixes of a quirk.
    pub(super) fn other() -> Prefixes {
        Prefixes {
            soap: "SOAP-ENV",
            addressing: "wsa",
            wsman: "wsman",
            enumeration: "wsen",
            transfer: "wxf",
            common: "cim",
            classes: None,
        }
    }

    fn declarations(&self) -> String {
        let all = [
            (self.soap, ns::SOAP),
            (self.addressing, ns::ADDRESSING),
            (self.wsman, ns::WSMAN),
            (self.enumeration, ns::ENUMERATION),
            (self.transfer, ns::TRANSFER),
            (self.common, ns::COMMON),
        ];
        let fixed = all.iter().map(|(prefix, uri)| format!(" xmlns:{prefix}=\"{uri}\""));
        let classes = self.classes.iter().flatten().zip(FIRST_CLASS..);
        fixed
            .chain(classes.map(|(class, letter)| format!(" xmlns:{}=\"{}\"", char::from(letter), uri(class))))
            .collect()
    }

    /// An instance.
    pub(super) fn instance(&self, instance: &Instance) -> String {
        self.element(instance.class, instance.class, &instance.fields)
    }

    /// The output of a method.
    pub(super) fn output(&self, class: &str, method: &str, fields: &[(&'static str, Val)]) -> String {
        self.element(class, &format!("{method}_OUTPUT"), fields)
    }

    fn element(&self, class: &str, name: &str, fields: &[(&'static str, Val)]) -> String {
        let known = self.classes.iter().flatten().zip(FIRST_CLASS..).find(|(known, _)| *known == class);
        let (declare, prefix) = match known {
            Some((_, letter)) => (String::new(), format!("{}:", char::from(letter))),
            None => (format!(" xmlns=\"{}\"", uri(class)), String::new()),
        };
        let mut text = format!("<{prefix}{name}{declare}>");
        for (name, value) in fields {
            self.field(&mut text, &prefix, name, value);
        }
        let _ = write!(text, "</{prefix}{name}>");
        text
    }

    fn field(&self, text: &mut String, prefix: &str, name: &str, value: &Val) {
        let common = self.common;
        let inner = match value {
            Val::Text(value) => escape(value),
            Val::List(values) => {
                for value in values {
                    let _ = write!(text, "<{prefix}{name}>{}</{prefix}{name}>", escape(value));
                }
                return;
            }
            Val::Time(time) => format!("<{common}:Datetime>{time}</{common}:Datetime>"),
            Val::Epr(epr) => self.epr_inside(epr),
            Val::Nil => {
                let _ = write!(text, "<{prefix}{name} xmlns:xsi=\"{}\" xsi:nil=\"true\"/>", ns::INSTANCE);
                return;
            }
        };
        let _ = write!(text, "<{prefix}{name}>{inner}</{prefix}{name}>");
    }

    fn epr_inside(&self, Epr(class, selectors): &Epr) -> String {
        let (a, w) = (self.addressing, self.wsman);
        let selectors = selectors
            .iter()
            .map(|(name, value)| format!("<{w}:Selector Name=\"{name}\">{}</{w}:Selector>", escape(value)))
            .collect::<String>();
        format!(
            "<{a}:Address>{}/role/anonymous</{a}:Address><{a}:ReferenceParameters><{w}:ResourceURI>{}</{w}:ResourceURI>\
             <{w}:SelectorSet>{selectors}</{w}:SelectorSet></{a}:ReferenceParameters>",
            ns::ADDRESSING,
            uri(class)
        )
    }

    /// One item of an enumeration, in the mode that was asked for.
    pub(super) fn item(&self, mode: &str, instance: &Instance) -> String {
        let (a, w) = (self.addressing, self.wsman);
        let epr = || format!("<{a}:EndpointReference>{}</{a}:EndpointReference>", self.epr_inside(&instance.epr()));
        match mode {
            "EnumerateEPR" => epr(),
            "EnumerateObjectAndEPR" => format!("<{w}:Item>{}{}</{w}:Item>", self.instance(instance), epr()),
            _ => self.instance(instance),
        }
    }

    /// The body of an EnumerateResponse.
    pub(super) fn enumerate(&self, context: &str) -> String {
        let e = self.enumeration;
        format!(
            "<{e}:EnumerateResponse><{e}:EnumerationContext>{context}</{e}:EnumerationContext></{e}:EnumerateResponse>"
        )
    }

    /// The body of a PullResponse; `more` is the context when there is more.
    pub(super) fn pull(&self, more: Option<&str>, items: &str) -> String {
        let e = self.enumeration;
        let context =
            more.map(|id| format!("<{e}:EnumerationContext>{id}</{e}:EnumerationContext>")).unwrap_or_default();
        let end = if more.is_none() { format!("<{e}:EndOfSequence></{e}:EndOfSequence>") } else { String::new() };
        format!("<{e}:PullResponse>{context}<{e}:Items>{items}</{e}:Items>{end}</{e}:PullResponse>")
    }

    /// An answer around a body. `serial` is counted on by the machine.
    pub(super) fn envelope(&self, call: Option<&Call>, serial: u64, body: &str) -> String {
        let Prefixes { soap: s, addressing: a, wsman: w, .. } = self;
        let relates = call.map(|call| call.message_id.as_str()).unwrap_or_default();
        let mut header = format!(
            "<{a}:To>{}/role/anonymous</{a}:To><{a}:RelatesTo>{}</{a}:RelatesTo>",
            ns::ADDRESSING,
            escape(relates)
        );
        if let Some(call) = call {
            let _ =
                write!(header, "<{a}:Action {s}:mustUnderstand=\"true\">{}Response</{a}:Action>", escape(&call.action));
        }
        let _ = write!(header, "<{a}:MessageID>uuid:00000000-8086-8086-8086-{serial:012X}</{a}:MessageID>");
        if let Some(call) = call.filter(|call| call.operation != Operation::Identify) {
            let _ = write!(header, "<{w}:ResourceURI>{}</{w}:ResourceURI>", escape(&call.resource));
        }
        self.around(&header, body)
    }

    /// The answer to Identify, which has an empty header.
    pub(super) fn identified(&self, version: &str) -> String {
        let body = format!(
            "<i:IdentifyResponse xmlns:i=\"{}\"><i:ProtocolVersion>{}</i:ProtocolVersion><i:ProductVendor>Intel(r)\
             </i:ProductVendor><i:ProductVersion>AMT {version}</i:ProductVersion><i:SecurityProfiles>\
             <i:SecurityProfileName>http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/http/digest\
             </i:SecurityProfileName></i:SecurityProfiles></i:IdentifyResponse>",
            ns::IDENTITY,
            ns::WSMAN
        );
        self.around("", &body)
    }

    fn around(&self, header: &str, body: &str) -> String {
        let s = self.soap;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><{s}:Envelope{}><{s}:Header>{header}</{s}:Header>\
             <{s}:Body>{body}</{s}:Body></{s}:Envelope>",
            self.declarations()
        )
    }

    /// A fault.
    pub(super) fn fault(&self, call: Option<&Call>, serial: u64, fault: &Refusal) -> String {
        let Prefixes { soap: s, addressing: a, .. } = self;
        let relates = call.map(|call| call.message_id.as_str()).unwrap_or_default();
        let header = format!(
            "<{a}:To>{0}/role/anonymous</{a}:To><{a}:RelatesTo>{1}</{a}:RelatesTo><{a}:Action {s}:mustUnderstand=\"true\">\
             {0}/fault</{a}:Action><{a}:MessageID>uuid:00000000-8086-8086-8086-{serial:012X}</{a}:MessageID>",
            ns::ADDRESSING,
            escape(relates)
        );
        let prefix = match fault.subcode.as_str() {
            "DestinationUnreachable" | "ActionNotSupported" | "InvalidMessageInformationHeader" => a,
            "InvalidEnumerationContext" => self.enumeration,
            "InvalidRepresentation" => self.transfer,
            _ => self.wsman,
        };
        let code = if matches!(fault.subcode.as_str(), "InternalError" | "TimedOut") { "Receiver" } else { "Sender" };
        let body = format!(
            "<{s}:Fault><{s}:Code><{s}:Value>{s}:{code}</{s}:Value><{s}:Subcode><{s}:Value>{prefix}:{}</{s}:Value>\
             </{s}:Subcode></{s}:Code><{s}:Reason><{s}:Text xml:lang=\"en-US\">{}</{s}:Text></{s}:Reason>\
             <{s}:Detail></{s}:Detail></{s}:Fault>",
            escape(&fault.subcode),
            escape(&fault.reason)
        );
        self.around(&header, &body)
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The local name of the subcode.
    pub subcode: String,
    pub reason: String,
}

impl Refusal {
    pub(super) fn new(subcode: &str, reason: &str) -> Refusal {
        Refusal { subcode: subcode.to_owned(), reason: reason.to_owned() }
    }
}

/// Text as it may stand in XML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use roxmltree::Document;

    #[test]
    fn answers_are_well_formed_with_either_prefixes() {
        let epr = Epr("CIM_ComputerSystem", vec![("Name", "Managed & <System>".into())]);
        let instance = Instance::new("CIM_Chip").with("Tag", "CPU 0").list("X", &[1, 2]).val("E", Val::Epr(epr));
        let instance = instance.val("T", Val::Time("2020-01-01T00:00:00Z".into()));
        for prefixes in [Prefixes::usual(&["CIM_Chip"]), Prefixes::other()] {
            for text in [
                prefixes.envelope(None, 1, &prefixes.instance(&instance)),
                prefixes.envelope(
                    None,
                    1,
                    &prefixes.pull(Some("7"), &prefixes.item("EnumerateObjectAndEPR", &instance)),
                ),
                prefixes.envelope(None, 1, &prefixes.enumerate("7")),
                prefixes.fault(None, 1, &Refusal::new("InvalidRepresentation", "no & such")),
                prefixes.identified("12.0.67"),
            ] {
                let document = Document::parse(&text).unwrap();
                assert_eq!(document.root_element().tag_name().namespace(), Some(ns::SOAP));
            }
            let text = prefixes.envelope(None, 1, &prefixes.instance(&instance));
            let document = Document::parse(&text).unwrap();
            let tag = document.descendants().find(|node| node.tag_name().name() == "Tag").unwrap();
            assert_eq!(tag.tag_name().namespace(), Some(uri("CIM_Chip").as_str()));
            let name = document.descendants().find(|node| node.tag_name().name() == "Selector").unwrap();
            assert_eq!(name.text(), Some("Managed & <System>"));
        }
    }

    #[test]
    fn a_class_is_in_the_namespace_of_its_prefix() {
        assert_eq!(uri("AMT_X"), "http://intel.com/wbem/wscim/1/amt-schema/1/AMT_X");
        assert_eq!(uri("IPS_X"), "http://intel.com/wbem/wscim/1/ips-schema/1/IPS_X");
        assert_eq!(uri("CIM_X"), "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_X");
    }
}
