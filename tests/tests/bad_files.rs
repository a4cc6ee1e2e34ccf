//! One unusable file closes the part that needs it and nothing else: the gateway starts, patients are received, the reason is said
//! everywhere, and the file is taken once it is good, without a restart.

use anyhow::{Context, Result, ensure};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use uketsuke_tests::scene::{PIN, STEP, Scene, part};
use uketsuke_tests::site::{Plan, until};

const READER: &str = "desk-1/a";

/// What may be wrong with a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Missing,
    Empty,
    HalfWritten,
    Foreign,
    WrongMode,
    WrongEncoding,
}

use Damage::{Empty, Foreign, HalfWritten, Missing, WrongEncoding, WrongMode};

impl Damage {
    /// Leaves `path` as it is after such an accident. `foreign` is a file of the right kind that belongs elsewhere.
    fn inflict(self, path: &Path, foreign: &Path) -> Result<()> {
        let whole = std::fs::read(path)?;
        match self {
            Missing => std::fs::remove_file(path)?,
            Empty => std::fs::write(path, [])?,
            HalfWritten => std::fs::write(path, &whole[..whole.len() / 2])?,
            Foreign => std::fs::write(path, std::fs::read(foreign)?)?,
            // Root reads everything, so an exposed key is the only mode that can be told apart here.
            WrongMode => std::fs::set_permissions(path, PermissionsExt::from_mode(0o644))?,
            WrongEncoding => {
                let text = String::from_utf8_lossy(&whole).into_owned();
                let wide: Vec<u8> =
                    "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
                std::fs::write(path, wide)?;
            }
        }
        Ok(())
    }
}

/// A file with its content and mode, so that it can be mended.
struct Good {
    content: Vec<u8>,
    mode: std::fs::Permissions,
}

impl Good {
    fn of(path: &Path) -> Result<Self> {
        Ok(Self { content: std::fs::read(path)?, mode: std::fs::metadata(path)?.permissions() })
    }

    fn restore(&self, path: &Path) -> Result<()> {
        std::fs::write(path, &self.content)?;
        Ok(std::fs::set_permissions(path, self.mode.clone())?)
    }
}

/// A site whose line checks revocation, prepared and not started.
fn site() -> Result<Scene> {
    let scene = Scene::prepare(Plan { answer_deadline_ms: 700, ..Plan::default() })?;
    let line = "call_deadline_ms = 2000\ncrl_file = \"pki/link-crl.pem\"\nwatch_every_ms = 100";
    scene.site.reconfigure("call_deadline_ms = 2000", line)?;
    scene.site.pki.revoke(&[], time::OffsetDateTime::now_utc() + time::Duration::days(1))?;
    Ok(scene)
}

fn detail(scene: &Scene, name: &str) -> Result<String> {
    Ok(part(&scene.health()?, name)["detail"].as_str().context("the part")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_with_a_file_of_the_line_the_gateway_starts_says_it_and_takes_the_mended_one() -> Result<()> {
    let mut scene = site()?;
    let pki = scene.dir().join("pki");
    for (file, foreign, damages) in [
        (
            "gateway.pem",
            "other-client.pem",
            &[
                (Missing, "cannot read our certificate"),
                (Empty, "it is empty"),
                (HalfWritten, "half written"),
                (Foreign, "check that they belong together"),
                (WrongEncoding, "UTF-16"),
            ][..],
        ),
        (
            "gateway.key",
            "other-client.key",
            &[
                (Missing, "cannot read our private key"),
                (Empty, "it is empty"),
                (HalfWritten, "half written"),
                (Foreign, "check that they belong together"),
                (WrongMode, "chmod 600"),
                (WrongEncoding, "UTF-16"),
            ],
        ),
        (
            "link-ca.pem",
            "other-ca.pem",
            &[
                (Missing, "cannot read the authority's certificate"),
                (Empty, "it is empty"),
                (HalfWritten, "half written"),
                (Foreign, "is of another authority"),
                (WrongEncoding, "UTF-16"),
            ],
        ),
        (
            "link-crl.pem",
            "gateway.pem",
            &[
                (Missing, "cannot read the revocation list"),
                (Empty, "it is empty"),
                (HalfWritten, "half written"),
                (Foreign, "\"CERTIFICATE\""),
                (WrongEncoding, "UTF-16"),
            ],
        ),
    ] {
        let path = pki.join(file);
        let good = Good::of(&path)?;
        for (damage, words) in damages {
            damage.inflict(&path, &pki.join(foreign))?;
            let case = format!("{file} {damage:?}");
            scene.site.start_gateway().with_context(|| case.clone())?;
            until(STEP, &case, || detail(&scene, "central").is_ok_and(|said| said.contains(words)))
                .with_context(|| format!("{case}: {:?}", detail(&scene, "central")))?;
            let health = scene.health()?;
            ensure!(health["ok"] == true && part(&health, "central")["ok"] == false, "{case}: {health}");
            ensure!(scene.get("/staff?lang=en")?.contains(file) || matches!(damage, Foreign), "{case}: the staff page");
            let (code, said) = scene.ended(&["check"])?;
            ensure!(said.contains(words), "{case}: check says {code:?} {said}");
            println!("{case}: {}", detail(&scene, "central")?);
            if matches!(damage, HalfWritten) {
                let visit = scene
                    .check_in(
                        READER,
                        &scene.card(&format!("TEST-VALID-{}", file.replace('.', "-").to_uppercase()))?,
                        PIN,
                    )
                    .await?;
                ensure!(visit.ending.text().contains("あとで自動的に行います"), "{case}: {visit:?}");
                good.restore(&path)?;
                scene.until_code(&visit.reception, "confirmed_later").await.with_context(|| case.clone())?;
            }
            good.restore(&path)?;
            ensure!(scene.site.stop_gateway()? == Some(0), "{case}");
        }
    }
    Ok(())
}
