//! What `uketsuke check` looks at: everything a start needs, and everything a reception uses, without changing anything.

mod broker;
pub mod running;

use crate::anchors::CardAnchors;
use crate::central::{self, CentralClient, Former, Layer, Looked, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::{self, Keys, Store, StoreConfig};
use serde::Serialize;
use uketsuke_core::explain::Lang;
use uketsuke_face::{ModelDir, models};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Patients are received, but something is missing.
    Warning,
    /// Something stays closed until a person mends it: the part that is named, or the gateway itself. The text says which.
    Fatal,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// How bad it is.
    pub grade: Grade,
    /// In words, with what to do.
    pub text: String,
}

/// Runs every check. `lang` is that of the sentences about the connections to the central system and to the broker; everything else is for
/// the person who installs, in English.
pub async fn all(config: &Config, lang: Lang) -> Vec<Finding> {
    let mut findings = vec![Finding {
        check: "configuration",
        grade: Grade::Ok,
        text: format!(
            "{}, {}",
            counted(config.terminals.len(), "terminal", "terminals"),
            counted(config.readers().count(), "reader", "readers")
        ),
    }];
    let wall = Clock::new(config.clock.synchronised_marker.clone());
    let asked = running::ask(&config.store.path);
    findings.extend(asked.iter().flat_map(|asked| running::findings(asked, config, lang)));
    let (store, former, anchors) = database(config, &wall).await;
    let trusted = || {
        counted(config.card.trust_anchors.len(), "file of authorities is trusted", "files of authorities are trusted")
    };
    findings.push(graded(
        "card anchors",
        Grade::Fatal,
        anchors.wrong().map_or_else(|| Ok(trusted()), |said| Err(said.en)),
    ));
    findings.push(store);
    findings.push(face(config));
    findings.push(clock(config));
    findings.extend(ports(config));
    findings.extend(central(config, &former, asked.is_some(), lang).await);
    if config.mqtt.enabled {
        let running = asked.as_ref().and_then(|asked| asked.as_ref().ok());
        findings.push(broker::finding(config, running.and_then(|running| running.broker.as_ref()), lang).await);
    }
    findings
}

