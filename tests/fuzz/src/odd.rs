//! A mutation for JSON: one value becomes an unusual one. Changes of single bytes hardly ever turn `600` into `-1` or
//! `null` and leave the rest unchanged.

use serde_json::{Value, json};

/// Mutates the JSON that begins at `start`, every second time, else as libFuzzer does; returns the new size.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32, start: usize) -> usize {
    let parsed = data.get(start..size).and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let Some(mut value) = parsed.filter(|_| seed % 2 == 0) else {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    };
    let chance = seed as usize / 2;
    let odd = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!(u32::MAX),
        json!(""),
        json!("\u{0}é\u{1F41F}"),
        json!("x".repeat(300)),
        json!("é".repeat(130)),
        json!([]),
        json!([null]),
        json!({}),
        json!({ "@odata.id": "/" }),
    ];
    let count = visit(&mut value, &mut { usize::MAX }, &Value::Null);
    visit(&mut value, &mut { chance / odd.len() % count }, &odd[chance % odd.len()]);
    let text = value.to_string();
    match data.get_mut(start..start + text.len()).filter(|_| start + text.len() <= max_size) {
        Some(place) => {
            place.copy_from_slice(text.as_bytes());
            start + text.len()
        }
        None => size,
    }
}

/// Puts `odd` into the place of the value with the number `left`; returns how many there are.
fn visit(value: &mut Value, left: &mut usize, odd: &Value) -> usize {
    if *left == 0 {
        *value = odd.clone();
        *left = usize::MAX;
        return 1;
    }
    *left -= 1;
    1 + match value {
        Value::Array(items) => items.iter_mut().map(|item| visit(item, left, odd)).sum(),
        Value::Object(object) => object.values_mut().map(|item| visit(item, left, odd)).sum::<usize>(),
        _ => 0,
    }
}
