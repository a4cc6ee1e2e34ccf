//! `uketsuke check`

use super::out::say;
use super::{Common, Lang, fail};
use crate::check::{self, Grade};
use crate::config::Config;
use crate::exit;
use clap::Args;

#[derive(Args)]
pub(super) struct Check {
    /// Language of the sentences about the connection to the central system
    #[arg(long, value_enum, default_value = "en")]
    lang: Lang,
    #[command(flatten)]
    common: Common,
}

impl Check {
    pub(super) fn execute(self) -> u8 {
        let json = self.common.json;
        let config = match Config::load(&self.common.config) {
            Ok(config) => config,
            Err(error) => return fail(json, exit::CONFIG, &error),
        };
        let findings = match super::block_on(check::all(&config, self.lang.into())) {
            Ok(findings) => findings,
            Err(error) => return fail(json, exit::GAVE_UP, &error),
        };
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
