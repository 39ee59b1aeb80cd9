//! The connection to a running daemon: credentials, trusted certificates, and error messages for its answers.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::Remote;
use crate::text;

/// A daemon on the LAN answers in milliseconds; this is for one that is stuck.
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

/// How long a stream of events may be read. It is begun again after that.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3600);

/// There is nothing at a path of the daemon.
#[derive(Debug, thiserror::Error)]
#[error("there is nothing at {0}; it may be an older plugfish, or none at all")]
pub(super) struct NotThere(String);

/// No answer: a daemon that is not there, or that restarts.
#[derive(Debug, thiserror::Error)]
#[error("no plugfish answers at {0}; is it running, and is --url right?")]
pub(super) struct Away(String);

/// It does not know the credentials, or not any more the session.
#[derive(Debug, thiserror::Error)]
#[error("{url} does not know this user name and password ({username}); give them with --username and --password-file")]
pub(super) struct Unknown {
    url: String,
    username: String,
}

/// A session that was opened.
struct Session {
    token: SecretString,
    path: String,
}

/// A running daemon.
pub(super) struct Daemon {
    client: Client,
    /// Where it serves, without a slash at the end.
    pub url: String,
    username: String,
    password: SecretString,
    session: Option<Session>,
}

impl Daemon {
    /// The daemon that the options name. Nothing is sent yet.
    pub(super) fn new(remote: &Remote) -> Result<Daemon> {
        let password = match &remote.password_file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the password in {}", path.display()))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
            None => std::env::var("PLUGFISH_PASSWORD").context(
                "no password: give a file with --password-file, or set PLUGFISH_PASSWORD or PLUGFISH_PASSWORD_FILE",
            )?,
        };
        let mut client = Client::builder().timeout(REQUEST_DEADLINE).no_proxy();
        if let Some(path) = &remote.cacert {
            let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let bundle = Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} has no certificate in it", path.display()))?;
            client = client.tls_certs_only(bundle);
        }
        Ok(Daemon {
            client: client.build().context("cannot make an HTTP client")?,
            url: remote.url.trim_end_matches('/').to_owned(),
            username: remote.username.clone(),
            password: password.into(),
            session: None,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.session {
            Some(session) => request.header("X-Auth-Token", session.token.expose_secret()),
            None => request.basic_auth(&self.username, Some(self.password.expose_secret())),
        }
    }

    /// Sends it; an answer that is no success is an error in words.
    async fn send(&self, request: RequestBuilder, path: &str) -> Result<Response> {
        let response = request.send().await.with_context(|| Away(self.url.clone()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let url = self.url.clone();
        let body = said(response).await;
        let said = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("it gave no reason");
        match status {
            StatusCode::UNAUTHORIZED => Err(Unknown { url, username: self.username.clone() }.into()),
            StatusCode::NOT_FOUND => Err(NotThere(format!("{url}{path}")).into()),
            StatusCode::FORBIDDEN => bail!("{} may not do this: {said}", self.username),
            status => bail!("{url} answered {status}: {said}"),
        }
    }

    /// Asks, and reads the answer.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Ok(said(self.send(request, path).await?).await)
    }

    /// Opens the stream of events. With `after`, what has happened since the event of that id comes first.
    pub(super) async fn stream(&self, after: Option<&str>) -> Result<Response> {
        let path = "/redfish/v1/EventService/SSE";
        let request = self.request(Method::GET, path).header("Accept", "text/event-stream").timeout(STREAM_MAX);
        let request = after.into_iter().fold(request, |request, id| request.header("Last-Event-ID", id));
        self.send(request, path).await
    }

    /// Opens a session, for repeated requests. An open one is dropped.
    pub(super) async fn log_in(&mut self) -> Result<()> {
        let path = "/redfish/v1/SessionService/Sessions";
        self.session = None;
        let body = json!({ "UserName": self.username, "Password": self.password.expose_secret() });
        let request = self.client.post(format!("{}{path}", self.url)).json(&body);
        let response = self.send(request, path).await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (Some(token), Some(location)) = (header("X-Auth-Token"), header("Location")) else {
            bail!("{} opened a session without naming it; is it a plugfish?", self.url);
        };
        let path = location.strip_prefix(&self.url).unwrap_or(&location).to_owned();
        self.session = Some(Session { token: token.into(), path });
        Ok(())
    }

    /// Closes the session. One that cannot be closed runs out by itself.
    pub(super) async fn log_out(&mut self) {
        if let Some(path) = self.session.as_ref().map(|session| session.path.clone()) {
            let _ = self.ask(Method::DELETE, &path, None).await;
            self.session = None;
        }
    }

    /// The system of a node.
    pub(super) async fn system(&self, node: &str) -> Result<Value> {
        self.of_node(node, &format!("/redfish/v1/Systems/{node}")).await
    }

    /// What is at a path of a node. When nothing is there, the error says which nodes there are.
    pub(super) async fn of_node(&self, node: &str, path: &str) -> Result<Value> {
        match self.ask(Method::GET, path, None).await {
            Err(error) if error.is::<NotThere>() => {
                let names = self.nodes().await?;
                if names.iter().any(|name| name == node) {
                    return Err(error);
                }
                bail!("there is no node {node}; there are: {}", names.join(", "))
            }
            answer => answer,
        }
    }

    /// The names of the nodes.
    pub(super) async fn nodes(&self) -> Result<Vec<String>> {
        let name = |member: &Value| Some(member.get("@odata.id")?.as_str()?.rsplit('/').next()?.to_owned());
        Ok(self.members("/redfish/v1/Systems").await?.iter().filter_map(name).collect())
    }

    /// The members of a collection, on however many pages they are.
    pub(super) async fn members(&self, path: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        while let Some(path) = next {
            let mut page = self.ask(Method::GET, &path, None).await?;
            next = page.get("Members@odata.nextLink").and_then(Value::as_str).map(str::to_owned);
            match page.get_mut("Members").map(Value::take) {
                Some(Value::Array(members)) if !members.is_empty() => all.extend(members),
                // A page without members could lead on for ever.
                _ => break,
            }
        }
        Ok(all)
    }
}

/// What a daemon says, harmless for a terminal: it may be another one than it should be.
async fn said(response: Response) -> Value {
    let mut body = response.json().await.unwrap_or(Value::Null);
    text::clean_json(&mut body);
    body
}
