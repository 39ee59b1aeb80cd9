//! The methods of Tapo plugs: requests, and what the answers say. The same in every variant.
//!
//! Pure functions on JSON: nothing here knows how a request travels. Reading is lenient, since fields come and go with
//! the firmware: what lacks or has another type is `None`, and never a failure of the whole.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::fault::{Fault, Kind, general};
use super::wire::{envelope, error_code};
use crate::node::device::PowerRestore;
use crate::node::{MacAddress, Power};

/// What the plug can do.
pub(super) const COMPONENT_NEGO: &str = "component_nego";
/// State and identity.
pub(super) const GET_DEVICE_INFO: &str = "get_device_info";
/// Switches.
pub(super) const SET_DEVICE_INFO: &str = "set_device_info";
/// The draw now, in milliwatts. From about firmware 1.3.1.
pub(super) const GET_EMETER_DATA: &str = "get_emeter_data";
/// Today's energy; on older firmware the draw too.
pub(super) const GET_ENERGY_USAGE: &str = "get_energy_usage";
/// The draw in whole watts.
pub(super) const GET_CURRENT_POWER: &str = "get_current_power";
/// The outlets of a strip.
pub(super) const GET_CHILD_DEVICE_LIST: &str = "get_child_device_list";
/// A request for one outlet of a strip.
pub(super) const CONTROL_CHILD: &str = "control_child";
/// Several requests in one.
const MULTIPLE_REQUEST: &str = "multipleRequest";

/// Longest name of a plug that is shown.
const NAME_CHARS_MAX: usize = 64;

/// Asks for `method` with no parameters.
pub(super) fn plain(method: &str) -> Value {
    envelope(method, None)
}

/// Switches the relay. Absolute, so it may be repeated.
pub(super) fn switch(power: Power) -> Value {
    envelope(SET_DEVICE_INFO, Some(&json!({ "device_on": power == Power::On })))
}

/// Sets what the relay does when the mains come back.
pub(super) fn restore(policy: PowerRestore) -> Value {
    let states = match policy {
        PowerRestore::LastState => json!({ "type": "last_states" }),
        PowerRestore::AlwaysOn => json!({ "type": "custom", "state": { "on": true } }),
        PowerRestore::AlwaysOff => json!({ "type": "custom", "state": { "on": false } }),
    };
    envelope(SET_DEVICE_INFO, Some(&json!({ "default_states": states })))
}

/// Asks for the outlets from `start` on.
pub(super) fn child_list(start: u64) -> Value {
    envelope(GET_CHILD_DEVICE_LIST, Some(&json!({ "start_index": start })))
}

/// Hands `request` to an outlet.
pub(super) fn for_child(id: &str, request: &Value) -> Value {
    envelope(CONTROL_CHILD, Some(&json!({ "device_id": id, "requestData": request })))
}

/// The outlet's answer in the answer of [`for_child`].
pub(super) fn of_child(mut result: Value) -> Result<Value, Fault> {
    let data = result.get_mut("responseData").map(Value::take);
    data.filter(Value::is_object).ok_or_else(|| Fault::garbled("the strip's answer holds none of its outlet"))
}

