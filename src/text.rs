//! Sanitizes untrusted text: text of a device, a daemon or a file is shown in terminals, logs, JSON and metrics, and
//! must not be able to forge a line there, move a cursor, or reorder letters.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest text of a device that is kept: a firmware name has 40 characters, an entry of a log some hundred.
pub(crate) const CHARS_MAX: usize = 1024;

/// What stands where something was cut off.
const CUT: &str = "...";

/// Whether a character moves the cursor, begins a line, is not seen, or changes the direction of what follows: C0 and C1
/// controls, line and paragraph separators, zero-width and bidirectional marks, tags.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with a space for each harmful character, cut where it is overlong; `None` when it is well as it is.
pub(crate) fn cleaned(text: &str) -> Option<String> {
    let is_long = text.len() > CHARS_MAX && text.chars().count() > CHARS_MAX;
    if !is_long && !text.contains(is_harmful) {
        return None;
    }
    let shown = text.chars().map(|c| if is_harmful(c) { ' ' } else { c });
    Some(match is_long {
        true => shown.take(CHARS_MAX - CUT.len()).chain(CUT.chars()).collect(),
        false => shown.collect(),
    })
}

/// The same for a text that is taken.
pub(crate) fn clean(text: String) -> String {
    cleaned(&text).unwrap_or(text)
}

/// A text as it stands in a log for people: what would begin a line begins one that is marked as the rest of the one before.
pub(crate) fn in_log(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\n    | "),
            c if is_harmful(c) => shown.push(' '),
            c => shown.push(c),
        }
    }
    shown
}

/// Cleans every text in a JSON value, the names of its properties too. Whether there was something to clean.
pub(crate) fn clean_json(value: &mut Value) -> bool {
    match value {
        Value::String(text) => cleaned(text).map(|clean| *text = clean).is_some(),
        Value::Array(items) => items.iter_mut().fold(false, |found, item| clean_json(item) | found),
        Value::Object(members) => {
            let found = members.values_mut().fold(false, |found, member| clean_json(member) | found);
            if members.keys().all(|name| cleaned(name).is_none()) {
                return found;
            }
            *members = std::mem::take(members).into_iter().map(|(name, value)| (clean(name), value)).collect();
            true
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Any value with all its texts cleaned, those of fields to come too; `None` when it is well as it is.
pub(crate) fn cleaned_value<T: Serialize + DeserializeOwned>(value: &T) -> Option<T> {
    let mut json = serde_json::to_value(value).ok()?;
    if !clean_json(&mut json) {
        return None;
    }
    serde_json::from_value(json).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_could_forge_a_line_or_an_order_is_a_space() {
        for (text, clean) in [
            ("P110\r\n2026 ERROR forged", "P110  2026 ERROR forged"),
            ("\u{1b}[2J\u{9b}31mred", " [2J 31mred"),
            ("on \u{202e}ffo\u{2069} \u{200b}x\u{feff}\u{2028}y\0", "on  ffo   x  y "),
            ("\u{e0041}\u{61c}a", "  a"),
        ] {
            assert_eq!(cleaned(text).as_deref(), Some(clean), "{text:?}");
        }
        for plain in ["", "Tapo P110", "1.3.0 Build 230905", "Büro 電源 \u{1f50c}", "l'été", &"x".repeat(CHARS_MAX)]
        {
            assert_eq!(cleaned(plain), None, "{plain:?}");
        }
        let long = clean("é".repeat(CHARS_MAX + 1));
        assert!(long.chars().count() == CHARS_MAX && long.ends_with("é..."));
    }

    #[test]
    fn values_are_cleaned_to_the_bottom() {
        let mut value = json!({ "a\n": [{ "b": "c\u{7}" }, 1, null, true], "d": "e" });
        assert!(clean_json(&mut value));
        assert_eq!(value, json!({ "a ": [{ "b": "c " }, 1, null, true], "d": "e" }));
        assert!(!clean_json(&mut value));
        assert_eq!(cleaned_value(&vec![Some("x\ty".to_owned()), None]), Some(vec![Some("x y".to_owned()), None]));
        assert_eq!(cleaned_value(&vec!["x".to_owned()]), None);
    }
}
