//! What fails, when, and how it mends.

use super::agenda::{Deed, Inside, Outside};
use super::cases::Reconciler;
use super::central::Mode;
use super::courier::Courier;
use super::desk::Reader;
use super::world::{Process, World};
use rand::Rng;

/// Jumps of the wall clock, in milliseconds: a second, a minute, half an hour, a day, a year.
const JUMPS_MS: [i64; 5] = [1_000, 60_000, 30 * 60_000, 24 * 3_600_000, 365 * 24 * 3_600_000];

impl World {
    pub(super) fn start(&mut self) {
        if self.process.is_some() {
            return;
        }
        self.trace.note(self.time.ms, 1, self.life, || "the process starts".into());
        let readers = (0..self.slots.len()).map(|_| Reader::asleep(&self.rules)).collect();
        let courier = Courier::asleep(self.time.now());
        self.process = Some(Process { readers, courier, reconciler: Reconciler::default() });
        for reader in 0..self.slots.len() {
            self.soon(10..=400, Inside::ReaderUp(reader));
        }
        self.soon(10..=400, Inside::CourierUp);
        self.soon(10..=400, Inside::ReconcilerUp);
    }

    /// The process dies; what is on the disk survives.
    pub(super) fn crash(&mut self) {
        self.doom = None;
        if self.process.take().is_none() {
            return;
        }
        self.trace.note(self.time.ms, 2, self.life, || "the process dies".into());
        self.counts.crashes += 1;
        self.life += 1;
        if self.disk.crash() {
            self.counts.crashes_while_writing += 1;
        }
        if self.rng.random_ratio(1, 3) {
            self.counts.power_losses += 1;
            self.time.boot += 1;
            self.time.boot_ms = self.time.ms;
        }
        for reader in 0..self.slots.len() {
            self.slots[reader].seen = (None, 0);
            // The screen is dark: some wait, some go.
            if self.slots[reader].card.is_some() && self.rng.random() {
                self.will_do(reader, 500..=20_000, Deed::Pull);
            }
        }
        self.check_promises();
        self.keep_books();
        self.check_cases();
        self.later(100..=15_000, Outside::Start);
    }

    pub(super) fn fault(&mut self) {
        if self.quiet {
            return;
        }
        let every = self.temper.fault_every_ms;
        self.later(every / 4..=every * 2, Outside::Fault);
        let kind = self.rng.random_range(0..20u64);
        self.trace.note(self.time.ms, 3, kind, || format!("fault {kind}"));
        let reader = self.rng.random_range(0..self.slots.len());
        match kind {
            0..=4 => self.doom = Some(self.rng.random_range(0..40)),
            5..=7 => self.line_drops(),
            8 | 9 => self.central_fails(),
            10 | 11 => {
                self.disk.fill(true);
                let lasts = if self.rng.random_ratio(1, 8) { 200_000 } else { 15_000 };
                self.later(100..=lasts, Outside::DiskFree);
            }
            12 | 13 => self.clock_jumps(),
            14 | 15 => self.reader_dies(reader),
            16 | 17 => self.reader_fails(reader),
            18 if self.rng.random() => self.courier_dies(),
            18 => self.reconciler_dies(),
            _ => self.central.change_somebody(&mut self.rng),
        }
    }

    fn line_drops(&mut self) {
        if std::mem::replace(&mut self.line_up, false) {
            self.counts.line_downs += 1;
        }
        let lasts = if self.rng.random_ratio(1, 4) { 180_000 } else { 15_000 };
        self.later(200..=lasts, Outside::LineUp);
    }

    fn central_fails(&mut self) {
        self.central.mode = if self.rng.random() { Mode::Busy } else { Mode::Down };
        self.later(200..=40_000, Outside::CentralWell);
    }

    fn clock_jumps(&mut self) {
        self.counts.clock_jumps += 1;
        let jump = JUMPS_MS[self.rng.random_range(0..JUMPS_MS.len())];
        self.time.wall_offset_ms += if self.rng.random() { jump } else { -jump };
        self.time.synchronised = self.rng.random_ratio(2, 3);
    }

    /// From here on nothing fails any more: what is left must find its end.
    pub(super) fn become_quiet(&mut self) {
        self.trace.note(self.time.ms, 4, 0, || "the faults are over".into());
        (self.quiet, self.central.quiet) = (true, true);
        self.doom = None;
        self.line_up = true;
        self.central.mode = Mode::Well;
        self.temper.way = 1..=50;
        self.disk.fill(false);
    }
}
