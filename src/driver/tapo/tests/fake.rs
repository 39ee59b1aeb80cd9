//! A scripted plug on a real socket: strict where the protocol is open (one session, exact numbers, 403 for the rest),
//! and in any trouble that a test asks for. It shares no session code with the driver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::speech::{Heard, Speech};
use crate::clock::{Clock, Mono, Wall};

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// Nothing is done and nothing is said; the connection stays open.
    Silence,
    /// The request is not even heard, so its number is not taken; the connection is closed. By path only.
    Deaf,
    /// Nothing is done; the connection is closed.
    Close,
    /// It is done, and the connection is closed without an answer.
    LoseAnswer,
    /// Nothing is done; these bytes are sent in place of an HTTP answer, and the connection is closed.
    Raw(Vec<u8>),
    /// Nothing is done; this status and body are answered.
    Status(u16, &'static str),
    /// Nothing is done; the method is answered with this error code (in the session's encryption).
    Code(i64),
    /// It is done after this time.
    Delay(Duration),
    /// It is answered with 0 and not done.
    Ignore,
    /// Another client logs in first.
    Takeover,
}

/// One request as the plug saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub at: Mono,
    /// The lines before the body.
    pub head: String,
    /// `POST /app/request?seq=5`.
    pub path: String,
    /// The inner request, where it could be read.
    pub inner: Option<Value>,
}

impl Seen {
    /// `handshake1`, `get_device_info`, `multipleRequest(get_device_info,get_emeter_data)`.
    pub(crate) fn name(&self) -> String {
        self.inner.as_ref().map_or_else(|| self.path.trim_start_matches("/app/").to_owned(), method_name)
    }
}

fn method_name(inner: &Value) -> String {
    let method = inner["method"].as_str().unwrap_or("?");
    let parts = |parts: &Value| {
        let names: Vec<String> = parts.as_array().into_iter().flatten().map(method_name).collect();
        names.join(",")
    };
    match method {
        "multipleRequest" => format!("{method}({})", parts(&inner["params"]["requests"])),
        "control_child" => format!("{method}({})", method_name(&inner["params"]["requestData"])),
        "login" => inner["params"]["sub_method"].as_str().unwrap_or("?").to_owned(),
        _ => method.to_owned(),
    }
}

