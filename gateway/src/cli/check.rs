//! `uketsuke check`

use super::out::say;
use super::store::order;
use super::{Common, Lang, fail};
use crate::check::{self, Finding, Grade};
use crate::config::{Config, ConfigError, LastRun, left_out};
use crate::exit;
use crate::operator::Order;
use clap::Args;
use std::path::Path;

#[derive(Args)]
pub(super) struct Check {
    /// Language of the sentences about the connections to the central system and the MQTT broker
    #[arg(long, value_enum, default_value = "en")]
    lang: Lang,
    /// First delete the certificate, key, authorities and lists that worked before and stand in for files that cannot be used; also while
    /// the gateway runs. How new the revocation lists were that it has seen stays known
    #[arg(long)]
    forget_former: bool,
    #[command(flatten)]
    common: Common,
}

impl Check {
    pub(super) fn execute(self) -> u8 {
        let json = self.common.json;
        let config = match Config::load(&self.common.config) {
            Ok(config) => config,
            Err(error) => return fail(json, exit::CONFIG, &unreadable(&self.common.config, &error)),
        };
        let mut findings = Vec::new();
        if self.forget_former {
            match super::block_on(order(&self.common.config, Order::ForgetFormer)) {
                Ok(Ok(_)) => findings.push(forgotten()),
                Ok(Err(error)) => return fail(json, error.exit_code(), &error),
                Err(error) => return fail(json, exit::GAVE_UP, &error),
            }
        }
        match super::block_on(check::all(&config, self.lang.into())) {
            Ok(found) => findings.extend(found),
            Err(error) => return fail(json, exit::GAVE_UP, &error),
        }
        findings.extend(left_out(&self.common.config).iter().map(|path| unread(path)));
        for finding in &findings {
            if json {
                say!("{}", serde_json::json!(finding));
            } else {
                let mark = match finding.grade {
                    Grade::Ok => "ok  ",
                    Grade::Warning => "warn",
                    Grade::Fatal => "FAIL",
                };
                say!("{mark}  {:<15}  {}", finding.check, finding.text);
            }
        }
        if findings.iter().any(|finding| finding.grade == Grade::Fatal) { exit::FAILED } else { exit::OK }
    }
}

fn unread(path: &Path) -> Finding {
    let text = format!("{} is not read, because its name does not end in .toml: rename or remove it", path.display());
    Finding { check: "configuration", grade: Grade::Warning, text }
}

fn forgotten() -> Finding {
    let text = "what worked before is deleted; the files alone are used".into();
    Finding { check: "former material", grade: Grade::Ok, text }
}

/// What is wrong with the configuration, and which one is used meanwhile.
fn unreadable(path: &Path, error: &ConfigError) -> String {
    let last = async {
        match LastRun::of(path) {
            Some(last) => last.former(None).await.map(Some),
            None => Ok(None),
        }
    };
    let Ok(former) = super::block_on(last) else { return error.to_string() };
    match former {
        Ok(Some(former)) if former.files.parse().is_ok() => {
            let place = former.store.display();
            match check::running::ask(&former.store) {
                Some(Ok(running)) => format!(
                    "{error}\nthe running gateway uses the configuration of {}, and a start would use it again: it is the one that ran last, \
                     kept in {place}",
                    crate::central::moment(running.started_ms)
                ),
                _ => {
                    format!("{error}\na gateway that starts now uses the configuration that ran last, kept in {place}")
                }
            }
        }
        Err(why) => format!("{error}\nthe configuration that ran last cannot be read now: {why}"),
        Ok(_) => format!("{error}\na gateway cannot start without it: no configuration that ran before is kept"),
    }
}
