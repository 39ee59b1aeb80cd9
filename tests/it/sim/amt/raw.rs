//! A WS-Management client written for these tests: HTTP by hand, Digest, envelopes as text. It sends exactly what a
//! test specifies; the only thing that it does by itself is to answer a challenge once.

use std::net::SocketAddr;
use std::time::Duration;

use md5::{Digest, Md5};
use roxmltree::Document;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes on loopback; what is to hang is given less.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const ANONYMOUS: &str = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous";
pub const TRANSFER: &str = "http://schemas.xmlsoap.org/ws/2004/09/transfer";
pub const ENUMERATION: &str = "http://schemas.xmlsoap.org/ws/2004/09/enumeration";

/// An answer as it came, its chunks put together.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// The sizes of the chunks, as written.
    pub sizes: Vec<String>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The texts of all elements of this local name, in their order.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let document = Document::parse(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let found = document.descendants().filter(|node| node.tag_name().name() == name);
        found.map(|node| node.text().unwrap_or_default().to_owned()).collect()
    }

    /// The text of the first element of this local name.
    pub fn text(&self, name: &str) -> String {
        self.texts(name).first().unwrap_or_else(|| panic!("no {name} in {self:?}")).clone()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.texts(name).is_empty()
    }

    /// The local name of a fault's subcode.
    pub fn fault(&self) -> String {
        assert_eq!(self.status, 400, "{self:?}");
        let document = Document::parse(&self.body).unwrap();
        let subcode = document.descendants().find(|node| node.tag_name().name() == "Subcode").unwrap();
        let value = subcode.descendants().find(|node| node.tag_name().name() == "Value").unwrap();
        let (prefix, name) = value.text().unwrap().split_once(':').unwrap();
        assert!(value.lookup_namespace_uri(Some(prefix)).is_some(), "{prefix} is not declared");
        name.to_owned()
    }
}

/// How a request can fail on the wire.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    Refused,
    Closed,
    Truncated,
    NoHttp,
    Silent,
}

trait Pipe: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Pipe for T {}