fn counted(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

fn graded<E: std::fmt::Display>(check: &'static str, if_wrong: Grade, found: Result<String, E>) -> Finding {
    match found {
        Ok(text) => Finding { check, grade: Grade::Ok, text },
        Err(error) => Finding { check, grade: if_wrong, text: error.to_string() },
    }
}

/// The store, what it keeps of the line, and the authorities of the cards.
async fn database(config: &Config, wall: &Clock) -> (Finding, Former, CardAnchors) {
    let check = "store";
    let (path, key_file) = (&config.store.path, &config.store.key_file);
    let of_files =
        |grade, text: String| (Finding { check, grade, text }, Former::none(), CardAnchors::read(&config.card, wall));
    if !path.exists() && !key_file.exists() {
        return of_files(Grade::Ok, format!("{} and its keys will be made at the first start", path.display()));
    }
    if let Err(error) = store::look_at_lock(path) {
        return of_files(Grade::Fatal, error.to_string());
    }
    let keys = match Keys::load(key_file) {
        Ok(keys) => keys,
        Err(error) => return of_files(Grade::Fatal, error.to_string()),
    };
    let store = match Store::open_read_only(&StoreConfig::new(path), keys).await {
        Ok(store) => store,
        Err(error) => return of_files(Grade::Fatal, error.to_string()),
    };
    let former = Former::load(&store).await;
    let anchors = CardAnchors::read_with_former(&config.card, wall, &store).await;
    // It was read; nothing is written.
    let _ = store.close().await;
    let text = format!("{} opens with its keys", path.display());
    (Finding { check, grade: Grade::Ok, text }, former, anchors)
}

fn face(config: &Config) -> Finding {
    let check = "face";
    if !config.face.enabled {
        return Finding { check, grade: Grade::Ok, text: "switched off; PIN and staff look remain".into() };
    }
    let verified = models::verify(&ModelDir::new(&config.face.models_dir));
    graded(check, Grade::Warning, verified.map(|report| format!("{} files as installed", report.files.len())))
}

fn clock(config: &Config) -> Finding {
    let marker = &config.clock.synchronised_marker;
    let found = if marker.exists() {
        Ok("synchronised".to_owned())
    } else {
        Err(format!(
            "{} does not exist: the clock counts as not synchronised, so no card is refused for its dates; check the time daemon",
            marker.display()
        ))
    };
    graded("clock", Grade::Warning, found)
}

/// What `run` listens on.
fn ports(config: &Config) -> Vec<Finding> {
    let check = "ports";
    if store::in_use(&config.store.path) {
        return vec![Finding { check, grade: Grade::Ok, text: "the gateway is running and holds them".into() }];
    }
    let slots =
        config.readers().map(|(terminal, reader)| (format!("slot {}/{}", terminal.name, reader.name), reader.slot));
    let all = std::iter::once(("web.listen".to_owned(), config.web.listen)).chain(slots);
    let taken: Vec<Finding> = all
        .filter_map(|(what, address)| {
            let error = std::net::TcpListener::bind(address).err()?;
            let text =
                format!("{what}: cannot listen on {address} ({error}); stop what uses it or choose another port");
            Some(Finding { check, grade: Grade::Warning, text })
        })
        .collect();
    if taken.is_empty() {
        return vec![Finding { check, grade: Grade::Ok, text: "every address can be listened on".into() }];
    }
    taken
}

/// Every layer of the connection, and the sum: whatever is wrong with it, the gateway starts and patients are received.
async fn central(config: &Config, former: &Former, runs: bool, lang: Lang) -> Vec<Finding> {
    let clock = Clock::new(config.clock.synchronised_marker.clone());
    let looked = central::inspect_with_former(&config.central, &clock, former).await;
    let mut findings: Vec<Finding> = looked.iter().map(|looked| layer(looked, lang)).collect();
    let failed = looked.iter().find(|looked| matches!(looked.outcome, Outcome::Failed(_)));
    let status = CentralClient::with_former(&config.central, &clock, former.clone()).status().borrow().clone();
    let warnings = status.warnings(clock.stamp().wall_ms);
    findings.extend(warnings.iter().map(|said| Finding {
        check: "certificates",
        grade: Grade::Warning,
        text: match (&status.former, runs) {
            (Some(_), false) => for_a_start(said.pick(lang), lang),
            _ => said.pick(lang).to_owned(),
        },
    }));
    // Whatever the central system says about our pair, it says after the handshake.
    if status.refused.is_none() && failed.is_some_and(|looked| matches!(looked.layer, Layer::Name | Layer::Tcp)) {
        findings.push(Finding { check: "certificates", grade: Grade::Warning, text: untried(lang) });
    }
    let refused = status.refused.as_ref().filter(|_| status.former.is_none());
    let (grade, text) = match (refused, failed) {
        (Some(said), _) => (Grade::Fatal, provisional(said.pick(lang), &config.central.address, lang)),
        (None, None) => (Grade::Ok, answers(&config.central.address, lang)),
        (None, Some(looked)) if looked.layer == Layer::Clock => (Grade::Warning, looked.words(lang)),
        (None, Some(looked)) => (Grade::Warning, provisional(&looked.words(lang), &config.central.address, lang)),
    };
    findings.push(Finding { check: "central", grade, text });
    findings
}

fn for_a_start(said: &str, lang: Lang) -> String {
    match lang {
        Lang::Ja => format!("ゲートウェイは動作していません。起動した場合: {said}"),
        Lang::En => format!("no gateway runs; for one that starts: {said}"),
    }
}

fn untried(lang: Lang) -> String {
    match lang {
        Lang::Ja => "証明書ファイルは読めますが、回線が切れているため試せません。動作中のゲートウェイは、試せるまで前のものを使います".to_owned(),
        Lang::En => "the certificate files can be read but not tried, because the line is down; a running gateway uses the former ones \
                     until it has tried these"
            .to_owned(),
    }
}

fn answers(address: &str, lang: Lang) -> String {
    match lang {
        Lang::Ja => format!("{address} が応答します"),
        Lang::En => format!("{address} answers"),
    }
}

fn provisional(why: &str, address: &str, lang: Lang) -> String {
    match lang {
        Lang::Ja => format!("{why}({address})復旧するまで受付は仮受付になります"),
        Lang::En => format!("{why} ({address}); receptions will be provisional until it answers"),
    }
}

fn layer(looked: &Looked, lang: Lang) -> Finding {
    let check = match looked.layer {
        Layer::Name => "central name",
        Layer::Tcp => "central tcp",
        Layer::Tls => "central tls",
        Layer::Http2 => "central http2",
        Layer::Service => "central service",
        Layer::Application => "central answer",
        Layer::Clock => "central clock",
    };
    let grade = match looked.outcome {
        Outcome::Fine(_) => Grade::Ok,
        Outcome::Failed(_) | Outcome::NotTried => Grade::Warning,
    };
    Finding { check, grade, text: looked.words(lang) }
}
