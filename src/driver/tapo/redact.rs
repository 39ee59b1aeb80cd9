//! What the flight recorder may show of a plug's JSON. Nothing but the shape, numbers and words that are known to be
//! harmless: a plug tells its place on earth, its Wi-Fi, its owner's words for it, and in a login its half of the keys.
//!
//! Every text is left out unless its key is on the list, so that a field of a firmware to come cannot tell anything.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// The keys whose texts are shown: what is asked, and which plug with which firmware answers.
const SHOWN: &[&str] = &[
    "auto_off_status",
    "avatar",
    "category",
    "charging_status",
    "encrypt_type",
    "encryption",
    "fw_ver",
    "hw_ver",
    "id",
    "lang",
    "method",
    "model",
    "obd_src",
    "overcurrent_status",
    "overheat_status",
    "passcode_type",
    "power_protection_status",
    "specs",
    "state",
    "status",
    "sub_method",
    "type",
];

/// The keys whose numbers are not shown: where the plug is, and what a session counts from.
const HIDDEN: &[&str] = &["latitude", "longitude", "time_diff", "start_seq", "seq"];

/// Longest text that is shown; a longer one is none of the words that the list means.
const WORD_BYTES_MAX: usize = 48;

/// What stands in the place of what is not shown; in an object, how often it would.
const STARS: &str = "***";

/// The text of an answer or a request for the recorder.
pub(super) fn shown(value: &Value) -> String {
    // Only a key that is no text could fail, and all of these are.
    serde_json::to_string(&Reduced { key: None, value }).unwrap_or_default()
}

/// The same for bytes, if they are JSON at all.
pub(super) fn shown_bytes(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice(bytes).ok().as_ref().map(shown)
}

/// A value under a key, to be written without what is not shown. Each poll does that, so it is not copied for it.
struct Reduced<'a> {
    key: Option<&'a str>,
    value: &'a Value,
}

impl Reduced<'_> {
    fn is_hidden(&self) -> bool {
        match self.value {
            Value::String(text) => {
                !is_in(self.key, SHOWN) || text.len() > WORD_BYTES_MAX || text.contains('@') || text == STARS
            }
            Value::Number(_) => is_in(self.key, HIDDEN),
            Value::Object(_) | Value::Array(_) | Value::Bool(_) | Value::Null => false,
        }
    }
}

impl Serialize for Reduced<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Object(object) => {
                let all = object.iter().map(|(key, value)| (key, Reduced { key: Some(key), value }));
                let kept = all.filter(|(key, reduced)| is_word(key) && !reduced.is_hidden());
                // How many there are and not which: room is short, and what is shown is worth more.
                let hidden = object.len() - kept.clone().count();
                let mut map = serializer.serialize_map(None)?;
                if hidden > 0 {
                    map.serialize_entry(STARS, &hidden)?;
                }
                kept.into_iter().try_for_each(|(key, reduced)| map.serialize_entry(key, &reduced))?;
                map.end()
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(|value| Reduced { key: self.key, value })),
            _ if self.is_hidden() => serializer.serialize_str(STARS),
            value => value.serialize(serializer),
        }
    }
}

fn is_in(key: Option<&str>, list: &[&str]) -> bool {
    key.is_some_and(|key| list.contains(&key))
}

/// A key as plugs have them. A key is text as well, and a plug may send any.
fn is_word(key: &str) -> bool {
    key.len() <= WORD_BYTES_MAX && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_tells_of_the_owner_or_the_keys_is_left_out() {
        let said = json!({
            "error_code": 0,
            "result": {
                "model": "P110", "device_on": true, "rssi": -51, "ssid": "SG9tZQ==", "nickname": "UGx1Zw==",
                "latitude": 525200, "longitude": 134050, "region": "Europe/Berlin", "time_diff": 60, "mac": "5C-62-8B-01-02-03",
                "ip": "192.0.2.7", "stok": "abc", "start_seq": 77, "owner": "someone@example.org", "fw_ver": "1.3.0 Build 230905",
                "new_in_this_firmware": "who knows", "type": "someone@example.org", "someone@example.org": 1, "list": ["x", 1],
            },
        });
        let expect = json!({
            "error_code": 0,
            "result": {
                "***": 14, "model": "P110", "device_on": true, "rssi": -51, "fw_ver": "1.3.0 Build 230905", "list": ["***", 1],
            },
        });
        assert_eq!(shown(&said), expect.to_string());
        assert_eq!(shown_bytes(b"\x00\x01"), None);
    }
}