/// A client, with the connection and the nonce that it keeps.
pub struct Client {
    pub address: SocketAddr,
    pub username: String,
    pub password: String,
    pub patience: Duration,
    pub challenge: Option<String>,
    pub nc: u32,
    pub qop: &'static str,
    pub connects: u32,
    pub tls: Option<tokio_rustls::TlsConnector>,
    stream: Option<Box<dyn Pipe>>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client {
            address,
            username: "admin".into(),
            password: plugfish::testing::sim::MachineConfig::PASSWORD.into(),
            patience: ANSWER_MAX,
            challenge: None,
            nc: 0,
            qop: "auth",
            connects: 0,
            tls: None,
            stream: None,
        }
    }

    /// A part of the challenge.
    pub fn part(&self, name: &str) -> String {
        let text = self.challenge.as_deref().unwrap();
        let start = text.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
        text[start..].split('"').next().unwrap().to_owned()
    }

    /// The header that answers the challenge, with the next count.
    pub fn authorization(&mut self, body: &str) -> String {
        self.nc += 1;
        let (realm, nonce, nc, qop) = (self.part("realm"), self.part("nonce"), self.nc, self.qop);
        let hash = |text: String| hex::encode(Md5::digest(text));
        let ha1 = hash(format!("{}:{realm}:{}", self.username, self.password));
        let ha2 = hash(match qop {
            "auth-int" => format!("POST:/wsman:{}", hash(body.to_owned())),
            _ => "POST:/wsman".to_owned(),
        });
        let response = hash(format!("{ha1}:{nonce}:{nc:08x}:0a4f113b:{qop}:{ha2}"));
        format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"/wsman\", response=\"{response}\", \
             qop={qop}, nc={nc:08x}, cnonce=\"0a4f113b\"",
            self.username
        )
    }

    /// One POST, with the challenge answered if there is one, and one more if that is turned away.
    pub async fn post(&mut self, body: &str) -> Result<Answer, Broken> {
        let header = self.challenge.is_some().then(|| self.authorization(body));
        let answer = self.send("POST /wsman", header.as_deref(), body).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let header = self.authorization(body);
        self.send("POST /wsman", Some(&header), body).await
    }

    /// One request as it is told, and its answer.
    pub async fn send(&mut self, line: &str, authorization: Option<&str>, body: &str) -> Result<Answer, Broken> {
        let mut text = format!("{line} HTTP/1.1\r\nHost: machine\r\nContent-Length: {}\r\n", body.len());
        authorization.iter().for_each(|value| text.push_str(&format!("Authorization: {value}\r\n")));
        text.push_str(&format!("Content-Type: application/soap+xml;charset=UTF-8\r\n\r\n{body}"));
        let patience = self.patience;
        let answer =
            tokio::time::timeout(patience, self.exchange(text.as_bytes())).await.unwrap_or(Err(Broken::Silent));
        match &answer {
            Ok(answer) => {
                if answer.header("Connection") == Some("close") {
                    self.stream = None;
                }
                if let Some(challenge) = answer.header("WWW-Authenticate") {
                    (self.challenge, self.nc) = (Some(challenge.to_owned()), 0);
                }
            }
            Err(_) => self.stream = None,
        }
        answer
    }

    async fn exchange(&mut self, bytes: &[u8]) -> Result<Answer, Broken> {
        if self.stream.is_none() {
            self.connects += 1;
            let tcp = TcpStream::connect(self.address).await.map_err(|_| Broken::Refused)?;
            self.stream = Some(match &self.tls {
                None => Box::new(tcp),
                Some(tls) => {
                    let name = tokio_rustls::rustls::pki_types::ServerName::try_from("n1.example.com").unwrap();
                    Box::new(tls.connect(name, tcp).await.map_err(|_| Broken::Refused)?)
                }
            });
        }
        let stream = self.stream.as_mut().unwrap();
        stream.write_all(bytes).await.map_err(|_| Broken::Closed)?;
        let mut got = Vec::new();
        loop {
            if let Some(answer) = parse(&got)? {
                return Ok(answer);
            }
            match stream.read_buf(&mut got).await {
                Ok(count) if count > 0 => {}
                _ if got.is_empty() => return Err(Broken::Closed),
                _ => return Err(if got.starts_with(b"HTTP/1.1 ") { Broken::Truncated } else { Broken::NoHttp }),
            }
        }
    }

    pub async fn get(&mut self, class: &str) -> Answer {
        let resource = uri(class);
        self.post(&envelope(&format!("{TRANSFER}/Get"), &resource, "", "")).await.unwrap()
    }

    /// The answer to a Get with a selector.
    pub async fn get_one(&mut self, class: &str, name: &str, value: &str) -> Answer {
        let set = format!("<w:SelectorSet><w:Selector Name=\"{name}\">{value}</w:Selector></w:SelectorSet>");
        self.post(&envelope(&format!("{TRANSFER}/Get"), &uri(class), &set, "")).await.unwrap()
    }

    pub async fn put(&mut self, class: &str, fields: &str) -> Answer {
        let resource = uri(class);
        let body = format!("<p:{class} xmlns:p=\"{resource}\">{fields}</p:{class}>");
        self.post(&envelope(&format!("{TRANSFER}/Put"), &resource, "", &body)).await.unwrap()
    }

    pub async fn invoke(&mut self, class: &str, method: &str, fields: &str) -> Answer {
        let resource = uri(class);
        let body = format!("<p:{method}_INPUT xmlns:p=\"{resource}\">{fields}</p:{method}_INPUT>");
        self.post(&envelope(&format!("{resource}/{method}"), &resource, "", &body)).await.unwrap()
    }

    /// The ReturnValue of a method.
    pub async fn call(&mut self, class: &str, method: &str, fields: &str) -> u32 {
        self.invoke(class, method, fields).await.text("ReturnValue").parse().unwrap()
    }

    pub async fn enumerate(&mut self, class: &str, mode: &str) -> Answer {
        let body = format!("<n:Enumerate>{mode}</n:Enumerate>");
        self.post(&envelope(&format!("{ENUMERATION}/Enumerate"), &uri(class), "", &body)).await.unwrap()
    }

    pub async fn pull(&mut self, class: &str, context: &str, most: &str) -> Answer {
        let body = format!("<n:Pull><n:EnumerationContext>{context}</n:EnumerationContext>{most}</n:Pull>");
        self.post(&envelope(&format!("{ENUMERATION}/Pull"), &uri(class), "", &body)).await.unwrap()
    }

    /// All answers of an enumeration read to its end.
    pub async fn pull_all(&mut self, class: &str) -> Vec<Answer> {
        let begun = self.enumerate(class, "").await;
        let mut context = begun.text("EnumerationContext");
        let mut answers = Vec::new();
        loop {
            let answer = self.pull(class, &context, "<n:MaxElements>999</n:MaxElements>").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let end = answer.has("EndOfSequence");
            if !end {
                context = answer.text("EnumerationContext");
            }
            answers.push(answer);
            if end {
                return answers;
            }
        }
    }

    pub async fn power(&mut self) -> u16 {
        self.get("CIM_AssociatedPowerManagementService").await.text("PowerState").parse().unwrap()
    }

    pub async fn available(&mut self) -> Vec<u16> {
        let texts = self.get("CIM_AssociatedPowerManagementService").await.texts("AvailableRequestedPowerStates");
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    pub async fn request_power(&mut self, number: u16) -> u32 {
        let system = epr("ManagedElement", "CIM_ComputerSystem", "Name", "ManagedSystem");
        let fields = format!("<p:PowerState>{number}</p:PowerState>{system}");
        self.call("CIM_PowerManagementService", "RequestPowerStateChange", &fields).await
    }

    pub async fn order(&mut self, source: Option<&str>) -> u32 {
        let source =
            source.map(|name| epr("Source", "CIM_BootSourceSetting", "InstanceID", &format!("Intel(r) AMT: {name}")));
        self.call("CIM_BootConfigSetting", "ChangeBootOrder", &source.unwrap_or_default()).await
    }

    pub async fn role(&mut self, role: u32) -> u32 {
        let config =
            epr("BootConfigSetting", "CIM_BootConfigSetting", "InstanceID", "Intel(r) AMT: Boot Configuration 0");
        self.call("CIM_BootService", "SetBootConfigRole", &format!("{config}<p:Role>{role}</p:Role>")).await
    }
}

