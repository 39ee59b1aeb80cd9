//! The control API of the simulated rack, over a connection per question.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The rack, seen through its control API.
pub struct Rack {
    address: String,
}

/// What the control API says of a plug.
pub struct Plug {
    pub name: String,
    pub model: String,
    pub variant: String,
    pub address: String,
    pub outlets: u8,
}

impl Rack {
    pub fn new(control: &str) -> Rack {
        Rack { address: control.trim_start_matches("http://").trim_end_matches('/').to_owned() }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(&self.address).await.context("the control API")?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: rack\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer from the control API")?;
        ensure!(head.starts_with("HTTP/1.1 200 "), "{method} {path}: {body}");
        Ok(serde_json::from_str(body)?)
    }

    pub async fn plugs(&self) -> Result<Vec<Plug>> {
        let list = self.ask("GET", "/plugs", "").await?;
        let text = |plug: &Value, field: &str| plug[field].as_str().map(str::to_owned).context("a field is missing");
        let plugs = list.as_array().context("no list of plugs")?.iter().map(|plug| {
            Ok(Plug {
                name: text(plug, "name")?,
                model: text(plug, "model")?,
                variant: text(plug, "variant")?,
                address: text(plug, "address")?,
                outlets: u8::try_from(plug["outlets"].as_array().context("no outlets")?.len())?,
            })
        });
        plugs.collect()
    }

    pub async fn order(&self, plug: &Plug, what: &str, body: &str) -> Result<()> {
        self.ask("POST", &format!("/plugs/{}/{what}", plug.name), body).await.map(drop)
    }

    pub async fn counter(&self, plug: &Plug, name: &str) -> Result<u64> {
        let counters = self.ask("GET", &format!("/plugs/{}/counters", plug.name), "").await?;
        counters[name].as_u64().context("no such counter")
    }

    pub async fn outlet(&self, plug: &Plug, position: u8, field: &str) -> Result<f64> {
        let description = self.ask("GET", &format!("/plugs/{}", plug.name), "").await?;
        description["outlets"][usize::from(position) - 1][field].as_f64().context("no such field of an outlet")
    }

    /// The relay is so, and it was a client that moved it last.
    pub async fn expect_client_moved(&self, plug: &Plug, position: u8, on: bool) -> Result<()> {
        let history = self.ask("GET", &format!("/plugs/{}/history?outlet={position}", plug.name), "").await?;
        let last = history.as_array().and_then(|changes| changes.last()).context("no history")?;
        ensure!(last["on"] == on && last["cause"] == "client", "outlet {position} of the board: {last}");
        Ok(())
    }
}
