//! The methods inside the encryption, the same in every variant: the answers of a plug to a client that is logged in.
//!
//! It switches and reads boards; it knows no sessions and sockets.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::board::{Board, Cause, PowerLoss};
use super::super::config::{Model, PlugConfig};
use super::super::fault::MeterFault;
use super::super::request_log::Counters;
use super::code;
use super::facts::Facts;
use crate::clock::Now;

/// There is a countdown rule already.
const COUNTDOWN_FULL: i64 = -1901;
/// The longest countdown.
const COUNTDOWN_S_MAX: u64 = 86_400;
/// The mains voltage.
const MILLIVOLTS: i64 = 230_400;
/// The longest delay that `device_reboot` takes.
const REBOOT_DELAY_S_MAX: u64 = 60;

/// What a method gives: a result, nothing, or an `error_code`.
pub(super) type Outcome = Result<Option<Value>, i64>;

/// A plug's firmware, for as long as one request takes.
pub(in crate::sim) struct Firmware<'a> {
    pub config: &'a PlugConfig,
    pub facts: &'a mut Facts,
    pub boards: &'a mut [Board],
    pub book: &'a mut Counters,
    pub now: Now,
    /// A fault: orders to the relay are answered well and lead to nothing.
    pub ignore_write: bool,
    /// A fault: what goes wrong with the draw.
    pub meter_fault: Option<MeterFault>,
    /// Set when the client asked for a restart: in how long.
    pub reboot: Option<Duration>,
}

