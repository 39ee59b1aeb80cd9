//! `plugfish health`: whether a daemon answers, as the health check of a container image without other tools.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use reqwest::Client;

use super::output::print;

/// A daemon that is well answers in microseconds; one that takes longer than this is stuck.
const DEADLINE: Duration = Duration::from_secs(3);

/// `plugfish health`.
#[derive(Debug, Args)]
pub struct Health {
    /// Where the daemon serves. Of HTTPS the certificate is not looked at: nothing secret is sent.
    #[arg(long, env = "PLUGFISH_URL", default_value = "http://127.0.0.1:8000", value_name = "URL")]
    pub url: String,
}

/// Asks `/healthz`; anything but 200 is an error.
pub async fn health(options: &Health) -> Result<()> {
    let url = format!("{}/healthz", options.url.trim_end_matches('/'));
    let client = Client::builder().timeout(DEADLINE).no_proxy().tls_danger_accept_invalid_certs(true);
    let client = client.build().context("cannot make an HTTP client")?;
    let answer = client
        .get(&url)
        .send()
        .await
        .with_context(|| format!("no plugfish answers at {url}; is it running, and is --url right?"))?;
    ensure!(answer.status().is_success(), "{url} answered {}", answer.status());
    print("ok\n");
    Ok(())
}
