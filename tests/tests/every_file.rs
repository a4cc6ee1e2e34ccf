//! Every file of the configuration with every accident: whether the gateway starts, what works, and what is said. Prints a table.
//!
//! The gateway has worked with good files before. What becomes of a first start with a bad file of the line stands in `bad_files.rs`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use uketsuke_tests::damage::Damage::{
    Directory, Empty, EmptyAndWrongMode, Foreign, HalfWritten, Marked, Missing, NoAccess, Pipe, ShiftJis,
    WrongEncoding, WrongMode, Zeros,
};
use uketsuke_tests::damage::{Damage, Good, site, until_kept, until_line};
use uketsuke_tests::patient::PatientCard;
use uketsuke_tests::scene::{PIN, STEP, Scene};
use uketsuke_tests::site::until;

const READER: &str = "desk-1/a";

/// What is to come of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// All works, and nothing has to be said.
    Well,
    /// All works, with what worked before.
    Former,
    /// Patients are received; the line stays down.
    LineDown,
    /// It starts, and something less important is said.
    Less,
    /// It does not start.
    Refused,
}

use Comes::{Former, Less, LineDown, Refused, Well};

/// The accidents in this order: the last one may leave a good file that lacks what was there.
const DAMAGES: [Damage; 13] = [
    Missing,
    Empty,
    HalfWritten,
    Zeros,
    Directory,
    Pipe,
    NoAccess,
    WrongEncoding,
    ShiftJis,
    Marked,
    WrongMode,
    EmptyAndWrongMode,
    Foreign,
];

/// A file, one of its kind that belongs elsewhere, and what comes of each accident: of those in which nothing of it can be read (8), of a
/// remark in Shift_JIS, a byte order mark, a wrong mode, no content under a wrong mode, and of the file from elsewhere.
type Row = (&'static str, &'static str, [Comes; 8], [Comes; 5]);

const ROWS: [Row; 9] = [
    ("uketsuke.toml", "pki/gateway.pem", [Former; 8], [Former, Well, Well, Former, Former]),
    // A terminal whose file is gone is no terminal of this site any more.
    (
        "terminals.d/desk-2.toml",
        "pki/gateway.pem",
        [Well, Former, Former, Former, Former, Former, Former, Former],
        [Former, Well, Well, Former, Former],
    ),
    ("keys/store.key", "other.key", [Refused; 8], [Refused, Well, Refused, Refused, Refused]),
    ("pki/gateway.pem", "pki/other-client.pem", [Former; 8], [Well, Well, Well, Former, LineDown]),
    ("pki/gateway.key", "pki/other-client.key", [Former; 8], [Well, Well, LineDown, Former, LineDown]),
    ("line-ca.pem", "pki/other-ca.pem", [Former; 8], [Well, Well, Well, Former, LineDown]),
    ("pki/link-crl.pem", "pki/gateway.pem", [Former; 8], [Well, Well, Well, Former, Former]),
    ("pki/card-ca.der", "pki/gateway.pem", [Former; 8], [Former, Well, Well, Former, Former]),
    // Its content says nothing.
    ("clock-synchronised", "pki/gateway.pem", [Less, Well, Well, Well, Well, Well, Well, Well], [Well; 5]),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_befalls_a_file_of_the_configuration_only_the_stores_key_stops_a_start() -> Result<()> {
    let mut scene = site()?;
    second_terminal(&scene)?;
    // The simulator reads that of the folder, and would wait for a pipe.
    std::fs::copy(scene.dir().join("pki/link-ca.pem"), scene.dir().join("line-ca.pem"))?;
    scene.site.reconfigure("ca_file = \"pki/link-ca.pem\"", "ca_file = \"line-ca.pem\"")?;
    scene.site.run_as_ordinary_user()?;
    scene.site.start_gateway()?;
    until_kept(&scene, 1)?;
    ensure!(scene.site.stop_gateway()? == Some(0));
    std::fs::write(scene.dir().join("other.key"), other_key(&scene)?)?;
    let mut kept = 1;
    let mut table = String::from("| file | accident | starts | line | patient | said |\n|---|---|---|---|---|---|\n");
    for (file, foreign, unreadable, others) in ROWS {
        for (damage, comes) in DAMAGES.into_iter().zip(unreadable.into_iter().chain(others)) {
            let case = format!("{file} {damage:?}");
            let path = scene.dir().join(file);
            let (good, owner) = (Good::of(&path)?, owner(&path)?);
            // Issued before: the development PKI makes a new authority where the file is missing.
            let card = scene.card(&format!("TEST-VALID-{}", uuid::Uuid::new_v4().simple()))?;
            damage.inflict(&path, &scene.dir().join(foreign))?;
            let _ = std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1));
            let line = if comes == Refused {
                refused(&scene, file).with_context(|| case.clone())?
            } else {
                started(&mut scene, file, comes, &card).await.with_context(|| case.clone())?
            };
            writeln!(table, "| {file} | {damage:?} | {line} |")?;
            good.restore(&path)?;
            std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1))?;
            if comes != Refused {
                until_line(&scene, true).with_context(|| case.clone())?;
                // A good file of other authorities has taken ours away: they count again once they have worked again.
                if (file, damage) == ("line-ca.pem", Foreign) {
                    kept += 1;
                    until_kept(&scene, kept)?;
                }
                ensure!(scene.site.stop_gateway()? == Some(0), "{case}");
            }
        }
    }
    println!("{table}");
    Ok(())
}

