//! What a value must be beyond its type.

use super::{Config, Problem, Terminal};
use std::collections::BTreeSet;
use std::net::SocketAddr;

pub(super) fn main(config: &Config) -> Result<(), Problem> {
    name("site.name", &config.site.name)?;
    let code = &config.site.medical_institution_code;
    check(
        code.len() == 10 && code.bytes().all(|b| b.is_ascii_digit()),
        "site.medical_institution_code",
        "not a medical institution code",
        "write its 10 digits",
    )?;
    if let Some(line) = &config.site.help_line {
        let fits = (1..=40).contains(&line.chars().count());
        check(fits, "site.help_line", "empty or too long for a screen", "write a number of at most 40 characters")?;
    }
    questions(config)?;
    loopback("web.listen", config.web.listen)?;
    check(
        config
            .central
            .address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()),
        "central.address",
        "not a host and port",
        "write host:port, such as \"central.example:443\"",
    )?;
    check(
        !config.central.server_name.is_empty(),
        "central.server_name",
        "empty",
        "write the name in the server's certificate",
    )?;
    check(!config.card.trust_anchors.is_empty(), "card.trust_anchors", "empty", "name at least one DER file")?;
    within("store.receptions_kept_days", u64::from(config.store.receptions_kept_days), 61, 36_500)?;
    within("store.set_aside_after_h", u64::from(config.store.set_aside_after_h), 1, 8_760)?;
    within("central.window_max", u64::from(config.central.window_max), 1, 256)?;
    within("central.warn_days", u64::from(config.central.warn_days), 1, 3_650)?;
    face(config)?;
    durations(config)?;
    ladder(config)?;
    within("mqtt.keep_alive_s", config.mqtt.keep_alive_s, 5, 3_600)?;
    within("mqtt.refresh_s", config.mqtt.refresh_s, 1, 3_600)?;
    topic("mqtt.topic_prefix", &config.mqtt.topic_prefix)?;
    if let Some(id) = &config.mqtt.client_id {
        client_id("mqtt.client_id", id)?;
    }
    for (index, configured) in config.terminals.iter().enumerate() {
        terminal(configured, &config.terminals[..index], &format!("terminal.{index}."))?;
    }
    Ok(())
}

pub(super) fn terminal(terminal: &Terminal, before: &[Terminal], prefix: &str) -> Result<(), Problem> {
    name(&format!("{prefix}name"), &terminal.name)?;
    let unique = before.iter().all(|other| other.name != terminal.name);
    check(unique, &format!("{prefix}name"), "another terminal has this name", "give each terminal a name of its own")?;
    check(
        !terminal.readers.is_empty(),
        &format!("{prefix}reader"),
        "the terminal has no reader",
        "add a reader table",
    )?;
    for (index, reader) in terminal.readers.iter().enumerate() {
        let key = format!("{prefix}reader.{index}.");
        name(&format!("{key}name"), &reader.name)?;
        let unique = terminal.readers[..index].iter().all(|other| other.name != reader.name);
        check(unique, &format!("{key}name"), "another reader has this name", "give each reader of a terminal its own")?;
        let slot = reader.slot;
        loopback(&format!("{key}slot"), slot)?;
        let others = before.iter().flat_map(|t| &t.readers).chain(&terminal.readers[..index]);
        let free = slot.port() == 0 || others.into_iter().all(|other| other.slot != slot);
        check(free, &format!("{key}slot"), "another reader has this slot", "give each slot a port of its own")?;
    }
    Ok(())
}

fn questions(config: &Config) -> Result<(), Problem> {
    let asked = config.reception.questions.iter().flatten().flat_map(|question| question.flags());
    let mut seen = BTreeSet::new();
    check(
        asked.into_iter().all(|flag| seen.insert(flag)),
        "reception.questions",
        "two of these questions ask about the same information",
        "name each kind of information once, alone or within a group",
    )
}

fn face(config: &Config) -> Result<(), Problem> {
    let face = &config.face;
    let unit = |value: f32| value > 0.0 && value < 1.0;
    check(unit(face.accept), "face.accept", "not a cosine similarity", "write a number between 0 and 1, such as 0.42")?;
    check(
        unit(face.staff_look),
        "face.staff_look",
        "not a cosine similarity",
        "write a number between 0 and 1, such as 0.36",
    )?;
    let ordered = face.staff_look <= face.accept;
    check(ordered, "face.staff_look", "above face.accept", "write a number that is not above face.accept")?;
    within("face.threads", face.threads as u64, 1, 64)?;
    within("face.frames_min", u64::from(face.frames_min), 1, 30)?;
    within("face.frames_max", u64::from(face.frames_max), u64::from(face.frames_min), 100)
}