/// What the plug is and does.
pub(crate) struct Plug {
    pub speech: Speech,
    pub on: bool,
    /// Answers to methods beside those that the fake knows: `result` of each.
    pub answers: Vec<(&'static str, Value)>,
    /// The outlets, in the order of the list.
    pub outlets: Vec<Value>,
    pub info: Value,
    /// For requests whose name or path starts with the text: so many times.
    pub troubles: VecDeque<(&'static str, u32, Trouble)>,
    /// Closes each connection after one answer.
    pub closes: bool,
    /// Loses one answer in so many, by chance; 0 for none.
    pub loses_one_in: u64,
    pub seen: Vec<Seen>,
    pub connections: u32,
    pub connections_max: u32,
    pub requests: u32,
    pub requests_max: u32,
    /// How often the relay was told to switch.
    pub switched: u32,
}

impl Plug {
    /// A plain P100 that is off.
    pub(crate) fn new(speech: Speech) -> Plug {
        let mac = "AA-BB-CC-DD-EE-01";
        let info = json!({
            "device_id": "80220001", "model": "P100(EU)", "type": "SMART.TAPOPLUG", "mac": mac, "hw_ver": "1.0",
            "fw_ver": "1.4.0 Build 230905 Rel.152200", "nickname": "UmFjayBsZWZ0", "on_time": 0,
            "default_states": { "type": "last_states", "state": {} }, "unknown_field": [1, 2],
        });
        Plug {
            speech,
            on: false,
            answers: vec![("component_nego", components(&["device", "schedule"]))],
            outlets: Vec::new(),
            info,
            troubles: VecDeque::new(),
            closes: false,
            loses_one_in: 0,
            seen: Vec::new(),
            connections: 0,
            connections_max: 0,
            requests: 0,
            requests_max: 0,
            switched: 0,
        }
    }

    /// With a meter: these are the answers to its methods.
    pub(crate) fn metered(mut self, answers: &[(&'static str, Value)]) -> Plug {
        self.answers = vec![("component_nego", components(&["device", "energy_monitoring"]))];
        self.answers.extend_from_slice(answers);
        self
    }

    /// A strip, with outlets at these positions in this order of the list.
    pub(crate) fn strip(mut self, positions: &[u64], more: &[&str]) -> Plug {
        self.answers = vec![("component_nego", components(&[&["child_device", "control_child"], more].concat()))];
        let outlet = |position: &u64| {
            json!({ "device_id": format!("80220001{position:02}"), "position": position, "device_on": false,
                    "on_time": 0, "nickname": "b3V0bGV0", "category": "plug.powerstrip.sub-plug" })
        };
        self.outlets = positions.iter().map(outlet).collect();
        self.info["model"] = "P300(EU)".into();
        self
    }

    /// Carries out a method and returns the answer with its `error_code`.
    fn run(&mut self, request: &Value, outlet: Option<usize>) -> Value {
        let params = &request["params"];
        let ok = |result: Value| json!({ "error_code": 0, "result": result });
        match request["method"].as_str().unwrap_or_default() {
            "get_device_info" => ok(match outlet {
                Some(outlet) => self.outlets[outlet].clone(),
                None if self.outlets.is_empty() => {
                    let mut info = self.info.clone();
                    info["device_on"] = self.on.into();
                    info
                }
                None => self.info.clone(),
            }),
            "set_device_info" => {
                self.switched += 1;
                match outlet {
                    Some(outlet) => self.outlets[outlet]["device_on"] = params["device_on"].clone(),
                    None => self.on = params["device_on"].as_bool().unwrap(),
                }
                json!({ "error_code": 0 })
            }
            "multipleRequest" => {
                let parts = params["requests"].as_array().unwrap().clone();
                let answer = |part: &Value| {
                    let mut answer = match self.trouble(part) {
                        Some(Trouble::Code(code)) => json!({ "error_code": code }),
                        _ => self.run(part, outlet),
                    };
                    answer["method"] = part["method"].clone();
                    answer
                };
                ok(json!({ "responses": parts.iter().map(answer).collect::<Vec<_>>() }))
            }
            "get_child_device_list" if !self.outlets.is_empty() => {
                let start = usize::try_from(params["start_index"].as_u64().unwrap()).unwrap();
                // Two on a page, so that paging happens.
                let page: Vec<Value> = self.outlets.iter().skip(start).take(2).cloned().collect();
                ok(json!({ "child_device_list": page, "start_index": start, "sum": self.outlets.len() }))
            }
            "control_child" => {
                let child = self.outlets.iter().position(|outlet| outlet["device_id"] == params["device_id"]);
                let Some(child) = child else { return json!({ "error_code": -1008 }) };
                let inner = match self.trouble(&params["requestData"]) {
                    Some(Trouble::Code(code)) => json!({ "error_code": code }),
                    _ => self.run(&params["requestData"], Some(child)),
                };
                ok(json!({ "responseData": inner }))
            }
            method => match self.answers.iter().find(|(known, _)| *known == method) {
                Some((_, result)) => ok(result.clone()),
                None => json!({ "error_code": -1002 }),
            },
        }
    }

    fn trouble(&mut self, inner: &Value) -> Option<Trouble> {
        self.trouble_for(&method_name(inner))
    }

    fn is_deaf(&mut self, path: &str) -> bool {
        let deaf = |(on, left, trouble): &&mut (&'static str, u32, Trouble)| {
            *left > 0 && matches!(trouble, Trouble::Deaf) && path.starts_with(on)
        };
        self.troubles.iter_mut().find(deaf).map(|(_, left, _)| *left -= 1).is_some()
    }

    fn trouble_for(&mut self, name: &str) -> Option<Trouble> {
        let index = self.troubles.iter().position(|(on, left, _)| *left > 0 && name.starts_with(on))?;
        self.troubles[index].1 -= 1;
        Some(self.troubles[index].2.clone())
    }
}

pub(super) fn components(ids: &[&str]) -> Value {
    let list: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "ver_code": 2 })).collect();
    json!({ "component_list": list })
}

/// A plug that listens.
#[derive(Clone)]
pub(crate) struct FakePlug {
    pub port: u16,
    plug: Arc<Mutex<Plug>>,
    clock: Clock,
}

impl FakePlug {
    pub(crate) async fn start(plug: Plug) -> FakePlug {
        FakePlug::listen(TcpListener::bind(("127.0.0.1", 0)).await.unwrap(), plug)
    }