/// Several requests in one. Two or three: more have left plugs speechless.
pub(super) fn together(methods: &[&'static str]) -> Value {
    let requests: Vec<Value> = methods.iter().map(|method| plain(method)).collect();
    envelope(MULTIPLE_REQUEST, Some(&json!({ "requests": requests })))
}

/// The answers in the answer of [`together`], in the order of `methods`; `None` for one that lacks.
pub(super) fn of_together(result: &Value, methods: &[&'static str]) -> Vec<Option<Value>> {
    let responses = result.get("responses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let of =
        |method: &str| responses.iter().find(|answer| answer.get("method").and_then(Value::as_str) == Some(method));
    methods.iter().map(|method| of(method).cloned()).collect()
}

/// The answer says that a batch was too much for the plug.
pub(super) fn cannot_batch(code: i64) -> bool {
    // JSON decoding or encoding failed, request too long; and plugs that know no batches, or take no parameters in one.
    matches!(code, -1002 | -1003 | -1004 | -1006 | -1008 | 1002)
}

/// The plug has no such method, and will not learn it before its next firmware.
pub(super) fn is_unsupported(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::Code(-1002 | -1008))
}

/// `result` of an answer, or what its error code means.
pub(super) fn result(method: &str, mut answer: Value) -> Result<Value, Fault> {
    let code = error_code(&answer);
    if code == 0 {
        return Ok(answer.get_mut("result").map(Value::take).unwrap_or_default());
    }
    if let Some(fault) = general(code) {
        return Err(fault);
    }
    let what = match code {
        -1002 => "the plug knows no such method",
        1002 | -1008 => "the plug does not take these parameters",
        -1603..=-1601 => "the plug's clock is not set",
        _ => "the plug refused",
    };
    Err(Fault::new(Kind::Code(code), format!("{what}: {method} brought error code {code}")))
}

/// `result` of the answer to a question that concerns itself alone: whatever its error code, the session is as good as before.
pub(super) fn side_result(method: &str, answer: Value) -> Result<Value, Fault> {
    let code = error_code(&answer);
    result(method, answer).map_err(|fault| Fault { kind: Kind::Code(code), ..fault })
}

/// What `component_nego` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Components {
    /// It measures watts.
    pub meter: bool,
    /// It is a strip.
    pub strip: bool,
}

/// Reads the answer of `component_nego`.
pub(super) fn components(result: &Value) -> Option<Components> {
    let list = result.get("component_list")?.as_array()?;
    let has = |id: &str| list.iter().any(|part| part.get("id").and_then(Value::as_str) == Some(id));
    Some(Components { meter: has("energy_monitoring"), strip: has("child_device") || has("control_child") })
}

/// What a plug is likely to be when it knows no `component_nego`: by its model.
pub(super) fn components_of_model(info: &DeviceInfo) -> Components {
    const METERS: [&str; 5] = ["P110", "P115", "P304", "P316", "KP125"];
    let model = info.model.as_deref().unwrap_or_default();
    Components { meter: METERS.iter().any(|meter| model.starts_with(meter)), strip: info.power.is_none() }
}

/// What `get_device_info` says, or one entry of a strip's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceInfo {
    /// `device_on`; a strip as a whole has none.
    pub power: Option<Power>,
    /// `on_time`, of something that is on.
    pub on_for: Option<Duration>,
    /// `model` without its region.
    pub model: Option<String>,
    /// `fw_ver`.
    pub firmware: Option<String>,
    /// `hw_ver`.
    pub hardware: Option<String>,
    /// `device_id`.
    pub device_id: Option<String>,
    /// `mac`.
    pub mac: Option<MacAddress>,
    /// `nickname`, decoded.
    pub nickname: Option<String>,
    /// `position` on a strip, from 1.
    pub position: Option<u64>,
    /// It is a lamp: strips list theirs beside their outlets.
    pub lamp: bool,
    /// What the plug says is wrong with it: `overheat_status: overheated`.
    pub troubles: Vec<String>,
    /// The plug will switch itself off, in this time if it says so.
    pub auto_off: Option<Option<Duration>>,
    /// `default_states`.
    pub power_restore: Option<PowerRestore>,
}

