//! Walls that the compiler does not enforce: which part alone may name a library, and what lies where.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Every file under `folder` with one of these endings, relative to the root.
fn files(folder: &str, endings: &[&str]) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted)) {
                let name = path.strip_prefix(root())?.display().to_string();
                found.push((name, std::fs::read_to_string(&path)?));
            }
        }
    }
    ensure!(!found.is_empty(), "no files in {folder}");
    Ok(found)
}

/// Rust source without comments and without what stands in strings: words there name nothing.
fn code(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            rest[1..].find('\'').map_or(rest.len(), |end| end + 2)
        } else if c == '"' {
            string_length(rest)
        } else {
            code.push(c);
            c.len_utf8()
        };
        rest = rest.get(skipped..).unwrap_or_default();
    }
    code
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether `name` stands in the code as a whole identifier.
fn names(code: &str, name: &str) -> bool {
    let part_of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        !before.is_some_and(part_of_a_name) && !after.is_some_and(part_of_a_name)
    })
}

#[test]
fn only_code_counts_as_naming_something() {
    let source = "// sqlx::a\nlet a = \"sqlx::b \\\" sqlx::c\"; /* sqlx::d */ let q = '\"'; mysqlx::e(); r#\"sqlx\"#;";
    assert!(!names(&code(source), "sqlx"), "{}", code(source));
    for source in ["use sqlx::A;", "let a: &sqlx::B = b;", "#[sqlx(rename)]", "// x\nsqlx::c() // y", "'\"'; sqlx::d()"]
    {
        assert!(names(&code(source), "sqlx"), "{source}");
    }
}

#[test]
fn each_library_is_named_in_one_place_only() -> Result<()> {
    let sources = files("gateway", &["rs"])?;
    for (name, places) in [
        ("sqlx", &["gateway/src/store/"][..]),
        ("tonic", &["gateway/src/central/"]),
        ("tonic_prost", &["gateway/src/central/"]),
        ("rumqttc", &["gateway/src/telemetry/mqtt"]),
        ("actix_web", &["gateway/src/web/"]),
        ("actix_ws", &["gateway/src/web/"]),
        ("ort", &["gateway/face/"]),
        ("prometheus_client", &["gateway/src/telemetry/metrics.rs"]),
        ("clap", &["gateway/src/cli/"]),
        // The wall clock: every record carries whether it was synchronised, and one place knows.
        ("SystemTime", &["gateway/src/clock.rs"]),
        ("now_utc", &[]),
        ("now_local", &[]),
    ] {
        let named = sources.iter().filter(|(_, source)| names(&code(source), name)).map(|(file, _)| file);
        let (inside, outside): (Vec<_>, Vec<_>) =
            named.partition(|file| places.iter().any(|place| file.starts_with(place)));
        assert!(outside.is_empty(), "{name} is named outside {places:?}: {outside:?}");
        assert!(
            places.is_empty() || name == "tonic_prost" || !inside.is_empty(),
            "{name} is named nowhere: is the rule out of date?"
        );
    }
    Ok(())
}

#[test]
fn the_files_of_the_database_are_opened_in_one_place_only() -> Result<()> {
    // Whoever closes a file gives away the locks that SQLite holds on it. The other places open files of their own.
    let places = [
        "gateway/src/store/sqlite/files.rs",
        "gateway/src/store/ballast.rs",
        "gateway/src/store/key_file.rs",
        "gateway/src/store/mod.rs",
        "gateway/src/store/side_file.rs",
    ];
    let opens = |code: &str| {
        ["File::open", "File::create", "File::options", "fs::read", "fs::read_to_string", "fs::copy", "fs::write"]
            .iter()
            .any(|call| code.contains(call))
            || names(code, "OpenOptions")
    };
    let mut seen = 0;
    for (file, source) in files("gateway/src/store", &["rs"])? {
        let product = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let tests = file.ends_with("tests.rs") || file.ends_with("scene.rs");
        // The kernel's own list of locks is no file of the store.
        let product = code(product).replace("fs::read_to_string(format!())", "").replace("fs::read_to_string()", "");
        if !tests && opens(&product) {
            assert!(places.contains(&file.as_str()), "{file} opens files; use `store/sqlite/files`");
            seen += 1;
        }
    }
    assert_eq!(seen, places.len(), "a place that opens nothing: is the rule out of date?");
    // Elsewhere many open files; whoever does so has nothing to do with where the database lies. The one place only writes its name down.
    let names_only = "gateway/src/config/files.rs";
    let mut found = false;
    for (file, source) in files("gateway/src", &["rs"])? {
        let code = code(&source);
        let knows = code.contains("store.path") || names(&code, "StoreConfig");
        let product = !file.starts_with("gateway/src/store/") && !file.ends_with("tests.rs");
        if product && knows && opens(&code) {
            assert_eq!(file, names_only, "it knows where the database lies, and opens files; use `store/sqlite/files`");
            found = true;
        }
    }
    assert!(found, "{names_only} opens nothing: is the rule out of date?");
    Ok(())
}

