//! A member of staff at the staff page.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The staff page's orders, as its script sends them.
#[derive(Clone, Copy)]
pub struct Staff {
    web: SocketAddr,
}

impl Staff {
    /// Staff at the page of this gateway.
    pub fn at(web: SocketAddr) -> Self {
        Self { web }
    }

    /// 目視確認: decides whether the patient of `reception` at `terminal/reader` is the person on the card.
    pub async fn decide(self, reader: &str, reception: &str, same: bool) -> Result<()> {
        let (terminal, reader) = reader.split_once('/').context("a reader is terminal/reader")?;
        let decision = if same { "same_person" } else { "not_same_person" };
        let order = json!({ "terminal": terminal, "reader": reader, "reception": reception, "decision": decision, "by": "staff-1" });
        self.post("/staff/decision", order).await
    }

    /// Asks for a reader to be started again.
    pub async fn restart(self, reader: &str) -> Result<()> {
        let (terminal, reader) = reader.split_once('/').context("a reader is terminal/reader")?;
        self.post("/staff/restart", json!({ "terminal": terminal, "reader": reader })).await
    }

    async fn post(self, path: &'static str, order: Value) -> Result<()> {
        let web = self.web;
        tokio::task::spawn_blocking(move || {
            let response = ureq::post(format!("http://{web}{path}"))
                .config()
                .http_status_as_error(false)
                .build()
                .header("origin", format!("http://{web}"))
                .send_json(order)?;
            if !response.status().is_success() {
                bail!("{path} answered {}", response.status());
            }
            Ok(())
        })
        .await?
    }
}
