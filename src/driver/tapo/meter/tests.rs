//! Which questions follow from which answers.

use serde_json::json;

use super::super::fault::Kind;
use super::*;

fn meter() -> Profile {
    Profile::new(Components { meter: true, strip: false })
}

fn code(code: i64) -> Result<Value, Fault> {
    Err(Fault::new(Kind::Code(code), "no"))
}

#[test]
fn a_plug_without_a_meter_is_asked_nothing() {
    assert!(Profile::new(Components::default()).questions(true).is_empty());
}

#[test]
fn the_best_source_of_watts_is_asked_and_energy_now_and_then() {
    let mut profile = meter();
    assert_eq!(profile.questions(true), [GET_EMETER_DATA, GET_ENERGY_USAGE]);
    let usage = json!({ "today_energy": 12, "current_power": 74_000 });
    let measured =
        profile.measured(vec![(GET_EMETER_DATA, Ok(json!({ "power_mw": 74_116 }))), (GET_ENERGY_USAGE, Ok(usage))]);
    assert_eq!(measured, Measured { milliwatts: Some(74_116), today_wh: Some(12), usage: true });
    assert_eq!(profile.questions(false), [GET_EMETER_DATA]);
}

#[test]
fn older_firmware_says_watts_with_the_energy() {
    let mut profile = meter();
    let usage = json!({ "today_energy": 12, "current_power": 74_000 });
    let measured = profile.measured(vec![(GET_EMETER_DATA, code(-1002)), (GET_ENERGY_USAGE, Ok(usage))]);
    assert_eq!(measured.milliwatts, Some(74_000));
    // Each time now, since the watts are there.
    assert_eq!(profile.questions(false), [GET_ENERGY_USAGE]);
}

#[test]
fn some_say_watts_nowhere_else_but_in_whole_ones() {
    let mut profile = meter();
    profile.measured(vec![(GET_EMETER_DATA, code(-1008)), (GET_ENERGY_USAGE, Ok(json!({ "today_energy": 12 })))]);
    assert_eq!(profile.questions(true), [GET_ENERGY_USAGE, GET_CURRENT_POWER]);
    assert_eq!(profile.questions(false), [GET_CURRENT_POWER]);
    let measured = profile.measured(vec![(GET_CURRENT_POWER, Ok(json!({ "current_power": 74 })))]);
    assert_eq!(measured.milliwatts, Some(74_000));
    profile.measured(vec![(GET_CURRENT_POWER, code(-1002)), (GET_ENERGY_USAGE, code(-1002))]);
    assert!(profile.questions(true).is_empty());
}

#[test]
fn a_clock_that_is_not_set_costs_the_figures_of_one_reading() {
    let mut profile = meter();
    for number in [-1601, -1602, -1603, -1007, -1001] {
        let measured = profile.measured(vec![(GET_EMETER_DATA, code(number)), (GET_ENERGY_USAGE, code(number))]);
        assert_eq!(measured, Measured { usage: true, ..Measured::default() });
    }
    assert_eq!(profile.questions(true), [GET_EMETER_DATA, GET_ENERGY_USAGE]);
}