fn durations(config: &Config) -> Result<(), Problem> {
    const HOUR_MS: u64 = 3_600_000;
    let reception = &config.reception;
    for (key, value, least) in [
        ("central.connect_timeout_ms", config.central.connect_timeout_ms, 100),
        ("central.call_deadline_ms", config.central.call_deadline_ms, 100),
        ("central.probe_every_ms", config.central.probe_every_ms, 100),
        ("central.watch_every_ms", config.central.watch_every_ms, 100),
        ("reception.read_deadline_ms", reception.read_deadline_ms, 1_000),
        ("reception.choose_deadline_ms", reception.choose_deadline_ms, 1_000),
        ("reception.face_deadline_ms", reception.face_deadline_ms, 1_000),
        ("reception.pin_deadline_ms", reception.pin_deadline_ms, 1_000),
        ("reception.staff_deadline_ms", reception.staff_deadline_ms, 1_000),
        ("reception.answer_deadline_ms", reception.answer_deadline_ms, 500),
        ("reception.answer_line_down_ms", reception.answer_line_down_ms, 100),
        ("reception.inform_deadline_ms", reception.inform_deadline_ms, 1_000),
        ("reception.register_deadline_ms", reception.register_deadline_ms, 1_000),
        ("reception.consent_deadline_ms", reception.consent_deadline_ms, 1_000),
        ("reception.left_behind_ms", reception.left_behind_ms, 1_000),
    ] {
        within(key, value, least, HOUR_MS)?;
    }
    within("reception.face_attempts_max", u64::from(reception.face_attempts_max), 1, 10)
}

fn ladder(config: &Config) -> Result<(), Problem> {
    const YEAR_S: u64 = 366 * 24 * 60 * 60;
    let ladder = &config.ladder;
    for (key, value) in [
        ("ladder.answer_within_s", ladder.answer_within_s),
        ("ladder.numbers_within_s", ladder.numbers_within_s),
        ("ladder.choose_within_s", ladder.choose_within_s),
        ("ladder.tell_within_s", ladder.tell_within_s),
        ("ladder.recheck_every_s", ladder.recheck_every_s),
        ("ladder.life_s", ladder.life_s),
    ] {
        within(key, value, 1, YEAR_S)?;
    }
    let waits = &ladder.later_data_after_s;
    check(
        waits.len() <= 16 && waits.iter().all(|wait| (1..=YEAR_S).contains(wait)),
        "ladder.later_data_after_s",
        "too many waits, or one out of range",
        &format!("write at most 16 numbers from 1 to {YEAR_S}"),
    )?;
    within("ladder.asks_max", u64::from(ladder.asks_max), 2, 256)
}

fn within(key: &str, value: u64, least: u64, most: u64) -> Result<(), Problem> {
    check((least..=most).contains(&value), key, "out of range", &format!("write a number from {least} to {most}"))
}

/// Names become parts of topics, addresses and records.
fn name(key: &str, value: &str) -> Result<(), Problem> {
    let good = !value.is_empty()
        && value.len() <= 32
        && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    check(good, key, "not a name", "write 1 to 32 of a-z, 0-9 and -")
}

fn topic(key: &str, value: &str) -> Result<(), Problem> {
    let good = !value.is_empty() && value.len() <= 64 && !value.contains(['+', '#', '\0', ' ']);
    check(good, key, "not a topic", "write a topic without +, # and spaces")
}

/// Brokers put the client id into rules about topics, so it holds nothing that means something there.
fn client_id(key: &str, value: &str) -> Result<(), Problem> {
    let good = (1..=64).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic() && !b"+#/".contains(&b));
    check(good, key, "not a client id", "write 1 to 64 visible ASCII characters without +, # and /")
}

fn loopback(key: &str, address: SocketAddr) -> Result<(), Problem> {
    check(
        address.ip().is_loopback(),
        key,
        "not a loopback address",
        "write 127.0.0.1:PORT; only this machine may connect",
    )
}

fn check(good: bool, key: &str, what: &str, fix: &str) -> Result<(), Problem> {
    if good { Ok(()) } else { Err(Problem { key: key.into(), what: what.into(), fix: fix.into() }) }
}
