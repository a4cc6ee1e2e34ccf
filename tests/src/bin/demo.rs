//! The demonstration: a site with two terminals of two readers, and patients who check in, also while the line is cut.
//!
//! Patients act through card slot and kiosk alone, staff through the staff page; nothing in the gateway knows this program.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use uketsuke_tests::central::ledger::Kind;
use uketsuke_tests::central::{Class, ModeSpec, Numbers, Person};
use uketsuke_tests::patient::{Camera, CardInSlot, Kiosk, PatientCard, Visit, Way, check_in};
use uketsuke_tests::scene::is_face_ready;
use uketsuke_tests::site::{Plan, Site, portrait, until};

/// Runs the whole story: face, PIN, impostor, ineligible patient, cut line, reconciliation.
#[derive(Parser)]
#[command(max_term_width = 100)]
struct Arguments {
    /// End after the story; exit code 0 only if every step happened as expected
    #[arg(long)]
    once: bool,
    /// Keep the site's files (logs, database, captured telemetry) in this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

const PIN: &str = "1234";
const PIN_DIGITS: [u8; 4] = *b"1234";

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // However this program is told to end, its site must not outlive it: what was started is ended by being dropped.
    tokio::select! {
        told = run(arguments) => told,
        () = told_to_end() => {
            println!("\nstopping");
            Ok(())
        }
    }
}

async fn told_to_end() {
    let wait = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut received) => drop(received.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let dir = arguments.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir)?;
    let mut timeline = Timeline::start();
    let plan = Plan {
        terminals: vec![
            ("desk-1".into(), vec!["a".into(), "b".into()]),
            ("desk-2".into(), vec!["a".into(), "b".into()]),
        ],
        face: true,
        mqtt: true,
        think_ms: 300,
        ..Plan::default()
    };
    let site = Site::start(&dir, plan)?;
    timeline.say("site", "central simulator, broker and gateway are up: 2 terminals, 4 readers");
    let telemetry = site.listen_to_mqtt()?;
    wait_for_face(&site).await?;
    timeline.say("site", "face models are loaded");

    let mut story = Story { site: &site, timeline: &mut timeline, receptions: Vec::new() };
    let told = story.tell().await;
    let receptions = std::mem::take(&mut story.receptions);
    told?;

    check_ledger(&site, receptions.len(), &mut timeline)?;
    check_telemetry(&std::fs::read_to_string(telemetry.output())?, &mut timeline)?;
    println!("\nuketsuke explain, for each reception:");
    for (who, reception) in &receptions {
        let (code, text) = site.ask(&["explain", reception, "--lang", "ja"])?;
        ensure!(code == Some(0), "explain failed for {who}");
        println!("\n[{who}]\n{}", text.trim_end());
    }
    println!("\nEvery step happened as expected ({:.1} s).", timeline.start.elapsed().as_secs_f32());
    if arguments.once {
        return Ok(());
    }
    print_addresses(&site)?;
    by_hand(&site).await
}

/// Lets whoever watches put cards in, take them out, and cut the line, by commands on standard input.
async fn by_hand(site: &Site) -> Result<()> {
    println!("\nTry it: open a kiosk page, then type here");
    println!("  put READER     a card (PIN {PIN}) into its slot      take READER    the card out again");
    println!("  cut            the line to the central system        mend           the line");
    let (typed, mut lines) = tokio::sync::mpsc::unbounded_channel();
    // A thread of its own: nobody can take a read of standard input back, and the process must end all the same.
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| typed.send(line)));
    let mut inserted: BTreeMap<String, CardInSlot> = BTreeMap::new();
    let photo = portrait("chip.jp2")?;
    let mut number = 100;
    while let Some(line) = lines.recv().await {
        let done = match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["put", reader] => {
                number += 1;
                match site.slot(reader) {
                    Ok(slot) => {
                        let card = site.card(&format!("TEST-VALID-{number}"), Some(PIN_DIGITS), Some(photo.clone()))?;
                        inserted.insert(reader.to_owned(), card.insert(slot).await?);
                        "the card is in"
                    }
                    Err(_) => "no such reader",
                }
            }
            ["take", reader] => match inserted.remove(reader) {
                Some(card) => {
                    card.remove().await;
                    "the card is out"
                }
                None => "no card of ours is in there",
            },
            ["cut"] => {
                set_line(site, "down").await?;
                "the line is cut"
            }
            ["mend"] => {
                set_line(site, "up").await?;
                "the line is back"
            }
            [] => continue,
            _ => "put READER, take READER, cut or mend; Ctrl-C ends",
        };
        println!("  {done}");
    }
    // Standard input is closed, as under a service manager: stay up all the same.
    std::future::pending().await
}

