//! What the fuzzer gives to the readers of this folder (tests/fuzz): any bytes as any answer of a plug.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::meter::Profile;
use super::wire::Cookie;
use super::{discovery, klap, passthrough, redact, smart, tpap, wire};

/// The first byte says which answer the others are.
pub fn answer(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let json = || serde_json::from_slice::<Value>(rest).ok();
    let text = || std::str::from_utf8(rest).ok();
    let inner = match kind {
        b'g' => return klap::fuzz::greets(rest),
        b's' => return klap::fuzz::seals(rest),
        b'c' => return text().map(cookie).unwrap_or_default(),
        b'r' => return text().map(passthrough::fuzz::unwraps_keys).unwrap_or_default(),
        b'w' => return json().as_ref().map(passthrough::fuzz::wraps).unwrap_or_default(),
        b't' => return json().as_ref().map(tpap::fuzz::probes).unwrap_or_default(),
        b'o' => return json().as_ref().map(tpap::fuzz::offers).unwrap_or_default(),
        b'l' => return json().as_ref().map(tpap::fuzz::ends_login).unwrap_or_default(),
        b'd' => return found(rest),
        b'k' => klap::fuzz::opens(rest).and_then(|plain| serde_json::from_slice(&plain).ok()),
        b'f' => tpap::fuzz::opens(rest).and_then(|plain| serde_json::from_slice(&plain).ok()),
        b'p' => json().as_ref().and_then(passthrough::fuzz::unwraps),
        _ => json(),
    };
    inner.into_iter().for_each(said);
}

/// `Set-Cookie`.
fn cookie(text: &str) {
    let _ = Cookie::parse(text);
}

/// A datagram, as it is received.
fn found(datagram: &[u8]) {
    let sender = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11));
    if let Some(found) = discovery::parse(datagram, sender) {
        assert!(!found.address.is_unspecified() && found.port != Some(0));
        assert!(found.model.is_none_or(|model| !model.contains('(')));
    }
}

/// The JSON of an answer, whatever it came in.
fn said(answer: Value) {
    assert!(serde_json::from_str::<Value>(&redact::shown(&answer)).is_ok());
    let code = wire::error_code(&answer);
    for value in [smart::result("get_device_info", answer.clone()), smart::of_child(answer.clone()), Ok(answer)] {
        let Ok(value) = value else { continue };
        let info = smart::DeviceInfo::read(&value);
        assert!(info.nickname.is_none_or(|name| !name.contains(char::is_control)));
        let parts =
            smart::components(&value).unwrap_or_else(|| smart::components_of_model(&smart::DeviceInfo::read(&value)));
        let mut profile = Profile::new(parts);
        let methods = [smart::GET_EMETER_DATA, smart::GET_ENERGY_USAGE, smart::GET_CURRENT_POWER];
        let answers = smart::of_together(&value, &methods).into_iter().zip(methods);
        let read = |(answer, method): (Option<Value>, _)| Some((method, smart::result(method, answer?)));
        let _ = profile.measured(answers.filter_map(read).collect());
        let _ = profile.measured(methods.into_iter().map(|method| (method, Ok(value.clone()))).collect());
        assert!(profile.questions(true).len() <= 2);
        let _ = (smart::children(&value), smart::cannot_batch(code));
    }
}
