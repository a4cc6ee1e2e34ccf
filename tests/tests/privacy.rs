//! I7 and I10: nothing that tells who a patient is, and nothing of a face, is found in what the gateway writes or says.
//!
//! Marked patients are received in every way, with our own crates at `trace`; then everything is searched for the marks. Each search
//! also has to find a mark that the test planted, or it proves nothing.

use anyhow::{Context, Result, ensure};
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use uketsuke_tests::central::{CardIdentity, ModeSpec, Population, Rates};
use uketsuke_tests::patient::{PatientCard, Way, check_in};
use uketsuke_tests::pki::{Card, CardOptions};
use uketsuke_tests::scene::{STEP, Scene, is_face_ready, named};
use uketsuke_tests::site::{Plan, portrait, until};

const READER: &str = "desk-1/a";
const PIN_DIGITS: &str = "8351";
const PIN: Way = Way::Pin(PIN_DIGITS);
/// The simulator's own seed, which decides who a card belongs to.
const SEED: u64 = 1;
/// Bytes in a row that do not occur by chance.
const WINDOW: usize = 32;

/// Something that must not be found, with a name for the report.
struct Mark {
    what: String,
    bytes: Vec<u8>,
}

fn mark(what: &str, bytes: impl Into<Vec<u8>>) -> Mark {
    Mark { what: what.to_owned(), bytes: bytes.into() }
}

