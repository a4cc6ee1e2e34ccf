//! `dev-pki`: makes the certificates and keys of a development installation.

use std::path::PathBuf;

use clap::Parser;
use uketsuke_tests::pki::{CardOptions, DevPki};

/// Make the certificates and keys of a development installation: the link CA with the central server and a gateway,
/// a foreign CA, and a card CA shaped like JPKI. Running it again changes nothing that exists.
#[derive(Parser)]
#[command(name = "dev-pki")]
struct Arguments {
    /// Directory to write to; created when missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also issue a card with this name (repeatable). TEST-INVALID-…, TEST-REVOKED-… choose the central
    /// simulator's answer.
    #[arg(long = "card", value_name = "NAME")]
    cards: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let pki = DevPki::create_or_open(arguments.out)?;
    println!("{}", pki.dir().display());
    for name in arguments.cards {
        let card = pki.card(&name, &CardOptions::default())?;
        println!("{} serial {}", card.dir.display(), card.serial_hex);
    }
    Ok(())
}
