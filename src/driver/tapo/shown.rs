//! What the flight recorder may show of a plug's JSON. Nothing but the shape, numbers and words that are known to be
//! harmless: a plug tells its place on earth, its Wi-Fi, its owner's words for it, and in a login its half of the keys.
//!
//! Every text is left out unless its key is on the list, so that a field of a firmware to come cannot tell anything.

use serde_json::{Map, Value};

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
    reduced(None, value).to_string()
}

/// The same for bytes, if they are JSON at all.
pub(super) fn shown_bytes(bytes: &[u8]) -> Option<String> {
    serde_json::from_slice(bytes).ok().as_ref().map(shown)
}

fn reduced(key: Option<&str>, value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut kept = Map::new();
            for (key, value) in object.iter().filter(|(key, _)| is_word(key)) {
                let value = reduced(Some(key), value);
                if value != STARS {
                    kept.insert(key.clone(), value);
                }
            }
            // How many there are and not which: room is short, and what is shown is worth more.
            let hidden = object.len() - kept.len();
            if hidden > 0 {
                kept.insert(STARS.into(), hidden.into());
            }
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| reduced(key, item)).collect()),
        Value::String(text) if is_in(key, SHOWN) && text.len() <= WORD_BYTES_MAX && !text.contains('@') => {
            value.clone()
        }
        Value::String(_) => STARS.into(),
        Value::Number(_) if is_in(key, HIDDEN) => STARS.into(),
        Value::Number(_) | Value::Bool(_) | Value::Null => value.clone(),
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
