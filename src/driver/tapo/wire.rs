//! The way to one plug during one call: where it is, how many requests are left, and the headers a plug bears.
//!
//! It knows HTTP as plugs speak it, and none of the variants that run over it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use serde_json::Value;

use super::fault::{Fault, Kind};
use super::redact::shown_bytes;
use crate::driver::DeviceContext;
use crate::driver::http::{Answer, HttpClient, Post, RequestContext};

/// Most requests of one call. A login costs 2 to 4, a read 1 to 3, and both may be repeated twice; whatever a plug
/// answers, a call is over after this many.
pub(super) const REQUESTS_PER_CALL_MAX: u32 = 16;

/// The only cookie that may be sent back, also by plugs that set it under their other name.
const COOKIE_NAME: &str = "TP_SESSIONID";
/// What some plugs call it when they set it.
const COOKIE_NAMES: [&str; 2] = [COOKIE_NAME, "SESSIONID"];

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// JSON text.
    Json,
    /// KLAP or TPAP bytes.
    Bytes,
}

/// Where a plug is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    fn url(&self, port: Option<u16>, path: &str) -> String {
        let port = port.unwrap_or(self.port);
        match self.host.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("http://[{address}]:{port}{path}"),
            Err(_) => format!("http://{}:{port}{path}", self.host),
        }
    }
}

/// A plug's answer with any status.
pub(super) struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The session cookie, if one was set.
    pub cookie: Option<Cookie>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON, whatever Content-Type says.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The fault that the status stands for on a request of a session; `None` for 200.
    pub(super) fn session_fault(&self) -> Option<Fault> {
        let status = self.status;
        let (kind, what) = match status {
            200 => return None,
            401 | 403 => (Kind::SessionGone { taken: true }, "the plug ended the session"),
            400 => (Kind::SessionGone { taken: false }, "the plug could not read the request"),
            429 => (Kind::Busy { flooded: true }, "the plug asks for rest"),
            _ => (Kind::InvalidResponse, "the plug answered in an unknown way"),
        };
        Some(Fault::new(kind, format!("{what} (HTTP {status})")))
    }
}

/// The session cookie.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Cookie {
    /// What goes into the header `Cookie`: never empty.
    header: HeaderValue,
    /// The session's life as the plug says it.
    pub timeout: Option<Duration>,
}

impl Cookie {
    /// Reads a `Set-Cookie` such as `TP_SESSIONID=AB12;TIMEOUT=86400`, or `SESSIONID=...`.
    pub(super) fn parse(text: &str) -> Option<Cookie> {
        let mut parts = text.split(';').filter_map(|part| part.trim().split_once('='));
        let (_, id) = parts.clone().find(|(name, id)| COOKIE_NAMES.contains(name) && !id.is_empty())?;
        let seconds = parts.find(|(name, _)| name.eq_ignore_ascii_case("TIMEOUT")).map(|(_, seconds)| seconds.parse());
        let mut header = HeaderValue::from_str(&format!("{COOKIE_NAME}={id}")).ok()?;
        header.set_sensitive(true);
        Some(Cookie { header, timeout: seconds.and_then(Result::ok).map(Duration::from_secs) })
    }
}

/// One call's way to the plug.
pub(super) struct Wire {
    http: Arc<HttpClient>,
    /// The device's gate and meters, the clock, and the node for the logs.
    pub context: DeviceContext,
    /// Where the plug is.
    pub place: Endpoint,
    /// What the meters call the requests.
    pub op: &'static str,
    /// What the next request says in clear, as the recorder may show it; without it, what can be read of its body.
    pub clear: Option<String>,
    sent: u32,
}

impl Wire {
    /// A way for one call.
    pub(super) fn new(http: Arc<HttpClient>, context: DeviceContext, place: Endpoint, op: &'static str) -> Wire {
        Wire { http, context, place, op, clear: None, sent: 0 }
    }

