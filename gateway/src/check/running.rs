//! What the gateway that runs uses, beside what this check found in the files.

use super::{Finding, Grade};
use crate::central::moment;
use crate::config::Config;
use crate::operator::{self, Order, Told};
use crate::running::{LineMaterial, Running};
use crate::store;
use std::path::Path;
use uketsuke_core::explain::Lang;

/// Asks the gateway that runs with this database; `None` when none does.
pub fn ask(database: &Path) -> Option<Result<Running, String>> {
    if !store::in_use(database) {
        return None;
    }
    Some(match operator::ask(database, Order::ShowRunning) {
        Ok(Told::Running(running)) => Ok(*running),
        Ok(Told::Refused { error }) => Err(error),
        Ok(_) => Err("it answered something else; is it of another version?".into()),
        Err(error) => Err(error.to_string()),
    })
}

/// In words: what it uses, and how the files differ from that.
pub(super) fn findings(asked: &Result<Running, String>, judged: &Config, lang: Lang) -> Vec<Finding> {
    match asked {
        Ok(running) => {
            let found = [configuration(running, judged), certificates(&running.line, lang)];
            found.into_iter().chain(trouble(&running.line, lang)).collect()
        }
        Err(error) => vec![Finding {
            check: "running",
            grade: Grade::Warning,
            text: format!(
                "a gateway runs with this database and does not say what it uses ({error}); everything here is about the files"
            ),
        }],
    }
}

fn configuration(running: &Running, judged: &Config) -> Finding {
    let of = format!("the running gateway uses the configuration of {}", moment(running.started_ms));
    let file = running.path.display();
    let changed = match running.files.parse() {
        Ok(used) => used.changed_sections(judged),
        Err(_) => Vec::new(),
    };
    let (grade, text) = match (&running.alarm, changed.is_empty()) {
        (None, true) => (Grade::Ok, format!("{of}, which is that of the file")),
        (None, false) => (
            Grade::Warning,
            format!(
                "{of}; the file has changed since in sections {}, and this check judges the file; restart the gateway to use it",
                changed.join(", ")
            ),
        ),
        (Some(alarm), _) => {
            let differs = if changed.is_empty() {
                "the file says the same now".to_owned()
            } else {
                format!("the file differs in sections {}, and this check judges the file", changed.join(", "))
            };
            let text = format!(
                "{of}, the one that ran last, for {file} could not be used then ({alarm}); {differs}; restart the gateway to use it"
            );
            (Grade::Warning, text)
        }
    };
    Finding { check: "running configuration", grade, text }
}

/// This check looks at the line by a connection of its own, which may fare better.
fn trouble(line: &LineMaterial, lang: Lang) -> Option<Finding> {
    let why = line.trouble.as_ref()?.pick(lang);
    let text = match lang {
        Lang::Ja => format!("動作中のゲートウェイの回線は正常ではありません(以下の検査は別の接続で行います): {why}"),
        Lang::En => {
            format!(
                "the line of the running gateway does not work well (what follows is tried on a connection apart): {why}"
            )
        }
    };
    Some(Finding { check: "running line", grade: Grade::Warning, text })
}

fn certificates(line: &LineMaterial, lang: Lang) -> Finding {
    let check = "running certificates";
    let since = line.taken_ms.map(moment).unwrap_or_default();
    let (grade, text) = match (&line.former, &line.refused, &line.untried, line.taken_ms) {
        (Some(former), ..) => (Grade::Warning, former.said().pick(lang).to_owned()),
        (None, Some(refused), _, None) => (Grade::Warning, closed(refused.pick(lang), lang)),
        (None, Some(why), ..) | (None, None, Some(why), _) => {
            (Grade::Warning, not_the_files(&since, why.pick(lang), lang))
        }
        (None, None, None, _) => (Grade::Ok, the_files(&since, lang)),
    };
    Finding { check, grade, text }
}

fn the_files(since: &str, lang: Lang) -> String {
    match lang {
        Lang::Ja => format!("動作中のゲートウェイは {since} から、今のファイルを使っています"),
        Lang::En => format!("the running gateway uses the files as they are, since {since}"),
    }
}

fn not_the_files(since: &str, why: &str, lang: Lang) -> String {
    match lang {
        Lang::Ja => format!("動作中のゲートウェイは {since} からのものを使い、今のファイルは使っていません: {why}"),
        Lang::En => {
            format!("the running gateway uses what it took at {since}, and not the files as they are now: {why}")
        }
    }
}

fn closed(why: &str, lang: Lang) -> String {
    match lang {
        Lang::Ja => format!("動作中のゲートウェイは回線のファイルを使えず、受付は仮受付になっています: {why}"),
        Lang::En => format!("the running gateway can use nothing on the line, so receptions are provisional: {why}"),
    }
}