async fn set_line(site: &Site, mode: &'static str) -> Result<()> {
    let control = site.control.clone();
    tokio::task::spawn_blocking(move || control.set_mode(&ModeSpec::new(mode))).await?
}

struct Timeline {
    start: Instant,
}

impl Timeline {
    fn start() -> Self {
        Self { start: Instant::now() }
    }

    fn say(&mut self, who: &str, what: impl AsRef<str>) {
        println!("{:7.2} s  {who:<11} {}", self.start.elapsed().as_secs_f32(), what.as_ref());
    }
}

struct Story<'a> {
    site: &'a Site,
    timeline: &'a mut Timeline,
    /// Who, and which reception.
    receptions: Vec<(&'static str, String)>,
}

impl Story<'_> {
    async fn tell(&mut self) -> Result<()> {
        let photo = portrait("chip.jp2")?;
        let same = [portrait("camera-same.jpg")?, portrait("camera-same-2.jpg")?];
        let other = [portrait("camera-other.jpg")?];
        let card = |name: &str| self.site.card(name, Some(PIN_DIGITS), Some(photo.clone()));
        let (first, second, impostor) = (card("TEST-VALID-1")?, card("TEST-VALID-2")?, card("TEST-VALID-3")?);
        let (ineligible, forgetful) = (card("TEST-INVALID-NEW-4")?, card("TEST-VALID-5")?);
        let (in_the_dark, also) = (card("TEST-VALID-6")?, card("TEST-VALID-7")?);
        let unregistered = card("TEST-UNREGISTERED-8")?;

        let visit = self.visit("Patient 1", "desk-1/a", &first, Way::Face, &same).await?;
        ensure!(visit.saw("face") && ends_with(&visit, "受付が完了しました"), "patient 1 was not received by face");
        let score = self.score(&visit.reception)?;
        self.timeline
            .say("Patient 1", format!("face matched the chip photo: similarity {score}; eligible; checked in"));

        let visit = self.visit("Patient 2", "desk-1/b", &second, Way::Pin(PIN), &[]).await?;
        ensure!(visit.saw("pin") && ends_with(&visit, "受付が完了しました"), "patient 2 was not received by PIN");
        self.timeline
            .say("Patient 2", "PIN typed on the scrambled pad, request signed by the card; eligible; checked in");

        self.wrong_pin_then_right(&forgetful).await?;
        self.impostor(&impostor, &other).await?;

        let visit = self.visit("Patient 4", "desk-2/b", &ineligible, Way::Pin(PIN), &[]).await?;
        ensure!(visit.saw("ineligible"), "patient 4 was not told");
        self.timeline
            .say("Patient 4", "insurance not valid, there is a new one: told why and the next step at the desk");

        let visit = self.visit("Patient 7", "desk-1/b", &unregistered, Way::Pin(PIN), &[]).await?;
        ensure!(visit.saw("register") && ends_with(&visit, "受付が完了しました"), "patient 7 was not registered");
        self.timeline.say(
            "Patient 7",
            "card not registered as an insurance card: registered at the reader; eligible; checked in",
        );

        self.without_card().await?;
        self.cut_line(&in_the_dark, &also, &same).await
    }

    async fn without_card(&mut self) -> Result<()> {
        let numbers = Numbers {
            insurer: "06139992".into(),
            symbol: "12".into(),
            number: "345".into(),
            branch: "01".into(),
            birthdate: "19550102".into(),
        };
        self.site.control.set_person(&Person::of_document(numbers.clone(), Class::Valid))?;
        let reception = self.site.staff().receive(&numbers).await?;
        self.receptions.push(("Patient 8", reception.clone()));
        self.timeline.say("Staff", "receive Patient 8, who has no card, by the numbers on a 資格確認書");
        self.wait_for_code(&reception, "confirmed_later").await.context("Patient 8")?;
        self.timeline.say("Patient 8", "eligible under these numbers");
        Ok(())
    }

    async fn kiosk(&self, reader: &str, faces: &[Vec<u8>]) -> Result<Kiosk> {
        let camera = Camera::default();
        camera.show(faces);
        self.site.kiosk(reader, camera).await
    }

    async fn visit(
        &mut self,
        who: &'static str,
        reader: &str,
        card: &PatientCard,
        way: Way,
        faces: &[Vec<u8>],
    ) -> Result<Visit> {
        let mut kiosk = self.kiosk(reader, faces).await?;
        self.timeline.say(who, format!("places the card at {reader}"));
        let visit = check_in(&mut kiosk, self.site.slot(reader)?, card, way).await.context(who)?;
        self.receptions.push((who, visit.reception.clone()));
        Ok(visit)
    }

    async fn wrong_pin_then_right(&mut self, card: &PatientCard) -> Result<()> {
        let who = "Patient 3";
        let reader = "desk-2/a";
        let mut kiosk = self.kiosk(reader, &[]).await?;
        self.timeline.say(who, format!("places the card at {reader}"));
        let inserted = card.insert(self.site.slot(reader)?).await?;
        let shown = kiosk.wait(STEP, |shown| shown.name == "choose").await?;
        kiosk.press(&shown, serde_json::json!({ "intent": "choose_pin" })).await?;
        let shown = kiosk.wait(STEP, |shown| shown.pin_keys("9999").is_some()).await?;
        let keys = shown.pin_keys("9999").context("the pad")?;
        kiosk.press(&shown, serde_json::json!({ "intent": "pin", "keys": keys })).await?;
        kiosk.wait(STEP, |shown| shown.name == "pin" && shown.text().contains("暗証番号が違います")).await?;
        ensure!(card.pin_tries_left() == Some(2), "a wrong PIN costs one try");
        self.timeline.say(who, "a wrong PIN: 2 tries left, a new pad; tries again");
        let visit = uketsuke_tests::patient::go_through(&mut kiosk, Way::Pin(PIN)).await?;
        ensure!(card.pin_tries_left() == Some(3), "the right PIN restores the tries");
        inserted.remove().await;
        self.receptions.push((who, visit.reception));
        self.timeline.say(who, "the right PIN; eligible; checked in");
        Ok(())
    }

    async fn impostor(&mut self, card: &PatientCard, faces: &[Vec<u8>]) -> Result<()> {
        let who = "Impostor";
        let reader = "desk-2/a";
        let mut kiosk = self.kiosk(reader, faces).await?;
        kiosk.wait(STEP, |shown| shown.name == "idle").await?;
        self.timeline.say(who, format!("places somebody else's card at {reader}"));
        let inserted = card.insert(self.site.slot(reader)?).await?;
        for _ in 0..2 {
            let shown = kiosk.wait(STEP, |shown| shown.name == "choose").await?;
            kiosk.press(&shown, serde_json::json!({ "intent": "choose_face" })).await?;
            let after = shown.version;
            kiosk.wait(STEP, |shown| shown.version > after && shown.name != "face").await?;
        }
        let shown = kiosk.wait(STEP, |shown| shown.name == "choose").await?;
        kiosk.press(&shown, serde_json::json!({ "intent": "call_staff" })).await?;
        let shown = kiosk.wait(STEP, |shown| shown.name == "staff").await?;
        self.timeline.say(who, "the face does not match, twice; knows no PIN and calls the staff (目視確認)");
        let reception = shown.reception.context("a reception")?;
        self.site.staff().decide(reader, &reception, false).await?;
        let shown = kiosk.wait(STEP, |shown| shown.name == "take_card").await?;
        ensure!(shown.text().contains("ご本人の確認ができませんでした"), "unexpected end: {}", shown.text());
        inserted.remove().await;
        kiosk.wait(STEP, |shown| shown.name == "idle").await?;
        self.timeline.say("Staff", "\"not the person on the card\": nothing is asked of the central system");
        Ok(())
    }

    async fn cut_line(&mut self, by_face: &PatientCard, by_pin: &PatientCard, faces: &[Vec<u8>]) -> Result<()> {
        set_line(self.site, "down").await?;
        self.timeline.say("Line", "the line to the central system is cut");
        for (who, reader, card, way, faces) in [
            ("Patient 5", "desk-1/a", by_face, Way::Face, faces),
            ("Patient 6", "desk-2/b", by_pin, Way::Pin(PIN), &[]),
        ] {
            let visit = self.visit(who, reader, card, way, faces).await?;
            ensure!(ends_with(&visit, "あとで自動的に行います"), "{who} was not received provisionally");
            self.timeline.say(who, "no answer in time: checked in provisionally (仮受付)");
        }
        let (code, queue) = self.site.ask(&["queue"])?;
        ensure!(code == Some(0) && queue.contains("eligibility"), "the queue does not show what waits:\n{queue}");
        println!("\nuketsuke queue, with the line cut:\n{}", queue.trim_end());
        println!();
        set_line(self.site, "up").await?;
        self.timeline.say("Line", "the line is back");
        let waiting: Vec<(&str, String)> = self.receptions.iter().rev().take(2).cloned().collect();
        for (who, reception) in waiting.into_iter().rev() {
            self.wait_for_code(&reception, "confirmed_later").await.context(who)?;
            self.timeline.say(who, "confirmed by itself");
        }
        Ok(())
    }

    fn explanation(&self, reception: &str) -> Result<Value> {
        let (code, text) = self.site.ask(&["explain", reception, "--json"])?;
        ensure!(code == Some(0), "explain failed: {text}");
        Ok(serde_json::from_str::<Value>(&text)?["explanation"].take())
    }

    fn score(&self, reception: &str) -> Result<String> {
        let explanation = self.explanation(reception)?;
        Ok(format!("{:.2}", explanation["face_score"].as_f64().context("a face score")?))
    }

    async fn wait_for_code(&self, reception: &str, code: &str) -> Result<()> {
        let deadline = Instant::now() + STEP;
        loop {
            let explanation = self.explanation(reception)?;
            if explanation["code"] == code {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{reception} did not become {code}: {explanation}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Longest wait for one step of the story.
const STEP: Duration = Duration::from_secs(30);

fn ends_with(visit: &Visit, words: &str) -> bool {
    visit.ending.text().contains(words)
}

async fn wait_for_face(site: &Site) -> Result<()> {
    let deadline = Instant::now() + STEP;
    loop {
        let health = get(site, "/healthz").await?;
        if is_face_ready(&health) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the face method did not become ready: {health}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn get(site: &Site, path: &'static str) -> Result<String> {
    let url = format!("http://{}{path}", site.web());
    tokio::task::spawn_blocking(move || Ok(ureq::get(url).call()?.body_mut().read_to_string()?)).await?
}

fn check_ledger(site: &Site, receptions: usize, timeline: &mut Timeline) -> Result<()> {
    until(STEP, "nothing waits for the central system any more", || {
        site.ask(&["queue", "--json"]).is_ok_and(|(_, queue)| queue.contains("\"pending\":0"))
    })?;
    let effects = site.control.ledger()?;
    ensure!(effects.iter().all(|effect| effect.times_applied == 1), "something was applied twice: {effects:?}");
    let count = |kind| effects.iter().filter(|effect| effect.kind == kind).count();
    let (questions, consents, later) = (count(Kind::Eligibility), count(Kind::Consent), count(Kind::FollowUp));
    ensure!(questions == receptions, "{receptions} receptions made {questions} requests");
    timeline.say(
        "Central",
        format!("its ledger: {questions} requests, {consents} consents and {later} later questions, each applied once"),
    );
    Ok(())
}

/// Telemetry must name no person: not the card's name, nor anything of the synthetic population.
fn check_telemetry(captured: &str, timeline: &mut Timeline) -> Result<()> {
    for mark in ["TEST-", "見本", "1990", "●", "insur"] {
        ensure!(!captured.contains(mark), "telemetry carries {mark:?}:\n{captured}");
    }
    timeline.say("Telemetry", format!("{} MQTT messages, no personal data in them", captured.lines().count()));
    Ok(())
}

fn print_addresses(site: &Site) -> Result<()> {
    let (web, mqtt) = (site.web(), site.mqtt());
    println!("\nThe site stays up until Ctrl-C:");
    for reader in site.readers() {
        println!("  kiosk {reader}   http://{web}/kiosk/{reader}   card slot {}", site.slot(&reader)?);
    }
    println!("  staff            http://{web}/staff");
    println!("  metrics, health  http://{web}/metrics  http://{web}/healthz");
    println!("  telemetry        mosquitto_sub -h {} -p {} -v -t '#'", mqtt.ip(), mqtt.port());
    println!("  configuration    {}", site.config().display());
    Ok(())
}
