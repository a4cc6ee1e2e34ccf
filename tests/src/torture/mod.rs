//! Long fault campaigns against the real programs. One entry of [`CAMPAIGNS`] each.
//!
//! A campaign draws its faults from a seed, lets patients go about their business meanwhile, and judges afterwards by what
//! patients were shown, what the central system's ledger says, and what the gateway says about itself.

mod aftermath;
mod certs;
mod crowd;
pub mod disk;
mod journal;
mod judge;
mod kill9;
mod ladder;
mod line;
mod neighbours;
mod partition;
mod simulate;

use crate::report::Report;
use crate::simulate::Guard;
use anyhow::Result;
use std::path::Path;

/// A campaign.
pub struct Campaign {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub what: &'static str,
    /// Cycles unless told otherwise.
    pub cycles: u32,
    /// Guards can be taken out of it.
    pub guarded: bool,
    run: fn(&Path, Settings, &mut Report) -> Result<()>,
}

/// What a run was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many faults, or receptions.
    pub cycles: u32,
    /// What decides about them.
    pub seed: u64,
    /// Which guards are taken out.
    pub without: Without,
}

/// Which guards are taken out, to see whether that would be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Without {
    /// None: everything must hold.
    Nothing,
    /// This one: the run is to fail.
    This(Guard),
    /// Each in turn: the run fails if one is not missed.
    Each,
}

/// Every campaign.
pub const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        name: "certs",
        what: "certificates of 60 s life, renewed every 40 s under load, half-written and wrong ones among them; then a revoked and an expired one",
        cycles: 15,
        guarded: false,
        run: certs::run,
    },
    Campaign {
        name: "bitflip",
        what: "a bit of the store's files flips, or two rows exchange a value: found out, or harmless",
        cycles: 1_000,
        guarded: false,
        run: disk::bitflip::run,
    },
    Campaign {
        name: "iofault",
        what: "each call by which the store touches its disk fails, once or from then on; a full disk, to twenty degrees; the gateway on a disk that dies",
        cycles: 20_000,
        guarded: false,
        run: disk::iofault::run,
    },
    Campaign {
        name: "kill9",
        what: "SIGKILL of the gateway at any moment, with busy readers and a central system that comes and goes",
        cycles: 20,
        guarded: false,
        run: kill9::run,
    },
    Campaign {
        name: "ladder",
        what: "so many provisional receptions, each led to the end that it deserves, with staff who slip and a gateway that dies",
        cycles: 5_000,
        guarded: false,
        run: ladder::run,
    },
    Campaign {
        name: "neighbours",
        what: "other programs at the database's files: they look, copy, lock, delete and replace, while patients are received and the gateway dies",
        cycles: 200,
        guarded: false,
        run: neighbours::run,
    },
    Campaign {
        name: "partition",
        what: "the line fails in every way that lines fail, then goes down a second in every four; so does a network; a herd of gateways returns",
        cycles: 75,
        guarded: false,
        run: partition::run,
    },
    Campaign {
        name: "powerloss",
        what: "the power goes: the store's disk is rebuilt as a cut could have left it, un-synced writes lost, torn or out of order",
        cycles: 600,
        guarded: false,
        run: disk::powerloss::run,
    },
    Campaign {
        name: "simulate",
        what: "worlds of simulated minutes in which everything fails that may fail; a seed gives a world, always the same",
        cycles: 2_000,
        guarded: true,
        run: simulate::run,
    },
];

impl Campaign {
    /// Runs in a new folder, which is kept and named when something was wrong. A campaign that breaks off has failed.
    pub fn run(&self, settings: Settings) -> Report {
        println!("{}: {} cycles, seed {}", self.name, settings.cycles, settings.seed);
        let mut report = Report::new(self.name);
        report.figure("cycles", settings.cycles);
        report.figure("seed", settings.seed);
        match tempfile::Builder::new().prefix(&format!("uketsuke-{}-", self.name)).tempdir() {
            Ok(folder) => {
                if let Err(error) = (self.run)(folder.path(), settings, &mut report) {
                    report.fault(format!("broke off: {error:#}"));
                }
                if !report.passed() {
                    println!("{}: everything of this run is kept in {}", self.name, folder.keep().display());
                }
            }
            Err(error) => report.fault(format!("no folder to run in: {error}")),
        }
        report
    }
}
