//! The methods of a strip: the list of its outlets, and requests passed on to one of them.

use serde_json::{Map, Value, json};

use super::code;
use super::methods::{Firmware, Outcome, add};

impl Firmware<'_> {
    /// A method of the strip itself. It has no relay of its own.
    pub(super) fn strip(&mut self, method: &str, params: &Map<String, Value>, depth: usize) -> Outcome {
        match method {
            "component_nego" => Ok(Some(json!({"component_list": self.facts.components(false)}))),
            "get_device_info" => {
                let mut info = self.facts.common();
                add(&mut info, self.facts.own());
                Ok(Some(info))
            }
            "get_device_usage" => Ok(Some(json!({"time_usage": {"today": 0, "past7": 0, "past30": 0}}))),
            "get_child_device_list" => self.page(params, "child_device_list", |firmware, index| firmware.device_info(index)),
            "get_child_device_component_list" => self.page(params, "child_component_list", |firmware, index| {
                json!({"device_id": firmware.facts.child_id(index), "component_list": firmware.facts.components(true)})
            }),
            "control_child" => self.control_child(params, depth),
            _ => self.common(method, params),
        }
    }

    /// One page of a list of outlets. The list begins with the last outlet, as on real strips: it is in no useful order.
    fn page(&self, params: &Map<String, Value>, name: &str, entry: impl Fn(&Self, usize) -> Value) -> Outcome {
        let start = params.get("start_index").map_or(Some(0), Value::as_u64).ok_or(code::PARAMS)?;
        let start = usize::try_from(start).map_err(|_| code::PARAMS)?;
        let all = (0..self.boards.len()).rev();
        let list: Vec<Value> =
            all.skip(start).take(self.config.quirks.page_size.max(1)).map(|index| entry(self, index)).collect();
        Ok(Some(json!({name: list, "start_index": start, "sum": self.boards.len()})))
    }

    fn control_child(&mut self, params: &Map<String, Value>, depth: usize) -> Outcome {
        let wanted = params.get("device_id").and_then(Value::as_str).ok_or(code::PARAMS)?;
        let index = (0..self.boards.len()).find(|index| self.facts.child_id(*index) == wanted).ok_or(code::PARAMS)?;
        let request = params.get("requestData").ok_or(code::PARAMS)?;
        let mut answer = self.answer(Some(index), request, depth + 1);
        // A batch for a child is answered without a code of its own.
        let batch = request.get("method").and_then(Value::as_str) == Some("multipleRequest");
        if let (true, Some(answer)) = (batch, answer.as_object_mut()) {
            answer.remove("error_code");
        }
        Ok(Some(json!({"responseData": answer})))
    }

    /// What an outlet says of itself beside what all outlets share.
    pub(super) fn place(&self, index: usize) -> Value {
        let count = self.boards.len();
        let mac = self.facts.mac.map(|byte| format!("{byte:02X}")).concat();
        let nickname = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{} {}", self.facts.nickname, index + 1),
        );
        json!({
            "device_id": self.facts.child_id(index),
            "original_device_id": self.facts.device_id,
            "category": "plug.powerstrip.sub-plug",
            "position": index + 1,
            "slot_number": count,
            "bind_count": 1,
            "is_usb": false,
            "mac": mac,
            "nickname": nickname,
            "status_follow_edge": true,
        })
    }
}