impl Firmware<'_> {
    /// Answers one request to the device itself.
    pub(crate) fn call(&mut self, request: &Value) -> Value {
        self.answer(None, request, 0)
    }

    /// Answers one request, of the device or of one outlet of a strip.
    pub(super) fn answer(&mut self, outlet: Option<usize>, request: &Value, depth: usize) -> Value {
        let Some(method) = request.get("method").and_then(Value::as_str) else {
            return json!({"error_code": code::UNKNOWN_METHOD});
        };
        let nothing = Map::new();
        let params = match request.get("params") {
            None => &nothing,
            // Most methods pass over it; this one is known not to.
            Some(Value::Null) if method != "get_countdown_rules" => &nothing,
            Some(Value::Object(params)) if depth <= super::NESTING_MAX => params,
            Some(_) => return json!({"error_code": code::PARAMS}),
        };
        let outcome = match method {
            "multipleRequest" => self.batch(outlet, params, depth),
            _ if outlet.is_none() && self.facts.model.is_strip() => self.strip(method, params, depth),
            _ => self.outlet(outlet.unwrap_or(0), method, params),
        };
        match outcome {
            Ok(Some(result)) => json!({"error_code": 0, "result": result}),
            Ok(None) => json!({"error_code": 0}),
            Err(code) => json!({"error_code": code}),
        }
    }

    fn batch(&mut self, outlet: Option<usize>, params: &Map<String, Value>, depth: usize) -> Outcome {
        let parts = params.get("requests").and_then(Value::as_array).ok_or(code::PARAMS)?;
        let mut responses = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let method = part.get("method").cloned().unwrap_or_default();
            let mut answer = match method.as_str() {
                Some("multipleRequest") => json!({"error_code": code::PARAMS}),
                _ if index >= self.config.quirks.batch_max => json!({"error_code": code::JSON_ENCODE}),
                _ => self.answer(outlet, part, depth + 1),
            };
            if let Some(answer) = answer.as_object_mut() {
                answer.insert("method".into(), method);
            }
            responses.push(answer);
        }
        Ok(Some(json!({"responses": responses})))
    }

    /// The methods that every kind of device answers in the same way.
    pub(super) fn common(&mut self, method: &str, params: &Map<String, Value>) -> Outcome {
        let wall_s = self.now.wall.0.div_euclid(1000);
        let result = match method {
            "get_device_time" => json!({"region": "UTC", "time_diff": 0, "timestamp": wall_s}),
            "set_device_time" | "set_auto_update_info" | "set_led_info" => return Ok(None),
            "get_connect_cloud_state" => json!({"status": 0}),
            "get_auto_update_info" => json!({"enable": false, "random_range": 120, "time": 180}),
            "get_latest_fw" => json!({
                "fw_size": 0, "fw_ver": self.facts.firmware, "hw_id": "", "need_to_upgrade": false, "oem_id": "",
                "release_date": "", "release_note": "", "type": 0,
            }),
            "get_fw_download_state" => json!({
                "auto_upgrade": false, "download_progress": 0, "reboot_time": 5, "status": 0, "upgrade_time": 5,
            }),
            "get_led_info" => json!({"led_rule": "always", "led_status": true}),
            "get_wireless_scan_info" => json!({"ap_list": [], "start_index": 0, "sum": 0, "wep_supported": false}),
            "device_reboot" => {
                let delay = params.get("delay").map_or(Some(1), Value::as_u64).ok_or(code::PARAMS)?;
                self.reboot = Some(Duration::from_secs(delay.min(REBOOT_DELAY_S_MAX)));
                return Ok(None);
            }
            _ => return Err(code::UNKNOWN_METHOD),
        };
        Ok(Some(result))
    }

    /// The methods of something that has a relay: a plug, or one outlet of a strip.
    fn outlet(&mut self, index: usize, method: &str, params: &Map<String, Value>) -> Outcome {
        if method.starts_with("set_device_info") {
            return self.set_device_info(index, params);
        }
        let board = self.boards.get_mut(index).ok_or(code::PARAMS)?;
        let result = match method {
            "component_nego" => json!({"component_list": self.facts.components(self.facts.model.is_strip())}),
            "get_device_info" => self.device_info(index),
            "get_device_usage" => usage(board, self.facts),
            "get_countdown_rules" => {
                let now = self.now.mono;
                let rules: Vec<Value> = board
                    .countdown()
                    .into_iter()
                    .map(|rule| {
                        let remain = rule.due.since(now).as_secs();
                        json!({
                            "id": format!("C{}", rule.id), "delay": rule.delay_s, "remain": remain, "enable": true,
                            "desired_states": {"on": rule.on},
                        })
                    })
                    .collect();
                json!({"countdown_rule_max_count": 1, "enable": !rules.is_empty(), "rule_list": rules})
            }
            "add_countdown_rule" => {
                let (delay, on) = countdown_of(params).ok_or(code::PARAMS)?;
                let rule = board.add_countdown(delay, on, self.now).ok_or(COUNTDOWN_FULL)?;
                json!({"id": format!("C{}", rule.id)})
            }
            "remove_countdown_rules" => {
                board.remove_countdown();
                return Ok(None);
            }
            "get_auto_off_config" => json!({"delay_min": 120, "enable": false}),
            "get_next_event" => json!({}),
            "get_schedule_rules" => json!({
                "enable": false, "rule_list": [], "schedule_rule_max_count": 32, "start_index": 0, "sum": 0,
            }),
            "get_antitheft_rules" => json!({"antitheft_rule_max_count": 1, "enable": false, "rule_list": []}),
            _ if self.facts.model.has_meter() => match self.metered(index, method) {
                Some(result) => result,
                None => return self.common(method, params),
            },
            _ => return self.common(method, params),
        };
        Ok(Some(result))
    }

    /// The methods of a meter; `None` for any other.
    fn metered(&mut self, index: usize, method: &str) -> Option<Value> {
        let board = self.boards.get_mut(index)?;
        let shown = board.shown_mw(&self.config.display(), self.now);
        let shown = board.stuck_mw(shown, self.meter_fault == Some(MeterFault::Stick));
        let milliwatts = match self.meter_fault {
            Some(MeterFault::Says(milliwatts)) => milliwatts,
            _ => i64::try_from(shown).unwrap_or(i64::MAX),
        };
        let meter = board.meter();
        let mut result = match method {
            "get_energy_usage" => {
                let mut usage = json!({
                    "today_runtime": meter.today_minutes(), "month_runtime": meter.month_minutes(),
                    "today_energy": meter.today_wh(), "month_energy": meter.month_wh(),
                    "local_time": local_time(self.now), "electricity_charge": [0, 0, 0],
                });
                if !self.facts.model.is_strip() {
                    add(&mut usage, json!({"current_power": milliwatts}));
                }
                if self.facts.is_recent() {
                    let (today, month) = (meter.today_mwh(), meter.month_mwh());
                    add(&mut usage, json!({"today_energy_mwh": today, "month_energy_mwh": month}));
                }
                usage
            }
            "get_current_power" => json!({"current_power": milliwatts / 1000}),
            "get_emeter_data" if self.facts.has_emeter_data() => {
                let mut data = json!({
                    "voltage_mv": MILLIVOLTS, "current_ma": milliwatts.saturating_mul(1000) / MILLIVOLTS, "power_mw": milliwatts,
                    "energy_wh": meter.since_restart_mwh() / 1000,
                });
                if self.facts.is_recent() {
                    add(&mut data, json!({"energy_mwh": meter.since_restart_mwh()}));
                }
                data
            }
            "get_emeter_vgain_igain" if self.facts.has_emeter_data() => json!({"igain": 11437, "vgain": 127146}),
            "get_max_power" => json!({"max_power": 3252}),
            "get_protection_power" => json!({"enabled": false, "protection_power": 0}),
            "get_electricity_price_config" => json!({"constant_price": 0, "type": "constant"}),
            _ => return None,
        };
        for key in ["current_power", "power_mw", "current_ma"] {
            match (self.meter_fault, result.as_object_mut()) {
                (Some(MeterFault::Vanish), Some(result)) => drop(result.remove(key)),
                (Some(MeterFault::Null), Some(result)) if result.contains_key(key) => {
                    result.insert(key.to_owned(), Value::Null);
                }
                _ => {}
            }
        }
        Some(result)
    }

    /// `get_device_info` of a plug, or of an outlet as far as it is not the strip's.
    pub(super) fn device_info(&self, index: usize) -> Value {
        let (facts, mut info) = (&self.facts, self.facts.common());
        let Some(board) = self.boards.get(index) else { return info };
        let strip = facts.model.is_strip();
        add(&mut info, if strip { self.place(index) } else { facts.own() });
        let states = default_states(board.power_loss(), facts.is_recent());
        let on_time = board.on_for(self.now).as_secs();
        add(&mut info, json!({"device_on": board.relay(), "on_time": on_time, "default_states": states}));
        add(
            &mut info,
            match facts.model {
                Model::P100 => json!({"overheated": false}),
                Model::P300 => json!({"overheat_status": "normal"}),
                Model::P110 | Model::P304M => json!({
                    "overheat_status": "normal", "power_protection_status": "normal", "overcurrent_status": "normal",
                    "charging_status": "normal",
                }),
            },
        );
        if facts.has_auto_off() {
            add(&mut info, json!({"auto_off_status": "off", "auto_off_remain_time": 0}));
        }
        info
    }

    fn set_device_info(&mut self, index: usize, params: &Map<String, Value>) -> Outcome {
        let board = self.boards.get_mut(index).ok_or(code::PARAMS)?;
        let on = match params.get("device_on") {
            None => None,
            Some(on) => Some(on.as_bool().ok_or(code::PARAMS)?),
        };
        let power_loss = match params.get("default_states") {
            None => None,
            Some(states) => Some(power_loss_of(states).ok_or(code::PARAMS)?),
        };
        if params.is_empty() {
            return Err(code::PARAMS);
        }
        if let Some(power_loss) = power_loss
            && !self.ignore_write
        {
            board.set_power_loss(power_loss);
        }
        if let Some(on) = on {
            self.book.relay_writes += 1;
            if !self.ignore_write {
                board.switch(on, Cause::Client, self.now);
            }
        }
        Ok(None)
    }
}