/// A parameter that refers to an instance.
pub fn epr(parameter: &str, class: &str, selector: &str, value: &str) -> String {
    format!(
        "<p:{parameter}><a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters><w:ResourceURI>{}</w:ResourceURI>\
         <w:SelectorSet><w:Selector Name=\"{selector}\">{value}</w:Selector></w:SelectorSet></a:ReferenceParameters>\
         </p:{parameter}>",
        uri(class)
    )
}

pub fn uri(class: &str) -> String {
    let base = match &class[..4] {
        "AMT_" => "http://intel.com/wbem/wscim/1/amt-schema/1/",
        "IPS_" => "http://intel.com/wbem/wscim/1/ips-schema/1/",
        _ => "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/",
    };
    format!("{base}{class}")
}

pub fn envelope(action: &str, resource: &str, header: &str, body: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
         xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" xmlns:n=\"{ENUMERATION}\" \
         xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\"><s:Header><a:Action>{action}</a:Action>\
         <a:To>/wsman</a:To><w:ResourceURI>{resource}</w:ResourceURI><a:MessageID>42</a:MessageID><a:ReplyTo>\
         <a:Address>{ANONYMOUS}</a:Address></a:ReplyTo>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )
}

pub fn identify() -> String {
    "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"><s:Header/><s:Body>\
     <i:Identify xmlns:i=\"http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd\"/></s:Body></s:Envelope>"
        .to_owned()
}

/// One whole answer, if it is there.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, Broken> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| Broken::NoHttp)?.to_owned();
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|text| text.parse().ok());
    let mut answer = Answer { status: status.ok_or(Broken::NoHttp)?, head, body: String::new(), sizes: Vec::new() };
    let mut rest = &bytes[end + 4..];
    if let Some(length) = answer.header("Content-Length") {
        let length: usize = length.parse().map_err(|_| Broken::NoHttp)?;
        answer.body = match rest.get(..length) {
            Some(body) => String::from_utf8_lossy(body).into_owned(),
            None => return Ok(None),
        };
        return Ok(Some(answer));
    }
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let size = String::from_utf8_lossy(&rest[..line]).into_owned();
        let length = usize::from_str_radix(&size, 16).map_err(|_| Broken::NoHttp)?;
        answer.sizes.push(size);
        let Some(chunk) = rest.get(line + 2..line + 2 + length + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..length]);
        rest = &rest[line + 2 + length + 2..];
        if length == 0 {
            answer.body = String::from_utf8_lossy(&body).into_owned();
            return Ok(Some(answer));
        }
    }
}