impl DeviceInfo {
    /// Reads an answer of `get_device_info`, or an entry of a list.
    pub(super) fn read(result: &Value) -> DeviceInfo {
        let text = |key| result.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let power = result.get("device_on").and_then(truth).map(|on| if on { Power::On } else { Power::Off });
        let on_for = whole(result, "on_time").filter(|_| power == Some(Power::On));
        let auto_off = power == Some(Power::On) && text("auto_off_status") == Some("on");
        let remain = whole(result, "auto_off_remain_time").filter(|left| *left > 0).map(Duration::from_secs);
        DeviceInfo {
            power,
            on_for: on_for.map(Duration::from_secs),
            model: text("model").map(plain_model),
            firmware: text("fw_ver").map(str::to_owned),
            hardware: text("hw_ver").map(str::to_owned),
            device_id: text("device_id").map(str::to_owned),
            mac: text("mac").and_then(|mac| mac.parse().ok()),
            nickname: text("nickname").and_then(nickname),
            position: whole(result, "position"),
            lamp: text("category").is_some_and(|category| category.ends_with("bulb")),
            troubles: troubles(result),
            auto_off: auto_off.then_some(remain),
            power_restore: result.get("default_states").and_then(power_restore),
        }
    }
}

/// What the relay does when the mains come back; older firmware does not say it.
fn power_restore(states: &Value) -> Option<PowerRestore> {
    let on = || states.get("state")?.get("on").and_then(truth);
    match states.get("type")?.as_str()? {
        "last_states" => Some(PowerRestore::LastState),
        "custom" => on().map(|on| if on { PowerRestore::AlwaysOn } else { PowerRestore::AlwaysOff }),
        _ => None,
    }
}

/// `P110(EU)` is `P110`.
pub(super) fn plain_model(model: &str) -> String {
    model.split('(').next().unwrap_or_default().trim().to_owned()
}

/// Names come in base64, and may hold anything: they are cut and rid of control characters.
fn nickname(encoded: &str) -> Option<String> {
    let bytes = BASE64.decode(encoded).ok()?;
    let name = String::from_utf8_lossy(&bytes);
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn troubles(result: &Value) -> Vec<String> {
    const STATES: [&str; 4] = ["overheat_status", "overcurrent_status", "power_protection_status", "charging_status"];
    let odd = |key: &&str| match result.get(*key).and_then(Value::as_str) {
        // charging_status is about what hangs on the outlet, and only a fault of it is news.
        None | Some("" | "normal" | "finished" | "charging") => None,
        Some(state) => Some(format!("{key}: {}", state.chars().take(NAME_CHARS_MAX).collect::<String>())),
    };
    let mut troubles: Vec<String> = STATES.iter().filter_map(odd).collect();
    if result.get("overheated").and_then(Value::as_bool) == Some(true) {
        troubles.push("overheated".into());
    }
    troubles
}

/// `power_mw` of `get_emeter_data`.
pub(super) fn emeter_milliwatts(result: &Value) -> Option<u64> {
    whole(result, "power_mw")
}

/// `current_power` of `get_energy_usage`, in milliwatts.
pub(super) fn usage_milliwatts(result: &Value) -> Option<u64> {
    whole(result, "current_power")
}

/// `today_energy` of `get_energy_usage`.
pub(super) fn usage_today_wh(result: &Value) -> Option<u64> {
    whole(result, "today_energy").or_else(|| whole(result, "today_energy_mwh").map(|mwh| mwh / 1000))
}

/// `current_power` of `get_current_power`, in watts there.
pub(super) fn current_milliwatts(result: &Value) -> Option<u64> {
    whole(result, "current_power").and_then(|watts| watts.checked_mul(1000))
}

/// One page of a strip's list, and how many outlets there are in all.
pub(super) fn children(result: &Value) -> Option<(Vec<DeviceInfo>, u64)> {
    let list = result.get("child_device_list")?.as_array()?;
    let page: Vec<DeviceInfo> = list.iter().map(DeviceInfo::read).collect();
    let count = page.len() as u64;
    Some((page, whole(result, "sum").unwrap_or(count)))
}

fn truth(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| value.as_u64().map(|number| number != 0))
}

/// A whole number that is not negative, also when it is written `5.0`.
fn whole(result: &Value, key: &str) -> Option<u64> {
    let value = result.get(key)?;
    let rounded = || value.as_f64().filter(|x| (0.0..1e15).contains(x)).map(|x| x as u64);
    value.as_u64().or_else(rounded)
}

#[cfg(test)]
mod tests;
