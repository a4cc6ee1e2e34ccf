//! The annotated file is the specification of the defaults; every error points at its line.

use super::*;
use uketsuke_core::ladder;

const ANNOTATED: &str = include_str!("../../../config/uketsuke.toml");

fn load(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uketsuke.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&path)
}

fn wrong(text: &str) -> (usize, String, String, String) {
    match load(text) {
        Err(ConfigError::Wrong(wrong)) => (wrong.line, wrong.key, wrong.value, wrong.fix),
        other => panic!("expected a wrong line, got {other:?}"),
    }
}

#[test]
fn the_annotated_configuration_loads_and_says_the_defaults() {
    let config = load(ANNOTATED).unwrap();
    let kind = config.site.kind;
    assert_eq!((kind, config.reception.rules(kind)), (SiteKind::Medical, Reception::default().rules(kind)));
    assert_eq!(config.reception, Reception { questions: config.reception.questions.clone(), ..Reception::default() });
    assert_eq!(config.ladder, Ladder::default());
    assert_eq!(config.ladder.rules(), ladder::Rules::default());
    assert_eq!(config.web, Web::default());
    assert_eq!(config.mqtt, Mqtt::default());
    let resolved = |path: &Path| path.file_name().map(ToOwned::to_owned);
    assert_eq!(resolved(&config.face.models_dir), resolved(&Face::default().models_dir));
    assert_eq!(Face { models_dir: Face::default().models_dir, ..config.face }, Face::default());
    assert_eq!(config.clock, ClockSource::default());
    assert_eq!(
        (
            config.central.connect_timeout_ms,
            config.central.call_deadline_ms,
            config.central.window_max,
            config.central.probe_every_ms
        ),
        (
            defaults::connect_timeout_ms(),
            defaults::call_deadline_ms(),
            defaults::window_max(),
            defaults::probe_every_ms()
        )
    );
}

/// Replaces the line of the annotated file that starts with `key = ` and returns its 1-based number.
fn with(key: &str, value: &str) -> (String, usize) {
    let start = format!("{key} = ");
    let line = ANNOTATED.lines().position(|line| line.starts_with(&start)).unwrap();
    let lines: Vec<String> = ANNOTATED
        .lines()
        .enumerate()
        .map(|(n, text)| if n == line { format!("{key} = {value}") } else { text.to_owned() })
        .collect();
    (lines.join("\n"), line + 1)
}

#[test]
fn a_wrong_value_is_named_with_its_line_key_value_and_fix() {
    for (key, dotted, value) in [
        ("medical_institution_code", "site.medical_institution_code", "\"12345\""),
        ("listen", "web.listen", "\"0.0.0.0:8090\""),
        ("address", "central.address", "\"central\""),
        ("accept", "face.accept", "1.5"),
        ("staff_look", "face.staff_look", "0.9"),
        ("answer_deadline_ms", "reception.answer_deadline_ms", "0"),
        ("later_data_after_s", "ladder.later_data_after_s", "[86400, 0]"),
        ("life_s", "ladder.life_s", "0"),
        ("topic_prefix", "mqtt.topic_prefix", "\"a/#\""),
        ("trust_anchors", "card.trust_anchors", "[]"),
        ("slot", "terminal.0.reader.0.slot", "\"192.0.2.1:7201\""),
    ] {
        let (text, line) = with(key, value);
        let (found_line, found_key, found_value, fix) = wrong(&text);
        assert_eq!((found_line, found_key.as_str(), found_value.as_str()), (line, dotted, value));
        assert!(!fix.is_empty());
    }
}

#[test]
fn a_client_id_that_means_something_in_a_topic_is_refused() {
    for (id, good) in [("uketsuke-2", true), ("", false), ("a/b", false), ("a+", false), ("a#", false), ("a b", false)]
    {
        let (text, line) = with("topic_prefix", &format!("\"uketsuke\"\nclient_id = \"{id}\""));
        if good {
            let config = load(&text).unwrap();
            assert_eq!(config.mqtt.client_id("clinic-1"), id);
        } else {
            let (found_line, key, value, _) = wrong(&text);
            assert_eq!((found_line, key.as_str(), value), (line + 1, "mqtt.client_id", format!("\"{id}\"")));
        }
    }
    assert_eq!(Mqtt::default().client_id("clinic-1"), "uketsuke-clinic-1");
}

#[test]
fn a_misspelt_key_is_an_error_at_its_line() {
    let (text, line) = with("listen", "\"127.0.0.1:8090\"\nlissten = 1");
    let (found_line, key, value, fix) = wrong(&text);
    assert_eq!((found_line, key.as_str(), value.as_str()), (line + 1, "lissten", "1"));
    assert!(fix.contains("spelling"), "{fix}");
}

#[test]
fn a_value_of_the_wrong_type_is_an_error_at_its_line() {
    let (text, line) = with("window_max", "\"many\"");
    assert_eq!(wrong(&text).0, line);
}

#[test]
fn a_file_that_is_not_toml_is_an_error_at_its_line() {
    assert_eq!(wrong("[site]\nname = \"a\"\n]]\n").0, 3);
}

#[test]
fn terminals_may_stand_in_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uketsuke.toml");
    std::fs::write(&path, ANNOTATED).unwrap();
    std::fs::create_dir(folder.path().join("terminals.d")).unwrap();
    let file = folder.path().join("terminals.d/floor-2.toml");
    std::fs::write(
        &file,
        "name = \"floor-2\"\n[[reader]]\nname = \"a\"\ndriver = \"virtual\"\nslot = \"127.0.0.1:7301\"\n",
    )
    .unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.terminals.last().unwrap().name, "floor-2");

    std::fs::write(
        &file,
        "name = \"Floor 2\"\n[[reader]]\nname = \"a\"\ndriver = \"virtual\"\nslot = \"127.0.0.1:7301\"\n",
    )
    .unwrap();
    let Err(ConfigError::Wrong(wrong)) = Config::load(&path) else { panic!() };
    assert_eq!((wrong.path, wrong.line, wrong.key.as_str()), (file, 1, "name"));
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/uketsuke.toml")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/uketsuke.toml"), "{error}");
}
