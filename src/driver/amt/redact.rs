//! What the flight recorder may show of a WS-Management message: which class and action, and the values of its body in
//! short. Values that are long, look like an address or a URI, or whose names promise a secret or a person, are left out.

use std::fmt::Write as _;

use roxmltree::Node;

use super::xml::{ADDRESSING, WSMAN, child, parse, text_of};

/// Parts of names, in small letters, whose values are not shown.
const HIDDEN: &[&str] = &[
    "account",
    "asset",
    "cert",
    "code",
    "context",
    "cookie",
    "digest",
    "key",
    "macaddress",
    "mail",
    "nonce",
    "owner",
    "parameters",
    "pass",
    "realm",
    "record",
    "secret",
    "serial",
    "ssid",
    "tag",
    "token",
    "uri",
    "url",
    "user",
    "uuid",
];

/// The same for numbers.
const HIDDEN_NUMBERS: &[&str] = &["code", "context", "key", "nonce", "pass", "secret", "serial", "tag", "token"];

/// Longest value that is shown.
const VALUE_BYTES_MAX: usize = 48;

/// Where writing stops: the recorder keeps less than this.
const TEXT_BYTES_MAX: usize = 4096;

/// The text of a request or an answer for the recorder; `None` when it is no XML.
pub(super) fn shown(bytes: &[u8]) -> Option<String> {
    parse(bytes, |root| {
        let part = |name: &str| root.children().find(|part| part.tag_name().name() == name);
        let last = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
        let mut text = String::new();
        if let Some(header) = part("Header") {
            let said = [child(header, ADDRESSING, "Action"), child(header, WSMAN, "ResourceURI")];
            for word in said.into_iter().flatten().map(|node| last(text_of(node))).filter(|word| is_plain(word)) {
                let _ = write!(text, "{word} ");
            }
        }
        for node in part("Body").into_iter().flat_map(|body| body.children()).filter(Node::is_element) {
            write(&mut text, node);
        }
        text.trim_end().to_owned()
    })
    .ok()
}

fn write(text: &mut String, node: Node<'_, '_>) {
    if text.len() > TEXT_BYTES_MAX {
        return;
    }
    let name = node.tag_name().name();
    text.push_str(name);
    if node.children().any(|child| child.is_element()) {
        text.push('{');
        for child in node.children().filter(Node::is_element) {
            write(text, child);
        }
        text.truncate(text.trim_end().len());
        text.push_str("} ");
        return;
    }
    let _ = match text_of(node) {
        "" => write!(text, " "),
        value if is_plain(value) && !is_hidden(name, value) => write!(text, "={value} "),
        _ => write!(text, "=*** "),
    };
}

/// Whether a value of this name is not to be shown. Of numbers only those that could open something.
fn is_hidden(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let list = if value.bytes().all(|byte| byte.is_ascii_digit()) { HIDDEN_NUMBERS } else { HIDDEN };
    list.iter().any(|part| name.contains(part))
}

/// A number, a version, a word: nothing that could be an address of a person or a place to go to.
fn is_plain(value: &str) -> bool {
    let harmless = |c: char| c.is_ascii_alphanumeric() || " .,:_-()#".contains(c);
    value.len() <= VALUE_BYTES_MAX && value.chars().all(harmless)
}

#[cfg(test)]
mod tests {
    use super::super::wsman::{Request, identify};
    use super::super::xml::Value;
    use super::*;

    #[test]
    fn class_action_and_short_values_are_shown() {
        let request = Request { class: "CIM_PowerManagementService", selectors: &[], message_id: 7 };
        let parameters = [
            ("PowerState", Value::from(8)),
            ("Password", Value::from("P1")),
            ("Owner", Value::from("me@x.org")),
            ("MaxReadRecords", Value::from(390)),
            ("OptInCode", Value::from(123_456)),
            ("MACAddress", Value::from("8c-04-ba-50-7d-fa")),
        ];
        let text = shown(request.invoke("RequestPowerStateChange", &parameters).as_bytes()).unwrap();
        let expect = "RequestPowerStateChange CIM_PowerManagementService \
             RequestPowerStateChange_INPUT{PowerState=8 Password=*** Owner=*** \
             MaxReadRecords=390 OptInCode=*** MACAddress=***}";
        assert_eq!(text, expect);
        assert_eq!(shown(request.pull("7B000000").as_bytes()).unwrap().matches("7B000000").count(), 0);
        assert_eq!(shown(identify().as_bytes()).unwrap(), "Identify");
    }

    #[test]
    fn what_looks_like_a_place_or_is_long_is_left_out() {
        let request = Request { class: "AMT_X", selectors: &[], message_id: 7 };
        let hidden = ["https://h/x", "me@x.org", "a/b", &"x".repeat(49)];
        for value in hidden {
            let text = shown(request.invoke("M", &[("Harmless", Value::from(value))]).as_bytes()).unwrap();
            assert!(text.ends_with("M_INPUT{Harmless=***}"), "{text}");
        }
        assert_eq!(shown(b"<html>no"), None);
    }
}