fn owner(path: &Path) -> Result<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path)?;
    Ok((found.uid(), found.gid()))
}

fn second_terminal(scene: &Scene) -> Result<()> {
    let mut slot = scene.site.slot("desk-1/b")?;
    slot.set_port(slot.port() + 100);
    std::fs::create_dir(scene.dir().join("terminals.d"))?;
    let text = format!("name = \"desk-2\"\n[[reader]]\nname = \"a\"\ndriver = \"virtual\"\nslot = \"{slot}\"\n");
    Ok(std::fs::write(scene.dir().join("terminals.d/desk-2.toml"), text)?)
}

/// The key file of another store.
fn other_key(scene: &Scene) -> Result<Vec<u8>> {
    let path: PathBuf = scene.dir().join("made.key");
    uketsuke::store::Keys::create(&path)?;
    Ok(std::fs::read(path)?)
}

fn refused(scene: &Scene, file: &str) -> Result<String> {
    let (code, said) = scene.ended(&["run"])?;
    ensure!(matches!(code, Some(64 | 74)), "{code:?} {said}");
    let last = said.trim().lines().last().unwrap_or_default();
    let name = file.rsplit('/').next().unwrap_or_default();
    ensure!(last.contains(name) || last.contains("key"), "{said}");
    Ok(format!("no: {} | – | – | {}", code.unwrap_or_default(), short(scene, last)))
}

async fn started(scene: &mut Scene, file: &str, comes: Comes, card: &PatientCard) -> Result<String> {
    scene.site.start_gateway()?;
    // A pair is named by its certificate, and authorities that are of another network by their key in the configuration.
    let name = Path::new(file).file_stem().and_then(|stem| stem.to_str()).context("a name")?;
    until_line(scene, comes != LineDown)?;
    let told = |health: &Value| {
        let parts = health["parts"].as_array().cloned().unwrap_or_default();
        let said = parts.iter().filter(|part| part["ok"] == false && part["name"] != "mqtt");
        let said = said.filter_map(|part| part["detail"].as_str().map(str::to_owned));
        // The development list ends tomorrow, which is said all along.
        let said = said.filter(|said| !said.starts_with("the revocation list expires") || said.contains("former"));
        said.collect::<Vec<_>>().join("; ")
    };
    if comes != Well {
        let names = |said: String| {
            ["central.ca_file", "synchronised_marker", "ran last", name].iter().any(|word| said.contains(word))
        };
        let named = |health: Value| names(told(&health));
        until(STEP, "it is said", || scene.health().is_ok_and(named))
            .with_context(|| format!("{:?}", scene.health()))?;
    }
    let health = scene.health()?;
    ensure!(health["ok"] == true, "{health}");
    let said = told(&health);
    ensure!(comes != Well || said.is_empty(), "{said}");
    ensure!(!matches!(comes, Former) || said.contains("former") || said.contains("ran last"), "{said}");
    let visit = scene.check_in(READER, card, PIN).await?;
    let text = visit.ending.text();
    let (patient, words) = match comes {
        LineDown => ("provisional", "あとで自動的に行います"),
        _ => ("confirmed", "受付が完了しました"),
    };
    ensure!(text.contains(words), "{text}");
    let line = if comes == LineDown { "down" } else { "up" };
    Ok(format!("yes | {line} | {patient} | {}", short(scene, &said)))
}

/// Without the folder of this run.
fn short(scene: &Scene, said: &str) -> String {
    said.replace(&format!("{}/", scene.dir().display()), "")
        .replace('|', "/")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