    pub(crate) fn listen(listener: TcpListener, plug: Plug) -> FakePlug {
        let port = listener.local_addr().unwrap().port();
        // Real time, and chance that can be repeated.
        let clock = Clock::simulated(7, Wall(0));
        let fake = FakePlug { port, plug: Arc::new(Mutex::new(plug)), clock };
        let accepting = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = accepting.clone();
                tokio::spawn(async move {
                    {
                        let mut plug = fake.plug();
                        plug.connections += 1;
                        plug.connections_max = plug.connections_max.max(plug.connections);
                    }
                    fake.serve(stream).await;
                    fake.plug().connections -= 1;
                });
            }
        });
        fake
    }

    pub(crate) fn plug(&self) -> MutexGuard<'_, Plug> {
        self.plug.lock().unwrap()
    }

    /// The names of the requests since the last look.
    pub(crate) fn names(&self) -> Vec<String> {
        std::mem::take(&mut self.plug().seen).iter().map(Seen::name).collect()
    }

    /// Puts `trouble` before the next `times` requests that start with `on`.
    pub(crate) fn trouble(&self, on: &'static str, times: u32, trouble: Trouble) {
        self.plug().troubles.push_back((on, times, trouble));
    }

    async fn serve(&self, mut stream: TcpStream) {
        while let Some((head, body)) = read_request(&mut stream).await {
            {
                let mut plug = self.plug();
                plug.requests += 1;
                plug.requests_max = plug.requests_max.max(plug.requests);
            }
            let more = self.answer(&mut stream, head, &body).await;
            self.plug().requests -= 1;
            if !more || self.plug().closes {
                return;
            }
        }
    }

    async fn answer(&self, stream: &mut TcpStream, head: String, body: &[u8]) -> bool {
        let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let (heard, trouble) = {
            let mut plug = self.plug();
            if plug.is_deaf(&path) {
                return false;
            }
            let heard = plug.speech.hear(&path, &head, body);
            let inner = match &heard {
                Heard::Request(inner) | Heard::Login(inner) => Some(inner.clone()),
                Heard::Handshake | Heard::WrongDevice => None,
            };
            let seen = Seen { at: self.clock.now().mono, head, path: path.clone(), inner };
            let name = seen.name();
            plug.seen.push(seen);
            let lost = plug.loses_one_in > 0 && self.clock.below(plug.loses_one_in) == 0;
            let trouble = plug.trouble_for(&name).or(lost.then_some(Trouble::LoseAnswer));
            (heard, trouble)
        };
        match &trouble {
            Some(Trouble::Silence) => {
                // Longer than any deadline of a test.
                self.clock.sleep(Duration::from_secs(30)).await;
                return false;
            }
            Some(Trouble::Close) => return false,
            Some(Trouble::Raw(bytes)) => {
                let _ = stream.write_all(bytes).await;
                return false;
            }
            Some(Trouble::Delay(time)) => self.clock.sleep(*time).await,
            _ => {}
        }
        let (status, cookie, body) = self.reply(&heard, &path, body, trouble.as_ref());
        if matches!(trouble, Some(Trouble::LoseAnswer)) {
            return false;
        }
        let cookie = cookie.map(|id| format!("Set-Cookie: TP_SESSIONID={id};TIMEOUT=86400\r\n")).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status} X\r\nServer: SHIP 2.0\r\nContent-Type: text/html\r\n{cookie}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await.is_ok()
    }

    fn reply(&self, heard: &Heard, path: &str, body: &[u8], trouble: Option<&Trouble>) -> super::speech::Answer {
        let mut plug = self.plug();
        let plug = &mut *plug;
        match trouble {
            Some(Trouble::Status(status, text)) => return (*status, None, text.as_bytes().to_vec()),
            Some(Trouble::Takeover) => {
                plug.speech.take_session();
                return plug.speech.refuse();
            }
            _ => {}
        }
        let Heard::Request(inner) = heard else { return plug.speech.log_in(heard, path, body) };
        let answer = match trouble {
            Some(Trouble::Code(code)) => json!({ "error_code": code }),
            Some(Trouble::Ignore) => json!({ "error_code": 0 }),
            _ => plug.run(inner, None),
        };
        plug.speech.say(&answer)
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            while bytes.len() < end + 4 + length {
                if stream.read_buf(&mut bytes).await.ok()? == 0 {
                    return None;
                }
            }
            return Some((head, bytes[end + 4..].to_vec()));
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
