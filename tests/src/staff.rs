//! A member of staff at the staff page.

use crate::central::Numbers;
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// Who is at the desk.
const STAFF: &str = "staff-1";

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
        let order = json!({ "terminal": terminal, "reader": reader, "reception": reception, "decision": decision, "by": STAFF });
        self.post("/staff/decision", order).await.map(drop)
    }

    /// Asks for a reader to be started again.
    pub async fn restart(self, reader: &str) -> Result<()> {
        let (terminal, reader) = reader.split_once('/').context("a reader is terminal/reader")?;
        self.post("/staff/restart", json!({ "terminal": terminal, "reader": reader })).await.map(drop)
    }

    /// Receives a patient by the numbers on a 資格確認書; returns the reception.
    pub async fn receive(self, numbers: &Numbers) -> Result<String> {
        let order = json!({
            "by": STAFF, "kind": "eligibility_certificate", "insurer_number": numbers.insurer, "symbol": numbers.symbol,
            "number": numbers.number, "branch": numbers.branch, "birthdate": numbers.birthdate, "valid_until": "",
            "limit_certificate": false,
        });
        let told = self.post("/staff/document", order).await?;
        Ok(told["reception"].as_str().context("the desk names the reception")?.to_owned())
    }

    /// Opens the page and leaves it open. Once it is gone: whether these words stood on it.
    pub async fn watch(self, words: &'static str) -> Result<JoinHandle<bool>> {
        let web = self.web;
        let mut request = format!("ws://{web}/staff/ws?lang=ja").into_client_request()?;
        request.headers_mut().insert("origin", format!("http://{web}").parse()?);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.context("opening the staff page")?;
        Ok(tokio::spawn(async move {
            let mut stood = false;
            while let Some(Ok(message)) = socket.next().await {
                stood |= matches!(message, Message::Text(text) if text.contains(words));
            }
            stood
        }))
    }

    /// Does something to the case of a reception, as its page shows it now.
    pub async fn act(self, reception: &str, what: &str, fields: Value) -> Result<()> {
        let path = format!("/staff/case/{reception}");
        let address = format!("http://{}{path}", self.web);
        let page =
            tokio::task::spawn_blocking(move || ureq::get(address).call()?.body_mut().read_to_string()).await??;
        let (_, turn) = page.split_once("name=\"turn\" value=\"").context("the page can be acted upon")?;
        let turn = turn.split('"').next().unwrap_or_default().parse::<u32>()?;
        let mut order = json!({ "by": STAFF, "turn": turn, "what": what });
        for (name, value) in fields.as_object().into_iter().flatten() {
            order[name] = value.clone();
        }
        self.post(&path, order).await.map(drop)
    }

    async fn post(self, path: &str, order: Value) -> Result<Value> {
        let (web, path) = (self.web, path.to_owned());
        tokio::task::spawn_blocking(move || {
            let mut response = ureq::post(format!("http://{web}{path}"))
                .config()
                .http_status_as_error(false)
                .build()
                .header("origin", format!("http://{web}"))
                .send_json(order)?;
            if !response.status().is_success() {
                bail!("{path} answered {}", response.status());
            }
            Ok(response.body_mut().read_json()?)
        })
        .await?
    }
}
