//! PostgreSQL 15 as the reference that everybody knows: the same two rows in one transaction, by `pgbench` with as many clients.

use super::{BODY_BYTES, Sample};
use anyhow::{Context, Result, ensure};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const TABLES: &str = "
    CREATE TABLE receptions (seq BIGSERIAL PRIMARY KEY, id UUID NOT NULL UNIQUE, request UUID NOT NULL, reader TEXT NOT NULL,
        order_key BYTEA NOT NULL, evidence BYTEA NOT NULL, stage TEXT NOT NULL, opened_ms BIGINT NOT NULL, mac BYTEA NOT NULL);
    CREATE INDEX ON receptions (order_key, seq);
    CREATE INDEX ON receptions (stage, seq);
    CREATE TABLE outbox (seq BIGSERIAL PRIMARY KEY, id UUID NOT NULL UNIQUE, order_key BYTEA NOT NULL, lane TEXT NOT NULL,
        body BYTEA NOT NULL, body_mac BYTEA NOT NULL, attempts INT NOT NULL, state TEXT NOT NULL, created_ms BIGINT NOT NULL,
        mac BYTEA NOT NULL);
    CREATE INDEX ON outbox (state, lane, seq);
    CREATE INDEX ON outbox (order_key, seq);";

/// A server of its own, stopped when dropped; it listens on a socket in its folder only.
pub(super) struct Postgres {
    dir: PathBuf,
    script: PathBuf,
}

impl Postgres {
    /// `None` where it is not installed.
    pub(super) fn start(dir: &Path) -> Result<Option<Self>> {
        if !Path::new(PROGRAMS).join("postgres").exists() {
            return Ok(None);
        }
        let server = Self { dir: dir.join("postgres"), script: dir.join("postgres/append.sql") };
        std::fs::create_dir(&server.dir)?;
        // It refuses to run as root, so it runs as the user that its package made.
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755))?;
        run(Command::new("chown").arg("postgres").arg(&server.dir))?;
        let data = server.dir.join("data");
        run(server.program("initdb").args(["--auth=trust", "--no-locale", "-E", "UTF8", "-D"]).arg(&data))?;
        let socket = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c max_connections=300",
            server.dir.display()
        );
        run(server
            .program("pg_ctl")
            .arg("-D")
            .arg(&data)
            .args(["-w", "-l"])
            .arg(server.dir.join("log"))
            .args(["-o", &socket, "start"]))?;
        run(server.client("psql").args(["-q", "-v", "ON_ERROR_STOP=1", "-c", TABLES, "postgres"]))?;
        let body = format!("decode(repeat('55', {BODY_BYTES}), 'hex')");
        let script = format!(
            "BEGIN;\nINSERT INTO receptions (id, request, reader, order_key, evidence, stage, opened_ms, mac) VALUES (gen_random_uuid(), \
             gen_random_uuid(), 'desk-1/a', sha256(gen_random_uuid()::text::bytea), decode(repeat('55', 240), 'hex'), 'open', 1, \
             sha256('mac'));\nINSERT INTO outbox (id, order_key, lane, body, body_mac, attempts, state, created_ms, mac) VALUES \
             (gen_random_uuid(), sha256(gen_random_uuid()::text::bytea), 'interactive', {body}, sha256('body'), 0, 'pending', 1, \
             sha256('mac'));\nEND;\n"
        );
        std::fs::write(&server.script, script)?;
        Ok(Some(server))
    }

    /// As many clients for so long; how many transactions there were.
    pub(super) fn append(&self, clients: usize, lasts: Duration) -> Result<Sample> {
        // Opening so many connections takes a while, and counts.
        let seconds = lasts.as_secs_f64().ceil() + clients as f64 / 64.0;
        let (clients, seconds) = (clients.to_string(), seconds.ceil());
        let threads = if clients == "1" { "1" } else { "2" };
        let mut bench = self.client("pgbench");
        bench.args(["-n", "-M", "prepared", "-c", &clients, "-j", threads, "-T", &seconds.to_string(), "-f"]);
        let output = bench.arg(&self.script).arg("postgres").output().context("starting pgbench")?;
        ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let rate: f64 = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
            .context("pgbench names no rate")?;
        let took = Duration::from_secs_f64(seconds);
        Ok(Sample { appends: (rate * seconds) as u64, took, ..Sample::default() })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(Path::new(PROGRAMS).join(name));
        command.current_dir(&self.dir).stdout(std::process::Stdio::null());
        command
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(Path::new(PROGRAMS).join(name));
        command.arg("-h").arg(&self.dir).args(["-U", "postgres"]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.program("pg_ctl").arg("-D").arg(self.dir.join("data")).args(["-m", "immediate", "stop"]).status();
    }
}

fn run(command: &mut Command) -> Result<()> {
    let ended = command.status().with_context(|| format!("starting {command:?}"))?;
    ensure!(ended.success(), "{command:?} ended with {ended}");
    Ok(())
}