    /// Sends one request and returns the answer, whatever its status. `port` when it is not the plug's usual one.
    pub(super) async fn post(
        &mut self,
        step: &'static str,
        port: Option<u16>,
        path: &str,
        cookie: Option<&Cookie>,
        (content, body): (Content, Vec<u8>),
    ) -> Result<Reply, Fault> {
        if self.sent >= REQUESTS_PER_CALL_MAX {
            return Err(Fault::new(Kind::Unanswered, format!("nothing came of {REQUESTS_PER_CALL_MAX} requests")));
        }
        self.sent += 1;
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(match content {
                Content::Json => "application/json",
                Content::Bytes => "application/octet-stream",
            }),
        );
        if let Some(cookie) = cookie {
            headers.insert(COOKIE, cookie.header.clone());
        }
        let context = RequestContext { context: &self.context, op: self.op, step, attempt: self.sent };
        let asked = self.clear.clone().or_else(|| shown_bytes(&body));
        let result = self.http.post(context, Post { url: self.place.url(port, path), headers, body }).await;
        let answered = result.as_ref().ok().and_then(|answer| shown_bytes(&answer.body));
        self.context.exchange_log.tell(asked, answered);
        let answer = result?;
        Ok(reply(answer))
    }
}

fn reply(answer: Answer) -> Reply {
    let cookies = answer.headers.get_all(SET_COOKIE).iter();
    let cookie = cookies.filter_map(|value| value.to_str().ok()).find_map(Cookie::parse);
    Reply { status: answer.status, cookie, body: answer.body }
}

/// `{"method":..,"params":..}` as bytes; `params` is left out when there are none, since plugs do not bear `null`.
pub(super) fn envelope(method: &str, params: Option<&Value>) -> Value {
    let mut envelope = serde_json::Map::new();
    envelope.insert("method".into(), method.into());
    if let Some(params) = params {
        envelope.insert("params".into(), params.clone());
    }
    Value::Object(envelope)
}

/// `error_code` of an answer; 0 when it has none, as the parts of a strip's answers.
pub(super) fn error_code(answer: &Value) -> i64 {
    answer.get("error_code").and_then(Value::as_i64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_session_cookie_is_sent_back() {
        let header = |text| Cookie::parse(text).map(|c| c.header.to_str().unwrap().to_owned());
        let life = |text| Cookie::parse(text).and_then(|c| c.timeout).map(|t| t.as_secs());
        assert_eq!(header("TP_SESSIONID=AB12;TIMEOUT=86400").as_deref(), Some("TP_SESSIONID=AB12"));
        assert_eq!(life("TP_SESSIONID=AB12;TIMEOUT=86400"), Some(86400));
        // Some plugs set it under another name, and want it back under the usual one.
        assert_eq!(
            header("SESSIONID=0123456789ABCDEF;TIMEOUT=86400").as_deref(),
            Some("TP_SESSIONID=0123456789ABCDEF")
        );
        assert_eq!(life("SESSIONID=0123456789ABCDEF;TIMEOUT=86400"), Some(86400));
        assert_eq!(life("TP_SESSIONID=AB12; Timeout=1440; Path=/"), Some(1440));
        assert_eq!((header("TP_SESSIONID=A"), life("TP_SESSIONID=A")), (Some("TP_SESSIONID=A".into()), None));
        assert_eq!(life("TP_SESSIONID=A;TIMEOUT=soon"), None);
        for nothing in ["", "TP_SESSIONID=", "TIMEOUT=86400", "other=1", ";;;", "TP_SESSIONID"] {
            assert_eq!(header(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn addresses_of_both_kinds_fit_into_a_url() {
        let url = |host: &str| Endpoint { host: host.into(), port: 80 }.url(None, "/app");
        assert_eq!(url("192.0.2.11"), "http://192.0.2.11:80/app");
        assert_eq!(url("fe80::1"), "http://[fe80::1]:80/app");
        assert_eq!(url("plug-1.lan"), "http://plug-1.lan:80/app");
    }

    #[test]
    fn params_are_left_out_when_there_are_none() {
        assert_eq!(envelope("get_device_info", None).to_string(), r#"{"method":"get_device_info"}"#);
        let list = envelope("get_child_device_list", Some(&serde_json::json!({"start_index": 0})));
        assert_eq!(list.to_string(), r#"{"method":"get_child_device_list","params":{"start_index":0}}"#);
    }

    proptest! {
        #[test]
        fn any_cookie_text_is_borne(text in ".*") {
            if let Some(cookie) = Cookie::parse(&text) {
                prop_assert!(cookie.header.len() > COOKIE_NAME.len() + 1);
            }
        }
    }
}