fn countdown_of(params: &Map<String, Value>) -> Option<(u64, bool)> {
    let delay = params.get("delay")?.as_u64().filter(|delay| (1..=COUNTDOWN_S_MAX).contains(delay))?;
    let on = params.get("desired_states")?.get("on")?.as_bool()?;
    params.get("enable")?.as_bool().filter(|enable| *enable)?;
    Some((delay, on))
}

fn default_states(power_loss: PowerLoss, recent: bool) -> Value {
    match power_loss {
        PowerLoss::LastState if recent => json!({"type": "last_states"}),
        PowerLoss::LastState => json!({"type": "last_states", "state": {}}),
        PowerLoss::On => json!({"type": "custom", "state": {"on": true}}),
        PowerLoss::Off => json!({"type": "custom", "state": {"on": false}}),
    }
}

/// Adds the fields of one object to another.
pub(super) fn add(to: &mut Value, more: Value) {
    if let (Some(to), Value::Object(more)) = (to.as_object_mut(), more) {
        to.extend(more);
    }
}

fn power_loss_of(states: &Value) -> Option<PowerLoss> {
    match states.get("type")?.as_str()? {
        "last_states" => Some(PowerLoss::LastState),
        "custom" => Some(if states.get("state")?.get("on")?.as_bool()? { PowerLoss::On } else { PowerLoss::Off }),
        _ => None,
    }
}

fn usage(board: &Board, facts: &Facts) -> Value {
    let meter = board.meter();
    let spread = |today: u64, month: u64| json!({"today": today, "past7": today.max(month / 4), "past30": month});
    let mut usage = json!({"time_usage": spread(meter.today_minutes(), meter.month_minutes())});
    if facts.model.has_meter() {
        let (today, month) = (meter.today_wh(), meter.month_wh());
        add(&mut usage, json!({"power_usage": spread(today, month), "saved_power": spread(0, 0)}));
    }
    usage
}

/// `2026-11-22 15:03:38`, as meters write it.
fn local_time(now: Now) -> String {
    match jiff::Timestamp::from_millisecond(now.wall.0) {
        Ok(stamp) => stamp.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => "2000-01-01 00:00:00".to_owned(),
    }
}