/// Windows spread over a file: a copy of any larger part of it contains one of them.
fn windows(what: &str, bytes: &[u8]) -> Vec<Mark> {
    let step = (bytes.len() / 60).max(WINDOW);
    let varied = |window: &[u8]| window.iter().collect::<BTreeSet<_>>().len() > WINDOW / 2;
    (0..bytes.len().saturating_sub(WINDOW))
        .step_by(step)
        .map(|at| &bytes[at..at + WINDOW])
        // Runs of one value occur everywhere.
        .filter(|window| varied(window))
        .map(|window| mark(what, window))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A patient who can be recognised wherever a part of them turns up.
struct Patient {
    card: PatientCard,
    marks: Vec<Mark>,
}

fn patient(scene: &Scene, common_name: &str, photo: Option<&[u8]>) -> Result<Patient> {
    let options = CardOptions { common_name: Some(common_name.to_owned()), ..CardOptions::shared() };
    let issued = scene.site.pki.card(&common_name.to_lowercase(), &options)?;
    let pin: [u8; 4] = PIN_DIGITS.as_bytes().try_into()?;
    let authority = std::fs::read(scene.site.pki.card_ca_der())?;
    let card = PatientCard::new(&issued, Some(pin), &authority, photo.map(<[u8]>::to_vec))?;
    let mut marks = vec![mark("common name", common_name)];
    marks.extend(of_the_certificate(&issued)?);
    marks.extend(of_the_person(&issued, common_name)?);
    Ok(Patient { card, marks })
}

fn of_the_certificate(issued: &Card) -> Result<Vec<Mark>> {
    let serial = issued.serial_hex.clone();
    let raw: Vec<u8> =
        (0..serial.len()).step_by(2).map(|at| u8::from_str_radix(&serial[at..at + 2], 16)).collect::<Result<_, _>>()?;
    let decimal = raw.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let spaced: Vec<String> = raw.iter().map(u8::to_string).collect();
    let mut marks = vec![
        mark("serial in hex", serial.clone()),
        mark("serial in capital hex", serial.to_uppercase()),
        mark("serial in hex with colons", raw.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")),
        mark("serial in decimal", decimal.to_string()),
        mark("serial as a debug print", spaced.join(", ")),
        mark("serial", raw),
    ];
    // The part that is the same for every card of the authority is nobody's secret: the tail is the key and the signature over all.
    let own = &issued.certificate_der[issued.certificate_der.len() - 256..];
    marks.extend(windows("certificate", own));
    marks.extend(windows("certificate", own).into_iter().map(|window| mark("certificate in hex", hex(&window.bytes))));
    Ok(marks)
}

/// Everything the central system tells about this person that could not stand anywhere by chance.
fn of_the_person(issued: &Card, common_name: &str) -> Result<Vec<Mark>> {
    let rates = Rates { invalid: 0, invalid_new: 0, none: 0, several: 0, unregistered: 0, revoked: 0, dots: 0, lag: 0 };
    let population = Population::new(SEED, rates);
    let serial: Vec<u8> = (0..issued.serial_hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&issued.serial_hex[at..at + 2], 16))
        .collect::<Result<_, _>>()?;
    let identity = CardIdentity { serial: &serial, common_name };
    let known = population.qualifications(identity, population.outcome(identity));
    ensure!(!known.is_empty(), "the central system knows nobody with {common_name}");
    let mut marks = Vec::new();
    for person in known {
        marks.extend([
            mark("name", person.name.clone()),
            mark("family name", person.name.split('\u{3000}').next().unwrap_or_default()),
            mark("name in kana", person.name_kana.clone()),
            mark("address", person.address.clone()),
            mark("identification number", person.insured_identification_number.clone()),
            mark("birth date", person.birthdate.clone()),
            mark("post number", person.post_number.clone()),
            mark("insurer", person.insurer_name.clone()),
        ]);
        marks.extend(windows("answer", &person.encode_to_vec()));
    }
    marks.retain(|mark| mark.bytes.len() >= PREFIX);
    Ok(marks)
}

/// Ways in which a PIN could be written down; four digits alone stand everywhere.
fn of_the_pin() -> Vec<Mark> {
    let digits: Vec<char> = PIN_DIGITS.chars().collect();
    let bytes: Vec<String> = PIN_DIGITS.bytes().map(|byte| byte.to_string()).collect();
    let joined = |separator: &str| digits.iter().map(char::to_string).collect::<Vec<_>>().join(separator);
    vec![
        mark("PIN quoted", format!("\"{PIN_DIGITS}\"")),
        mark("PIN in parentheses", format!("({PIN_DIGITS})")),
        mark("PIN assigned", format!("={PIN_DIGITS} ")),
        mark("PIN after its name", format!("pin: {PIN_DIGITS}")),
        mark("PIN as numbers", joined(", ")),
        mark("PIN as a list", format!("[{}]", joined(","))),
        mark("PIN as bytes", bytes.join(", ")),
        mark("PIN as a VERIFY command", [&[0x00, 0x20, 0x00, 0x80, 0x04][..], PIN_DIGITS.as_bytes()].concat()),
        mark("PIN as a VERIFY command in hex", format!("0020008004{}", hex(PIN_DIGITS.as_bytes()))),
    ]
}

/// Bytes by which a mark is recognised before it is compared: no mark is shorter.
const PREFIX: usize = 6;

fn slot_of(prefix: u64) -> usize {
    // Fibonacci hashing (Knuth, TAOCP 6.4): spreads neighbours over the table.
    (prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

/// The places in which a mark was found. One pass over each place, however many marks there are.
fn found(marks: &[Mark], places: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let push = |prefix: u64, byte: u8| (prefix << 8 | u64::from(byte)) & 0xffff_ffff_ffff;
    let mut table: Vec<Vec<&Mark>> = vec![Vec::new(); 1 << 16];
    for mark in marks {
        assert!(mark.bytes.len() >= PREFIX, "{} is too short to be looked for", mark.what);
        table[slot_of(mark.bytes[..PREFIX].iter().fold(0, |prefix, byte| push(prefix, *byte)))].push(mark);
    }
    let mut found = BTreeSet::new();
    for (name, content) in places {
        let mut prefix = 0;
        for (at, byte) in content.iter().enumerate() {
            prefix = push(prefix, *byte);
            for mark in &table[slot_of(prefix)] {
                if at + 1 >= PREFIX && content[at + 1 - PREFIX..].starts_with(&mark.bytes) {
                    found.insert(format!("{} in {name}", mark.what));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// Every file that the gateway wrote.
fn written(scene: &Scene) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut places = BTreeMap::new();
    for folder in ["data", "keys"] {
        for entry in std::fs::read_dir(scene.dir().join(folder))? {
            let path = entry?.path();
            if !path.is_file() {
                // The socket for orders holds nothing.
                continue;
            }
            let name = path.strip_prefix(scene.dir())?.display().to_string();
            let mut content = std::fs::read(&path)?;
            if name.ends_with(".ballast") {
                // Megabytes of the same: only what differs could be a leak.
                content.dedup();
            }
            places.insert(name, content);
        }
    }
    Ok(places)
}

/// Everything that the gateway wrote and says.
fn said(scene: &Scene, mqtt: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut places = written(scene)?;
    places.insert("log".into(), scene.log()?.into_bytes());
    places.insert("MQTT".into(), std::fs::read(mqtt)?);
    for page in ["/metrics", "/healthz", "/staff"] {
        places.insert(page.into(), scene.get(page)?.into_bytes());
    }
    for command in [&["queue", "--json"][..], &["queue"], &["explain", "--json"], &["explain"], &["check", "--json"]] {
        let (code, text) = scene.site.ask(command)?;
        ensure!(code == Some(0), "{command:?}: {text}");
        places.insert(command.join(" "), text.into_bytes());
    }
    Ok(places)
}

#[test]
fn the_search_finds_what_is_there() -> Result<()> {
    let scene = Scene::prepare(Plan::default())?;
    let photo = portrait("chip.jp2").context("run: deploy/setup")?;
    let patient = patient(&scene, "TEST-VALID-PLANTED", Some(&photo))?;
    let marks: Vec<Mark> = patient.marks.into_iter().chain(of_the_pin()).chain(windows("photo", &photo)).collect();
    ensure!(marks.len() > 60, "only {} marks", marks.len());
    let folder = scene.dir().join("data");
    std::fs::create_dir(&folder)?;
    std::fs::create_dir(scene.dir().join("keys"))?;
    for mark in &marks {
        let around = [&[0x5a; 5_000][..], &mark.bytes, &[0xa5; 700]].concat();
        std::fs::write(folder.join("planted"), around)?;
        let found = found(std::slice::from_ref(mark), &written(&scene)?);
        assert_eq!(found, [format!("{} in data/planted", mark.what)]);
    }
    std::fs::write(folder.join("planted"), [0x5a; 5_000])?;
    assert_eq!(found(&marks, &written(&scene)?), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_or_biometric_is_found_in_anything_the_gateway_writes_or_says() -> Result<()> {
    let plan = Plan { face: true, mqtt: true, answer_deadline_ms: 1_000, ..Plan::default() };
    let mut scene = Scene::prepare(plan).context("the face method needs its models; run: deploy/setup")?;
    let ours = ["uketsuke", "uketsuke_core", "uketsuke_card", "uketsuke_face", "uketsuke_proto"];
    let trace = ours.map(|name| format!("{name}=trace")).join(",");
    scene.site.set_environment("RUST_LOG", &format!("debug,{trace}"));
    scene.site.start_gateway()?;
    until(STEP, "the face method is ready", || scene.get("/healthz").is_ok_and(|health| is_face_ready(&health)))?;
    let listener = scene.site.listen_to_mqtt()?;

    let photo = portrait("chip.jp2")?;
    let (same, again, other) =
        (portrait("camera-same.jpg")?, portrait("camera-same-2.jpg")?, portrait("camera-other.jpg")?);
    let by_pin = patient(&scene, "TEST-VALID-MARKED-PIN", Some(&photo))?;
    let by_face = patient(&scene, "TEST-VALID-MARKED-FACE", Some(&photo))?;
    let in_the_dark = patient(&scene, "TEST-VALID-MARKED-DARK", Some(&photo))?;
    let ineligible = patient(&scene, "TEST-INVALID-NEW-MARKED", None)?;
    let refused = patient(&scene, "TEST-VALID-MARKED-REFUSED", None)?;

    let mut kiosk = scene.kiosk_before(READER, &[same.clone(), again.clone()]).await?;
    let slot = scene.site.slot(READER)?;
    let mut receptions = vec![check_in(&mut kiosk, slot, &by_pin.card, PIN).await?.reception];
    let visit = check_in(&mut kiosk, slot, &by_face.card, Way::Face).await?;
    ensure!(
        visit.saw("face") && scene.explanation(&visit.reception)?["face_score"].is_number(),
        "not by face: {visit:?}"
    );
    receptions.push(visit.reception);
    receptions.push(check_in(&mut kiosk, slot, &ineligible.card, PIN).await?.reception);
    scene.central(ModeSpec::error("INVALID_ARGUMENT").times(1))?;
    receptions.push(check_in(&mut kiosk, slot, &refused.card, PIN).await?.reception);

    // A face that does not match, and a PIN that is wrong, leave traces of their own.
    let mut stranger = scene.kiosk_before("desk-1/b", std::slice::from_ref(&other)).await?;
    stranger.wait(STEP, named("idle")).await?;
    let inserted = by_face.card.insert(scene.site.slot("desk-1/b")?).await?;
    let shown = stranger.wait(STEP, named("choose")).await?;
    stranger.press(&shown, serde_json::json!({ "intent": "choose_face" })).await?;
    let judged = stranger.wait(STEP, |now| now.version > shown.version && now.name == "choose").await?;
    stranger.press(&judged, serde_json::json!({ "intent": "choose_pin" })).await?;
    let pad = stranger.wait(STEP, |now| now.pin_keys(PIN_DIGITS).is_some()).await?;
    stranger.press(&pad, serde_json::json!({ "intent": "pin", "keys": pad.pin_keys("1538") })).await?;
    stranger.wait(STEP, |now| now.text().contains("暗証番号が違います")).await?;
    inserted.remove().await;

    // Provisional: what waits in the outbox lies on disk, here and after a power cut.
    scene.central(ModeSpec::new("down"))?;
    let visit = check_in(&mut kiosk, slot, &in_the_dark.card, Way::Face).await?;
    ensure!(visit.ending.text().contains("あとで自動的に行います"), "{visit:?}");
    drop((kiosk, stranger));

    let marks: Vec<Mark> = [by_pin, by_face, in_the_dark, ineligible, refused]
        .into_iter()
        .flat_map(|patient| patient.marks)
        .chain(of_the_pin())
        .chain(windows("chip photo", &photo))
        .chain([&same, &again, &other].into_iter().flat_map(|frame| windows("camera frame", frame)))
        .collect();
    let nothing = Vec::<String>::new();
    let waiting = said(&scene, listener.output())?;
    assert!(
        waiting.contains_key("data/uketsuke.db-wal") && waiting.contains_key("data/uketsuke.db.head"),
        "{:?}",
        waiting.keys()
    );
    assert!(waiting.contains_key("data/uketsuke.db.ballast"), "{:?}", waiting.keys());
    assert_eq!(found(&marks, &waiting), nothing, "with requests that wait");
    // The search saw the places in which things do stand: ids are no secret.
    let ids = [mark("reception", visit.reception.clone())];
    let known = found(&ids, &waiting);
    for place in ["log", "queue --json", "explain --json"] {
        assert!(known.contains(&format!("reception in {place}")), "{known:?}");
    }
    assert!(
        waiting["log"].windows(5).any(|window| window == b"TRACE" || window == b"DEBUG"),
        "the log is not at its finest"
    );
    scene.site.kill_gateway()?;
    assert_eq!(found(&marks, &written(&scene)?), nothing, "after a power cut");

    scene.site.start_gateway()?;
    scene.central(ModeSpec::new("up"))?;
    scene.until_code(&visit.reception, "confirmed_later").await?;
    for reception in &receptions {
        scene.explanation(reception)?;
    }
    assert_eq!(found(&marks, &said(&scene, listener.output())?), nothing, "with everything answered");
    assert_eq!(scene.site.stop_gateway()?, Some(0));
    assert_eq!(found(&marks, &written(&scene)?), nothing, "after an orderly end");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_outside_the_sites_folder_not_even_by_libraries() -> Result<()> {
    let mut scene = Scene::prepare(Plan { face: true, ..Plan::default() })?;
    let home = tempfile::tempdir()?;
    let path = home.path().to_str().context("a temporary folder")?;
    scene.site.set_environment("HOME", path);
    scene.site.set_environment("XDG_CACHE_HOME", path);
    // Some libraries keep quiet where this is set.
    scene.site.set_environment("CI", "");
    scene.site.start_gateway()?;
    until(STEP, "the face method is ready", || scene.get("/healthz").is_ok_and(|health| is_face_ready(&health)))?;
    scene.receives_the_next_patient("desk-1/a").await?;
    ensure!(scene.site.stop_gateway()? == Some(0));
    let left: Vec<_> = std::fs::read_dir(home.path())?.collect::<std::io::Result<_>>()?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}