#[test]
fn nothing_in_the_gateway_knows_the_demonstration_or_the_simulators() -> Result<()> {
    for (file, text) in files("gateway", &["rs", "toml", "html", "css", "js", "sql"])? {
        let text = match file.rsplit_once('.') {
            Some((_, "rs")) => without_comments(&text, "//"),
            Some((_, "toml")) => without_comments(&text, "#"),
            _ => text,
        };
        let text = text.to_lowercase();
        for word in ["demo", "simulat", "central-sim", "uketsuke-tests", "uketsuke_tests"] {
            assert!(!text.contains(word), "{file} knows about {word:?}");
        }
    }
    Ok(())
}

/// Lines without what follows a comment sign that begins a line or stands after a space.
fn without_comments(text: &str, sign: &str) -> String {
    let sign_inside = format!(" {sign}");
    text.lines()
        .filter(|line| !line.trim_start().starts_with(sign))
        .map(|line| line.split_once(&sign_inside).map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// All that a crate depends on outside its tests, directly or not.
fn dependencies(package: &str) -> Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root())
        .args(["tree", "--offline", "--locked", "--prefix", "none", "--edges", "normal,build", "--package", package])
        .output()?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout)?;
    Ok(tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

#[test]
fn the_core_is_pure_and_the_lower_crates_know_nothing_of_the_gateway() -> Result<()> {
    let outside_world =
        ["tokio", "actix", "actix-rt", "actix-web", "sqlx", "tonic", "rumqttc", "rand", "time", "tracing"];
    let upper = ["uketsuke", "uketsuke-core", "uketsuke-tests"];
    for (package, banned) in [
        (
            "uketsuke-core",
            [&outside_world[..], &["uketsuke", "uketsuke-card", "uketsuke-face", "uketsuke-tests"]].concat(),
        ),
        ("uketsuke-card", [&["tokio", "actix", "sqlx", "tonic", "rumqttc", "uketsuke-face"][..], &upper].concat()),
        ("uketsuke-face", [&["tokio", "actix", "sqlx", "tonic", "rumqttc", "uketsuke-card"][..], &upper].concat()),
        ("uketsuke", vec!["uketsuke-tests"]),
    ] {
        let used = dependencies(package)?;
        ensure!(used.contains(package), "cargo tree does not know {package}: {used:?}");
        let wrong: Vec<_> = banned.into_iter().filter(|banned| used.contains(*banned)).collect();
        assert!(wrong.is_empty(), "{package} depends on {wrong:?}");
    }
    assert!(dependencies("uketsuke")?.contains("sqlx"), "the list of dependencies is not transitive or empty");
    Ok(())
}

#[test]
fn the_virtual_card_is_not_part_of_the_gateway() -> Result<()> {
    let cargo = std::fs::read_to_string(root().join("gateway/Cargo.toml"))?;
    assert!(!cargo.contains("\"virtual\""), "the gateway carries the card simulator");
    Ok(())
}

#[test]
fn the_top_level_holds_what_was_agreed_and_nothing_else() -> Result<()> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // Build output is nobody's source.
        if !name.starts_with('.') && name != "target" {
            found.insert(name);
        }
    }
    let agreed = ["Cargo.lock", "Cargo.toml", "README.md", "config", "deploy", "gateway", "proto", "tests"];
    assert_eq!(found, agreed.map(String::from).into());
    Ok(())
}
